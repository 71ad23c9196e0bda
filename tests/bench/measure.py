"""What the bench measures and concludes. Pure, but for reading CPU times."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

ALLOWED = 2.0
"""System minus floor may cost this many times five bare hops."""


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system time of each process since it started."""
    times = {name: psutil.Process(pid).cpu_times() for name, pid in pids.items()}
    return {name: t.user + t.system for name, t in times.items()}


def per_search_ms(before: Mapping[str, float], after: Mapping[str, float], searches: int) -> dict[str, float]:
    return {name: (after[name] - before[name]) * 1000 / searches for name in after}


@dataclass(frozen=True, slots=True)
class Series:
    """CPU milliseconds per search of one contender: per process, one number a round."""

    rounds: list[dict[str, float]]

    @property
    def totals(self) -> list[float]:
        return [sum(r.values()) for r in self.rounds]

    @property
    def median(self) -> float:
        return statistics.median(self.totals)

    def median_of(self, process: str) -> float:
        return statistics.median(r[process] for r in self.rounds)

    @property
    def processes(self) -> list[str]:
        return list(self.rounds[0])


@dataclass(frozen=True, slots=True)
class Verdict:
    system: float
    floor: float
    hops: float

    @property
    def ratio(self) -> float:
        return (self.system - self.floor) / self.hops

    @property
    def ok(self) -> bool:
        return self.ratio <= ALLOWED

    def __str__(self) -> str:
        return (
            f"system {self.system:.2f} - floor {self.floor:.2f} = {self.system - self.floor:.2f} ms CPU a search "
            f"= {self.ratio:.2f} x five bare hops ({self.hops:.2f} ms); allowed is {ALLOWED:.0f} x: {'ok' if self.ok else 'NOT OK'}"
        )


def spread(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"
