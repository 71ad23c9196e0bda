"""What is a UBI event, what becomes of it in the log, and that nothing else gets past."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.events import DAY_MS, KINDS, Arrival, UbiEvent, UbiEvents, behaviours, outcome, product_ids, timestamp_ms, to_records
from services.contracts import EventRecord, UserEvent
from services.errors import InvalidRequest
from services.validation import invalid

NOW = 1_800_000_000_000
ARRIVAL = Arrival(NOW, lambda user: f"key of {user}", lambda: "a new id")
decoder = msgspec.json.Decoder(UbiEvents)

STANDARD = b"""[{
  "application": "amazon-shop", "action_name": "click_through", "query_id": "00112233-4455-6677-8899-aabbccddeeff",
  "session_id": "84266fdbd31d4c2c6d0665f7e8380fa3", "client_id": "quepid-nightly-bot", "user_id": "ann", "timestamp": "2018-11-13T20:20:39Z",
  "message_type": "CONVERSION", "message": "bought", "event_attributes": {
    "object": {"object_id": 123, "object_id_field": "sku", "internal_id": "1"}, "position": {"ordinal": 3}, "more": [1], "event_id": "e1"}
}]"""


def accept(body: bytes, products: dict[str, int] | None = None) -> list[EventRecord]:
    """As the service does it; whatever is wrong comes out as InvalidRequest."""
    try:
        events = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(error, UbiEvents) from None
    return to_records(events, products or {}, ARRIVAL)


def test_the_standards_own_example_becomes_a_record() -> None:
    assert accept(STANDARD, {"123": 7}) == [
        EventRecord(
            event_id="e1",
            action="click_through",
            ts_ms=1_542_140_439_000,
            kind="click",
            user="key of ann",
            client="quepid-nightly-bot",
            session="84266fdbd31d4c2c6d0665f7e8380fa3",
            query_id="00112233-4455-6677-8899-aabbccddeeff",
            product_id="123",
            product_no=7,
            position=3,
        )
    ]


def test_the_least_that_is_an_event() -> None:
    assert accept(b'[{"action_name":"impression"}]') == [EventRecord(event_id="a new id", action="impression", ts_ms=NOW)]


@pytest.mark.parametrize("name", ["click_through", "add_to_cart", "click", "watch", "view", "purchase", "impression"])
def test_the_standards_action_names_are_accepted(name: str) -> None:
    assert accept(b'[{"action_name":"%s"}]' % name.encode())[0].action == name


def test_a_name_is_a_kind_only_towards_a_product() -> None:
    about = b'[{"action_name":"%s","event_attributes":{"object":{"object_id":"p"}}}]'
    assert {accept(about % name.encode())[0].kind for name in KINDS} == {"view", "click", "cart", "purchase"}
    assert accept(about % b"Add_To_Cart")[0].kind == "cart"
    assert accept(about % b"watch")[0].kind is None
    assert accept(b'[{"action_name":"click"}]')[0].kind is None


def test_unknown_products_are_kept_in_the_log_but_are_no_behaviour() -> None:
    body = b'[{"action_name":"click","user_id":"u","event_attributes":{"object":{"object_id":"p9"}}}]'
    (record,) = accept(body)
    assert (record.product_id, record.product_no, outcome(record)) == ("p9", None, "unknown_product")
    assert behaviours([record]) == {}
    (known,) = accept(body, {"p9": 9})
    assert behaviours([known]) == {"key of u": [UserEvent("a new id", "click", 9, NOW)]}
    assert outcome(known) == "click"


def test_products_are_looked_up_once_each() -> None:
    body = b'[{"action_name":"a","event_attributes":{"object":{"object_id":"x"}}},{"action_name":"b"},'
    body += b'{"action_name":"a","event_attributes":{"object":{"object_id":"x"}}}]'
    assert product_ids(decoder.decode(body)) == ["x"]


@pytest.mark.parametrize(
    ("text", "ms"),
    [("2018-11-13T20:20:39+00:00", 1_542_140_439_000), ("2018-11-13T20:20:39", 1_542_140_439_000), (1_542_140_439_123, 1_542_140_439_123)],
)
def test_times_are_iso_or_milliseconds(text: str | int, ms: int) -> None:
    assert timestamp_ms(0, text, NOW) == ms


@pytest.mark.parametrize("value", ["yesterday", "", NOW + DAY_MS + 1, "0001-01-01T00:00:00", "9999-12-31T23:59:59", "1969-12-31T00:00:00Z"])
def test_other_times_are_refused_with_index_and_field(value: str | int) -> None:
    with pytest.raises(InvalidRequest) as raised:
        timestamp_ms(3, value, NOW)
    assert raised.value.field == "[3].timestamp"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", None),
        (b'[{"action_name":"a"},{}]', "[1].action_name"),
        (b'[{"action_name":""}]', "[0].action_name"),
        (b'[{"action_name":"a","user_id":5}]', "[0].user_id"),
        (b'[{"action_name":"a","event_attributes":{"position":{"ordinal":-1}}}]', "[0].event_attributes.position.ordinal"),
        (b'{"action_name":"a"}', None),
    ],
)
def test_a_refusal_names_index_and_field(body: bytes, field: str | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        accept(body)
    assert raised.value.field == field


def test_five_hundred_events_are_accepted_and_no_more() -> None:
    assert len(accept(b"[" + b",".join([b'{"action_name":"a"}'] * 500) + b"]")) == 500
    with pytest.raises(InvalidRequest):
        accept(b"[" + b",".join([b'{"action_name":"a"}'] * 501) + b"]")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(UbiEvent.__struct_fields__)
likely_times = st.text("0123456789-:TZ+. W", max_size=30) | st.datetimes().map(lambda d: d.isoformat())
likely = st.fixed_dictionaries({"action_name": st.text(max_size=5)}, optional={"timestamp": likely_times | json_values})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(json_values, st.dictionaries(fields, json_values, max_size=5), likely), max_size=3) | json_values)
def test_arbitrary_json_is_accepted_or_is_an_invalid_request(value: object) -> None:
    try:
        body = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate cannot be sent as UTF-8
        return
    try:
        records = accept(body)
    except InvalidRequest:
        return
    assert isinstance(value, list)
    assert len(records) == len(value)
    assert all(0 <= r.ts_ms <= NOW + DAY_MS for r in records)
