"""The planner's smaller decisions: what a request means, what stands in for what, who is in which arm, what still has to travel along."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.degrade import nothing_found, plain_analysis, retrieval_order
from planner.experiments import assign, parse
from planner.pending import Pending
from planner.plan import Plan, check_cursor_alone, cut_query, plan_of
from planner.versions import pinned, to_try
from services.contracts import Filters, PriceRange, SearchRequest, Term, UserEvent
from services.errors import ConfigurationError, InvalidRequest, Unavailable, VersionGone


def plan(**request: Any) -> Plan:
    return plan_of(SearchRequest(**request), language="en", candidates=200)


# ---- requests ----


def test_nothing_given_is_browsing_the_first_ten() -> None:
    found = plan()
    assert (found.browse, found.text, found.page, found.page_size, found.first, found.sort) == (True, "", 1, 10, 0, "relevance")
    assert plan(query="  \t\u3000").browse
    assert not plan(query="\x00").browse


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("red shoe", False),
        ("x" * 256, False),
        ("x" * 257, True),
        (" ".join(f"w{n}" for n in range(32)), False),
        (" ".join(f"w{n}" for n in range(33)), True),
        (" ".join(["the", "same"] * 20), False),
        ("the of " + " ".join(f"w{n}" for n in range(32)), False),
    ],
)
def test_a_query_is_cut_to_256_characters_and_32_terms_and_says_so(text: str, cut: bool) -> None:
    assert cut_query(text, "en") == (text[:256], cut)


def test_a_query_is_cut_between_words() -> None:
    assert cut_query("shoe " * 51 + "waterproof", "en") == (("shoe " * 51).strip(), True)
    assert cut_query("shoe " * 51 + "s ize", "en") == ("shoe " * 51 + "s", True)
    assert cut_query("shoe " + "x" * 300, "en") == ("shoe", True)


@given(st.text(min_size=257, max_size=600))
def test_what_is_cut_is_a_beginning_that_ends_between_words_if_it_can(text: str) -> None:
    kept, cut = cut_query(text, "en")
    assert cut
    assert text.startswith(kept)
    assert len(kept) <= 256
    assert set(kept.split()) <= set(text.split()) or len(kept) == 256


def test_pages_past_the_candidates_are_refused_before_any_work() -> None:
    with pytest.raises(InvalidRequest, match="last page is 20"):
        plan(query="x", page=21)
    plan(query="x", page=20)


def test_facets_are_asked_for_on_the_first_page_only() -> None:
    assert plan(facets=["brand", "color", "brand"]).facets == ["brand", "color"]
    assert plan(facets=["brand"], page=2).facets == []


def test_an_empty_price_range_is_refused() -> None:
    with pytest.raises(InvalidRequest) as raised:
        plan(filters=Filters(price_cents=PriceRange(10, 5)))
    assert raised.value.field == "filters.price_cents"


@pytest.mark.parametrize("given", [{"query": ""}, {"page": 2}, {"page_size": 5}, {"sort": "newest"}, {"facets": []}, {"verbatim": True}])
def test_beside_a_cursor_only_who_asks_may_be_said(given: dict[str, object]) -> None:
    check_cursor_alone(SearchRequest(cursor="c", user_id="u", client_id="c", session_id="s", explain=True))
    with pytest.raises(InvalidRequest) as raised:
        check_cursor_alone(SearchRequest(cursor="c", **given))  # type: ignore[arg-type]
    assert raised.value.field in given


# ---- stand-ins ----


def test_without_the_recommender_the_querys_own_terms_are_searched() -> None:
    analysis = plain_analysis("Running T-Shirts", "en", 4)
    assert analysis.terms == [Term("run"), Term("tshirt", [["t", "shirt"]])]
    assert (analysis.generation, analysis.categories, analysis.corrected) == (4, [], None)
    assert plain_analysis("😀 !!", "en", 4).terms == []


def test_without_the_ranker_candidates_keep_the_order_of_retrieval() -> None:
    assert retrieval_order(4).tolist() == [0, 1, 2, 3]


def test_a_query_of_signs_finds_nothing() -> None:
    found = nothing_found(3)
    assert (len(found.candidates), found.total.value, found.total.relation, found.generation) == (0, 0, "eq", 3)


# ---- experiments ----


@settings(deadline=None)
@given(st.text(max_size=20))
def test_an_arm_is_the_same_every_time_and_one_of_the_arms(unit: str) -> None:
    experiments = {"colour": ["red", "blue"], "order": ["a", "b", "c"]}
    arms = assign(experiments, unit, "salt")
    assert arms == assign(experiments, unit, "salt")
    assert all(arms[name] in experiments[name] for name in experiments)


def test_arms_have_equal_shares_and_experiments_are_independent() -> None:
    experiments = {"one": ["a", "b"], "two": ["a", "b"]}
    assigned = [assign(experiments, f"user {n}", "salt") for n in range(4000)]
    pairs = [(a["one"], a["two"]) for a in assigned]
    assert all(850 < pairs.count(pair) < 1150 for pair in [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")])


def test_who_is_nobody_is_in_no_experiment() -> None:
    assert assign({"one": ["a", "b"]}, None, "salt") == {}


def test_experiments_are_read_from_json() -> None:
    assert parse("") == {}
    assert parse('{"one":["a","b"]}') == {"one": ["a", "b"]}
    for wrong in ("[]", '{"one":["a"]}', '{"one":["a","a"]}', "x"):
        with pytest.raises(ConfigurationError, match="AISLE_PLANNER_EXPERIMENTS"):
            parse(wrong)


# ---- events on their way to the user graph ----


def event(n: int) -> UserEvent:
    return UserEvent(f"e{n}", "click", n, n)


def test_events_travel_along_until_they_are_projected() -> None:
    pending = Pending(max_users=10, max_events=10)
    pending.add("ann", 5, [event(1), event(2)])
    pending.add("ann", 9, [event(3)])
    assert pending.of("ann") == [event(1), event(2), event(3)]
    assert pending.of("bob") == []
    pending.projected(5)
    assert (pending.of("ann"), pending.last()) == ([event(3)], 9)
    pending.projected(9)
    assert (pending.of("ann"), pending.last()) == ([], None)
    pending.projected(4)  # an answer that came late takes nothing back
    pending.add("ann", 8, [event(4)])
    assert pending.of("ann") == []


def test_what_does_not_fit_is_the_oldest_and_is_counted() -> None:
    pending = Pending(max_users=2, max_events=3)
    pending.add("ann", 1, [event(n) for n in range(5)])
    assert pending.of("ann") == [event(2), event(3), event(4)]
    pending.add("bob", 2, [event(9)])
    pending.add("eve", 3, [event(9)])
    assert (pending.of("ann"), pending.of("bob")) == ([], [event(9)])
    assert pending.dropped == 2 + 3


def test_a_forgotten_user_has_nothing_pending() -> None:
    pending = Pending(max_users=2, max_events=3)
    pending.add("ann", 1, [event(1)])
    pending.forget("ann")
    assert (pending.of("ann"), pending.last()) == ([], None)


# ---- generations ----


@pytest.mark.parametrize(
    ("preferred", "current", "loaded", "expected"),
    [
        (None, 2, [1, 2], [2, 1]),
        (1, 2, [1, 2], [1, 2]),
        (2, 2, [1, 2], [2, 1]),
        (1, 3, [2, 3], [3, 2]),
        (None, 1, [1], [1]),
        (None, None, [], []),
    ],
)
def test_the_wished_generation_is_tried_then_the_current_one(preferred: int, current: int, loaded: list[int], expected: list[int]) -> None:
    assert to_try(preferred, current, loaded) == expected


async def _only_two(generation: int) -> int:
    if generation != 2:
        raise VersionGone(f"generation {generation} is gone")
    return generation


def run(coroutine: Coroutine[Any, Any, int]) -> int:
    return asyncio.run(coroutine)


def test_a_generation_that_a_service_lacks_is_followed_by_the_other() -> None:
    assert run(pinned([1, 2], _only_two)) == 2
    with pytest.raises(Unavailable, match="in common"):
        run(pinned([1, 3], _only_two))
    with pytest.raises(Unavailable, match="aisle build"):
        run(pinned([], _only_two))
