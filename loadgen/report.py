"""The result of one load: kept as JSON, printed as tables."""

import datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from loadgen.stats import Share, StageReport, Times
from services.shop import write_atomically


class Requests(Struct, frozen=True):
    """One kind of request (`POST /search`, `next page`, ...): service time seen by the client, from send to last byte."""

    kind: str
    times: Times
    per_second: float
    failures: int


class Failure(Struct, frozen=True):
    kind: str
    reason: str
    count: int


class Result(Struct, frozen=True, kw_only=True):
    """Everything about one load. `settings` are those that reproduce it; the load is closed: shoppers wait for answers and think."""

    started_ms: int
    seconds: float
    settings: dict[str, str | int | float]
    requests: list[Requests]
    total: Requests
    stages: StageReport
    degraded: dict[str, int]
    generations: list[int]
    releases: list[int]
    failures: list[Failure]

    @property
    def ok(self) -> bool:
        """Something was asked, and nothing was wrong."""
        return self.total.times.count > 0 and not self.failures


def save(result: Result, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    when = datetime.datetime.fromtimestamp(result.started_ms / 1000, datetime.UTC).strftime("%Y%m%dT%H%M%S")
    path = folder / f"{when}.json"
    write_atomically(path, msgspec.json.format(msgspec.json.encode(result), indent=2))
    return path


def show(result: Result, console: Console) -> None:
    console.print(_requests(result))
    console.print(_stages(result.stages))
    console.print(
        f"\nlearned stages: {_share(result.stages.ai)}; all others: {_share(result.stages.other)}"
        f"\ngeneration {_list(result.generations)}, release {_list(result.releases)}"
    )
    if result.degraded:
        console.print("degraded answers: " + ", ".join(f"{reason} {count:,}" for reason, count in result.degraded.items()))
    for failure in result.failures:
        console.print(f"[red]failed[/] {failure.count:,} x {failure.kind}: {failure.reason}")
    if result.ok:
        console.print(f"[green]ok[/]: {result.total.times.count:,} answers, every one checked")
    else:
        console.print(f"[red]not ok[/]: {result.total.failures:,} of {result.total.times.count:,} requests failed or were answered wrongly")


def _requests(result: Result) -> Table:
    table = _table(f"{result.seconds:.0f} s of load", "request", "count", "per s", "mean", "p50", "p90", "p99", "max ms", "failed")
    for row in [*result.requests, result.total]:
        t = row.times
        numbers = [f"{ms:,.1f}" for ms in (t.mean_ms, t.p50_ms, t.p90_ms, t.p99_ms, t.max_ms)]
        table.add_row(row.kind, f"{t.count:,}", f"{row.per_second:,.1f}", *numbers, f"{row.failures:,}")
    return table


def _stages(report: StageReport) -> Table:
    title = f"stages of {report.requests:,} searches (Server-Timing)"
    table = _table(title, "stage", "of requests", "busy mean", "p50", "p99 ms", "critical path", "")
    for row in report.rows:
        numbers = [f"{ms:,.2f}" for ms in (row.busy.mean_ms, row.busy.p50_ms, row.busy.p99_ms)] if row.busy.count else ["", "", ""]
        table.add_row(
            row.stage, f"{row.requests:.0%}" if row.busy.count else "", *numbers, f"{row.critical_share:.1%}", "learned" if row.ai else ""
        )
    return table


def _table(title: str, first: str, *rest: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in rest:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    return table


def _share(share: Share) -> str:
    return f"busy {share.busy_ms:.2f} ms a search, {share.critical_share:.1%} of the critical path"


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
