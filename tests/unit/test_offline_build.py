"""Generations from a staged catalogue: the owners' builders are real processes here, only small ones."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from datagen.staging import replace_folder
from offline import baseline
from offline.build import FILES, build, copy_catalogue, popularity_table
from offline.locks import exclusive
from offline.progress import run
from offline.records import read_log
from services.artifacts import Versions
from services.catalogue import POPULARITY_SCHEMA
from services.errors import ConfigurationError
from services.eventlog.sqlite import SqliteWriter
from services.models.onnx import load
from services.shop import Shop, ShopInfo
from tests import planted

GOOD = """
import pathlib, sys
root, number = pathlib.Path(sys.argv[1]), sys.argv[2]
folder = root / "generations" / number
assert (folder / "popularity.parquet").is_file()
(folder / "{name}").mkdir()
(folder / "{name}" / "part").write_text(number)
print("half way", flush=True)
"""
BAD = "import sys; print('starting', flush=True); sys.exit('the dictionary is missing: run `aisle data`')"
SLOW = "import time; time.sleep(600)"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path / "shops" / "small")
    made.write_info(ShopInfo(name="small"))
    planted.catalogue(made.root / "staged")
    return made


@pytest.fixture
def owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Makes a package whose `build` module is the given program."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(name: str, program: str = GOOD) -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "build.py").write_text(program.replace("{name}", name))
        return name

    return make


def test_a_staged_catalogue_becomes_the_current_generation(shop: Shop, owner) -> None:  # type: ignore[no-untyped-def]
    said: list[str] = []
    number = build(shop, [owner("one"), owner("two"), owner("three")], said.append)
    versions = Versions(shop.generations)
    assert (number, versions.current()) == (1, 1)
    assert {*FILES, "popularity.parquet", "one/part", "two/part", "three/part"} == set(versions.manifest(1).files)
    assert "one: half way" in said
    assert versions.manifest(1).fact("products", int) == planted.PRODUCTS


def test_without_a_staged_catalogue_the_current_one_is_built_again(shop: Shop, owner) -> None:  # type: ignore[no-untyped-def]
    part = owner("part")
    build(shop, [part], str)
    for name in FILES:
        (shop.root / "staged" / name).unlink()
    assert build(shop, [part], str) == 2


def test_a_failing_builder_stops_the_others_and_leaves_nothing_behind(shop: Shop, owner) -> None:  # type: ignore[no-untyped-def]
    build(shop, [owner("fine")], str)
    with pytest.raises(ConfigurationError, match=r"bad's part of generation 2 failed, nothing was activated: the dictionary is missing"):
        build(shop, [owner("bad", BAD), owner("slow", SLOW)], str)
    versions = Versions(shop.generations)
    assert (versions.current(), versions.complete()) == (1, [1])
    assert not versions.folder(2).exists()


def test_a_stopped_build_stops_its_builders_and_leaves_nothing_behind(shop: Shop, owner, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    slow = owner(
        "slow",
        f"import os, pathlib; pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())); print('ready', flush=True); {SLOW}",
    )
    program = f"from offline import build, progress; import sys; sys.exit(progress.run('x', lambda shop: build.build(shop, [{slow!r}])))"
    paths = os.pathsep.join([str(Path.cwd()), str(tmp_path)])
    with subprocess.Popen(
        [sys.executable, "-c", program, str(shop.root)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "slow: ready\n":
                process.terminate()
        error = process.stderr.read() if process.stderr else ""
    assert (process.returncode, error) == (1, "interrupted; nothing was activated\n")
    assert not Versions(shop.generations).folder(1).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_old_generations_go(shop: Shop, owner) -> None:  # type: ignore[no-untyped-def]
    part = owner("part")
    for _ in range(5):
        build(shop, [part], str)
    assert Versions(shop.generations).complete() == [3, 4, 5]


def test_a_shop_without_a_catalogue_is_told_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = Shop(tmp_path / "empty")
    empty.write_info(ShopInfo(name="empty"))
    assert run("build", build, [str(empty.root)]) == 1
    assert capsys.readouterr().err == "shop 'empty' has no catalogue to build: run `aisle data` (generated) or `aisle import` (your own)\n"


def test_arguments_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("python -m offline.build SHOP_ROOT", build, []) == 2
    assert capsys.readouterr().err == "usage: python -m offline.build SHOP_ROOT\n"


def test_one_build_at_a_time(shop: Shop) -> None:
    with exclusive(shop.generations), pytest.raises(ConfigurationError, match="are being made by another process"):
        build(shop, [], str)


def test_popularity_counts_what_the_log_says(shop: Shop) -> None:
    records = planted.history(400)
    writer = SqliteWriter(shop.log_file)
    writer.append(records).result(timeout=30)
    writer.close()
    build(shop, [], str)
    folder = Versions(shop.generations).folder(1)
    table = pq.read_table(folder / "popularity.parquet", schema=POPULARITY_SCHEMA)
    assert table["impressions"].to_numpy().sum() == 400 * planted.PAGE
    assert table["clicks"].to_numpy().sum() == sum(b'"kind":"click"' in r.payload for r in records)
    assert table["purchases"].to_numpy().sum() == sum(b'"kind":"purchase"' in r.payload for r in records)
    liked = table["product_no"].to_numpy() % 4 < 2
    score, tier = table["score"].to_numpy(), table["tier"].to_numpy()
    assert score[liked].mean() > 2 * score[~liked].mean()
    assert np.bincount(tier).tolist() == [18, 42, 60]
    assert Versions(shop.generations).manifest(1).fact("watermark", dict[str, int]) == {"0": len(records)}


def test_products_that_left_the_catalogue_do_not_count(shop: Shop) -> None:
    products = pq.read_table(shop.root / "staged" / "catalogue.parquet", columns=["product_no", "category_id", "created_ms"]).slice(0, 50)
    table, _ = popularity_table(read_log(planted.MemoryReader(planted.history(100)), None, 0), products)
    assert len(table) == 50
    assert table["impressions"].to_numpy().sum() < 100 * planted.PAGE


def test_a_shop_without_logs_gets_a_bm25_release(shop: Shop) -> None:
    number = baseline.make(shop)
    versions = Versions(shop.releases)
    model = load(versions.folder(number), versions.manifest(number))
    assert (versions.current(), model.strategy, model.facts.score_feature) == (1, "bm25", "bm25")
    assert model.facts.reason == "the shop has no logs to learn from"


def test_a_catalogue_that_is_replaced_while_it_is_copied_is_never_a_mixture(tmp_path: Path) -> None:
    staged, target, done = tmp_path / "staged", tmp_path / "target", threading.Event()

    def stage(version: int) -> None:
        (tmp_path / "new").mkdir()
        for name in FILES:
            (tmp_path / "new" / name).write_text(str(version))
        replace_folder(tmp_path / "new", staged)

    def imports() -> None:
        version = 1
        while not done.wait(0.002):
            stage(version := version + 1)

    stage(1)
    target.mkdir()
    seen = set()
    with ThreadPoolExecutor() as pool:
        importing = pool.submit(imports)
        try:
            give_up, copies = time.monotonic() + 60, 0
            while copies < 300 or (len(seen) <= 10 and time.monotonic() < give_up):
                copies += 1
                copy_catalogue(lambda: staged, target)
                versions = {(target / name).read_text() for name in FILES}
                assert len(versions) == 1
                seen |= versions
        finally:
            done.set()
        importing.result()
    assert len(seen) > 10, "it was hardly replaced"


def test_a_swap_that_was_never_ended_is_an_error_and_not_the_generation_before(shop: Shop) -> None:
    """A maker that was killed between its two moves has left no staged catalogue."""
    (shop.root / "staged").rename(shop.root / ".old.staged.4711")
    with pytest.raises(ConfigurationError, match="run the import again"):
        build(shop, owners=())
    assert Versions(shop.generations).complete() == []
