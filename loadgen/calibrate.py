"""The generator alone against a server that does nothing: what it can send, and how late it is by itself."""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console

from loadgen.options import above, filled_in
from loadgen.run import Calibration, Run, code_version, load
from services.contracts import Category, Item, SearchAnswer, SearchedQuery, TierCount, Total
from services.shop import write_atomically

FILE = "calibration.json"
SECONDS = 4
ITEMS = 10


def page(summary_bytes: int = 900) -> bytes:
    """An answer like the planner's, of about 10 KB."""
    filler = "x" * (summary_bytes - 60)
    summary = msgspec.json.encode({"title": filler, "price_cents": 100, "brand": "b", "category": []})
    items = [Item(n + 1, f"p{n:07d}", msgspec.Raw(summary), 1.0, "high", True) for n in range(ITEMS)]
    answer = SearchAnswer(
        query_id="q",
        query=SearchedQuery("q", ["q"], [Category(1, "c", 0.5)]),
        total=Total(ITEMS, "eq"),
        tiers=[TierCount("high", True, ITEMS, 0)],
        items=items,
        generation=1,
        release=1,
        degraded=[],
        off=[],
        experiments={},
    )
    return msgspec.json.encode(answer)


@contextmanager
def null_server(body: Path | None = None) -> Iterator[str]:
    """The address of a server that does nothing, in a process of its own."""
    argv = [sys.executable, "-m", "loadgen.null_server", *(["--page-of", str(body)] if body else [])]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)


def calibrate(shop_root: Path, rate: float, page_rate: float, seconds: float, processes: int = 1) -> Calibration:
    """Two short open loads: small answers that are not looked at, and pages that are parsed and checked."""
    with tempfile.TemporaryDirectory(prefix="aisle-calibrate-") as folder:
        body = Path(folder) / "page.json"
        body.write_bytes(page())
        with null_server() as url:
            small = _load(url, shop_root, Path(folder) / "small", rate, seconds, processes, ["--judged", "no"])
        with null_server(body) as url:
            pages = _load(url, shop_root, Path(folder) / "page", page_rate, seconds, processes, [])
        return Calibration(
            when_ms=int(time.time() * 1000),
            rate=rate,
            small_per_core_s=small.generator.per_core_s,
            small_lag_p99_ms=small.generator.lag.p99_ms,
            page_per_core_s=pages.generator.per_core_s,
            page_lag_p99_ms=pages.generator.lag.p99_ms,
            page_bytes=body.stat().st_size,
            code=code_version(),
        )


def _load(url: str, shop_root: Path, results: Path, rate: float, seconds: float, processes: int, more: list[str]) -> Run:
    argv = [sys.executable, "-m", "loadgen", "run", "--url", url, "--shop-root", str(shop_root), "--results", str(results)]
    argv += ["--profile", "open", "--rate", str(rate), "--arrivals", "fixed", "--seconds", str(seconds), "--warm-up", "1", "--pool", "50"]
    argv += ["--probes", "0", "--turn", "0", "--click", "0", *(["--processes", str(processes)] if processes > 1 else []), *more]
    subprocess.run(argv, stdout=subprocess.DEVNULL, timeout=120, check=False)  # its verdict is INVALID: the server does nothing
    [file] = results.glob("*[0-9].json")
    return load(file)


def stale(file: Path, day_ms: int = 86_400_000) -> bool:
    """Whether there is no calibration of the last day."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Calibration)
    except (FileNotFoundError, msgspec.MsgspecError):
        return True
    return time.time() * 1000 - found.when_ms > day_ms


def once_a_day(file: str, shop_root: Path) -> None:
    """Measure the generator alone, if a load is to say so and the last time is long ago. Before anything is pinned: it needs its own core."""
    if file and stale(Path(file)):
        print("measuring the generator alone first (once a day)", flush=True)
        command(["--url", "", "--shop-root", str(shop_root), "--results", str(Path(file).parent)])


def command(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="aisle load calibrate", description=__doc__)
    filled_in(parser, "results", "watch", "calibration")
    parser.add_argument("--rate", type=above(0), default=1500.0, help="Requests a second, small answers (default: 1500)")
    parser.add_argument("--page-rate", type=above(0), default=500.0, help="Requests a second, pages (default: 500)")
    parser.add_argument("--seconds", type=above(0), default=SECONDS, help=f"Length of each of the two loads (default: {SECONDS:g})")
    parser.add_argument("--processes", type=int, default=1, choices=range(1, 65), metavar="N", help="Processes that send (default: 1)")
    known = parser.parse_args(argv)
    known.results = Path(known.results)
    found = calibrate(known.shop_root, known.rate, known.page_rate, known.seconds, known.processes)
    known.results.mkdir(parents=True, exist_ok=True)
    write_atomically(known.results / FILE, msgspec.json.encode(found))
    Console(highlight=False, soft_wrap=True).print(
        f"small answers: {found.small_per_core_s:,.0f} requests a second and core, lag p99 {found.small_lag_p99_ms:.2f} ms at {found.rate:,.0f}/s\n"
        f"answers of {found.page_bytes:,} bytes, parsed and checked: {found.page_per_core_s:,.0f} a second and core, "
        f"lag p99 {found.page_lag_p99_ms:.2f} ms at {known.page_rate:,.0f}/s"
    )
    return 0
