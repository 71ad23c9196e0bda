"""Shoppers notice when an answer is not what was promised."""

from typing import Any

import msgspec
import pytest

from loadgen.checks import Pages, check_events, check_page, decode
from services.contracts import Item, SearchAnswer, SearchedQuery, Total


def answer(ids: list[str], first: int = 1, **changes: Any) -> SearchAnswer:
    items = [Item(first + n, i, msgspec.Raw(b'{"title":"A shoe"}'), 1.0, "high", True) for n, i in enumerate(ids)]
    fields: dict[str, Any] = {
        "query_id": "q1",
        "query": SearchedQuery("shoe", ["shoe"], []),
        "total": Total(100, "gte"),
        "tiers": [],
        "items": items,
        "generation": 1,
        "release": 1,
        "degraded": [],
        "off": [],
        "experiments": {},
        "cursor": "next",
    }
    return SearchAnswer(**{**fields, **changes})


def test_pages_that_follow_each_other_are_right() -> None:
    pages = Pages(2)
    assert check_page(answer(["a", "b"]), pages) == []
    assert check_page(answer(["c", "d"], first=3), pages) == []
    assert check_page(answer(["e"], first=5, cursor=None), pages) == []


def test_an_answer_survives_the_wire() -> None:
    assert decode(msgspec.json.encode(answer(["a"]))) == answer(["a"])


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"query_id": 1}', b"\xff"])
def test_what_does_not_fit_the_schema_is_said(body: bytes) -> None:
    with pytest.raises(ValueError, match="does not fit its schema"):
        decode(body)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (answer(["a", "b", "c"]), "3 items on a page of 2"),
        (answer(["a", "b"], first=2), "positions [2, 3]"),
        (answer(["a", "a"]), "page shows a product twice"),
        (answer(["a"], cursor=None), "1 items on the first page, though 100 products match"),
        (answer(["a"], total=Total(1, "eq")), "a cursor after a page that was not full"),
        (answer(["a", "b"], query_id=""), "no query_id"),
        (answer(["a", "b"], items=[Item(n, i, msgspec.Raw(b"{}"), 1.0, "low", False) for n, i in ((1, "a"), (2, "b"))]), "without a title"),
    ],
)
def test_a_wrong_page_is_said_to_be_wrong(wrong: SearchAnswer, said: str) -> None:
    problems = check_page(wrong, Pages(2))
    assert len(problems) == 1
    assert said in problems[0]


def test_a_product_of_an_earlier_page_may_not_come_again() -> None:
    pages = Pages(2)
    check_page(answer(["a", "b"]), pages)
    assert check_page(answer(["b", "c"], first=3), pages) == ["page turned: 1 products of earlier pages came again (b)"]


def test_no_products_for_a_query_without_matches_is_right() -> None:
    assert check_page(answer([], total=Total(0, "eq"), cursor=None), Pages(10)) == []


def test_events_are_acknowledged_with_a_position() -> None:
    assert check_events(202, b'{"accepted":2,"projected":true,"position":{"0":17}}', 2) == []


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"{}", "answered 200"),
        (503, b"", "answered 503"),
        (202, b"ok", "not JSON"),
        (202, b'{"projected":true}', "`position`"),
        (202, b'{"accepted":1,"projected":true,"position":{"0":1}}', "1 of 2 events"),
    ],
)
def test_a_wrong_acknowledgement_is_said_to_be_wrong(status: int, body: bytes, said: str) -> None:
    problems = check_events(status, body, 2)
    assert len(problems) == 1
    assert said in problems[0]
