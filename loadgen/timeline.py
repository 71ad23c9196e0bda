"""A load second by second: what was sent, what came back in time, what processes used. Pure."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct

from loadgen.seen import Request, Seen

BLOCK_S = 5.0
MAX_REASONS = 50
REFUSED = 503


class Second(Struct, frozen=True, kw_only=True):
    """Searches that were meant to be sent in one second of the load (0 is its beginning, warm-up included). `good`: answered well and within
    the time that makes goodput; `failed`: neither that nor refused."""

    at_s: int
    meant: int
    good: int
    refused: int
    failed: int
    p50_ms: float
    p99_ms: float


class Block(Struct, frozen=True, kw_only=True):
    """Some seconds of the measured part: what runs are compared by, since neighbours in time are alike."""

    at_s: float
    count: int
    per_second: float
    mean_ms: float
    p50_ms: float
    p99_ms: float


class Sample(Struct, frozen=True, kw_only=True):
    """One process of the system in one second: cores in use, resident memory."""

    at_s: float
    process: str
    cpu: float
    rss_mb: float


class Timeline:
    """Counts every request of a load when its record comes in; keeps eight bytes of each search (its latency, for the second and the block)."""

    def __init__(self, warm_up_s: float, good_ms: float) -> None:
        self._warm_up_s, self._good_ms = warm_up_s, good_ms
        self.counts: Counter[Request] = Counter()
        """Of the measured part, as `failed` (no good answer), `unanswered` (none that counts as one) and `reasons` (why) are."""
        self.failed: Counter[Request] = Counter()
        self.unanswered: Counter[tuple[Request, str]] = Counter()
        self.reasons: Counter[tuple[Request, str]] = Counter()
        self._meant: Counter[int] = Counter()
        self._refused: Counter[int] = Counter()
        self._late: Counter[int] = Counter()
        self._times: defaultdict[int, array[float]] = defaultdict(lambda: array("f"))
        self._blocks: defaultdict[int, array[float]] = defaultdict(lambda: array("f"))

    def add(self, s: Seen) -> None:
        if s.idle:
            return
        if s.at_s >= self._warm_up_s:
            self._measured(s)
        if s.request == "events":
            return
        second = int(s.at_s)
        self._meant[second] += 1
        if s.good:
            self._times[second].append(s.latency_ms)
            self._late[second] += s.latency_ms > self._good_ms
            if s.at_s >= self._warm_up_s:
                self._blocks[int((s.at_s - self._warm_up_s) // BLOCK_S)].append(s.latency_ms)
        elif s.status == REFUSED:
            self._refused[second] += 1

    @property
    def searches(self) -> int:
        """Of the measured part."""
        return self.counts["first"] + self.counts["next"]

    def _measured(self, s: Seen) -> None:
        self.counts[s.request] += 1
        if s.good:
            return
        self.failed[s.request] += 1
        if s.failure is not None:
            _count(self.unanswered, (s.request, s.failure))
        for reason in [s.failure] if s.failure else s.wrong:
            _count(self.reasons, (s.request, reason))

    def seconds(self) -> list[Second]:
        return [self._second(at_s) for at_s in sorted(self._meant)]

    def _second(self, at_s: int) -> Second:
        times = self._times.get(at_s, array("f"))
        p50, p99 = np.quantile(times, (0.5, 0.99)).tolist() if times else (0.0, 0.0)
        meant, good, refused = self._meant[at_s], len(times) - self._late[at_s], self._refused[at_s]
        return Second(
            at_s=at_s,
            meant=meant,
            good=good,
            refused=refused,
            failed=meant - good - refused,
            p50_ms=round(p50, 3),
            p99_ms=round(p99, 3),
        )

    def blocks(self, length_s: float) -> list[Block]:
        """The measured part in blocks of 5 s; what is left over at its end is left out."""
        whole = int(length_s / BLOCK_S)
        return [_block(self._warm_up_s + n * BLOCK_S, times) for n, times in sorted(self._blocks.items()) if n < whole]


def count(seen: Iterable[Seen], warm_up_s: float, good_ms: float = 0.0) -> Timeline:
    timeline = Timeline(warm_up_s, good_ms)
    for s in seen:
        timeline.add(s)
    return timeline


def _count(reasons: Counter[tuple[Request, str]], reason: tuple[Request, str]) -> None:
    """Reasons are few; what more come are counted together."""
    reasons[reason if reason in reasons or len(reasons) < MAX_REASONS else (reason[0], "other reasons")] += 1


def _block(at_s: float, times: Sequence[float]) -> Block:
    p50, p99 = np.quantile(times, (0.5, 0.99)).tolist()
    mean = float(np.mean(times))
    return Block(at_s=at_s, count=len(times), per_second=len(times) / BLOCK_S, mean_ms=mean, p50_ms=p50, p99_ms=p99)
