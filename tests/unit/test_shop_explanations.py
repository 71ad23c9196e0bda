"""Why a product is where it is, or is not: terms by part, and one sentence for what is missing."""

from pathlib import Path
from typing import Any

import pytest

from evaluation.why import Ranking, against, reason
from services.contracts import Term
from services.forward import ForwardIndex
from services.matches import matched, missing
from tests.forward_shop import index_of, popular, product, terms


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> ForwardIndex:
    folder: Path = tmp_path_factory.mktemp("why")
    products = [
        product(0, "red lamp", brand="Lumen", attributes={"color": "red"}),
        product(1, "desk", description="a lamp fits on it"),
        product(2, "chair", category_id=7),
        product(4, "soft seat"),
    ]
    return index_of(folder, products, [popular(0, tier=0), popular(1, tier=1), popular(2, tier=2), popular(4, tier=2)])


def test_terms_are_told_by_the_part_they_occur_in(index: ForwardIndex) -> None:
    found = matched(index, terms("red", "lamp", "lumen", "sofa"), [0, 1, 2])
    assert found == [{"title": ["red", "lamp"], "brand": ["lumen"], "attributes": ["red"]}, {"description": ["lamp"]}, {}]


def test_a_synonym_is_told_with_the_term_it_stands_for_and_needs_all_its_words(index: ForwardIndex) -> None:
    sofa = Term("sofa", [["soft", "seat"], ["soft", "chair"]])
    assert matched(index, [sofa], [4, 2]) == [{"title": ["sofa~soft seat"]}, {}]
    assert missing(index, [sofa], 4) == []
    assert missing(index, [sofa], 2) == ["sofa"]


def test_products_and_terms_that_do_not_exist_match_nothing(index: ForwardIndex) -> None:
    assert matched(index, terms("zeppelin"), [0, 3, 99]) == [{}, {}, {}]
    assert matched(index, [], [0]) == [{}]


def answered(high: tuple[bool, int, int], medium: tuple[bool, int, int], low: tuple[bool, int, int], candidates: int = 10) -> Ranking:
    tiers = [
        {"name": name, "searched": searched, "strict": strict, "relaxed": relaxed}
        for name, (searched, strict, relaxed) in zip(("high", "medium", "low"), (high, medium, low), strict=True)
    ]
    items: list[dict[str, Any]] = [{"product_id": f"x{n}"} for n in range(candidates)]
    return Ranking({"tiers": tiers}, items)


def test_what_does_not_match_is_told_with_the_terms(index: ForwardIndex) -> None:
    found = answered((True, 5, 0), (True, 5, 0), (False, 0, 0))
    assert reason(index, terms("lamp", "red"), 2, found) == "not matched: none of the terms occurs in it (lamp red)"


def test_a_part_of_the_terms_is_not_enough_when_strict_matches_were(index: ForwardIndex) -> None:
    found = answered((True, 5, 0), (True, 5, 0), (False, 0, 0))
    assert reason(index, terms("lamp", "red"), 1, found) == (
        "matched in part only (red does not occur), and the 10 strict matches were enough: relaxed was not reached"
    )
    relaxed = answered((True, 1, 4), (True, 0, 5), (True, 0, 0))
    assert "1 strict and 9 relaxed matches come before it" in reason(index, terms("lamp", "red"), 1, relaxed)


def test_a_tier_that_was_not_reached_is_named(index: ForwardIndex) -> None:
    found = answered((True, 5, 0), (True, 5, 0), (False, 0, 0))
    assert reason(index, terms("chair"), 2, found) == "tier not reached: it is in tier low, and the tiers before it gave all 10 candidates"


def test_others_of_the_tier_may_match_better(index: ForwardIndex) -> None:
    found = answered((True, 10, 0), (False, 0, 0), (False, 0, 0))
    assert "others of tier high match better" in reason(index, terms("lamp"), 0, found)


def test_without_terms_popularity_decides(index: ForwardIndex) -> None:
    assert "10 are more popular" in reason(index, [], 0, answered((True, 10, 0), (False, 0, 0), (False, 0, 0)))


def item(position: int, score: float, *, strict: bool = True, **shares: float) -> dict[str, Any]:
    return {"product_id": f"x{position}", "position": position, "score": score, "strict": strict, "explanation": {"shares": shares}}


def test_what_misses_the_first_page_is_told_by_the_features_it_lacks() -> None:
    said = list(against(item(57, 1.5, bm25=1.0, price=0.5), item(10, 2.0, bm25=2.0, price=0.0)))
    assert said == ["not on the first page: ranked 57., 0.5000 behind the 10. (x10)", "   -1.0000  bm25"]


def test_equals_are_told_to_be_equal() -> None:
    (said,) = against(item(11, 2.0, bm25=2.0), item(10, 2.0, bm25=2.0))
    assert "the one that was found first stands first" in said


def test_a_partial_match_is_told_to_stand_after_full_ones_whatever_its_score() -> None:
    (said,) = against(item(57, 9.0, strict=False, bm25=9.0), item(10, 2.0, bm25=2.0))
    assert "not every term occurs in it" in said


def test_a_ranking_knows_places(index: ForwardIndex) -> None:
    found = answered((True, 10, 0), (False, 0, 0), (False, 0, 0))
    assert (found.place("x3"), found.place("p0")) == (3, None)
