"""What features say about a product and a query."""

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts import Candidates, Category, Term
from services.features import FEATURES, ITEM_FEATURES, POPULARITY_SCORE, Shown, features_of, item_features
from services.forward import ForwardIndex, with_popularity
from tests.forward_shop import DAY_MS, NOW_MS, candidates, index_of, popular, product, terms


def feature(name: str, index: ForwardIndex, query: list[Term], numbers: list[int], categories: list[Category] | None = None) -> list[float]:
    made = item_features(index, query, categories or [], candidates(numbers), NOW_MS)
    return [float(v) for v in made[:, ITEM_FEATURES.index(name)]]


def covered(index: ForwardIndex, query: list[Term]) -> dict[str, float]:
    return {part: feature(f"{part}_coverage", index, query, [0])[0] for part in ("title", "brand", "category", "attributes")}


@pytest.mark.parametrize("part", ["title", "brand", "category", "attributes"])
def test_a_term_counts_for_the_part_it_occurs_in_and_for_no_other(part: str, tmp_path: Path) -> None:
    where: dict[str, dict[str, Any]] = {
        "title": {"title": "oak"},
        "brand": {"brand": "Oak"},
        "category": {"category_id": 7},
        "attributes": {"attributes": {"material": "oak"}},
    }
    index = index_of(tmp_path, [product(0, **where[part])])
    asked = terms("furnitur" if part == "category" else "oak")
    assert covered(index, asked) == {name: float(name == part) for name in ("title", "brand", "category", "attributes")}


def test_a_rare_term_covers_more_than_a_common_one(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0, "amp"), product(1, "sofa"), product(2, "sofa"), product(3, "sofa")])
    rare, common = feature("title_coverage", index, terms("amp", "sofa"), [0, 1])
    assert rare > 0.5 > common
    assert rare + common == pytest.approx(1.0)


def test_a_title_is_exact_when_all_of_it_is_asked_for_stop_words_aside(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0, "the cable for headphones"), product(1, "cable for red headphones"), product(2, "")])
    assert feature("title_exact", index, terms("cabl", "headphon"), [0, 1, 2]) == [1, 0, 0]
    assert feature("title_asked", index, terms("cabl", "headphon"), [0, 1, 2]) == pytest.approx([1, 2 / 3, 0])


def test_a_compound_in_a_title_is_one_term_to_ask_for(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0, "Sony WH-1000XM4")])
    assert feature("title_exact", index, [Term("soni"), Term("wh1000xm4", [["wh", "1000xm4"]])], [0]) == [1]


def test_a_phrase_counts_as_matched_even_when_its_terms_are_in_different_parts(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0, "wh", description="1000xm4"), product(1, "wh")])
    assert feature("terms_matched", index, [Term("wh1000xm4", [["wh", "1000xm4"]])], [0, 1]) == [1, 0]


def test_a_category_above_the_product_counts_with_its_probability(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0, category_id=3), product(1, category_id=7), product(2)])
    predicted = [Category(1, "Audio", 0.25), Category(3, "Wireless", 0.5), Category(99, "gone", 0.25)]
    assert feature("category_probability", index, [], [0, 1, 2], predicted) == [0.75, 0, 0]


def test_prices_are_placed_among_the_candidates(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(i, price_cents=price) for i, price in enumerate([100, 900, 500, 10_000])])
    assert feature("price_position", index, [], [0, 1, 2]) == pytest.approx([-2 / 3, 2 / 3, 0])
    assert feature("price_position", index, [], [1]) == [0]


def test_popularity_is_against_the_average_so_that_time_alone_moves_nothing(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0), product(1)], [popular(0, 1000, 90, 18, 3.0), popular(1, 1000, 10, 1, 1.0)])
    later = with_popularity(index, index.popularity * 10)
    for name in ("click_rate", "purchase_rate", "popularity_score"):
        popular_one, other = feature(name, later, [], [0, 1])
        assert popular_one > other
    assert feature("popularity_score", later, [], [0, 1]) == feature("popularity_score", index, [], [0, 1])


def test_an_unseen_product_has_the_catalogues_own_rates(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0), product(1)], [popular(0, 1000, 100, 10, 3.0), popular(1)])
    assert [feature(name, index, [], [1])[0] for name in ("click_rate", "purchase_rate")] == pytest.approx([0, 0], abs=1e-6)


def test_the_popularity_score_keeps_the_order_of_the_scores(tmp_path: Path) -> None:
    scores = [0.0, 1e-3, 0.5, 3.0, 3.1, 250.0]
    index = index_of(tmp_path, [product(i) for i in range(6)], [popular(i, score=s) for i, s in enumerate(scores)])
    found = feature(FEATURES[POPULARITY_SCORE], index, [], list(range(6)))
    assert found == sorted(found) and len(set(found)) == 6


