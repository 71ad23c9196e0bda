"""Collects what a load saw, request by request, and sums it up. Knows nothing of Locust."""

import time
from collections import Counter
from collections.abc import Mapping

from loadgen.report import Failure, Requests, Result
from loadgen.stats import Distribution, StageTable, times
from services.contracts import SearchAnswer
from services.waterfall import parse

MAX_REASONS = 50
"""Different failures that are told apart; the rest is counted together."""


class Recorder:
    """One load."""

    def __init__(self, settings: Mapping[str, str | int | float]) -> None:
        self.settings = dict(settings)
        self.started = time.time()
        self.began = time.perf_counter()
        self._times: dict[str, Distribution] = {}
        self._all = Distribution()
        self._failed: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._stages = StageTable()
        self._degraded: Counter[str] = Counter()
        self._generations: set[int] = set()
        self._releases: set[int] = set()

    def request(self, kind: str, ms: float, failure: str | None) -> None:
        """One request that ended, after `ms`, well or with a reason why not."""
        self._times.setdefault(kind, Distribution()).add(ms)
        self._all.add(ms)
        if failure is not None:
            self._failed[kind] += 1
            known = (kind, failure) in self._reasons or len(self._reasons) < MAX_REASONS
            self._reasons[(kind, failure) if known else (kind, "other reasons")] += 1

    def answer(self, answer: SearchAnswer, server_timing: str) -> list[str]:
        """One page that came; returns what is wrong with its timing."""
        self._degraded.update(answer.degraded)
        self._generations.add(answer.generation)
        if answer.release is not None:
            self._releases.add(answer.release)
        waterfall = parse(server_timing)
        if waterfall is None:
            return ["no `total` in Server-Timing"]
        self._stages.add(waterfall)
        return []

    def line(self, users: int) -> str:
        """How it goes, in one line."""
        seconds = time.perf_counter() - self.began
        t, failed = times(self._all), self._failed.total()
        return f"{seconds:5.0f} s  {users:,} shoppers  {t.count / seconds:,.1f} requests/s  p50 {t.p50_ms:.1f} ms  p99 {t.p99_ms:.1f} ms  {failed:,} failed"

    def result(self) -> Result:
        seconds = max(1e-9, time.perf_counter() - self.began)
        kinds = [Requests(k, times(d), round(d.count / seconds, 2), self._failed[k]) for k, d in sorted(self._times.items())]
        return Result(
            started_ms=int(self.started * 1000),
            seconds=round(seconds, 3),
            settings=self.settings,
            requests=kinds,
            total=Requests("all", times(self._all), round(self._all.count / seconds, 2), self._failed.total()),
            stages=self._stages.report(),
            degraded=dict(self._degraded.most_common()),
            generations=sorted(self._generations),
            releases=sorted(self._releases),
            failures=[Failure(kind, reason, count) for (kind, reason), count in self._reasons.most_common()],
        )
