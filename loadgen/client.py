"""The bodies that shoppers send, as the public API wants them. Pure."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from loadgen.shoppers import Action
from services.contracts import EventKind, Filters

APPLICATION = "aisle-loadgen"
ACTION_NAMES: dict[EventKind, str] = {"view": "view", "click": "click", "cart": "add_to_cart", "purchase": "purchase"}
"""Behaviour -> `action_name` of User Behavior Insights 1.3.0."""


@dataclass(frozen=True, slots=True)
class Who:
    """How a shopper is known to the shop: by user id when signed in, always by client and session."""

    user_id: str | None
    client_id: str
    session_id: str

    def fields(self) -> dict[str, str]:
        named = {"user_id": self.user_id, "client_id": self.client_id, "session_id": self.session_id}
        return {name: value for name, value in named.items() if value is not None}


def first_page(query: str, who: Who, page_size: int, filters: Filters | None = None) -> bytes:
    narrowed = {"filters": filters} if filters else {}
    return msgspec.json.encode({"query": query, "page_size": page_size, **narrowed, **who.fields()})


def next_page(cursor: str, who: Who) -> bytes:
    return msgspec.json.encode({"cursor": cursor, **who.fields()})


def events(actions: Sequence[Action], query_id: str, who: Who, now: datetime.datetime, event_ids: Sequence[str]) -> bytes:
    """An array of UBI 1.3.0 events; each carries an id of ours, so that a retry does not count twice."""
    return msgspec.json.encode([_event(a, query_id, who, now, i) for a, i in zip(actions, event_ids, strict=True)])


def _event(action: Action, query_id: str, who: Who, now: datetime.datetime, event_id: str) -> dict[str, object]:
    return {
        "application": APPLICATION,
        "action_name": ACTION_NAMES[action.kind],
        "query_id": query_id,
        "timestamp": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **who.fields(),
        "event_attributes": {
            "event_id": event_id,
            "object": {"object_id": action.product_id, "object_id_field": "product_id"},
            "position": {"ordinal": action.position},
        },
    }
