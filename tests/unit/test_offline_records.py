import itertools

import msgspec
import numpy as np

from offline.records import read_log
from services.contracts import Category, EventRecord, PageRecord
from services.eventlog.port import NewRecord
from services.features import FEATURE_SCHEMA, FEATURES
from tests.planted import MemoryReader

F = len(FEATURES)


def page(query_id: str, products: list[int], user: str | None = "u", schema: str = FEATURE_SCHEMA, **more: object) -> NewRecord:
    features = np.arange(len(products) * F, dtype=np.float32).tobytes()
    record = PageRecord(query_id=query_id, ts_ms=1_000, query="x", terms=[], categories=[Category(7, "seven", 0.5)], product_no=products,
                        positions=list(range(1, len(products) + 1)), features=features, feature_schema=schema, generation=1, user=user)  # fmt: skip
    return NewRecord("page", 1_000, user, msgspec.json.encode(msgspec.structs.replace(record, **more)))


numbers = itertools.count()


def event(
    kind: str | None, product_no: int | None = 1, user: str | None = "u", query_id: str | None = "q", event_id: str | None = None
) -> NewRecord:
    record = EventRecord(
        event_id=event_id or f"e{next(numbers)}", action="x", kind=kind, ts_ms=2_000, query_id=query_id, product_no=product_no
    )  # type: ignore[arg-type]
    return NewRecord("event", 2_000, user, msgspec.json.encode(record))


def test_pages_and_events_become_columns_joined_by_query() -> None:
    log = read_log(
        MemoryReader([page("a", [3, 4]), page("q", [5]), event("click", 5), event("purchase", 9, user=None, query_id=None)]),
        FEATURE_SCHEMA,
        F,
    )
    assert log.watermark == 4
    assert log.pages.indptr.tolist() == [0, 2, 3]
    assert log.pages.product_no.tolist() == [3, 4, 5]
    assert log.pages.features.shape == (3, F)
    assert log.pages.features[1, 0] == F
    assert log.pages.categories.tolist() == [[7, -1, -1]] * 2
    assert log.behaviours.kind.tolist() == [2, 4]
    assert log.behaviours.query.tolist() == [log.pages.query[1], -1]
    assert log.behaviours.user.tolist() == [0, -1]


def test_events_that_are_no_behaviour_or_about_no_product_are_left_out() -> None:
    assert len(read_log(MemoryReader([event(None), event("click", None), event("view")]), FEATURE_SCHEMA, F).behaviours) == 1


def test_an_event_that_was_sent_twice_happened_once() -> None:
    records = [event("click", 1, event_id="a"), event("click", 1, event_id="a"), event("click", 1, event_id="b")]
    assert read_log(MemoryReader(records), FEATURE_SCHEMA, F).behaviours.product_no.tolist() == [1, 1]


def test_pages_that_cannot_teach_ranking_are_counted_as_dropped() -> None:
    records = [page("a", [1], schema="other"), page("b", [1], sort="price_asc"), page("c", [1], features=b""), page("d", [1])]
    pages = read_log(MemoryReader(records), FEATURE_SCHEMA, F).pages
    assert (len(pages), pages.dropped) == (1, 3)


def test_for_popularity_every_page_counts() -> None:
    records = [page("a", [1], schema="other"), page("b", [1], sort="price_asc"), page("c", [], features=b"")]
    pages = read_log(MemoryReader(records), None, 0).pages
    assert (len(pages), pages.dropped, pages.features.shape) == (2, 0, (2, 0))


def test_an_empty_log_is_an_empty_table() -> None:
    log = read_log(MemoryReader([]), FEATURE_SCHEMA, F)
    assert (len(log.pages), len(log.behaviours), log.watermark, log.pages.features.shape) == (0, 0, 0, (0, F))
