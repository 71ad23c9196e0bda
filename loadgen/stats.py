"""The table of stages that the waterfalls of answers make. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct

from loadgen.hdr import Distribution
from services.waterfall import AI_STAGES, Waterfall, busy, critical_path


class Times(Struct, frozen=True):
    """A distribution, summed up."""

    count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def times(distribution: Distribution) -> Times:
    p50, p90, p99 = (round(distribution.quantile_ms(q), 3) for q in (0.5, 0.9, 0.99))
    return Times(distribution.count, round(distribution.mean_ms, 3), p50, p90, p99, round(distribution.max_ms, 3))


class StageRow(Struct, frozen=True):
    """One stage: how long it was busy when it ran, in which share of requests it ran, its share of the critical path of all time."""

    stage: str
    ai: bool
    requests: float
    busy: Times
    critical_share: float


class Share(Struct, frozen=True):
    """AI stages against all others: mean busy milliseconds per request, and share of the critical path."""

    busy_ms: float
    critical_share: float


class StageReport(Struct, frozen=True):
    requests: int
    rows: list[StageRow]
    ai: Share
    other: Share


class StageTable:
    """Collects the waterfalls of answers."""

    def __init__(self) -> None:
        self._busy: defaultdict[str, Distribution] = defaultdict(Distribution)
        self._critical: dict[str, float] = {}
        self._total_ms = 0.0
        self._requests = 0

    def add(self, waterfall: Waterfall) -> None:
        self._requests += 1
        self._total_ms += waterfall.total_ms
        for stage, ms in busy(waterfall).items():
            self._busy[stage].add(ms)
        for stage, ms in critical_path(waterfall).items():
            self._critical[stage] = self._critical.get(stage, 0.0) + ms

    def report(self) -> StageReport:
        """Rows by their share of the critical path, largest first."""
        names = sorted({*self._busy, *self._critical}, key=lambda n: -self._critical.get(n, 0.0))
        rows = [self._row(name) for name in names]
        return StageReport(self._requests, rows, self._share(r for r in rows if r.ai), self._share(r for r in rows if not r.ai))

    def _row(self, name: str) -> StageRow:
        distribution = self._busy.get(name) or Distribution()
        share = distribution.count / self._requests if self._requests else 0.0
        critical = self._critical.get(name, 0.0) / self._total_ms if self._total_ms else 0.0
        return StageRow(name, is_ai(name), round(share, 4), times(distribution), critical)

    def _share(self, rows: Iterable[StageRow]) -> Share:
        chosen = list(rows)
        sum_ms = sum(self._busy[r.stage].sum_ms for r in chosen if r.stage in self._busy)
        return Share(round(sum_ms / max(1, self._requests), 3), sum(r.critical_share for r in chosen))


def is_ai(stage: str) -> bool:
    return stage in AI_STAGES
