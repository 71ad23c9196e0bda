"""A Google Merchant feed needs no mapping, whatever it is written as."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from datagen.importer import Change, apply
from services.errors import ConfigurationError
from services.shop import Shop

RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title><link>https://shop.example</link>
<item><g:id>A1</g:id><title>Desk lamp &amp; bulb</title><description><![CDATA[Bright <b>light</b>]]></description>
 <link>https://shop.example/a1</link><g:image_link>https://shop.example/a1.jpg</g:image_link>
 <g:additional_image_link>https://shop.example/a1b.jpg</g:additional_image_link><g:price>1.049,95 EUR</g:price>
 <g:brand>Lumen</g:brand><g:color>red</g:color><g:availability>in stock</g:availability>
 <g:product_type>Home &gt; Lamps</g:product_type><g:product_type>Office</g:product_type>
 <g:shipping><g:country>DE</g:country><g:price>4.95 EUR</g:price></g:shipping>
 <g:product_detail><g:section_name>Light</g:section_name><g:attribute_name>Socket Type</g:attribute_name><g:attribute_value>E27</g:attribute_value></g:product_detail>
</item>
<item><g:id>A2</g:id><title>Chair</title><g:price>20 EUR</g:price><g:product_type>Home &gt; Chairs</g:product_type></item>
<item><g:id>A3</g:id><title>No price</title></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0"><title>Shop</title>
<entry><g:id>A1</g:id><title>Desk lamp</title><link href="https://shop.example/a1"/><g:price>49.95 USD</g:price></entry></feed>"""
TSV = "id\ttitle\tImage Link\tprice\tproduct type\tcolor\nA1\tDesk lamp\thttps://x/a.jpg\t49.95 GBP\tHome > Lamps\tred\n"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shops" / "mine")


def imported(shop: Shop, name: str, text: str) -> Any:
    (shop.root.parent.parent / name).write_text(text)
    return apply(shop, Change(shop.root.parent.parent / name))


def staged(shop: Shop) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(shop.root / "staged" / "catalogue.parquet").to_pylist()
    return rows


def test_rss_is_imported_without_a_mapping(shop: Shop) -> None:
    report = imported(shop, "feed.xml", RSS)
    assert [(r.line, r.field) for r in report.rejections] == [(12, "price")]
    lamp, chair = staged(shop)
    assert (lamp["title"], lamp["brand"], lamp["price_cents"]) == ("Desk lamp & bulb", "Lumen", 104_995)
    assert lamp["description"] == "Bright <b>light</b>"
    assert lamp["image_link"] == "https://shop.example/a1.jpg"
    assert dict(lamp["attributes"]) == {"color": "red", "availability": "in stock", "socket_type": "E27"}
    names = {r["category_id"]: r["name"] for r in pq.read_table(shop.root / "staged" / "categories.parquet").to_pylist()}
    assert (names[lamp["category_id"]], names[chair["category_id"]]) == ("Lamps", "Chairs")
    assert shop.info().currency == "EUR"


def test_a_mapping_that_the_shop_was_given_goes_before_googles(shop: Shop) -> None:
    home = shop.root.parent.parent
    (home / "mapping.toml").write_text('currency = "CHF"\n[fields]\nproduct_id = "id"\ntitle = "title"\n')
    (home / "feed.tsv").write_text(TSV)
    apply(shop, Change(home / "feed.tsv", home / "mapping.toml"))
    assert imported(shop, "feed.tsv", TSV.replace("49.95", "cheap")).accepted == 1
    assert shop.info().currency == "CHF"


def test_atom_and_tsv_too(shop: Shop) -> None:
    imported(shop, "feed.xml", ATOM)
    assert (staged(shop)[0]["price_cents"], shop.info().currency) == (4995, "USD")
    imported(shop, "feed.tsv", TSV)
    assert (staged(shop)[0]["image_link"], dict(staged(shop)[0]["attributes"]), shop.info().currency) == (
        "https://x/a.jpg",
        {"color": "red"},
        "GBP",
    )


@pytest.mark.parametrize(("name", "text"), [("feed.xml.gz", RSS), ("FEED.XML.GZ", RSS), ("feed.tsv.gz", TSV)])
def test_packed_it_is_the_same_and_cut_it_is_an_error(shop: Shop, name: str, text: str) -> None:
    path, packed = shop.root.parent.parent / name, gzip.compress(text.encode())
    path.write_bytes(packed)
    apply(shop, Change(path))
    assert staged(shop)[0]["product_id"] == "A1"
    path.write_bytes(packed[:-12])
    with pytest.raises(ConfigurationError, match="damaged or cut off"):
        apply(shop, Change(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RSS[:900], r"cut off, at line \d+"),
        ("<rss><channel></channel></rss>", "no <item>"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><rss/>', "document type"),
        ("sku,name", "not XML"),
    ],
)
def test_xml_that_is_no_feed_says_why(shop: Shop, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        imported(shop, "feed.xml", text)


def test_another_feed_without_a_mapping_is_told_how_to_get_one(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match="--guess"):
        imported(shop, "feed.csv", "sku,name\n1,lamp\n")
