"""What one answer's `Server-Timing` says about where its time went. Pure.

Every entry is `stage;dur=..;start=..` in milliseconds since the request arrived at the planner (services/timing.py). A hop to another
service is an entry of its own (`rank`), with what happened there below its name (`rank.features`) and what the network took (`rank.net`).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_ENTRY = re.compile(r"([\w.:-]+);dur=([\d.]+);start=([\d.]+)")
TOTAL = "total"
NET = "net"
OTHER = "other"
"""Time that no entry covers: decoding, waiting for the event loop, glue."""
AI_STAGES = ("analyse.categories", "preferences.encode", "preferences.inference", "rank.inference")
"""Stages in which a learned model works: fastText, the network over behaviours, its heads, the ranking network."""


_ROUNDING_MS = 0.01  # the header rounds to microseconds, so that a stage may seem to end after the one that followed it has begun


@dataclass(frozen=True, slots=True)
class Interval:
    """One stage of one request, in milliseconds since its arrival."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    """All intervals of one request and how long it took."""

    total_ms: float
    intervals: tuple[Interval, ...]


def parse(header: str) -> Waterfall | None:
    """None when the header has no `total`, which every answer of the planner has."""
    entries = [Interval(m[1], float(m[3]), float(m[3]) + float(m[2])) for m in _ENTRY.finditer(header)]
    total = next((e.end for e in entries if e.name == TOTAL), None)
    return None if total is None else Waterfall(total, tuple(e for e in entries if e.name != TOTAL))


def busy(waterfall: Waterfall) -> dict[str, float]:
    """Milliseconds per stage, wherever it ran; a hop itself is left out, since its parts are there. Overlapping work counts in full."""
    hops = {e.name.rpartition(".")[0] for e in waterfall.intervals}
    times: dict[str, float] = {}
    for entry in waterfall.intervals:
        if entry.name not in hops:
            times[entry.name] = times.get(entry.name, 0.0) + entry.end - entry.start
    return times


def critical_path(waterfall: Waterfall) -> dict[str, float]:
    """Milliseconds per stage on the chain of stages that made the request as long as it was; they add up to `total_ms`.

    Walked back from the end: what ended last before this moment is what this moment waited for. Inside a hop the same, and what its
    parts do not cover is the network's (as much as it took), then the callee's `other`.
    """
    return _walk(waterfall.intervals, "", 0.0, waterfall.total_ms)


def _walk(intervals: Sequence[Interval], prefix: str, start: float, end: float) -> dict[str, float]:
    """The path through [start, end] by the entries directly below `prefix`, that is without another entry between."""
    names = {e.name for e in intervals}
    own = [e for e in intervals if e.name.startswith(prefix) and e.name != prefix + NET and not _between(e.name, prefix, names)]
    path: dict[str, float] = {}
    gap, now = 0.0, end
    while last := _last_before(own, start, now):
        begin, finish = max(start, last.start), min(last.end, now)
        gap += now - finish
        inside = f"{last.name}."
        parts = (
            _walk(intervals, inside, begin, finish) if any(e.name.startswith(inside) for e in intervals) else {last.name: finish - begin}
        )
        _add(path, parts.items())
        now = begin
    gap += now - start
    here = [min(e.end, end) - max(e.start, start) for e in intervals if e.name == prefix + NET]  # a hop may be made twice
    network = min(gap, sum(ms for ms in here if ms > 0))
    _add(path, [(prefix + NET, network), (prefix + OTHER, gap - network)])
    return path


def _between(name: str, prefix: str, names: set[str]) -> bool:
    """Whether the stage is part of another one below `prefix`."""
    parts = name.split(".")
    return any(len(above) >= len(prefix) and above in names for above in (".".join(parts[:n]) for n in range(1, len(parts))))


def _last_before(intervals: Iterable[Interval], start: float, now: float) -> Interval | None:
    """The interval that ended last within (start, now], the longest of several; None when there is none that takes time."""
    ended = [e for e in intervals if e.end <= now + _ROUNDING_MS and max(e.start, start) < min(e.end, now)]
    return max(ended, key=lambda e: (min(e.end, now), -e.start), default=None)


def _add(path: dict[str, float], parts: Iterable[tuple[str, float]]) -> None:
    for name, ms in parts:
        if ms > 0:
            path[name] = path.get(name, 0.0) + ms
