"""Locust against a planner that does nothing: what the load itself does, and when it fails. Locust runs in processes of its own."""

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy.layout import PROJECT
from loadgen.report import Result
from services.artifacts import Versions
from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA
from services.contracts import Item, SearchAnswer, SearchedQuery, Total
from services.shop import Shop, ShopInfo

PRODUCTS = 30


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path / "shops" / "tiny")
    shop.write_info(ShopInfo(name="tiny"))
    versions = Versions(shop.generations)
    number, folder = versions.begin()
    row = {
        "title": "red running shoe",
        "brand": "",
        "category_id": -1,
        "description": "",
        "price_cents": 1,
        "image_link": "",
        "created_ms": 0,
    }
    rows = [{**row, "product_no": n, "product_id": f"p{n}", "attributes": []} for n in range(PRODUCTS)]
    pq.write_table(pa.Table.from_pylist(rows, CATALOGUE_SCHEMA), folder / "catalogue.parquet")
    pq.write_table(pa.Table.from_pylist([], CATEGORIES_SCHEMA), folder / "categories.parquet")
    versions.publish(number, {})
    versions.activate(number)
    return shop


class NullPlanner(ThreadingHTTPServer):
    """Answers every search with the first or next ten products; `spoil` changes an answer before it is sent."""

    daemon_threads = True

    def __init__(self, spoil: Callable[[SearchAnswer], SearchAnswer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spoil = spoil
        self.events = itertools.count()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: NullPlanner

    def do_POST(self) -> None:
        body = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/events":
            self._send(202, {"accepted": len(body), "projected": True, "position": {"0": next(self.server.events)}})
        else:
            first = int(body.get("cursor", "0"))
            self._send(200, self.server.spoil(page(first)))

    def _send(self, status: int, answer: object) -> None:
        body = msgspec.json.encode(answer)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("server-timing", "fetch;dur=0.5;start=0.2, total;dur=1.0;start=0.0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


def page(first: int) -> SearchAnswer:
    items = [Item(n + 1, f"p{n}", msgspec.Raw(b'{"title":"red shoe"}'), 1.0, "high", True) for n in range(first, min(first + 10, PRODUCTS))]
    return SearchAnswer(
        query_id=f"q{first}",
        query=SearchedQuery("q", ["q"], []),
        total=Total(PRODUCTS, "eq"),
        tiers=[],
        items=items,
        generation=1,
        release=None,
        degraded=[],
        off=[],
        experiments={},
        cursor=str(first + 10) if first + 10 < PRODUCTS else None,
    )


@pytest.fixture
def planner() -> Iterator[NullPlanner]:
    with NullPlanner(lambda answer: answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def load(planner: NullPlanner, shop: Shop, results: Path) -> tuple[int, str, Result]:
    argv = [sys.executable, "-m", "loadgen", "--url", planner.url, "--shop-root", str(shop.root), "--results", str(results)]
    argv += ["--users", "4", "--seconds", "2", "--think", "0.02", "--turn", "0.8", "--click", "0.2"]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=60)
    [file] = results.glob("*.json")
    return done.returncode, done.stdout + done.stderr, msgspec.json.decode(file.read_bytes(), type=Result)


def test_a_load_searches_turns_pages_clicks_and_ends_well(planner: NullPlanner, shop: Shop, tmp_path: Path) -> None:
    code, said, result = load(planner, shop, tmp_path / "loads")
    assert code == 0, said
    assert {r.kind for r in result.requests} == {"POST /search", "POST /search (next page)", "POST /events"}
    assert result.ok
    assert {row.stage for row in result.stages.rows} == {"fetch", "other"}
    assert "every one checked" in said


def test_a_wrong_answer_makes_the_load_fail_and_is_named(planner: NullPlanner, shop: Shop, tmp_path: Path) -> None:
    planner.spoil = lambda answer: msgspec.structs.replace(answer, items=answer.items[::-1])
    code, said, result = load(planner, shop, tmp_path / "loads")
    assert code == 1
    assert not result.ok
    assert "positions [10, 9, 8]... instead of [1, 2, 3]..." in said
