"""Importing a real catalogue: what is accepted, what is rejected and how it is said, and that nothing is half done."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from datagen import import_mapping, importer
from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA
from services.errors import ConfigurationError
from services.shop import Shop

MAPPING = """
currency = "EUR"
price_unit = "units"
[fields]
product_id = "sku"
title = "name"
brand = "maker"
description = ["short", "long"]
price = "price"
created = "released"
category = "path"
[attributes]
searchable = ["mpn"]
[attributes.names]
model = "mpn"
[attributes.prefixes]
t_ = "text"
n_ = "number"
b_ = "yes_no"
[attributes.aliases]
product_colour = "color"
"""

LAMP: dict[str, Any] = {
    "sku": "L-1", "name": "Desk lamp", "maker": "Lumen", "short": "Bright.", "long": "Very bright.", "price": 49.95, "released": "2024-05-31",
    "path": "Home > Lamps", "model": "LX 5", "t_product_colour": "red", "n_watts": 12.0, "b_dimmable": True, "b_usb": False,
}  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shops" / "mine")


def run(shop: Shop, rows: list[Any], *, strict: bool = False, mapping: str = MAPPING, name: str = "feed.jsonl") -> importer.Report:
    folder = shop.root.parent
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()
    (folder / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    (folder / "mapping.toml").write_text(mapping)
    return importer.run(shop, folder / name, folder / "mapping.toml", strict=strict)


def staged(shop: Shop) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(shop.root / "staged" / "catalogue.parquet", schema=CATALOGUE_SCHEMA).to_pylist()
    return rows


def like_lamp(**changes: Any) -> dict[str, Any]:
    return LAMP | changes


def rejections(report: importer.Report) -> list[tuple[int, str]]:
    return [(r.line, r.field) for r in report.rejections]


def test_every_mapped_field_arrives(shop: Shop) -> None:
    run(shop, [LAMP])
    (row,) = staged(shop)
    assert (row["product_id"], row["title"], row["brand"]) == ("L-1", "Desk lamp", "Lumen")
    assert row["description"] == "Bright.\nVery bright."
    assert row["price_cents"] == 4995
    assert row["created_ms"] == 1_717_113_600_000
    assert dict(row["attributes"]) == {"mpn": "LX 5", "color": "red", "watts": "12", "dimmable": "dimmable"}


def test_a_category_path_becomes_a_tree(shop: Shop) -> None:
    run(shop, [LAMP, like_lamp(sku="L-2", path="Home > Chairs")])
    tree = {r["name"]: r for r in pq.read_table(shop.root / "staged" / "categories.parquet", schema=CATEGORIES_SCHEMA).to_pylist()}
    assert tree["Home"]["parent_id"] == -1
    assert {tree["Lamps"]["parent_id"], tree["Chairs"]["parent_id"]} == {tree["Home"]["category_id"]}
    assert staged(shop)[0]["category_id"] == tree["Lamps"]["category_id"]


def test_the_shop_says_what_is_searched(shop: Shop) -> None:
    run(shop, [LAMP])
    assert (shop.info().currency, shop.info().searchable_attributes) == ("EUR", ["mpn"])


def test_a_packed_feed_is_read(shop: Shop) -> None:
    assert run(shop, [LAMP], name="feed.jsonl.gz").accepted == 1


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ("{not json", "line"),
        ("[1, 2]", "line"),
        (like_lamp(sku="X", price="cheap"), "price"),
        (like_lamp(sku="X", price=-1), "price"),
        (like_lamp(sku="X", price=None), "price"),
        (like_lamp(sku="X", name=" "), "name"),
        (like_lamp(sku=None), "sku"),
        (like_lamp(sku="x" * 200), "sku"),
        (like_lamp(sku="X\n1"), "sku"),
        (like_lamp(sku="X", **{"t_" + "n" * 200: "red"}), f"t_{'n' * 38}..."),
        (like_lamp(sku="X", name=["a"]), "name"),
        (like_lamp(sku="X", released="soon"), "released"),
        (like_lamp(sku="X", n_watts="many"), "n_watts"),
        (like_lamp(sku="X", b_usb="perhaps"), "b_usb"),
        (like_lamp(), "sku"),  # the id of line 1 again
    ],
)
def test_a_bad_row_is_named_and_the_others_are_imported(shop: Shop, bad: Any, field: str) -> None:
    report = run(shop, [LAMP, bad, like_lamp(sku="L-3")])
    assert rejections(report) == [(2, field)]
    assert [row["product_id"] for row in staged(shop)] == ["L-1", "L-3"]
    assert json.loads((shop.root / importer.REPORT).read_text())["rejected"] == 1


def test_bytes_that_are_no_text_are_named(shop: Shop) -> None:
    shop.root.mkdir(parents=True)
    feed = shop.root.parent / "feed.jsonl"
    feed.write_bytes(json.dumps(LAMP).encode() + b'\n{"sku": "\xff"}\n')
    (shop.root.parent / "mapping.toml").write_text(MAPPING)
    assert rejections(importer.run(shop, feed, shop.root.parent / "mapping.toml")) == [(2, "line")]


def test_strict_stops_at_the_first_bad_row_and_imports_nothing(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match=r"line 2: price .* must be a number"):
        run(shop, [LAMP, like_lamp(sku="X", price="cheap")], strict=True)
    assert not (shop.root / "staged").exists()


def test_a_cut_archive_leaves_what_was_there(shop: Shop) -> None:
    run(shop, [LAMP])
    packed = gzip.compress("\n".join(json.dumps(like_lamp(sku=str(i))) for i in range(2000)).encode())
    (shop.root.parent / "cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ConfigurationError, match=r"cut off after line \d+"):
        importer.run(shop, shop.root.parent / "cut.jsonl.gz", shop.root.parent / "mapping.toml")
    assert [row["product_id"] for row in staged(shop)] == ["L-1"]
    report = json.loads((shop.root / importer.REPORT).read_text())
    assert not report["succeeded"] and "cut off" in report["error"]


def test_a_mapped_field_that_no_row_has_is_a_mistake(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match=r"'makr' \(for brand\) is in no row; did you mean 'maker'"):
        run(shop, [LAMP], mapping=MAPPING.replace('"maker"', '"makr"'))
    assert not (shop.root / "staged").exists()


def test_no_usable_row_at_all_is_an_error_that_shows_the_first(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match=r"none of 2 rows .* line 1: price"):
        run(shop, [like_lamp(price=-1), like_lamp(price=-2)])


def test_numbers_of_products_never_change(shop: Shop) -> None:
    run(shop, [like_lamp(sku="a"), like_lamp(sku="b")])
    run(shop, [like_lamp(sku="c"), like_lamp(sku="b")])
    assert [(row["product_id"], row["product_no"]) for row in staged(shop)] == [("b", 1), ("c", 2)]
    ids = {r["product_id"]: r["product_no"] for r in pq.read_table(shop.ids_file).to_pylist()}
    assert ids == {"a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("fields = 3", "fields"),
        ("[fields]\ntitle = 'name'", "product_id"),
        ("[fields]\nproduct_id = 'sku'\ntitle = 'name'\nbrnd = 'maker'", "did you mean `brand`"),
        ("[fields", "not TOML"),
        (MAPPING.replace('searchable = ["mpn"]', 'searchable = ["mpn"]\nkeep = ["color"]'), "drops"),
    ],
)
def test_a_mistake_in_the_mapping_is_named(tmp_path: Path, mapping: str, message: str) -> None:
    (tmp_path / "mapping.toml").write_text(mapping)
    with pytest.raises(ConfigurationError, match=message):
        import_mapping.load(tmp_path / "mapping.toml")


def test_an_unknown_format_or_file_is_named(shop: Shop) -> None:
    shop.root.mkdir(parents=True)
    (shop.root.parent / "mapping.toml").write_text(MAPPING)
    with pytest.raises(ConfigurationError, match=r"format '\.xlsx' is not known"):
        importer.run(shop, Path("feed.xlsx"), shop.root.parent / "mapping.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        importer.run(shop, Path("nowhere.jsonl"), shop.root.parent / "mapping.toml")


def test_the_example_mapping_fits_the_real_catalogue_when_it_is_there(shop: Shop) -> None:
    catalogue = Path(__file__).parents[3] / "shared" / "data" / "icecat" / "products.jsonl.gz"
    if not catalogue.is_file():
        pytest.skip("the real catalogue is not on this machine")
    report = importer.run(shop, catalogue, Path(__file__).parents[2] / "examples" / "electronics.toml")
    assert (report.accepted, report.rejected) == (19_406, 0)
    assert report.coverage["attributes.color"] > 0.4
