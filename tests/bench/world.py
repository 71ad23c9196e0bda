"""`python -m tests.bench.world`: how fast a world is made, and with how much memory. Every number is of this machine, alone.

Truth: grading 200 products for a user and an intent. Products: one shard by one process, of half the size asked for and of the whole, to see
that memory does not grow with it. With --history also a whole world by two processes.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from datagen import intents, products, settings, truth, users
from datagen.truth import Rows
from datagen.words import vocabulary
from datagen.world import World
from tests.bench.memory import Spent, spent

TOTAL = 10_000_000
GRADED, CALLS = 200, 1_000
REPORT = Path(__file__).parents[2] / "datagen" / "worlds" / "report.toml"


@click.command()
@click.option(
    "--products",
    "count",
    type=click.IntRange(10_000, TOTAL),
    default=200_000,
    show_default=True,
    help="made of a catalogue of 10 million",
)
@click.option(
    "--history", is_flag=True, help="also the world of datagen/worlds/report.toml: 100,000 products, 20,000 users, 2 million records"
)
def main(count: int, history: bool) -> None:
    """Print the time of grading, and rate and peak memory of making products in a shard, and of a whole world."""
    print(_grading(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for size in (count // 2, count):
            of = TOTAL // size
            made = _datagen("shard", Path(folder, str(size)), "--products", str(TOTAL), "--number", "0", "--of", str(of))
            print(f"1 of {of} shards of {TOTAL:,} products: {TOTAL // of / made.seconds:,.0f} a second: {made}", flush=True)
        if history:
            chosen = settings.load(REPORT)
            made = _datagen("world", Path(folder, "world"), "--settings", str(REPORT))
            print(f"world of {chosen.products:,} products, {chosen.users:,} users, about {chosen.pages:,} pages: {made}")


def _grading() -> str:
    """Of 200 products of the default world, drawn at random: medians of single calls, each for another user and intent."""
    chosen, words, rng = settings.load(None), vocabulary(), np.random.default_rng(1)
    items = products.make(chosen, words, np.arange(chosen.products))
    world = World(chosen, words, items, users.make(chosen, np.arange(chosen.users)), intents.make(chosen, items))

    def median_ms(call: Callable[[int, int, Rows], object]) -> float:
        spans = []
        for _ in range(CALLS):
            user, intent, rows = rng.integers(len(world.users)), rng.integers(len(world.intents)), rng.integers(len(items), size=GRADED)
            began = time.perf_counter()
            call(int(user), int(intent), rows)
            spans.append(time.perf_counter() - began)
        return 1e3 * float(np.median(spans))

    grade = median_ms(lambda user, intent, rows: truth.grade(world, intent, rows))
    utility = median_ms(lambda user, intent, rows: truth.utility(world, user, intent, rows, chosen.end_ms))
    return f"{GRADED} products: grade {grade:.3f} ms, utility {utility:.3f} ms (medians of {CALLS:,} calls)"


def _datagen(command: str, folder: Path, *options: str) -> Spent:
    return spent([sys.executable, "-m", "datagen", command, str(folder), *options])


if __name__ == "__main__":
    main()
