"""Synonyms come from what shoppers did, not from words that merely stand together."""

from collections import Counter

import msgspec
import pytest

from recommender.history import Search, searches, visits
from recommender.rewrite import Limits, agreement, mine, query, similar
from services.contracts import EventRecord, PageRecord, Term
from services.eventlog.port import LogRecord
from services.text import query_terms


def said(product: int) -> frozenset[str]:
    """Products below 100 say every term that comes instead and none of those that are typed at first."""
    return frozenset(["sofa", "chair", "run", "shoe", "sale"]) if product < 100 else frozenset()


def search(text: str, clicked: list[int] | None = None, *, ts_ms: int = 0) -> Search:
    return Search("q", ts_ms, "v", text, clicked or [])


def retyped(old: str, new: str, times: int) -> list[list[Search]]:
    return [[search(old), search(new, [1], ts_ms=20_000)] for _ in range(times)]


NOISE = retyped("blue lamp", "blue chair", 1) + retyped("red mug", "red plate", 4) + retyped("big desk", "big rug", 4)


def test_a_term_that_is_retyped_and_then_clicked_is_a_synonym() -> None:
    assert mine(NOISE + retyped("leather couch", "leather sofa", 2), "en", said) == {"couch": [["sofa"]]}


def test_too_little_support_is_no_evidence() -> None:
    assert mine(NOISE + retyped("leather couch", "leather sofa", 1), "en", said) == {}


def test_a_term_that_everything_turns_into_has_no_lift() -> None:
    into_sale = [visit for word in ("couch", "lamp", "mug", "desk") for visit in retyped(f"{word} big", "sale big", 3)]
    assert mine(into_sale, "en", said) == {}


@pytest.mark.parametrize(
    "visit",
    [
        [search("leather couch", [1]), search("leather sofa", [1])],  # the first query was good enough
        [search("leather couch"), search("leather sofa")],  # the second was no better
        [search("leather couch"), search("leather sofa", [1], ts_ms=600_000)],  # ten minutes later
        [search("leather couch"), search("cotton sofa", [1])],  # two terms changed
        [search("leather couch"), search("leather", [1])],  # nothing came instead
        [search("leather sofaa"), search("leather sofa", [1])],  # spelling, not a synonym
        [search("leather x100"), search("leather sofa", [1])],  # a model number is no word
    ],
)
def test_other_steps_are_no_reformulation(visit: list[Search]) -> None:
    assert mine(NOISE + [visit] * 9, "en", said) == {}


def test_a_phrase_stands_in_when_the_products_say_all_of_it() -> None:
    log = NOISE + retyped("red trainers", "red running shoes", 3)
    assert mine(log, "en", said) == {"trainer": [["run", "shoe"]]}
    assert mine(log, "en", lambda product: frozenset(["shoe"])) == {}


def test_a_term_that_the_products_say_themselves_needs_no_synonym() -> None:
    log = NOISE + retyped("leather couch", "leather sofa", 9)
    assert mine(log, "en", lambda product: frozenset(["sofa", "couch"])) == {}


def co_clicked(one: str, other: str, products: list[int], times: int) -> list[list[Search]]:
    return [[search(text, [p])] for text in (one, other) for p in products for _ in range(times)]


EVERYTHING_ELSE = [[search(f"{'abcdefghij'[n % 10] * 4}", [100 + n % 37])] for n in range(400)]


def test_of_two_terms_that_lead_to_the_same_products_the_said_one_stands_in_for_the_other() -> None:
    mined = mine(EVERYTHING_ELSE + co_clicked("couch", "sofa", [1, 2, 3, 4], 3), "en", said)
    assert mined == {"couch": [["sofa"]]}


def test_terms_that_are_typed_together_complete_each_other_and_are_no_synonyms() -> None:
    together = [[search("couch sofa", [p])] for p in (1, 2, 3, 4) for _ in range(5)]
    assert mine(EVERYTHING_ELSE + together + co_clicked("couch", "sofa", [1, 2, 3, 4], 3), "en", said) == {}


def test_few_clicks_or_few_products_are_no_evidence() -> None:
    assert "couch" not in mine(EVERYTHING_ELSE + co_clicked("couch", "sofa", [1, 2, 3, 4], 2), "en", said)
    assert "couch" not in mine(EVERYTHING_ELSE + co_clicked("couch", "sofa", [1, 2], 9), "en", said)


def test_agreement_is_one_for_equal_clicks_and_nothing_for_disjoint_ones() -> None:
    one, everything = Counter({1: 2, 2: 2}), Counter({1: 2, 2: 2, 3: 12})
    assert agreement(one, one, everything) == pytest.approx((1.0, 4.0))
    assert agreement(one, Counter({3: 5}), everything) == (0.0, 0.0)


def test_without_a_log_there_are_none() -> None:
    assert mine([], "en", said, Limits(reformulations=1)) == {}


def test_a_query_gets_the_parts_of_its_compounds_and_its_synonyms() -> None:
    assert query(query_terms("USB-C couch", "en"), {"couch": [["sofa"], ["love", "seat"]]}) == [
        Term("usbc", [["usb", "c"]]),
        Term("couch", [["sofa"], ["love", "seat"]]),
    ]
    assert query(query_terms("  ", "en"), {}) == []


def test_similar_terms_are_one_word_spelled_twice() -> None:
    assert similar("sofa", "sofas")
    assert similar("headphon", "hedphone")
    assert not similar("sofa", "couch")
    assert not similar("mug", "rugs")


# ---- searches of a log ---------------------------------------------------------------------------------------------------------


def page(offset: int, query_id: str, text: str, **fields: object) -> LogRecord:
    values: dict[str, object] = {
        "query_id": query_id, "ts_ms": offset, "query": text, "terms": [], "categories": [], "product_no": [], "positions": [],
        "features": "", "feature_schema": "", "generation": 1,
    }  # fmt: skip
    return LogRecord(offset, "page", offset, None, msgspec.json.encode(msgspec.convert(values | fields, PageRecord, strict=False)))


def click(offset: int, query_id: str, product: int | None, kind: str = "click") -> LogRecord:
    record = EventRecord(event_id=str(offset), action=kind, ts_ms=offset, kind=kind, query_id=query_id, product_no=product)  # type: ignore[arg-type]
    return LogRecord(offset, "event", offset, None, msgspec.json.encode(record))


def test_a_search_is_a_query_with_its_distinct_clicks_over_all_its_pages() -> None:
    log = [
        page(1, "q1", "runing shoes", corrected="running shoes", session="s"),
        click(2, "q1", 7),
        page(3, "q1", "runing shoes", corrected="running shoes", page=2, session="s"),
        click(4, "q1", 7, "cart"),
        click(5, "q1", 8),
        click(6, "q1", 9, "view"),
        click(7, "q1", None),
        click(8, "unknown", 3),
        page(9, "q2", "  ", session="s"),
    ]
    assert searches(log) == [Search("q1", 1, "s", "running shoes", [7, 8])]


def test_a_visit_ends_with_half_an_hour_of_silence_and_belongs_to_one_visitor() -> None:
    minute = 60_000
    log = [Search(str(n), t * minute, who, "x") for n, (t, who) in enumerate([(0, "a"), (1, "b"), (20, "a"), (51, "a"), (52, "b")])]
    assert sorted([s.query_id for s in visit] for visit in visits(log)) == [["0", "2"], ["1"], ["3"], ["4"]]
