"""What a request asks of the tiers, level by level."""

import pytest

from searcher import plan
from searcher.query import ATTRIBUTE, BRAND, CATEGORY, PRICE, Best, Bool, Constant, Everything, OneOf, Order, Range, Term, outside_tier
from services.contracts import Category, Filters, PriceRange, RetrieveRequest
from services.contracts import Term as QueryTerm


def words(*texts: str) -> list[QueryTerm]:
    return [QueryTerm(text) for text in texts]


@pytest.mark.parametrize(("terms", "at_least"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (10, 6), (32, 20)])
def test_sixty_percent_of_the_terms_is_rounded_up(terms: int, at_least: int) -> None:
    assert plan.floor(terms) == at_least


@pytest.mark.parametrize(
    ("terms", "names"),
    [([], ["strict"]), (["a"], ["strict"]), (["a", "b"], ["strict", "any"]), (["a", "b", "c"], ["strict", "floor", "any"])],
)
def test_levels_that_would_ask_the_same_are_left_out(terms: list[str], names: list[str]) -> None:
    levels = plan.levels(RetrieveRequest(words(*terms)))
    assert [level.name for level in levels] == names
    assert [level.strict for level in levels] == [name == "strict" for name in names]


def test_strict_needs_every_term_and_adds_the_categories() -> None:
    strict = plan.levels(RetrieveRequest(words("red", "shoe"), [Category(7, "shoes", 0.5), Category(8, "hats", 0.0)]))[0]
    assert strict.query == Bool(must=(Term("red"), Term("shoe")), should=(Constant(OneOf(CATEGORY, (7,)), 1.0),))


def test_relaxed_boosts_categories_without_needing_them() -> None:
    any_term = plan.levels(RetrieveRequest(words("red", "shoe"), [Category(7, "shoes", 0.5)]))[-1]
    assert any_term.query == Bool(
        must=(Bool(should=(Term("red"), Term("shoe")), minimum=1),), should=(Constant(OneOf(CATEGORY, (7,)), 1.0),)
    )


def test_a_synonym_stands_in_at_seven_tenths_and_a_phrase_needs_all_its_words() -> None:
    clause = plan.clause(QueryTerm("sneaker", [["trainer"], ["run", "shoe"], []]))
    assert clause == Best((Term("sneaker"), Term("trainer", 0.7), Bool(must=(Term("run"), Term("shoe")), boost=0.7)))


def test_filters_are_conditions_on_folded_values() -> None:
    filters = Filters(brand=["Öko"], category=[3, 4], price_cents=PriceRange(max=500), attributes={"Color": ["Sky-Blue", "RED"]})
    level = plan.levels(RetrieveRequest([], filters=filters))[0]
    assert level.query == Bool(
        filter=(
            OneOf(BRAND, ("oko",)),
            OneOf(CATEGORY, (3, 4)),
            Range(PRICE, None, 500),
            OneOf(ATTRIBUTE, ("color=sky-blue", "color=red")),
        )
    )


def test_nothing_asked_browses_everything_by_popularity() -> None:
    request = RetrieveRequest([], [Category(1, "c", 0.9)])
    assert plan.levels(request)[0].query == Everything()
    assert plan.order(request) == Order("popularity", True)


def test_terms_are_ordered_by_score_unless_a_sort_is_asked_for() -> None:
    assert plan.order(RetrieveRequest(words("a"))) is None
    assert plan.order(RetrieveRequest(words("a"), sort="price_desc")) == Order("price_cents", True)
    assert plan.order(RetrieveRequest([], sort="newest")) == Order("created_ms", True)


@pytest.mark.parametrize("query", [Term("a"), Everything(), Bool(should=(Term("a"),)), Bool(should=(Term("a"), Term("b")), minimum=2)])
def test_leaving_out_a_tier_keeps_the_query_whole(query: Term | Bool | Everything) -> None:
    assert outside_tier(query, 0) == Bool(must=(query,), must_not=(OneOf("tier", (0,)),))


def test_leaving_out_a_tier_adds_to_a_query_that_can_take_it() -> None:
    query = Bool(must=(Term("a"),), should=(Term("b"),))
    assert outside_tier(query, 0) == Bool(must=(Term("a"),), should=(Term("b"),), must_not=(OneOf("tier", (0,)),))
