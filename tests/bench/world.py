"""`python -m tests.bench.world`: how fast a world is made, and with how much memory. Every number is of this machine, alone.

Products: one shard by one process, of half the size asked for and of the whole, to see that memory does not grow with it. With --history also
a whole world by two processes.
"""

import sys
import tempfile
from pathlib import Path

import click

from datagen import settings
from tests.bench.memory import Spent, spent

TOTAL = 10_000_000
REPORT = Path(__file__).parents[2] / "datagen" / "worlds" / "report.toml"


@click.command()
@click.option(
    "--products", type=click.IntRange(10_000, TOTAL), default=200_000, show_default=True, help="made of a catalogue of 10 million"
)
@click.option(
    "--history", is_flag=True, help="also the world of datagen/worlds/report.toml: 100,000 products, 20,000 users, 2 million records"
)
def main(products: int, history: bool) -> None:
    """Print rate and peak memory of making products in a shard, and of a whole world."""
    with tempfile.TemporaryDirectory() as folder:
        for size in (products // 2, products):
            of = TOTAL // size
            made = _datagen("shard", Path(folder, str(size)), "--products", str(TOTAL), "--number", "0", "--of", str(of))
            print(f"1 of {of} shards of {TOTAL:,} products: {TOTAL // of / made.seconds:,.0f} a second: {made}", flush=True)
        if history:
            chosen = settings.load(REPORT)
            made = _datagen("world", Path(folder, "world"), "--settings", str(REPORT))
            print(f"world of {chosen.products:,} products, {chosen.users:,} users, about {chosen.pages:,} pages: {made}")


def _datagen(command: str, folder: Path, *options: str) -> Spent:
    return spent([sys.executable, "-m", "datagen", command, str(folder), *options])


if __name__ == "__main__":
    main()
