"""Embedded and real engines find the same, in the same order: a generated shop, and the judged real queries when their data is there."""

import csv
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from datagen.world import QUERIES_FILE
from deploy.layout import PROJECT
from loadgen.shoppers import some_words
from services.catalogue import TIERS
from services.shop import Shop
from tests.engines.agreement import Agreement, Compared, reversals
from tests.engines.conftest import Real

QUERIES = 1_000
REAL_DATA = PROJECT.parent / "shared" / "data" / "icecat"


@pytest.fixture(scope="module")
def generated(real: Real, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Compared]]:
    """A world of 3,000 products whose tiers come from 3,000 pages of history, in the embedded engines and in the clusters that run."""
    shop = Shop(tmp_path_factory.mktemp("generated") / "shops" / "generated")
    settings = real.settings()
    run(settings, "datagen", "world", shop.root, "--products", 3_000, "--users", 300, "--pages", 3_000)
    run(settings, "planner.ingest", shop.root, shop.world / "history")
    run(settings, "offline.build", shop.root)
    run(settings, "offline.baseline", shop.root)
    compared = Compared(shop, settings)
    yield shop, compared
    compared.close()


def run(settings: dict[str, str], module: str, *arguments: object) -> None:
    environment = {**os.environ, **settings}
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], cwd=PROJECT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]


def check(found: Agreement) -> None:
    print(f"\n{found}")
    assert {name: found.mean(name) >= 0.98 for name in TIERS} == dict.fromkeys(TIERS, True)
    assert found.pairs > 0
    assert found.reversed == 0
    assert np.mean(found.pages) >= 0.95


def test_generated_queries_find_the_same_on_both(generated: tuple[Shop, Compared]) -> None:
    shop, compared = generated
    said = pq.read_table(shop.world / QUERIES_FILE, columns=["text"])["text"].unique().to_pylist()
    titles = pq.read_table(shop.root / "staged" / "catalogue.parquet", columns=["title"])["title"].to_pylist()
    draw = random.Random(1)
    queries = [*said, *(some_words(title, draw) for title in titles)][:QUERIES]  # what users said, and words of titles up to the number
    assert len(queries) == QUERIES
    check(compared.compare(queries))


def test_judged_real_queries_find_the_same_on_both(real: Real, tmp_path: Path) -> None:
    if not REAL_DATA.is_dir():
        pytest.skip("the judged queries are not part of the repository: shared/data/icecat is not there")
    shop, settings = Shop(tmp_path / "shops" / "electronics"), real.settings()
    catalogue = REAL_DATA / "products.jsonl.gz"
    run(settings, "datagen", "import", shop.root, "--catalog", catalogue, "--mapping", PROJECT / "examples" / "electronics.toml")
    run(settings, "offline.build", shop.root)
    run(settings, "offline.baseline", shop.root)
    with open(REAL_DATA / "judgments.csv", encoding="utf-8") as file:
        queries = sorted({row["query"] for row in csv.DictReader(file)})
    compared = Compared(shop, settings)
    try:
        check(compared.compare(queries))
    finally:
        compared.close()


def test_a_reversed_pair_is_seen_and_a_close_one_is_not() -> None:
    a, b = np.array([3.0, 2.0, 1.0]), np.array([3.0, 1.0, 2.0])
    assert reversals(a, b) == (3, 1)
    assert reversals(np.array([1.0, 1.005]), np.array([1.005, 1.0])) == (0, 0)