def test_age_grows_with_days_and_the_future_is_today(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(i, created_ms=NOW_MS - days * DAY_MS) for i, days in enumerate([-5, 0, 30, 3000])])
    future, today, month, years = feature("age", index, [], [0, 1, 2, 3])
    assert future == today == -2 < month < years
    assert month == pytest.approx(math.log1p(30) / 2 - 2, abs=1e-3)


def test_tier_strictness_and_place_are_those_of_retrieval(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0), product(1)])
    made = item_features(index, [], [], candidates([1, 0], tier=1, strict=[1, 0]), NOW_MS)
    columns = {name: made[:, i].tolist() for i, name in enumerate(ITEM_FEATURES)}
    assert [columns[name] for name in ("tier_high", "tier_medium", "tier_low", "strict")] == [[0, 0], [1, 1], [0, 0], [1, 0]]
    assert columns["retrieval_rank"] == pytest.approx([1, 10 / 11])


def test_a_product_that_the_generation_lost_is_a_row_of_zeros(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0, "amp"), product(2, "amp")])
    made = item_features(index, terms("amp"), [], candidates([0, 1, 99, 2]), NOW_MS)
    assert (made != 0).any(axis=1).tolist() == [True, False, False, True]


def test_no_candidates_are_no_rows(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0, "amp")])
    assert item_features(index, terms("amp"), [], candidates([]), NOW_MS).shape == (0, len(ITEM_FEATURES))


WORD = st.sampled_from(["amp", "sofa", "red", "nobody"])
QUERY = st.lists(st.builds(Term, WORD, st.lists(st.lists(WORD, max_size=2), max_size=2)), max_size=5)
CATEGORY = st.builds(Category, st.integers(-1, 9), st.just(""), st.floats(allow_nan=True, allow_infinity=True))
COUNT = st.floats(width=32, allow_nan=True, allow_infinity=True)
CANDIDATE = st.tuples(st.integers(0, 2**32 - 1) | st.integers(0, 3), COUNT, st.integers(0, 255), st.integers(0, 255))


@pytest.fixture(scope="module")
def odd_index() -> ForwardIndex:
    with tempfile.TemporaryDirectory() as folder:
        products = [
            product(0, "amp", price_cents=-5, created_ms=-(2**62)),
            product(1, "", price_cents=10**15, created_ms=2**62),
            product(3, "sofa " * 300, brand="red", category_id=3, price_cents=0, attributes={"color": "red"}),
        ]
        return index_of(Path(folder), products)


@settings(max_examples=200, deadline=None)
@given(
    QUERY, st.lists(CATEGORY, max_size=3), st.lists(CANDIDATE, max_size=6), st.lists(COUNT, min_size=20, max_size=20), st.integers(0, 2**60)
)
def test_features_are_finite_and_small_whatever_comes(
    odd_index: ForwardIndex,
    query: list[Term],
    predicted: list[Category],
    found: list[tuple[int, float, int, int]],
    counts: list[float],
    now_ms: int,
) -> None:
    index = with_popularity(odd_index, np.array(counts, np.float32).reshape(4, 5))
    columns = [np.array([row[i] for row in found], kind) for i, kind in enumerate((np.uint32, np.float32, np.uint8, np.uint8))]
    made = item_features(index, query, predicted, Candidates(*(c.tobytes() for c in columns)), now_ms)
    assert made.shape == (len(found), len(ITEM_FEATURES)) and made.dtype == np.float32
    assert np.isfinite(made).all()
    usual = [
        i for i, name in enumerate(ITEM_FEATURES) if name not in ("clicks", "purchases", "price")
    ]  # those have no bound but the counts'
    assert np.abs(made[:, usual]).max(initial=0) <= 5


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(QUERY, st.lists(st.tuples(CANDIDATE, st.booleans()), max_size=6)), max_size=5),
    st.lists(COUNT, min_size=20, max_size=20),
    st.integers(0, 2**60),
)
def test_features_of_many_lists_are_those_of_each(
    odd_index: ForwardIndex,
    asked: list[tuple[list[Term], list[tuple[tuple[int, float, int, int], bool]]]],
    counts: list[float],
    now_ms: int,
) -> None:
    index = with_popularity(odd_index, np.array(counts, np.float32).reshape(4, 5))
    lists, whole = [], []
    for query, found in asked:
        numbers, scores, tiers, stricts = (
            np.array([row[i] for row, _ in found], kind) for i, kind in enumerate((np.uint32, np.float32, np.uint8, np.uint8))
        )
        lists.append(
            Shown(query, numbers, tiers, stricts != 0, np.array([i for i, (_, chosen) in enumerate(found) if chosen][::-1], np.intp))
        )
        whole.append(item_features(index, query, [], Candidates(*(c.tobytes() for c in (numbers, scores, tiers, stricts))), now_ms))
    made = features_of(index, lists, now_ms)
    assert len(made) == len(lists)
    for shown, some, every in zip(lists, made, whole, strict=True):
        np.testing.assert_allclose(some, every[shown.places], rtol=1e-6, atol=1e-6)  # BLAS may sum in another order
