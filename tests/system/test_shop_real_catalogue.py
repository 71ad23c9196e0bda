"""A real catalogue with judged queries, where it is at hand: how good the system is, and that what users expect holds there too."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from services.text import words
from tests.shop_running import PROJECT, Running, aisle, running

DATA = PROJECT.parent / "shared" / "data" / "icecat"
pytestmark = [pytest.mark.skipif(not DATA.is_dir(), reason="the real catalogue is not on this machine"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("real")
    mapping = PROJECT / "examples" / "electronics.toml"
    aisle(home, "import", "--shop", "electronics", "--catalog", DATA / "products.jsonl.gz", "--mapping", mapping)
    with running(home, "electronics") as opened:
        yield opened


@pytest.fixture(scope="module")
def catalogue(shop: Running) -> list[dict[str, object]]:
    path = shop.home / "shops" / "electronics" / "generations" / "1" / "catalogue.parquet"
    rows: list[dict[str, object]] = pq.read_table(path).to_pylist()
    return rows


def strict(shop: Running, query: str) -> set[str]:
    return {item["product_id"] for item in shop.all_items(query, verbatim=True) if item["strict"]}


def test_it_is_never_worse_than_bm25_as_one_index_and_often_better(shop: Running, tmp_path: Path) -> None:
    """README.md says what the interval is, and why its lower bound is 0 and not above."""
    out = tmp_path / "result.json"
    said = aisle(
        shop.home, "evaluate", "--judgments", DATA / "judgments.csv", "--against", "bm25", "--out", out, "--html", tmp_path / "c.html"
    ).stdout
    ours, other = (json.loads(path.read_text()) for path in (out, out.with_name("result.against.json")))
    assert other["means"]["nDCG@10"] == pytest.approx(0.745, abs=0.005)
    assert ours["means"]["nDCG@10"] >= other["means"]["nDCG@10"] + 0.015
    assert ours["means"]["condensed nDCG@10"] >= other["means"]["condensed nDCG@10"] - 0.002
    assert ours["means"]["recall@200"] >= 0.955
    lost = [
        q for q, r in ours["queries"].items() if r["measures"].get("nDCG@10", 0) < other["queries"][q]["measures"].get("nDCG@10", 0) - 1e-6
    ]
    assert lost == []
    assert "paired bootstrap" in said
    assert not any(r.get("corrected") for r in ours["queries"].values()), "a judged query was changed"


def test_brands_models_and_rare_words_are_never_changed(shop: Running, catalogue: list[dict[str, object]]) -> None:
    typed = {word for row in catalogue[::40] for word in words(str(row["title"]))} | {str(row["brand"]) for row in catalogue}
    changed = {word for word in sorted(typed)[:600] if "corrected" in shop.search(word)["query"]}
    assert changed == set()


@pytest.mark.parametrize("typed", ["dc52c", "dc 52 c"])
def test_a_model_number_in_parts(shop: Running, typed: str) -> None:
    assert strict(shop, typed)
    assert strict(shop, typed) == strict(shop, "dc52c")


@pytest.mark.parametrize(
    ("one", "other"), [("wi-fi router", "wifi router"), ("e-book reader", "ebook reader"), ("toner cartridges", "toner cartridge")]
)
def test_two_ways_to_type_the_same_thing(shop: Running, one: str, other: str) -> None:
    assert strict(shop, one) == strict(shop, other)
    assert strict(shop, one)


def test_units_apart_and_together_find_each_other(shop: Running) -> None:
    together, apart = strict(shop, "hard drive 500gb"), strict(shop, "hard drive 500 gb")
    assert together
    assert together <= apart or apart <= together


def test_products_with_hyphens_in_their_model_are_found_without(shop: Running, catalogue: list[dict[str, object]]) -> None:
    models = [row for row in catalogue if re.fullmatch(r"[A-Z]{2,4}-\d{3,5}[A-Z]?", str(dict(row["attributes"]).get("mpn", "")))][:40]  # type: ignore[call-overload]
    assert models
    missed = [
        row["product_id"] for row in models if row["product_id"] not in strict(shop, str(dict(row["attributes"])["mpn"]).replace("-", ""))
    ]  # type: ignore[call-overload]
    assert missed == []


def test_facets_are_what_the_catalogue_says(shop: Running, catalogue: list[dict[str, object]]) -> None:
    answer = shop.search("", facets=["brand", "color"], filters={"price_cents": {"min": 5_000, "max": 20_000}})
    within = [row for row in catalogue if 5_000 <= int(str(row["price_cents"])) <= 20_000]
    assert answer["total"] == {"value": len(within), "relation": "eq"}
    brands = Counter(str(row["brand"]).lower() for row in within)
    counted = {f["value"].lower(): f["count"] for f in answer["facets"]["brand"]}
    assert counted == {brand: brands[brand] for brand in counted}
    assert len(counted) == min(len(set(brands) - {""}), 200)


def test_most_products_are_first_for_their_own_title(shop: Running, catalogue: list[dict[str, object]]) -> None:
    sample = catalogue[:: len(catalogue) // 150]
    first = sum(shop.titles(str(row["title"])[:256], verbatim=True)[:1] == [row["title"]] for row in sample)
    assert first / len(sample) > 0.85


@pytest.mark.parametrize("typed", ["ca", "pr", "la", "hp", "to"])
def test_two_letters_are_enough_for_suggestions(shop: Running, typed: str) -> None:
    """How fast they come: `python -m tests.bench.suggest`."""
    assert shop.client.get("/suggest", params={"q": typed}).json()["suggestions"]


def test_why_a_product_is_not_on_the_page(shop: Running, catalogue: list[dict[str, object]]) -> None:
    items = shop.all_items("printer")
    assert len(items) == 200
    assert shop.search("printer")["off"] == ["categories"]
    ranked = aisle(shop.home, "explain", "printer", "--product", items[56]["product_id"]).stdout
    assert "ranked 57." in ranked
    unmatched = next(row for row in catalogue if "print" not in str(row).lower())
    assert "not matched" in aisle(shop.home, "explain", "printer", "--product", str(unmatched["product_id"])).stdout
    unknown = aisle(shop.home, "explain", "printer", "--product", "no such thing", check=False)
    assert unknown.returncode != 0 and "has no product" in unknown.stderr
