"""Runs of loads as if they had been, made of records."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from loadgen.asks import Ask, Product
from loadgen.collector import Collector
from loadgen.lead import Lead
from loadgen.options import OPTIONS, wish
from loadgen.run import Run
from loadgen.seen import Seen, Shown
from loadgen.shelf import Shelf

SHELF = Shelf(generations={1: {f"p{n}": Product(f"title {n}", n, n % 3) for n in range(50)}})
TIMING = "queue;dur=0.1;start=0, analyse;dur=2;start=0.1, analyse.categories;dur=1;start=0.5, total;dur=4;start=0"


def search(number: int, latency_ms: float, **more: Any) -> Seen:
    shown = Shown([f"p{number % 50}"], 1, "eq", 1, terms=[f"w{number}"])
    fields = {"request": "first", "at_s": number / 10, "chain": number, "page": 1, "service_ms": latency_ms, "lag_ms": 0.5}
    return Seen(**{**fields, "latency_ms": latency_ms, "ask": Ask(f"w{number}"), "shown": shown, "timing": TIMING, **more})


def run(folder: Path, *, factor: float = 1.0, seconds: float = 60.0, interrupted: bool = False, **changes: Any) -> Run:
    """Two processes that saw every second chain each: 10 searches a second, 10 to 19 ms, after a second of warm-up."""
    asked = {
        **{option.name: option.default for option in OPTIONS},
        "load_profile": "open",
        "warm_up": 1.0,
        "seconds": seconds,
        "claim": 0.9,
    }
    w = wish(SimpleNamespace(**{**asked, **changes}))
    lead = Lead(w, SHELF, folder / "shop", folder, {})
    lead.begin(-seconds - 1)
    for process in (0, 1):
        collector = Collector(w.warm_up_s)
        for number in range(process, int((seconds + 1) * 10), 2):
            collector.planned += 1
            collector.add(search(number, factor * (10 + number % 10)))
        lead.take(collector.take())
        lead.end(collector.totals(cpu_s=0.1))
    return lead.finish(0, {"p99": 19.0}, "not pinned: 1 core can be used, two are needed", None, interrupted=interrupted)
