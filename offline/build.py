"""`python -m offline.build SHOP_ROOT`: the staged catalogue (or the current generation's) becomes a new generation, which is then served.

Popularity and tiers come from the log up to a watermark; then each owner's builder runs as a process of its own (`python -m
searcher.build SHOP_ROOT N`, ...). Nothing is activated, and no half version stays behind, unless all of them succeed.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from offline.locks import exclusive
from offline.progress import Clock, Say, run, say
from offline.records import Array, Log, item_keys, read_log
from services import popularity
from services.artifacts import Versions
from services.catalogue import CATALOGUE_SCHEMA, POPULARITY_SCHEMA
from services.errors import ConfigurationError
from services.eventlog.sqlite import SqliteReader
from services.models.port import KIND_IDS
from services.shop import Shop

OWNERS = ("searcher", "ranker", "planner", "recommender")
AT_ONCE = 2
KEPT = 3
ATTEMPTS, PAUSE_S = 100, 0.01
FILES = ("catalogue.parquet", "categories.parquet")


def build(shop: Shop, owners: Sequence[str] = OWNERS, report: Say = say) -> int:
    """Number of the generation that is served now. Raises ConfigurationError when there is no catalogue or an owner's builder fails."""
    shop.info()
    clock, versions = Clock(), Versions(shop.generations)
    with exclusive(shop.generations):
        number, folder = versions.begin()
        try:
            copy_catalogue(lambda: _source(shop, versions), folder)
            facts = write_popularity(shop, folder, report)
            _run_owners(shop.root, number, owners, report)
            versions.publish(number, {**facts, "seconds": round(clock.seconds, 1)})
        except BaseException:
            shutil.rmtree(folder)
            raise
        versions.activate(number)
        gone = versions.prune(KEPT)
    report(f"generation {number} is current, made in {clock.seconds:.0f} s" + (f"; removed {', '.join(map(str, gone))}" if gone else ""))
    return number


def _source(shop: Shop, versions: Versions) -> Path:
    """Raises FileNotFoundError between the two moves of a swap: what is current is then not what is meant."""
    staged = shop.root / "staged"
    if all((staged / name).is_file() for name in FILES):
        return staged
    if any(shop.root.glob(".old.staged.*")):
        raise FileNotFoundError(staged)
    current = versions.current()
    if current is None:
        raise ConfigurationError(f"shop {shop.name!r} has no catalogue to build: run `aisle data` (generated) or `aisle import` (your own)")
    return versions.folder(current)


def copy_catalogue(source: Callable[[], Path], target: Path) -> None:
    """FILES of one and the same folder, whatever replaces it meanwhile (an import swaps in a whole new one). Raises ConfigurationError."""
    for _ in range(ATTEMPTS):
        try:
            return _copy(source(), target)
        except FileNotFoundError:  # between the moves of a swap, or replaced and removed: take the new one
            time.sleep(PAUSE_S)
    raise ConfigurationError(
        "the staged catalogue is being replaced, or an import was killed while it did so: wait for it, or run the import again"
    )


def _copy(source: Path, target: Path) -> None:
    folder = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in FILES:
            with open(os.open(name, os.O_RDONLY, dir_fd=folder), "rb") as whence, open(target / name, "wb") as where:
                shutil.copyfileobj(whence, where)
    finally:
        os.close(folder)


# ---- popularity ----------------------------------------------------------------------------------------------------------------


def write_popularity(shop: Shop, folder: Path, report: Say = say) -> dict[str, object]:
    """Write `popularity.parquet` beside the folder's catalogue; returns facts for its manifest: products, log watermark, time it stands for."""
    reader = SqliteReader(shop.log_file)
    try:
        log = read_log(reader, schema=None, features=0)
    finally:
        reader.close()
    products = pq.read_table(folder / "catalogue.parquet", schema=CATALOGUE_SCHEMA, columns=["product_no", "category_id", "created_ms"])
    table, now_ms = popularity_table(log, products)
    pq.write_table(table, folder / "popularity.parquet")
    report(f"popularity of {len(table):,} products from {len(log.pages):,} pages and {len(log.behaviours):,} behaviours")
    return {"products": len(table), "watermark": {"0": log.watermark}, "as_of_ms": now_ms}


