"""UBI 1.3.0 events: what is accepted, and what the log gets of them. Pure.

Source: o19s/ubi, schema/1.3.0/event.schema.json. Differences, all of them towards accepting more: the published `oneOf` rejects its own
standard action names (a name matches both branches), so any name is taken; `timestamp` may be milliseconds since 1970 or missing (then it
is the time of arrival); `position` may be missing; fields that the standard does not know are ignored. Ours is the extension
`event_attributes.event_id`: with it a retry is recognised, without it we assign one, and a retry makes a second event.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta, Struct

from services.contracts import MAX_EVENTS, EventKind, EventRecord, UserEvent
from services.errors import InvalidRequest

DAY_MS = 86_400_000

KINDS: dict[str, EventKind] = {
    **dict.fromkeys(("view", "view_item", "item_view", "product_view", "view_product", "page_view", "product_page"), "view"),
    **dict.fromkeys(("click", "click_through", "product_click", "item_click", "result_click"), "click"),
    **dict.fromkeys(("cart", "add_to_cart", "product_cart"), "cart"),
    **dict.fromkeys(("purchase", "buy", "product_purchase"), "purchase"),
}
"""Action names that are a behaviour towards a product; every other is logged without a kind."""

Short = Annotated[str, Meta(max_length=128)]


class EventObject(Struct, frozen=True):
    object_id: Annotated[str, Meta(max_length=256)] | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None


class EventPosition(Struct, frozen=True):
    ordinal: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None


class EventAttributes(Struct, frozen=True):
    """`object.object_id` is the product id of the shop, `position.ordinal` the position it was shown at (from 1)."""

    object: EventObject | None = None
    position: EventPosition | None = None
    event_id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


class UbiEvent(Struct, frozen=True):
    """A UBI 1.3.0 event. Without `event_attributes.event_id` one is assigned (see the answer), and a retry of the request may duplicate
    the event; send one to be safe. `timestamp`: ISO 8601 (UTC when it names no zone) or milliseconds since 1970; absent: now."""

    action_name: Annotated[str, Meta(min_length=1, max_length=100)]
    timestamp: Annotated[str, Meta(max_length=64)] | Annotated[int, Meta(ge=0, le=2**53)] | None = None
    application: Annotated[str, Meta(max_length=100)] | None = None
    query_id: Short | None = None
    session_id: Short | None = None
    client_id: Short | None = None
    user_id: Short | None = None
    message_type: Annotated[str, Meta(max_length=100)] | None = None
    message: Annotated[str, Meta(max_length=1024)] | None = None
    event_attributes: EventAttributes | None = None


UbiEvents = Annotated[list[UbiEvent], Meta(min_length=1, max_length=MAX_EVENTS, description="all of them are accepted, or none")]


@dataclass(frozen=True, slots=True)
class Arrival:
    """What turns events into records: the time, how users are hashed, how an id is made."""

    now_ms: int
    key: Callable[[str], str]
    new_id: Callable[[], str]


def product_ids(events: Sequence[UbiEvent]) -> list[str]:
    """The distinct product ids that the events name."""
    return list(dict.fromkeys(i for event in events if (i := _product_id(event)) is not None))


def to_records(events: Sequence[UbiEvent], products: Mapping[str, int], arrival: Arrival) -> list[EventRecord]:
    """The events as they stand in the log. Raises InvalidRequest naming index and field."""
    return [_record(index, event, products, arrival) for index, event in enumerate(events)]


def behaviours(records: Sequence[EventRecord]) -> dict[str, list[UserEvent]]:
    """By user key: what the user graph will know of the records."""
    found: dict[str, list[UserEvent]] = {}
    for r in records:
        if r.user is not None and r.kind is not None and r.product_no is not None:
            found.setdefault(r.user, []).append(UserEvent(r.event_id, r.kind, r.product_no, r.ts_ms))
    return found


def outcome(record: EventRecord) -> str:
    """What becomes of an event, for the counter: a behaviour, about an unknown product, or no behaviour."""
    if record.kind is None:
        return "other"
    return record.kind if record.product_no is not None else "unknown_product"


def timestamp_ms(index: int, value: str | int | None, now_ms: int) -> int:
    """Milliseconds since 1970. Raises InvalidRequest for what is no time, and for one more than a day ahead."""
    field = f"[{index}].timestamp"
    accepted = "ISO 8601 such as 2026-01-31T09:00:00Z, or milliseconds since 1970; not more than a day ahead"
    try:
        ms = now_ms if value is None else value if isinstance(value, int) else _parsed_ms(value)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{field}: {value!r} is no ISO 8601 time", field=field, accepted=accepted) from None
    if not 0 <= ms <= now_ms + DAY_MS:
        raise InvalidRequest(f"{field}: {value!r} is before 1970 or more than a day ahead", field=field, accepted=accepted)
    return ms


def _parsed_ms(text: str) -> int:
    time = datetime.fromisoformat(text)
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _record(index: int, event: UbiEvent, products: Mapping[str, int], arrival: Arrival) -> EventRecord:
    attributes = event.event_attributes or EventAttributes()
    product_id = _product_id(event)
    return EventRecord(
        event_id=attributes.event_id or arrival.new_id(),
        action=event.action_name,
        ts_ms=timestamp_ms(index, event.timestamp, arrival.now_ms),
        kind=KINDS.get(event.action_name.lower()) if product_id is not None else None,
        user=arrival.key(event.user_id) if event.user_id else None,
        client=event.client_id or None,
        session=event.session_id or None,
        query_id=event.query_id or None,
        product_id=product_id,
        product_no=products.get(product_id) if product_id is not None else None,
        position=attributes.position.ordinal if attributes.position else None,
    )


def _product_id(event: UbiEvent) -> str | None:
    named = event.event_attributes.object if event.event_attributes else None
    if named is None or named.object_id is None or named.object_id == "":
        return None
    return str(named.object_id)
