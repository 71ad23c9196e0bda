"""The searcher's part of a generation: what is written is what was there."""

from pathlib import Path

import numpy as np
import pytest

from searcher import part
from searcher.build import build, main, members, price_edges
from searcher.index.port import Values
from searcher.index.tantivy import TantivyTier
from searcher.query import BRAND, Everything, OneOf, Term
from services.errors import ConfigurationError
from services.shop import Shop
from tests.searcher_tiers import write_generation

CATEGORIES = [(1, "Clothing", -1), (2, "Rain Coats", 1)]
PRODUCTS = [
    {"title": "Wool Hat", "brand": "Acme", "category_id": 1, "attributes": {"color": "Sky Blue", "note": "x" * 201}},
    {"title": "WH-1000XM4 cap", "brand": "ACME", "category_id": 2, "attributes": {"Color": "sky blue"}},
    {"title": "Rain cap", "brand": "Acme", "category_id": 2, "description": "waterproof", "attributes": {"color": "Sky Blue"}},
]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path / "shops" / "toys")
    write_generation(made, PRODUCTS, [0, 1, 2], CATEGORIES)
    return made


def tier(shop: Shop, name: str) -> TantivyTier:
    return TantivyTier(name, shop.generations / "1" / "searcher" / name)


def test_medium_holds_high_too_and_low_the_rest(shop: Shop) -> None:
    assert build(shop, 1).products == {"high": 1, "medium": 2, "low": 1}
    assert tier(shop, "medium").search(Everything(), 9).product_no.tolist() == [0, 1]
    assert tier(shop, "low").search(Everything(), 9).product_no.tolist() == [2]


def test_disjoint_tiers_hold_each_product_once(shop: Shop) -> None:
    info = build(shop, 1, nested=False)
    assert (info.nested, info.products) == (False, {"high": 1, "medium": 1, "low": 1})
    assert [members(t, False) for t in (0, 1, 2)] == [["high"], ["medium"], ["low"]]


@pytest.mark.parametrize("text", ["cap", "rain", "coat", "cloth", "acm", "sky", "waterproof"])
def test_title_brand_category_path_attributes_and_description_are_searched(shop: Shop, text: str) -> None:
    build(shop, 1)
    assert tier(shop, "low").search(Term(text), 9).product_no.tolist() == [2]


@pytest.mark.parametrize("text", ["wh1000xm4", "1000xm4"])
def test_a_model_number_is_found_whole_and_by_its_parts(shop: Shop, text: str) -> None:
    build(shop, 1)
    assert tier(shop, "medium").search(Term(text), 9).product_no.tolist() == [1]


def test_spellings_that_fold_alike_are_one_value(shop: Shop) -> None:
    info = build(shop, 1)
    assert info.attributes == ["color"]
    counts = tier(shop, "medium").facets(Everything(), [Values(BRAND), Values("attribute.a0")])
    assert counts.values == [{"Acme": 2}, {"Sky Blue": 2}]
    assert tier(shop, "medium").search(OneOf("attribute", ("color=sky blue",)), 9).product_no.tolist() == [0, 1]


def test_building_again_replaces_the_part(shop: Shop) -> None:
    build(shop, 1, nested=False)
    assert build(shop, 1) == part.read(shop.generations / "1" / "searcher")


def test_a_shop_without_products_can_be_built(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "empty")
    write_generation(shop, [], [])
    info = build(shop, 1)
    assert (info.products, info.price_edges) == ({"high": 0, "medium": 0, "low": 0}, [0])


def test_the_command_says_what_is_missing(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    assert main([str(shop.root), "7"]) == 2
    assert "generation 7 of shop 'toys' has no catalogue.parquet" in caplog.text
    (shop.generations / "1" / "popularity.parquet").unlink()
    assert main([str(shop.root), "1"]) == 2
    assert "no popularity.parquet" in caplog.text


def test_a_part_of_another_analyser_is_refused(shop: Shop) -> None:
    build(shop, 1)
    file = shop.generations / "1" / "searcher" / "searcher.json"
    file.write_text(file.read_text().replace('"analyzer_version": "', '"analyzer_version": "other-'))
    with pytest.raises(ConfigurationError, match="run `aisle build`"):
        part.read(file.parent)


def test_a_part_that_was_not_built_is_refused(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match="not built"):
        part.read(shop.generations / "1" / "searcher")


@pytest.mark.parametrize(
    ("prices", "edges"),
    [([], [0]), ([1999], [0, 2000]), (list(range(100, 100_000, 100)), [0, 15000, 30000, 50000, 70000, 100000]), ([0, 0, 0], [0, 100])],
)
def test_price_ranges_have_round_edges(prices: list[int], edges: list[int]) -> None:
    assert price_edges(np.array(prices, np.int64)) == edges
