"""A little shop with two generations, for loads against servers of the tests; and how a load is run."""

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from deploy.layout import PROJECT
from deploy.preflight import free_port
from loadgen.run import Run
from loadgen.run import load as load_run
from services.artifacts import Versions
from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA, POPULARITY_SCHEMA
from services.shop import Shop, ShopInfo

PRODUCTS = 400
COLOURS = ("red", "green", "blue", "black", "white", "amber", "violet", "silver", "golden", "grey")
NOUNS = ("shoe", "lamp", "kettle", "drill", "tent", "desk", "router", "camera", "blender", "jacket", "scarf", "wallet", "helmet", "monitor")
BRANDS = ("acme", "umbra", "zenit", "lumo", "korda")


def make_shop(root: Path) -> Shop:
    """Generation 2 (current) has other prices than 1, and not its first twenty products."""
    shop = Shop(root)
    shop.write_info(ShopInfo(name=root.name))
    versions = Versions(shop.generations)
    for generation in (1, 2):
        number, folder = versions.begin()
        rows = [_row(no, generation) for no in range(PRODUCTS) if not (generation == 2 and no < 20)]
        pq.write_table(pa.Table.from_pylist(rows, CATALOGUE_SCHEMA), folder / "catalogue.parquet")
        pq.write_table(pa.Table.from_pylist([], CATEGORIES_SCHEMA), folder / "categories.parquet")
        popularity = [{"product_no": r["product_no"], "tier": min(2, int(str(r["product_no"])) * 3 // PRODUCTS)} for r in rows]
        pq.write_table(pa.Table.from_pylist(popularity, POPULARITY_SCHEMA), folder / "popularity.parquet")
        versions.publish(number, {})
        versions.activate(number)
    return shop


def _row(no: int, generation: int) -> dict[str, object]:
    rng = random.Random(no)
    brand = rng.choice(BRANDS)
    colour = rng.choice(COLOURS)
    title = f"{brand} {colour} {rng.choice(NOUNS)} {rng.choice(('mini', 'max', 'pro', 'eco'))} x{no}"
    row = {"product_no": no, "product_id": f"p{no}", "title": title, "brand": brand, "category_id": -1, "description": "", "image_link": ""}
    return {**row, "price_cents": 1000 + no * 10 + generation, "created_ms": 0, "attributes": [("color", colour)]}


@contextmanager
def server(*argv: str) -> Iterator[str]:
    """Start a server that prints its address; the address."""
    process = subprocess.Popen([sys.executable, *argv], cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def workers(shop: Shop, count: int, lost: int = 0, slow_s: int = 0) -> "Iterator[tuple[tuple[str, ...], list[subprocess.Popen[bytes]]]]":
    """Processes that wait for a lead and end with it (but for `lost` ones): what the lead has to be told, and they.

    `slow_s`: the last takes so long to come back from a load.
    """
    port = str(free_port("127.0.0.1"))
    argv = [sys.executable, "-m", "loadgen", "run", "--url", "", "--shop-root", str(shop.root), "--worker", "--master-port", port]
    slow = os.environ | {"LOCUST_WORKER_ADDITIONAL_WAIT_BEFORE_READY_AFTER_STOP": str(slow_s)}
    started = [subprocess.Popen(argv, cwd=PROJECT, env=slow if number == count - 1 else None) for number in range(count)]
    try:
        yield ("--master", "--expect-workers", str(count), "--master-bind-port", port), started
        assert [process.wait(30) for process in started].count(0) == count - lost
    finally:
        for process in started:
            process.kill()


_numbers = itertools.count()


def load(url: str, shop: Shop, folder: Path, *more: str, patience_s: float = 120) -> tuple[int, str, Run]:
    """Exit code, what was said, and the run. The generator's lag is not judged: tests share their machine."""
    results = folder / f"results-{next(_numbers)}"
    argv = [sys.executable, "-m", "loadgen", "run", "--url", url, "--shop-root", str(shop.root), "--results", str(results)]
    argv += ["--max-lag", "100000", "--claim", "0.9", "--warm-up", "0.5", "--pool", "500", *more]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, timeout=patience_s, check=False)
    files = list(results.glob("*[0-9].json"))
    assert files, done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr, load_run(files[0])


def broken(run: Run) -> set[str]:
    return {f.rule for f in run.findings if f.state == "broken"}
