"""`aisle top`: what the running system does now, in the terminal; from the same /metrics and /readyz that Prometheus and `aisle status` read."""

import math
import sys
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import click
import httpx
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.layout import SERVICES
from deploy.readings import Change, Reading, Times, parse
from deploy.running import running_planner
from deploy.state import RunState, ServiceState, StateFile
from deploy.status import MB, duration, readiness
from services.errors import ConfigurationError
from services.shop import home

WINDOW_S = 10.0
"""Rates and quantiles are of so many seconds, or of as many as it has watched."""
NOTHING = Reading(0.0)
BAR = 24
ROWS_OF_THE_REST = 13


@dataclass(frozen=True, slots=True)
class Look:
    """One look at everything: a reading per service (none when it does not answer), whether it is ready."""

    at_s: float
    readings: Mapping[str, Reading]
    ready: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Watched:
    """What is shown: the newest look, and what changed in the window before it."""

    run: RunState
    look: Look
    changes: Mapping[str, Change]


@click.command()
@click.option("--interval", default=1.0, show_default=True, type=click.FloatRange(0.2, 60), help="Seconds between two looks.")
@click.option("--once", is_flag=True, help="Print what one interval shows, and end (for a pipe or a file).")
def top(interval: float, once: bool) -> None:
    """What the running system does now: rate, p50 and p99 per service and stage, CPU, what was left out, generation, release.

    Ctrl-C ends it; the system runs on. Numbers are of the last 10 seconds.

    \b
    Examples:
      aisle top
      aisle top --once --interval 5 > now.txt
    """
    state = StateFile(home())
    running_planner(state)
    looks: deque[Look] = deque([_look(state)])
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        if once:
            time.sleep(interval)
            console.print(render(_watch(state, looks), stages=100))
            return
        with Live(console=console, screen=sys.stdout.isatty(), auto_refresh=False) as live:
            while True:
                time.sleep(interval)
                live.update(render(_watch(state, looks), stages=max(3, console.height - ROWS_OF_THE_REST)), refresh=True)
    except KeyboardInterrupt:
        return


def _run(state: StateFile) -> RunState:
    run = state.read()
    if run is None:
        raise ConfigurationError("the system was stopped; `aisle up` starts it")
    return run


def _services(run: RunState) -> list[ServiceState]:
    return [s for s in run.services if s.name in SERVICES]


def _watch(state: StateFile, looks: deque[Look]) -> Watched:
    looks.append(_look(state))
    while len(looks) > 2 and looks[-1].at_s - looks[1].at_s >= WINDOW_S:
        looks.popleft()
    newest, oldest = looks[-1], looks[0]
    changes = {name: Change(oldest.readings.get(name, Reading(oldest.at_s)), reading) for name, reading in newest.readings.items()}
    return Watched(_run(state), newest, changes)


def _look(state: StateFile) -> Look:
    services = _services(_run(state))
    with ThreadPoolExecutor(2 * len(SERVICES)) as pool:
        readings = pool.map(_read, services)
        ready = pool.map(lambda s: readiness(s)[0], services)
    return Look(
        time.monotonic(),
        {s.name: r for s, r in zip(services, readings, strict=True) if r is not None},
        dict(zip([s.name for s in services], ready, strict=True)),
    )


def _read(service: ServiceState) -> Reading | None:
    if service.process is None:
        return None
    try:
        return parse(httpx.get(f"{service.address}/metrics", timeout=2.0).text, time.monotonic())
    except httpx.HTTPError:
        return None


# ---- what it looks like; pure from here on ----


def render(watched: Watched, *, stages: int) -> RenderableType:
    """With the `stages` that take the most time."""
    return Group(_head(watched), Text(), _service_table(watched), Text(), _left_out(watched), Text(), _stage_table(watched, stages))


