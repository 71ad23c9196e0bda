"""A load second by second: what was sent, what came back in time, what processes used. Pure."""

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct

from loadgen.seen import Seen

BLOCK_S = 5.0


class Second(Struct, frozen=True, kw_only=True):
    """Searches that were meant to be sent in one second of the load (0 is its beginning, warm-up included)."""

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


def seconds(seen: Iterable[Seen]) -> list[Second]:
    by_second: dict[int, list[Seen]] = {}
    for s in seen:
        if s.request != "events" and not s.idle:
            by_second.setdefault(int(s.at_s), []).append(s)
    return [_second(at_s, rows) for at_s, rows in sorted(by_second.items())]


def _second(at_s: int, rows: list[Seen]) -> Second:
    times = [s.latency_ms for s in rows if s.good] or [0.0]
    p50, p99 = np.quantile(times, (0.5, 0.99)).tolist()
    good, refused = sum(s.good for s in rows), sum(s.status == 503 for s in rows)
    return Second(
        at_s=at_s,
        meant=len(rows),
        good=good,
        refused=refused,
        failed=len(rows) - good - refused,
        p50_ms=round(p50, 3),
        p99_ms=round(p99, 3),
    )


def blocks(seen: Iterable[Seen], warm_up_s: float, length_s: float) -> list[Block]:
    """The measured part in blocks of 5 s; what is left over at the end is left out."""
    whole = int(length_s / BLOCK_S)
    by_block: list[list[float]] = [[] for _ in range(whole)]
    for s in seen:
        number = int((s.at_s - warm_up_s) // BLOCK_S)
        if s.request != "events" and not s.idle and s.good and 0 <= number < whole:
            by_block[number].append(s.latency_ms)
    return [_block(warm_up_s + n * BLOCK_S, times) for n, times in enumerate(by_block) if times]


def _block(at_s: float, times: Sequence[float]) -> Block:
    p50, p99 = np.quantile(times, (0.5, 0.99)).tolist()
    mean = float(np.mean(times))
    return Block(at_s=at_s, count=len(times), per_second=len(times) / BLOCK_S, mean_ms=mean, p50_ms=p50, p99_ms=p99)
