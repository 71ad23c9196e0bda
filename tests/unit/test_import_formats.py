"""The same three products in every format a feed comes in are the same catalogue; damage is told with its place."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datagen import importer
from datagen.import_readers import reader_for
from datagen.importer import Change, apply
from services.catalogue import CATALOGUE_SCHEMA
from services.errors import ConfigurationError
from services.shop import Shop

MAPPING = """
[fields]
product_id = "sku"
title = "name"
price = "price"
description = ["text"]
category = "path"
[attributes.names]
colour = "color"
"""
ROWS = [
    {"sku": "A1", "name": "Lamp, red", "price": "9.50", "text": 'said "bright"\nand warm', "path": "Home > Lamps", "colour": "red"},
    {"sku": "A2", "name": "Stuhl für draußen", "price": "20", "text": None, "path": "Home > Chairs", "colour": None},
    {"sku": "A3", "name": "Table", "price": "100", "text": "wood", "path": None, "colour": "brown"},
]


def separated(delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue().encode()


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    "feed.jsonl": lambda: "\n".join(json.dumps(row) for row in ROWS).encode(),
    "feed.json": lambda: json.dumps(ROWS, indent=1).encode(),
    "feed.csv": lambda: separated(","),
    "semicolons.csv": lambda: separated(";"),
    "excel.csv": lambda: b"\xef\xbb\xbf" + separated(","),
    "feed.tsv": lambda: separated("\t"),
    "feed.parquet": parquet,
}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    (tmp_path / "mapping.toml").write_text(MAPPING)
    return Shop(tmp_path / "shops" / "mine")


def imported(shop: Shop, name: str, data: bytes, **options: Any) -> importer.Report:
    home = shop.root.parent.parent
    (home / name).write_bytes(data)
    return apply(shop, Change(home / name, home / "mapping.toml", **options))


def staged(shop: Shop) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(shop.root / "staged" / "catalogue.parquet", schema=CATALOGUE_SCHEMA).to_pylist()
    return rows


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_plain_or_packed_gives_the_same_catalogue(shop: Shop, name: str, packed: bool) -> None:
    data = FORMATS[name]()
    report = imported(shop, f"{name}.gz" if packed else name, gzip.compress(data) if packed else data)
    assert (report.accepted, report.rejected) == (3, 0)
    first, second, _ = staged(shop)
    assert (first["title"], first["price_cents"], first["description"]) == ("Lamp, red", 950, 'said "bright"\nand warm')
    assert (second["title"], second["description"], dict(second["attributes"])) == ("Stuhl für draußen", "", {})


@pytest.mark.parametrize("name", ["feed.jsonl", "feed.csv", "feed.json", "feed.parquet"])
def test_a_cut_archive_changes_nothing_and_says_so(shop: Shop, name: str) -> None:
    imported(shop, "before.jsonl", FORMATS["feed.jsonl"]())
    packed = gzip.compress(FORMATS[name]() + bytes(range(256)) * 40)
    with pytest.raises(ConfigurationError, match=r"cut off|damaged"):
        imported(shop, f"{name}.gz", packed[:-30])
    assert [row["product_id"] for row in staged(shop)] == ["A1", "A2", "A3"]
    assert json.loads((shop.root / importer.REPORT).read_text())["succeeded"] is False


@pytest.mark.parametrize("name", ["feed.json", "feed.parquet", "feed.xml"])
def test_what_cannot_be_read_in_part_is_an_error_when_it_is_cut(shop: Shop, name: str) -> None:
    data = FORMATS[name]() if name in FORMATS else b"<rss><channel><item><g:id xmlns:g='x'>1</g:id></item>"
    with pytest.raises(ConfigurationError, match=r"cut off"):
        imported(shop, name, data[: len(data) * 2 // 3])


def lines(path: Path) -> list[tuple[int, Any]]:
    return list(reader_for(path)(path))


def test_separated_rows_that_are_none_are_told_with_their_line(tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    feed.write_bytes(b'sku,name\nA,one\nB,two,three\n\nC,"lines\nare two"\nD,\xff\xfe\nE,five\n')
    found = lines(feed)
    assert found[0] == (2, {"sku": "A", "name": "one"})
    assert found[1] == (3, "has 3 fields, the header has 2")
    assert found[2] == (5, {"sku": "C", "name": "lines\nare two"})
    assert found[3] == (7, "not UTF-8")
    assert found[4] == (8, {"sku": "E", "name": "five"})


def test_a_quote_that_is_never_closed_costs_its_own_line_only(tmp_path: Path) -> None:
    feed = tmp_path / "feed.csv"
    rows = [f"R{n},row {n},plain" for n in range(2_000)]
    feed.write_text(
        "\n".join(["sku,name,text", 'A,"open,lost', 'B,"closed, it is",kept', *rows, 'C,"open to the end,lost', "D,last,kept"]) + "\n"
    )
    found = lines(feed)
    rejected = [line for line, row in found if isinstance(row, str)]
    assert (rejected, len(found)) == ([2, 2004], 2_004)
    assert "a quote that is never closed" in found[0][1]
    assert found[1] == (3, {"sku": "B", "name": "closed, it is", "text": "kept"})
    assert found[-1] == (2005, {"sku": "D", "name": "last", "text": "kept"})


def test_quotes_that_mean_inches_are_read_when_the_line_has_all_its_fields(tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text('sku,name\nA,"5" pipe"\nB,7" pipe\nC,"" pipe\n')
    assert [row["name"] for _, row in lines(tmp_path / "feed.csv")] == ['5 pipe"', '7" pipe', " pipe"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('{"sku": "A", "name": "one", "name": "two"}', "name"),
        ('{"sku": "A", "more": {"x": 1, "x": 2}}', "x"),
        ('{"sku": "A", "n\\u0061me" : 1, "name":2}', "name"),
    ],
)
def test_a_row_that_names_a_field_twice_is_rejected_by_name(tmp_path: Path, line: str, name: str) -> None:
    (tmp_path / "feed.jsonl").write_text(line + "\n")
    (tmp_path / "feed.json").write_text(f"[{line}]")
    for file in ("feed.jsonl", "feed.json"):
        assert lines(tmp_path / file) == [(1, f"names the field {name!r} more than once")]


@pytest.mark.parametrize("name", ["feed.jsonl", "feed.json"])
def test_objects_within_objects_without_end_are_no_product(shop: Shop, name: str) -> None:
    rows = [json.dumps(ROWS[0]), '{"sku": "B", "name": "x", "deep": ' + "[" * 5_000 + "]" * 5_000 + "}"]
    data = "\n".join(rows) if name == "feed.jsonl" else f"[{', '.join(rows)}]"
    if name == "feed.jsonl":
        assert [(r.line, r.field) for r in imported(shop, name, data.encode()).rejections] == [(2, "line")]
    else:
        with pytest.raises(ConfigurationError, match="not a JSON array"):
            imported(shop, name, data.encode())


@pytest.mark.parametrize("said", ["1717113600", "1717113600000", "2024-05-31", "20240531"])
def test_a_moment_may_be_a_date_or_a_unix_time(shop: Shop, said: str) -> None:
    home = shop.root.parent.parent
    (home / "mapping.toml").write_text('[fields]\nproduct_id = "sku"\ntitle = "name"\ncreated = "since"\n')
    imported(shop, "feed.csv", f"sku,name,since\nA,one,{said}\n".encode())
    assert staged(shop)[0]["created_ms"] == 1_717_113_600_000


def test_what_only_looks_like_a_name_is_none(tmp_path: Path) -> None:
    row = {"sku": "A", "name": 'said "sku": "A"', "more": {"sku": 1}, "list": [{"sku": 1}, {"sku": 2}]}
    (tmp_path / "feed.jsonl").write_text(json.dumps(row) + "\n")
    assert lines(tmp_path / "feed.jsonl") == [(1, row)]


def test_decimals_of_parquet_are_numbers_and_columns_of_one_name_an_error(tmp_path: Path) -> None:
    prices = pa.array([Decimal("12.50"), Decimal("7.00")], pa.decimal128(10, 2))
    pq.write_table(pa.table({"sku": pa.array([Decimal(2**70)] * 2, pa.decimal128(38, 0)), "price": prices}), tmp_path / "feed.parquet")
    assert lines(tmp_path / "feed.parquet") == [(1, {"sku": 2**70, "price": 12.5}), (2, {"sku": 2**70, "price": 7})]
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["sku", "sku"]), tmp_path / "feed.parquet")
    with pytest.raises(ConfigurationError, match="'sku' more than once"):
        lines(tmp_path / "feed.parquet")


def test_a_header_that_names_a_field_twice_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "feed.csv").write_text("sku,name,name\n1,2,3\n")
    with pytest.raises(ConfigurationError, match="'name' more than once"):
        lines(tmp_path / "feed.csv")


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "feed.tsv").write_text("")
    with pytest.raises(ConfigurationError, match="is empty"):
        lines(tmp_path / "feed.tsv")


def test_the_report_says_what_the_feed_is_like(shop: Shop) -> None:
    report = imported(shop, "feed.csv", separated(",") + b"A4,Broken,cheap,,,\nA1,Twice,1,,,\n")
    assert [(r.line, r.field) for r in report.rejections] == [(6, "price"), (7, "sku")]
    assert report.fields["price"].types == {"number": 3}
    assert (report.fields["colour"].coverage, report.fields["colour"].distinct) == (0.6667, 2)
    kept = json.loads((shop.root / importer.REPORT).read_text())
    assert len(kept["rejections"]) == 2
    assert kept["fields"]["name"]["examples"][0] == "Lamp, red"


def test_a_column_without_any_value_is_no_mistake_in_the_mapping(shop: Shop) -> None:
    assert imported(shop, "feed.csv", b"sku,name,price,text,path,colour\nA,one,1,,,\n").accepted == 1