def _head(watched: Watched) -> Text:
    change = watched.changes.get("planner")
    searches = change.times("aisle_request_seconds", "route").get("/search") if change else None
    good = change.grown("aisle_objective_total", "outcome") if change else {}
    total = sum(good.values())
    text = Text.assemble((f"AIsle · shop {watched.run.shop}", "bold"), f" · up for {duration(watched.run.since_ms)}\n")
    text.append(f"searches {_number(searches.rate if searches else 0.0)}/s", "bold cyan")
    text.append(f"   p50 {_ms(searches.p50_ms if searches else math.nan)}   p99 {_ms(searches.p99_ms if searches else math.nan)}")
    text.append(f"   good (within 250 ms) {good.get('good', 0) / total:.1%}" if total else "   good (within 250 ms) -")
    failed = good.get("failed", 0.0)
    text.append(f"   failed {failed:.0f}", "bold red" if failed else "")
    return text


def _service_table(watched: Watched) -> Table:
    table = _table("service", "requests/s", "p50", "p99", "in flight", "waiting", "CPU", "memory", "generation", "release", "state")
    for service in _services(watched.run):
        change = watched.changes.get(service.name)
        ready = watched.look.ready.get(service.name, False)
        state = Text("ready", "green") if ready else Text("down" if change is None else "not ready", "bold red")
        table.add_row(service.name, *(_service_row(change) if change else ["-"] * 9), state)
    return table


def _service_row(change: Change) -> list[str]:
    now = change.after
    times = change.times("aisle_request_seconds", "").get("")
    memory = now.value("process_resident_memory_bytes")
    return [
        _number(times.rate if times else 0.0),
        _ms(times.p50_ms if times else math.nan),
        _ms(times.p99_ms if times else math.nan),
        _whole(now.value("aisle_in_flight")),
        _whole(now.value("aisle_waiting")),
        f"{change.rate('process_cpu_seconds_total'):.0%}",
        f"{memory / MB:,.0f} MB" if memory else "-",
        _whole(now.value("aisle_version", artifact="generation")),
        _whole(now.value("aisle_version", artifact="release")),
    ]


def _stage_table(watched: Watched, limit: int) -> Table:
    table = _table("stage", "runs/s", "mean", "p50", "p99", "")
    rows = [
        (service, stage, times)
        for service, change in watched.changes.items()
        for stage, times in change.times("aisle_stage_seconds", "stage").items()
        if times.rate > 0
    ]
    most = {id(row) for row in sorted(rows, key=lambda row: -row[2].rate * row[2].mean_ms)[:limit]}
    rows = [row for row in rows if id(row) in most]
    longest = max((t.mean_ms for _, _, t in rows), default=1.0)
    for service, stage, times in rows:
        table.add_row(f"{service} {stage}", *_stage_row(times), Text("█" * round(BAR * times.mean_ms / longest), "cyan"))
    if not rows:
        table.add_row("no requests in this window", *[""] * 5)
    return table


def _stage_row(times: Times) -> list[str]:
    return [_number(times.rate), _ms(times.mean_ms), _ms(times.p50_ms), _ms(times.p99_ms)]


def _left_out(watched: Watched) -> Text:
    """What answers went without, now and since the start."""
    change = watched.changes.get("planner")
    if change is None:
        return Text("the planner does not answer", "bold red")
    now = change.grown("aisle_degraded_total", "reason")
    since = Change(NOTHING, change.after).grown("aisle_degraded_total", "reason")
    parts = [f"{reason} {now.get(reason, 0):.0f} (since start {count:,.0f})" for reason, count in since.items() if count]
    lag = watched.changes["recommender"].after.value("aisle_graph_lag") if "recommender" in watched.changes else None
    return Text(f"degraded: {', '.join(parts) or 'nothing'}   graph lag: {_whole(lag)} records", "yellow" if any(now.values()) else "")


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number == 0 or name in ("", "state") else "right", no_wrap=True)
    return table


def _ms(ms: float) -> str:
    return "-" if math.isnan(ms) else f"{ms:.2f} ms" if ms < 10 else f"{ms:,.0f} ms"


def _number(value: float) -> str:
    return f"{value:,.1f}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
