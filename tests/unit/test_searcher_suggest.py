"""Suggestions: what completes what was typed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from searcher.suggest import Suggester, Weighted, load, save
from searcher.suggestions import SuggestionBuilder
from services.catalogue import CATEGORIES_SCHEMA, Categories, Product
from services.contracts import Suggestion

SHOES = Weighted(Suggestion("Running Shoes", "category", 4), 10.0)
RUNNER = Weighted(Suggestion("Runner's World", "brand"), 8.0)
SHOWER = Weighted(Suggestion("shower gel", "phrase"), 6.0)
CREME = Weighted(Suggestion("crème brûlée", "phrase"), 1.0)
SUGGESTER = Suggester([SHOES, RUNNER, SHOWER, CREME])


def texts(typed: str, limit: int = 10) -> list[str]:
    return [s.text for s in SUGGESTER.suggest(typed, limit)]


def test_the_most_popular_completion_comes_first() -> None:
    assert texts("run") == ["Running Shoes", "Runner's World"]


def test_a_later_word_completes_at_half_the_weight() -> None:
    assert texts("sho") == ["shower gel", "Running Shoes"]


@pytest.mark.parametrize("typed", ["RUNNI", " runni", "Running S", "running shoes"])
def test_case_and_space_do_not_matter(typed: str) -> None:
    assert texts(typed) == ["Running Shoes"]


def test_accents_do_not_matter() -> None:
    assert texts("creme bru") == texts("CRÈME") == ["crème brûlée"]


def test_a_finished_word_is_not_completed_to_a_longer_one() -> None:
    assert texts("run ") == []


@pytest.mark.parametrize("typed", ["", "r", " ", "-", "🛒🛒", "\x00\x01", "zz", "%%", "()"])
def test_fewer_than_two_letters_or_nothing_known_suggests_nothing(typed: str) -> None:
    assert texts(typed) == []


def test_when_the_whole_leads_nowhere_its_last_word_is_completed() -> None:
    assert texts("blue run") == ["blue Running Shoes", "blue Runner's World"]


def test_a_limit_is_kept() -> None:
    assert texts("run", 1) == ["Running Shoes"]


@given(st.text(max_size=300), st.integers(1, 50))
def test_whatever_is_typed_is_answered_without_repeating(typed: str, limit: int) -> None:
    found = texts(typed, limit)
    assert len(found) == len(set(found)) <= limit


def test_suggestions_survive_being_written_and_read(tmp_path: Path) -> None:
    save([SHOES, RUNNER], tmp_path / "s.parquet")
    assert load(tmp_path / "s.parquet").suggest("run", 5) == [SHOES.suggestion, RUNNER.suggestion]


def test_a_shop_without_products_has_no_suggestions(tmp_path: Path) -> None:
    save([], tmp_path / "s.parquet")
    assert load(tmp_path / "s.parquet").suggest("run", 5) == []


# ---- what can be suggested ----


def product(number: int, title: str, brand: str = "", category_id: int = -1) -> Product:
    return Product(number, f"p{number}", title, brand, category_id, "", 1, "", 0, {})


def built(*products: Product, popularity: float = 1.0) -> dict[str, Weighted]:
    columns = {"category_id": [1, 2], "name": ["Clothing", "Rain Coats"], "parent_id": [-1, 1]}
    builder = SuggestionBuilder(Categories(CATEGORIES_SCHEMA.empty_table().from_pydict(columns, schema=CATEGORIES_SCHEMA)), "en")
    for each in products:
        builder.add(each, popularity)
    return {e.suggestion.text: e for e in builder.entries()}


def test_phrases_that_titles_share_are_suggested_and_single_ones_are_not() -> None:
    found = built(product(0, "Red Wool Hat XL-20"), product(1, "Warm Red Wool Hat"))
    assert {"red", "red wool", "red wool hat", "wool hat", "hat"} <= set(found)
    assert not {"warm", "xl-20", "warm red"} & set(found)


def test_a_phrase_neither_starts_nor_ends_with_a_stop_word() -> None:
    found = built(product(0, "Hat for the Rain"), product(1, "Hat for the Rain"))
    assert not {"for", "hat for", "the rain", "for the rain"} & set(found)


def test_categories_weigh_all_products_below_them() -> None:
    found = built(product(0, "a1", category_id=2), product(1, "b1", category_id=2), product(2, "c1", category_id=1))
    assert (found["Clothing"].weight, found["Rain Coats"].weight) == (3.0, 2.0)
    assert found["Rain Coats"].suggestion == Suggestion("Rain Coats", "category", 2)


def test_a_brand_is_shown_as_it_is_mostly_written_and_stands_once() -> None:
    found = built(product(0, "Acme hat", "ACME"), product(1, "Acme coat", "Acme"), product(2, "Acme bag", "Acme"))
    assert found["Acme"].suggestion.kind == "brand"
    assert not {"ACME", "acme"} & set(found)
