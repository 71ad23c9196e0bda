"""Logs of another system become history: pages with features of their time, events, and an account of what was not usable."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from datagen import import_logs
from ranker.build import build_part
from services.artifacts import Versions
from services.contracts import EventRecord, PageRecord
from services.errors import ConfigurationError
from services.features import FEATURE_SCHEMA, FEATURES
from services.shop import Shop
from tests.forward_shop import popular, product, small_shop, write

DAY = 86_400_000
T0 = 1_700_000_000_000


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = small_shop(tmp_path)
    versions = Versions(made.generations)
    number, folder = versions.begin()
    products = [product(0, "red lamp"), product(1, "red chair"), product(2, "table")]
    write(folder, products, [popular(n) for n in range(3)])
    build_part(made, number)
    versions.publish(number, {})
    versions.activate(number)
    return made


def query(n: int, text: str, hits: list[str], **more: Any) -> dict[str, Any]:
    return {"query_id": f"q{n}", "user_query": text, "timestamp": T0 + n * DAY, "client_id": "c", "query_response_hit_ids": hits} | more


def event(action: str, n: int, product: str, **more: Any) -> dict[str, Any]:
    attributes = {"object": {"object_id": product}, "position": {"ordinal": 1}}
    return {"action_name": action, "query_id": f"q{n}", "timestamp": T0 + n * DAY + 1000, "event_attributes": attributes} | more


def imported(shop: Shop, *records: Any, name: str = "logs.jsonl") -> import_logs.LogsReport:
    path = shop.root / name
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in records))
    return import_logs.run(shop, [path])


def history(shop: Shop) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(shop.root / "imported" / "00000.parquet").to_pylist()
    return rows


def pages(shop: Shop) -> list[PageRecord]:
    return [msgspec.json.decode(row["payload"], type=PageRecord) for row in history(shop) if row["kind"] == "page"]


def test_queries_become_pages_and_events_become_events_in_order_of_time(shop: Shop) -> None:
    report = imported(
        shop, event("click", 2, "p1", user_id="ann"), query(2, "red chair", ["p1", "nobody", "p0"], user_id="ann"), query(1, "lamp", ["p0"])
    )
    assert (report.queries, report.events, report.pages, report.malformed) == (2, 1, 2, 0)
    rows = history(shop)
    assert [row["kind"] for row in rows] == ["page", "page", "event"]
    assert [row["ts_ms"] for row in rows] == sorted(row["ts_ms"] for row in rows)
    assert [row["user_id"] for row in rows] == [None, "ann", "ann"]
    page = pages(shop)[1]
    assert (page.query, page.product_no, page.positions, page.user) == ("red chair", [1, 0], [1, 3], None)
    clicked = msgspec.json.decode(rows[2]["payload"], type=EventRecord)
    assert (clicked.kind, clicked.product_no, clicked.position, clicked.query_id) == ("click", 1, 1, "q2")


def test_features_are_those_of_the_time_of_the_page(shop: Shop) -> None:
    clicks = [event("click", 1, "p1", event_attributes={"object": {"object_id": "p1"}, "event_id": f"e{n}"}) for n in range(50)]
    imported(shop, query(1, "red", ["p0", "p1"]), *clicks, query(5, "red chair", ["p0", "p1"]))
    before, after = pages(shop)
    assert before.feature_schema == FEATURE_SCHEMA
    first, later = (np.frombuffer(page.features, np.float32).reshape(2, len(FEATURES)) for page in (before, after))
    column = FEATURES.index("clicks")
    assert first[0, column] == first[1, column]  # nobody had clicked yet
    assert later[1, column] > later[0, column]
    assert later[:, FEATURES.index("strict")].tolist() == [0, 1]


def test_what_is_malformed_is_counted_and_listed_and_the_rest_is_imported(shop: Shop) -> None:
    report = imported(
        shop,
        query(1, "lamp", ["p0"]),
        "{not json",
        {"query_id": "q9", "timestamp": T0},
        query(1, "lamp again", ["p0"]),
        query(3, "lamp", "p0") | {"query_response_hit_ids": {"a": 1}},
        event("click", 1, "p0", timestamp="yesterday"),
        event("click", 1, "p0", timestamp=10**15),
        event("click", 1, "nobody"),
        {"action_name": "", "timestamp": T0},
        query(4, "sofa", []),
    )
    assert [problem.line for problem in report.problems] == [2, 3, 4, 5, 6, 7, 9]
    assert (report.malformed, report.unknown_products, report.queries_without_hits) == (7, 1, 1)
    assert json.loads((shop.root / import_logs.REPORT).read_text())["problems"][0]["reason"].startswith("not a JSON object")


def test_separated_files_hold_lists_as_json(shop: Shop) -> None:
    path = shop.root / "queries.csv"
    path.write_text(
        'query_id,user_query,timestamp,query_response_hit_ids\nq1,lamp,2024-01-05T10:00:00Z,"[""p0"",""p1""]"\nq2,lamp,2024-01-06,"p1,p0"\n'
    )
    import_logs.run(shop, [path])
    assert [page.product_no for page in pages(shop)] == [[0, 1], [1, 0]]


def test_nothing_usable_is_an_error_that_shows_the_first(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match=r"no query and no event .* line 1: not a JSON object"):
        imported(shop, "{not json")
    assert not (shop.root / "imported").exists()


def test_a_shop_without_a_catalogue_cannot_have_logs(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no generation yet"):
        import_logs.run(small_shop(tmp_path), [tmp_path / "x.jsonl"])
