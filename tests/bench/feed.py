"""`python -m tests.bench.feed`: a catalogue of a million short products imported and built, with time and memory of all processes together."""

import csv
import multiprocessing
import sys
import tempfile
from functools import partial
from pathlib import Path

import click

from datagen import settings, shards
from datagen.words import vocabulary
from tests.bench.memory import spent

PART = 20_000
MAPPING = """currency = "USD"
[fields]
product_id = "id"
title = "name"
brand = "brand"
category = "category"
price = "price"
"""


@click.command()
@click.option("--products", type=click.IntRange(1_000, 10_000_000), default=1_000_000, show_default=True)
@click.option("--home", type=click.Path(path_type=Path), help="Keep the shop there (else it is removed).")
def main(products: int, home: Path | None) -> None:
    """Write a feed of generated products (id, name, brand, category, price), then `aisle import` it into a new shop."""
    with tempfile.TemporaryDirectory() as folder:
        feed, mapping = Path(folder, "feed.csv"), Path(folder, "mapping.toml")
        mapping.write_text(MAPPING)
        _write(feed, products)
        print(f"feed of {products:,} products: {feed.stat().st_size / 1e6:,.0f} MB", flush=True)
        where = {"AISLE_HOME": str(home or Path(folder, "home"))}
        aisle = [sys.executable, "-m", "deploy.cli"]
        done = spent([*aisle, "import", "--shop", "feed", "--catalog", str(feed), "--mapping", str(mapping)], where)
        print(f"imported and built: {done}")


def _write(feed: Path, products: int) -> None:
    chosen = settings.parse({"products": products})
    parts = range(-(-products // PART))
    with feed.open("w", newline="") as file, multiprocessing.get_context("spawn").Pool(2) as pool:
        writer = csv.writer(file)
        writer.writerow(["id", "name", "brand", "category", "price"])
        for rows in pool.imap(partial(_rows, chosen, len(parts)), parts):
            writer.writerows(rows)


def _rows(chosen: settings.WorldSettings, of: int, number: int) -> list[tuple[str, ...]]:
    words = vocabulary()
    table, _ = shards.catalogue_rows(chosen, words, shards.shard(chosen.products, number, of))
    paths = {words.category_id(i): f"{words.departments[leaf.department]} > {leaf.name}" for i, leaf in enumerate(words.leaves)}
    columns = [table[name].to_pylist() for name in ("product_id", "title", "brand", "category_id", "price_cents")]
    return [(i, title, brand, paths[category], f"{cents / 100:.2f}") for i, title, brand, category, cents in zip(*columns, strict=True)]


if __name__ == "__main__":
    main()
