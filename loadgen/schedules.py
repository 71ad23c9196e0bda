"""When requests are meant to be sent. Pure and seeded: a schedule knows no server, so that a slow one cannot slow it down.

A schedule is a sequence of slots in the order of time. All processes of a load make the same schedule, and each sends the chains that
are its own (`share`), so that one process and many send the same.
"""

import itertools
import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loadgen.sessions import sessions
from services.errors import ConfigurationError

CHUNK = 4096
MIN_GAP_S, MAX_GAP_S = 0.5, 20.0
"""Open arrivals: a page is turned not sooner and not later than so many seconds after the one before was meant to be asked for."""
SESSION_LOOKBACK_S = 3 * 3600.0
"""Sessions that began so long before the load are under way when it begins; else their rate would rise for hours."""

UNDER_WAY_S = 120.0
"""Of those whose first request in the load comes later, that request asks anew: they are few, and asking for all at once would be a load of its own."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One request: seconds since the load began, which chain of requests (one shopper's) it belongs to, whether it turns a page."""

    at_s: float
    chain: int
    turn: bool


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests per second over time: straight lines between the points (seconds, rate); before and after them as at the ends."""

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not self.points or any(rate < 0 for _, rate in self.points) or list(self.points) != sorted(self.points, key=lambda p: p[0]):
            raise ConfigurationError(f"a rate needs points in the order of time, none below 0, not {list(self.points)}")

    def counted(self, seconds: float, steps_per_s: int = 50) -> tuple[np.ndarray, np.ndarray]:
        """(t, expected requests until t), on a grid."""
        t = np.linspace(0.0, seconds, max(2, int(seconds * steps_per_s) + 1))
        x, y = zip(*self.points, strict=True)
        rate = np.interp(t, x, y)
        return t, np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(t))])


def constant(rate: float) -> Rate:
    return Rate(((0.0, rate),))


def ramp(first: float, last: float, seconds: float) -> Rate:
    return Rate(((0.0, first), (seconds, last)))


def spike(base: float, top: float, start_s: float, length_s: float) -> Rate:
    """`top` for `length_s` seconds from `start_s` on, `base` else; the edges take a tenth of a second."""
    edge = 0.1
    return Rate(((0.0, base), (start_s, base), (start_s + edge, top), (start_s + length_s, top), (start_s + length_s + edge, base)))


def fixed(rate: Rate, seconds: float) -> Iterator[float]:
    """Evenly spread: as many as the rate says, each when the next whole one is due."""
    t, expected = rate.counted(seconds)
    yield from np.interp(np.arange(0.0, float(expected[-1])), expected, t).tolist()


def poisson(rate: Rate, seconds: float, seed: int) -> Iterator[float]:
    """Independent arrivals: a Poisson process of rate 1 on the scale of expected requests, mapped back to time."""
    rng = np.random.default_rng([seed, 1])
    t, expected = rate.counted(seconds)
    now = 0.0
    while True:
        due = now + np.cumsum(rng.exponential(size=CHUNK))
        yield from np.interp(due[due < expected[-1]], expected, t).tolist()
        if due[-1] >= expected[-1]:
            return
        now = float(due[-1])


def replay(offsets_s: Sequence[float], seconds: float, pace: float = 1.0) -> Iterator[float]:
    """Arrivals of a recorded trace, from its first on, `pace` times as fast."""
    for at_s in offsets_s:
        if (moved := (at_s - offsets_s[0]) / pace) >= seconds:
            return
        yield moved


def read_trace(path: Path) -> list[float]:
    """One line for each request: seconds (any zero), in order; further columns after a comma are passed over. Raises ConfigurationError."""
    try:
        offsets = [float(line.partition(",")[0]) for line in path.read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"trace {path}: {error}; a trace has one time in seconds a line") from None
    if not offsets or offsets != sorted(offsets):
        raise ConfigurationError(f"trace {path}: needs times in ascending order")
    return offsets


def chained(arrivals: Iterable[float], turn: float, seed: int) -> Iterator[Slot]:
    """Arrivals as slots: a share `turn` of them turns a page of a chain that asked lately (as far as there is one), the rest begins one."""
    rng = np.random.default_rng([seed, 2])
    open_: deque[tuple[float, int]] = deque()
    draws: Iterator[float] = itertools.chain.from_iterable(iter(lambda: rng.random(CHUNK).tolist(), None))
    chains = itertools.count()
    for at_s in arrivals:
        while open_ and open_[0][0] < at_s - MAX_GAP_S:
            open_.popleft()
        if next(draws) < turn and open_ and open_[0][0] <= at_s - MIN_GAP_S:
            _, chain = open_.popleft()
            slot = Slot(at_s, chain, True)
        else:
            slot = Slot(at_s, next(chains), False)
        open_.append((at_s, slot.chain))
        yield slot


def in_sessions(sessions_per_s: float, seconds: float, seed: int, *, pace: float = 1.0, warm_up_s: float = 0.0) -> Iterator[Slot]:
    """Sessions that begin at random moments and go on in their own time; of those under way at the start, what comes after it. What they had
    asked for before is asked in the warm-up, where it is needed within UNDER_WAY_S: else they had nothing whose page they could turn."""
    lookback = SESSION_LOOKBACK_S / pace
    starts = np.fromiter(poisson(constant(sessions_per_s), lookback + seconds, seed), np.float64) - lookback
    all_ = sessions(starts, np.random.default_rng([seed, 3]), pace=pace)
    rows = np.flatnonzero((all_.at_s >= 0) & (all_.at_s < seconds))
    rows = rows[np.argsort(all_.at_s[rows], kind="stable")]
    at_s, session, turns = all_.at_s[rows], all_.session[rows], all_.turns[rows]
    _, firsts = np.unique(session, return_index=True)
    under_way = firsts[turns[firsts] & (at_s[firsts] < UNDER_WAY_S)] if warm_up_s > 0 else firsts[:0]
    earlier_s = np.minimum(at_s[under_way], warm_up_s) * np.random.default_rng([seed, 4]).random(len(under_way))
    at_s, session = np.concatenate([earlier_s, at_s]), np.concatenate([session[under_way], session])
    turns = np.concatenate([np.zeros(len(under_way), np.bool_), turns])
    order = np.argsort(at_s, kind="stable")
    return itertools.starmap(Slot, zip(at_s[order].tolist(), session[order].tolist(), turns[order].tolist(), strict=True))


def thinking(mean_s: float, seed: int, shopper: int) -> Iterator[float]:
    """Seconds that a shopper of a closed loop thinks, each time: exponential."""
    rng = random.Random(f"{seed}:think:{shopper}")
    while True:
        yield rng.expovariate(1 / mean_s)


def share(slots: Iterable[Slot], index: int, of: int) -> Iterator[Slot]:
    """What process `index` of so many sends."""
    return (slot for slot in slots if slot.chain % of == index)
