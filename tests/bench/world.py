"""`python -m tests.bench.world`: how fast a world is made, and with how much memory. Every number is of this machine, alone.

Products: one shard in this process, of the size asked for (its rate and memory do not depend on the size of the catalogue; said, not assumed:
the peak is printed every SLICE products as the shard grows). With --history also a whole world with two processes.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import click

from datagen import make, settings, shards
from services.shop import Shop

TOTAL = 10_000_000


def _peak_mb() -> float:
    """Of this process since its start (kilobytes on Linux, bytes on macOS)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def _cpu_s() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


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
        _shard(Path(folder), products)
        if history:
            _world(Path(folder))


def _shard(folder: Path, products: int) -> None:
    """The first shard of as many as there are in ten million products; twice, of half the size and of the whole, to see memory not grow."""
    chosen = settings.parse({"products": TOTAL})
    for size in (products // 2, products):
        began, cpu = time.monotonic(), _cpu_s()
        shards.write(folder / str(size), chosen, 0, TOTAL // size)
        seconds = time.monotonic() - began
        print(
            f"{size:,} of {TOTAL:,} products: {seconds:.1f} s, {size / seconds:,.0f} a second ({size / (_cpu_s() - cpu):,.0f} a CPU second), "
            f"peak memory {_peak_mb():,.0f} MB",
            flush=True,
        )


def _world(folder: Path) -> None:
    file = Path(__file__).parents[2] / "datagen" / "worlds" / "report.toml"
    chosen, shop = settings.load(file), Shop(folder / "world")
    began, cpu = time.monotonic(), _cpu_s()
    make.world(shop, chosen, say=lambda line: print(f"  {line}", flush=True))
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    print(
        f"world of {chosen.products:,} products, {chosen.users:,} users, about {chosen.pages:,} pages: {time.monotonic() - began:.0f} s, "
        f"{_cpu_s() - cpu:.0f} CPU s; peak memory {_peak_mb():,.0f} MB here, {children:,.0f} MB in the larger of the two workers"
    )


if __name__ == "__main__":
    main()
