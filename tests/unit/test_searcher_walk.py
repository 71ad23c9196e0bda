"""The tier walk over tiers in memory: what holds for every catalogue and every request."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from searcher import plan
from searcher.engines import AtOnce
from searcher.index.port import Buckets, Counts, Hits, TierDocument, TierUnavailable, Values
from searcher.query import BRAND, PRICE, Everything, Order, Query
from searcher.walk import Found, Layout, Walk
from services.catalogue import TIERS
from services.contracts import Category, Filters, PriceRange, RetrieveRequest, Term, Total
from services.errors import Unavailable
from services.timing import Deadline, current_deadline, is_last_resort
from tests.searcher_tiers import FaultyTier, MemoryTier, document, tiers

VOCABULARY = ("red", "blue", "shoe", "hat", "wool")


@st.composite
def catalogues(draw: st.DrawFn) -> list[TierDocument]:
    texts = draw(st.lists(st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=5), max_size=24))
    return [
        document(
            number * 2,
            " ".join(text),
            tier=draw(st.integers(0, 2)),
            price_cents=draw(st.integers(1, 5)) * 100,
            popularity=float(draw(st.integers(0, 3))),
            category_ids=[draw(st.integers(1, 3))],
        )
        for number, text in enumerate(texts)
    ]


requests = st.builds(
    RetrieveRequest,
    st.lists(st.sampled_from((*VOCABULARY, "absent")), max_size=5, unique=True).map(lambda found: [Term(text) for text in found]),
    st.lists(st.builds(Category, st.integers(1, 3), st.just("c"), st.floats(0.1, 1.0)), max_size=2),
    st.none() | st.builds(Filters, price_cents=st.builds(PriceRange, st.integers(0, 300), st.none())),
    st.integers(1, 30),
)
layouts = st.builds(Layout, st.booleans(), st.booleans())


def walked(documents: list[TierDocument], request: RetrieveRequest, layout: Layout = Layout()) -> Found:  # noqa: B008  # immutable
    return Walk(tiers(documents, nested=layout.nested), layout).relevance(plan.levels(request), request.wanted, plan.order(request))


def matching(documents: list[TierDocument], request: RetrieveRequest) -> list[list[int]]:
    """Per level, the numbers of all products that match it, by asking one index of everything."""
    everything = MemoryTier("all", documents)
    return [everything.search(level.query, len(documents) + 1).product_no.tolist() for level in plan.levels(request)]


@given(catalogues(), requests, layouts)
@settings(deadline=None)
def test_the_answer_is_that_of_asking_every_tier_for_everything(
    documents: list[TierDocument], request: RetrieveRequest, layout: Layout
) -> None:
    expected: list[int] = []
    for level in plan.levels(request):
        for tier in tiers(documents, nested=layout.nested):
            hits = tier.search(level.query, len(documents) + 1, order=plan.order(request))
            expected += [number for number in hits.product_no.tolist() if number not in expected]
    assert walked(documents, request, layout).candidates.numbers().tolist() == expected[: request.wanted]


@given(catalogues(), requests, layouts)
@settings(deadline=None)
def test_no_product_is_given_twice_and_no_more_than_wanted(documents: list[TierDocument], request: RetrieveRequest, layout: Layout) -> None:
    numbers = walked(documents, request, layout).candidates.numbers().tolist()
    assert len(numbers) == len(set(numbers)) <= request.wanted


@given(catalogues(), requests, layouts)
@settings(deadline=None)
def test_strict_comes_before_relaxed_and_within_each_high_before_medium_before_low(
    documents: list[TierDocument], request: RetrieveRequest, layout: Layout
) -> None:
    candidates = walked(documents, request, layout).candidates
    levels = matching(documents, request)
    level_of = {number: next(i for i, found in enumerate(levels) if number in found) for number in candidates.numbers().tolist()}
    own_tier = {d.product_no: d.tier for d in documents}
    places = [(level_of[number], own_tier[number]) for number in candidates.numbers().tolist()]
    assert places == sorted(places)
    assert candidates.tiers().tolist() == [tier for _, tier in places]
    assert candidates.stricts().tolist() == [int(level == 0) for level, _ in places]


@given(catalogues(), requests, layouts)
@settings(deadline=None)
def test_as_many_are_found_as_there_are(documents: list[TierDocument], request: RetrieveRequest, layout: Layout) -> None:
    found = walked(documents, request, layout)
    assert len(found.candidates) == min(request.wanted, len(matching(documents, request)[-1]))


@given(catalogues(), requests, layouts)
@settings(deadline=None)
def test_a_total_is_exact_or_a_lower_bound_and_says_which(documents: list[TierDocument], request: RetrieveRequest, layout: Layout) -> None:
    found = walked(documents, request, layout)
    at_level = len(matching(documents, request)[[level.name for level in plan.levels(request)].index(found.level.name)])
    if found.total.relation == "eq":
        assert found.total.value == at_level
    else:
        assert len(found.candidates) <= found.total.value <= at_level
    assert sum(t.strict + t.relaxed for t in found.tiers) == len(found.candidates)


@given(catalogues(), requests)
@settings(deadline=None)
def test_skipping_what_high_gave_changes_the_cost_and_not_the_answer(documents: list[TierDocument], request: RetrieveRequest) -> None:
    skipped, dropped = (walked(documents, request, Layout(skip_high=skip)) for skip in (True, False))
    assert skipped == dropped


@given(catalogues(), requests, layouts, st.booleans())
@settings(deadline=None)
def test_a_sort_is_that_of_the_whole_catalogue(
    documents: list[TierDocument], request: RetrieveRequest, layout: Layout, descending: bool
) -> None:
    order = Order(PRICE, descending)
    found = Walk(tiers(documents, nested=layout.nested), layout).sorted(plan.levels(request), request.wanted, order)
    expected = MemoryTier("all", documents).search(found.level.query, request.wanted, order=order, count=True)
    assert found.candidates.numbers().tolist() == expected.product_no.tolist()
    assert found.total == Total(expected.total or 0, "eq")


@given(catalogues(), requests, layouts)
@settings(deadline=None)
def test_facets_are_those_of_the_whole_catalogue(documents: list[TierDocument], request: RetrieveRequest, layout: Layout) -> None:
    level = plan.levels(request)[-1]
    asked = [Values(BRAND), Values("category_id"), Buckets(PRICE, (0, 200, 300)), Values("attribute.a0")]
    counts, total = Walk(tiers(documents, nested=layout.nested), layout).facets(level, asked)
    expected = MemoryTier("all", documents).facets(level.query, asked)
    summed: list[dict[str, int]] = [{} for _ in asked]
    for part in counts:
        for into, values in zip(summed, part.values, strict=True):
            for value, products in values.items():
                into[value] = into.get(value, 0) + products
    assert summed == expected.values
    assert total == Total(expected.total, "eq")


# ---- examples ----


SHELF = [
    document(0, "red shoe", tier=0, popularity=9.0),
    document(1, "red shoe red", tier=1, popularity=5.0),
    document(2, "red hat", tier=0, popularity=8.0),
    document(3, "shoe red", tier=2, popularity=1.0),
    document(4, "blue shoe", tier=2, popularity=2.0),
]
RED_SHOE = RetrieveRequest([Term("red"), Term("shoe")])


def test_products_with_sixty_percent_of_the_terms_come_before_those_with_fewer_even_from_a_lower_tier() -> None:
    documents = [document(0, "red", tier=0), document(1, "red shoe", tier=2)]
    found = walked(documents, RetrieveRequest([Term("red"), Term("shoe"), Term("wool")]))
    assert found.candidates.numbers().tolist() == [1, 0]


def test_the_walk_stops_where_enough_was_found() -> None:
    found = walked(SHELF, RetrieveRequest(RED_SHOE.terms, wanted=2))
    assert found.candidates.numbers().tolist() == [0, 1]
    assert [(t.name, t.searched, t.strict, t.relaxed) for t in found.tiers] == [
        ("high", True, 1, 0),
        ("medium", True, 1, 0),
        ("low", False, 0, 0),
    ]
    assert found.total == Total(2, "gte")


def test_browsing_goes_by_popularity_within_each_tier() -> None:
    found = walked(SHELF, RetrieveRequest([]))
    assert found.candidates.numbers().tolist() == [0, 2, 1, 4, 3]
    assert found.candidates.stricts().tolist() == [1] * 5


def test_a_sort_keeps_to_products_with_every_term_when_there_are_any() -> None:
    found = Walk(tiers(SHELF), Layout()).sorted(plan.levels(RED_SHOE), 10, Order("created_ms", True))
    assert found.candidates.numbers().tolist() == [3, 1, 0]


def test_a_sort_falls_back_to_any_term_when_no_product_has_all() -> None:
    levels = plan.levels(RetrieveRequest([Term("blue"), Term("hat")]))
    found = Walk(tiers(SHELF), Layout()).sorted(levels, 10, Order("created_ms", True))
    assert found.candidates.numbers().tolist() == [4, 2]
    assert found.candidates.stricts().tolist() == [0, 0]


# ---- tiers that fail ----


def failing(*names: str, documents: list[TierDocument] = SHELF, **fault: Any) -> list[MemoryTier]:
    made = tiers(documents)
    return [FaultyTier(t.name, t._documents, **fault) if t.name in names else t for t in made]


def test_a_failed_high_tier_is_named_and_the_medium_tier_that_holds_it_gives_its_products() -> None:
    walk = Walk(failing("high"), Layout())
    found = walk.relevance(plan.levels(RED_SHOE), 10)
    assert sorted(found.candidates.numbers().tolist()) == [0, 1, 2, 3, 4]
    assert [TIERS[t] for t in walk.failed] == ["high"]
    assert found.total == Total(5, "eq")


@pytest.mark.parametrize(("name", "left"), [("medium", [0, 2, 3, 4]), ("low", [0, 1, 2])])
def test_a_failed_tier_is_left_out_and_the_total_is_no_longer_exact(name: str, left: list[int]) -> None:
    walk = Walk(failing(name), Layout())
    found = walk.relevance(plan.levels(RED_SHOE), 10)
    assert sorted(found.candidates.numbers().tolist()) == left
    assert found.total == Total(len(left), "gte")
    assert [t.name for t in found.tiers if not t.searched] == [name]


def test_only_the_tier_that_is_left_when_both_others_failed_is_the_last_resort() -> None:
    asked: list[tuple[str, bool]] = []

    class Asked(MemoryTier):
        def search(self, query: Query, wanted: int, *, order: Order | None = None, count: bool = False) -> Hits:
            asked.append((self.name, is_last_resort()))
            if self.name != "low":
                raise TierUnavailable(self.name)
            return super().search(query, wanted, order=order, count=count)

    Walk([Asked(t.name, t._documents) for t in tiers(SHELF)], Layout()).relevance(plan.levels(RED_SHOE)[:1], 10)
    assert asked == [("high", False), ("medium", False), ("low", True)]
    assert not is_last_resort()


def test_a_tier_that_fails_on_the_way_gives_nothing_twice() -> None:
    answers = iter([False, True, True])
    walk = Walk(failing("high", fails=lambda: next(answers)), Layout())
    found = walk.relevance(plan.levels(RED_SHOE), 10)
    assert sorted(found.candidates.numbers().tolist()) == [0, 1, 2, 3, 4]
    assert found.total == Total(5, "eq")


def test_high_stands_in_for_a_failed_medium_tier_in_sorts_and_facets() -> None:
    level = plan.Level("strict", True, Everything())
    found = Walk(failing("medium"), Layout()).sorted([level], 10, Order("created_ms", False))
    assert found.candidates.numbers().tolist() == [0, 2, 3, 4]
    assert found.total == Total(4, "gte")
    counts, total = Walk(failing("medium"), Layout()).facets(level, [Values(BRAND)])
    assert ([c.total for c in counts], total) == ([2, 2], Total(4, "gte"))


def test_tiers_on_servers_are_counted_at_once_and_within_the_deadline_of_the_request() -> None:
    together, deadlines = threading.Barrier(2, timeout=10), []

    class Waiting(MemoryTier):
        def facets(self, query: Query, wanted: Sequence[Values | Buckets]) -> Counts:
            together.wait()  # breaks when the other tier is asked only afterwards
            deadlines.append(current_deadline())
            return super().facets(query, wanted)

    made, at_once, deadline = [Waiting(t.name, t._documents) for t in tiers(SHELF)], AtOnce(), Deadline(10_000)
    before = threading.active_count()
    walk = Walk(made, Layout(), ask_all=at_once)
    _, total = deadline.run(walk.facets, plan.levels(RED_SHOE)[-1], [Values(BRAND)])
    at_once.close()
    assert total == Total(5, "eq")
    assert deadlines == [deadline, deadline]
    assert threading.active_count() == before


def test_high_stands_in_when_tiers_are_asked_at_once_too() -> None:
    at_once = AtOnce()
    counts, total = Walk(failing("medium"), Layout(), ask_all=at_once).facets(plan.Level("strict", True, Everything()), [Values(BRAND)])
    assert ([c.total for c in counts], total) == ([2, 2], Total(4, "gte"))
    with pytest.raises(Unavailable, match="no tier answers"):
        Walk(failing(*TIERS), Layout(), ask_all=at_once).facets(plan.levels(RED_SHOE)[0], [])
    at_once.close()


def test_when_no_tier_answers_the_answer_is_unavailable() -> None:
    for ask in (
        lambda walk: walk.relevance(plan.levels(RED_SHOE), 10),
        lambda walk: walk.sorted(plan.levels(RED_SHOE), 10, Order(PRICE, False)),
        lambda walk: walk.facets(plan.levels(RED_SHOE)[0], []),
    ):
        with pytest.raises(Unavailable, match="no tier answers"):
            ask(Walk(failing(*TIERS), Layout()))
