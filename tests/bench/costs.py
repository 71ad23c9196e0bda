"""What each engine call costs, as `docs/costs.md`: written by `make bench-real`, never by hand."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from recommender.profile import BEHAVIOURS
from services.catalogue import TIERS
from services.contracts import CANDIDATES
from tests.bench.measure import Series, Verdict
from tests.bench.real import Traffic
from tests.bench.workload import PAGE

KINDS = {
    **{tier: (f"elasticsearch-{tier}", f"{tier} tier: {CANDIDATES} products with any of a query's terms") for tier in TIERS},
    "facets": ("elasticsearch-medium", "medium tier: facets brand, category, price"),
    "products": ("elasticsearch-products", f"product store: {PAGE} summaries"),
    "ranking": ("elasticsearch-products", f"ranking index: scores of {CANDIDATES} candidates by strategy weights"),
    "graph": ("neo4j", f"user graph: the last {BEHAVIOURS} behaviours of a user"),
    "preferences": ("model-server", "model: preferences of a user for a query"),
}
"""Kind -> the engine that answers, and what is asked."""


def page(series: Mapping[str, Series], verdict: Verdict, facts: Sequence[str], tables: Sequence[str]) -> str:
    lines = [
        "# What a search costs on real engines",
        "",
        "Written by `make bench-real`; CPU milliseconds a search, medians over interleaved rounds, engines included.",
        *(f"- {fact}" for fact in (*facts, machine())),
        "",
        "| process | system | floor |",
        "|---|---|---|",
    ]
    system, floor = series["system"], series["floor"]
    for process in dict.fromkeys((*system.processes, *floor.processes)):
        lines.append(f"| {process} | {_median(system, process)} | {_median(floor, process)} |")
    lines += [
        f"| **all** | **{system.median:.2f}** | **{floor.median:.2f}** |",
        "",
        f"Five bare hops: {series['hops'].median:.2f}. {verdict}.",
        "",
        *tables,
        "",
    ]
    return "\n".join(lines)


def traffic_table(system: Mapping[str, Traffic], floor: Mapping[str, Traffic], searches: int) -> list[str]:
    """What Elasticsearch counted of so many searches of each."""
    return [
        "| Elasticsearch cluster | calls a search, system | calls a search, floor | bytes an answer | connections opened by the system |",
        "|---|---|---|---|---|",
        *(
            f"| {name} | {of.calls / searches:.2f} | {floor[name].calls / searches:.2f} | {of.bytes / max(of.calls, 1):,.0f} | {of.opened} |"
            for name, of in system.items()
        ),
    ]


def calls_table(calls: Mapping[str, tuple[float, float]]) -> list[str]:
    """`calls`: kind (tests/bench/calls.py) -> CPU milliseconds of client and server."""
    return [
        "| one call | CPU ms of who asks | CPU ms of the engine |",
        "|---|---|---|",
        *(f"| {KINDS[kind][1]} | {client:.2f} | {server:.2f} |" for kind, (client, server) in calls.items()),
    ]


def machine() -> str:
    return f"{platform.machine()}, {psutil.cpu_count()} processors, Python {platform.python_version()}"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _median(series: Series, process: str) -> str:
    return f"{series.median_of(process):.2f}" if process in series.processes else ""