def popularity_table(log: Log, products: pa.Table) -> tuple[pa.Table, int]:
    """Rows of POPULARITY_SCHEMA for the products (product_no, category_id, created_ms) and the time they stand for: the newest record's."""
    number, category, created = (products[name].to_numpy() for name in ("product_no", "category_id", "created_ms"))
    now_ms = int(max(log.pages.ts_ms.max(initial=0), log.behaviours.ts_ms.max(initial=0)) or created.max(initial=0))
    counts = _counts(log, int(number.max(initial=0)) + 1)
    of_products = popularity.Counts(*(getattr(counts, name)[number] for name in counts.__slots__))
    score = popularity.scores(of_products, category)
    columns = (number, of_products.impressions, of_products.clicks, of_products.carts, of_products.purchases, score)
    tier = popularity.tiers(score, created, now_ms) if of_products.gained.any() else popularity.undivided(len(score))
    arrays = [pa.array(column).cast(field.type) for column, field in zip((*columns, tier), POPULARITY_SCHEMA, strict=True)]
    return pa.table(arrays, schema=POPULARITY_SCHEMA), now_ms


def _counts(log: Log, size: int) -> popularity.Counts:
    """By product_no; products that the catalogue no longer has are left out."""
    pages, behaviours = log.pages, log.behaviours
    kept = behaviours.product_no < size

    def acted(kind: int) -> Array:
        return np.bincount(behaviours.product_no[kept & (behaviours.kind == kind)], minlength=size).astype(float)

    shown = pages.product_no < size
    examined = popularity.examination(*_randomised(log))
    weights = examined[np.minimum(pages.position, len(examined) - 1)]
    return popularity.Counts(
        impressions=np.bincount(pages.product_no[shown], minlength=size).astype(float),
        examined=np.bincount(pages.product_no[shown], weights[shown], size),
        clicks=acted(KIND_IDS["click"]),
        carts=acted(KIND_IDS["cart"]),
        purchases=acted(KIND_IDS["purchase"]),
    )


def _randomised(log: Log) -> tuple[Array, Array]:
    """Positions of the impressions on randomised pages, and whether they were clicked."""
    pages, lengths = log.pages, np.diff(log.pages.indptr)
    rows = np.flatnonzero(np.repeat(pages.randomised, lengths))
    clicks = log.behaviours.kind == KIND_IDS["click"]
    clicked = item_keys(log.behaviours.query[clicks], log.behaviours.product_no[clicks])
    return pages.position[rows], np.isin(item_keys(np.repeat(pages.query, lengths)[rows], pages.product_no[rows]), clicked)


# ---- the owners' builders --------------------------------------------------------------------------------------------------------


def _run_owners(root: Path, number: int, owners: Sequence[str], report: Say) -> None:
    """Two at once. The first failure stops the others; it is raised with the last line that the builder wrote."""
    running: list[subprocess.Popen[str]] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(_run_owner, owner, root, number, running, report) for owner in owners]
        try:
            done, _ = wait(jobs, return_when=FIRST_EXCEPTION)
            for job in done:
                job.result()
        finally:
            for job in jobs:
                job.cancel()
            for process in running:
                if process.poll() is None:
                    process.terminate()


def _run_owner(owner: str, root: Path, number: int, running: list["subprocess.Popen[str]"], report: Say) -> None:
    clock, last = Clock(), "it wrote nothing"
    command = [sys.executable, "-m", f"{owner}.build", str(root), str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        running.append(process)
        for line in process.stdout or ():
            if line.strip():
                last = line.strip().removeprefix(f"{owner}: ")
                report(f"{owner}: {last}")
    if process.returncode:
        raise ConfigurationError(f"{owner}'s part of generation {number} failed, nothing was activated: {last}")
    report(f"{owner}: built in {clock.seconds:.1f} s")


if __name__ == "__main__":
    sys.exit(run("python -m offline.build SHOP_ROOT", build))
