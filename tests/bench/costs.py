"""What each engine call costs, as `docs/costs.md`: written by `make bench-real`, never by hand."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.bench.measure import Series, Verdict

ENGINE = "engine: "
"""Stands before the names of processes that are engines."""


def page(
    series: Mapping[str, Series],
    verdict: Verdict,
    calls: Mapping[str, tuple[float, float]],
    connections: Mapping[str, int],
    facts: Sequence[str],
) -> str:
    """calls: cluster -> (calls, bytes answered) per search; connections: cluster -> opened by the system during all of its rounds."""
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
    ]
    lines += ["| Elasticsearch cluster | calls a search | bytes an answer | connections opened in all rounds |", "|---|---|---|---|"]
    for name, (count, size) in calls.items():
        lines.append(f"| {name} | {count:.2f} | {size / count if count else 0:,.0f} | {connections.get(name, 0)} |")
    return "\n".join([*lines, ""])


def machine() -> str:
    return f"{platform.machine()}, {psutil.cpu_count()} processors, Python {platform.python_version()}"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _median(series: Series, process: str) -> str:
    return f"{series.median_of(process):.2f}" if process in series.processes else ""
