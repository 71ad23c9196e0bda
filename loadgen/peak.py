"""The search for the highest rate that holds, and what lies beyond it. Pure: rates go out, whether they held comes in."""

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from loadgen.run import Run
from loadgen.timeline import Second
from services.errors import ConfigurationError

WIDEN = 1.6
CLOSE = 1.08
"""A bracket is closed when its ends differ by less than this factor."""
_SLO = re.compile(r"p(\d{2}(?:\.\d+)?)=(\d+(?:\.\d+)?)ms")


@dataclass(frozen=True, slots=True)
class Objective:
    """`p99=100ms`: the latency that a share of the searches may not exceed."""

    share: float
    limit_ms: float


def objective(text: str) -> Objective:
    """Raises ConfigurationError for anything else than p50, p90 or p99 with milliseconds."""
    if not (m := _SLO.fullmatch(text)) or m[1] not in ("50", "90", "99"):
        raise ConfigurationError(f"--slo {text!r}: as in p99=100ms (p50, p90 or p99)")
    return Objective(float(m[1]) / 100, float(m[2]))


def latency_ms(run: Run, share: float) -> float:
    t = run.total.latency
    return {0.5: t.p50_ms, 0.9: t.p90_ms}.get(share, t.p99_ms)


def holds(run: Run, slo: Objective) -> bool:
    return run.ok and latency_ms(run, slo.share) <= slo.limit_ms


@dataclass
class Bracket:
    """Rates that held and that did not, and the next one to try. `least`: below it, nothing is tried."""

    start: float
    least: float = 1.0
    close: float = CLOSE
    low: float = 0.0
    high: float = float("inf")
    tried: list[tuple[float, bool]] = field(default_factory=list)

    def next(self) -> float | None:
        """None when the bracket is closed (or nothing holds at all)."""
        if not self.tried:
            return self.start
        if self.high == float("inf"):
            return self.low * WIDEN
        if self.low == 0.0:
            return self.high / WIDEN if self.high / WIDEN >= self.least else None
        return (self.low * self.high) ** 0.5 if self.high / self.low > self.close else None

    def tell(self, rate: float, held: bool) -> None:
        """A rate that held below one that did not before is believed all the same: the higher failure stays the upper end."""
        self.tried.append((rate, held))
        if held:
            self.low = max(self.low, rate)
        else:
            self.high = min(self.high, rate)
        if self.low >= self.high:
            self.low = max((r for r, h in self.tried if h and r < self.high), default=0.0)


def search(bracket: Bracket, held: Callable[[float], bool]) -> Bracket:
    """Widen from the bracket's start, then bisect; what is found so far is in the bracket, should `held` be interrupted."""
    while (rate := bracket.next()) is not None:
        bracket.tell(rate, held(rate))
    return bracket


class Peak(Struct, frozen=True, kw_only=True):
    """The median of the repetitions, with the lowest rate that held in any and the highest that did not as its interval.
    `high` None: it was interrupted before any rate had failed."""

    rate: float
    low: float
    high: float | None
    repetitions: list[float]


def conclude(brackets: Sequence[Bracket]) -> Peak | None:
    """None when there is no bracket."""
    if not brackets:
        return None
    peaks = [b.low for b in brackets]
    high = max((b.high for b in brackets if b.high != float("inf")), default=None)
    return Peak(rate=statistics.median(peaks), low=min(peaks), high=high, repetitions=peaks)


# ---- beyond it ----


class Beyond(Struct, frozen=True, kw_only=True):
    """Goodput: searches answered well and within `--good-ms` of the moment they were meant for, per second. `recovered_s` None: not before the load ended."""

    offered: float
    goodput: float
    peak_goodput: float
    recovered_s: float | None
    refused: float
    failed: float


GOOD_AGAIN = 0.95


def beyond(seconds: Sequence[Second], start_s: float, length_s: float, peak_goodput: float) -> Beyond:
    """Of a spike: what was good in it, and how many seconds after it all later seconds were good again."""
    during = [s for s in seconds if start_s + 1 <= s.at_s < start_s + length_s]
    after = [s for s in seconds if s.at_s >= start_s + length_s]
    n = max(1, len(during))
    bad = [s.at_s for s in after if s.good < GOOD_AGAIN * s.meant]
    last_bad = max(bad, default=None)
    recovered = 0.0 if last_bad is None else last_bad + 1 - (start_s + length_s)
    never = last_bad is not None and last_bad >= max(s.at_s for s in after) - 1
    return Beyond(
        offered=sum(s.meant for s in during) / n,
        goodput=sum(s.good for s in during) / n,
        peak_goodput=peak_goodput,
        recovered_s=None if never or not after else recovered,
        refused=sum(s.refused for s in during) / n,
        failed=sum(s.failed for s in during) / n,
    )


def saturates(low: Run, high: Run) -> list[tuple[str, float, float, float]]:
    """(what, at the low rate, at the high rate, factor): stages by how much longer their mean became, most first."""
    before = {r.part: r.times.mean_ms for r in low.where}
    rows = [
        (r.part, before[r.part], r.times.mean_ms, r.times.mean_ms / before[r.part])
        for r in high.where
        if before.get(r.part, 0) > 0.005 and r.part != "whole search"
    ]
    return sorted(rows, key=lambda row: -(row[2] - row[1]))


def busiest(run: Run) -> list[tuple[str, float, float]]:
    """(process, mean cores in use, last MB), most first; the generator last."""
    names = dict.fromkeys(s.process for s in run.resources)
    rows = []
    for name in names:
        own = [s for s in run.resources if s.process == name]
        rows.append((name, sum(s.cpu for s in own) / len(own), own[-1].rss_mb))
    return sorted(rows, key=lambda row: -row[1])
