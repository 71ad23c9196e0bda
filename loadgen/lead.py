"""Puts together what the processes of a load saw: keeps the records, says how it goes, and makes the run of it. Knows nothing of Locust."""

import os
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import psutil
from msgspec import structs

from loadgen import judge, rules, where
from loadgen.collector import Totals, merge
from loadgen.hdr import Distribution
from loadgen.options import Wish
from loadgen.quality import measure, rule, shoppers
from loadgen.rules import Finding
from loadgen.run import (
    FORMAT,
    Calibration,
    Failure,
    Generator,
    Requests,
    Run,
    code_version,
    machine,
    name_of,
)
from loadgen.seen import REQUESTS, Request, Seen, SeenFile
from loadgen.shelf import Shelf
from loadgen.stats import StageTable, times
from loadgen.timeline import Sample, Timeline
from services.waterfall import parse

SCHEDULE = "the schedule is kept"
RECENT = 2000
TIMINGS = 20_000
"""Server-Timing headers that tables are made of, at most, evenly spread over what is graded."""


class Watch:
    """CPU and memory of the system's processes, once a second."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {}
        for name, pid in pids.items():
            try:
                self._processes[name] = psutil.Process(pid)
            except psutil.NoSuchProcess:
                continue
        self.samples: list[Sample] = []
        self._last: dict[str, tuple[float, float]] = {}

    def sample(self, at_s: float) -> None:
        for name, process in self._processes.items():
            try:
                used = process.cpu_times()
                rss_mb = process.memory_info().rss / 1e6
            except psutil.NoSuchProcess:
                continue
            cpu_s = used.user + used.system
            now, before = time.perf_counter(), self._last.get(name)
            self._last[name] = (now, cpu_s)
            if before and at_s > 0:  # by the real clock: that of the load stands still until it begins
                cores = (cpu_s - before[1]) / (now - before[0])
                self.samples.append(Sample(at_s=round(at_s, 1), process=name, cpu=round(cores, 3), rss_mb=round(rss_mb, 1)))


class Lead:
    """One load, from its beginning to its run."""

    def __init__(self, wish: Wish, shelf: Shelf, root: Path, results: Path | None, pids: Mapping[str, int]) -> None:
        self.wish, self.shelf, self.root, self.results = wish, shelf, root, results
        self.started_ms = int(time.time() * 1000)
        self.watch = Watch(pids)
        self._load_before = os.getloadavg()[0]
        self._file = self._answers()
        self._timeline = Timeline(wish.warm_up_s, wish.good_ms)
        self._totals: list[Totals] = []
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._count = self._failed = self._processes = 0
        self._began: float | None = None
        self._ended_s: float | None = None

    def _answers(self) -> SeenFile:
        """A file of its own: loads that begin in the same millisecond have names of the next ones."""
        while True:
            try:
                return SeenFile(self.results / f"{name_of(self.started_ms)}.answers.jsonl" if self.results else None, self.wish.graded)
            except FileExistsError:
                self.started_ms += 1

    def begin(self, in_s: float, processes: int = 1) -> None:
        """So many processes were told to send."""
        self._began, self._processes = time.perf_counter() + in_s, processes

    @property
    def clock_s(self) -> float:
        """Seconds since the load began, warm-up included; 0 before."""
        return max(0.0, time.perf_counter() - self._began) if self._began is not None else 0.0

    def take(self, batch: Sequence[Seen]) -> None:
        """Records of a process."""
        self._file.write(batch)
        for record in batch:
            self._timeline.add(record)
            if record.shown:
                self.shelf.hold(record.shown.generation)
            if not record.idle:
                self._count += 1
                self._failed += not record.good
                if record.request != "events":
                    self._recent.append(record.latency_ms)

    def end(self, totals: Totals) -> None:
        """A process has done its part; the load is as long as the longest."""
        self._totals.append(totals)
        self._ended_s = self.clock_s

    def line(self, users: int) -> str:
        """How it goes, in one line."""
        if self._began is None or self.clock_s == 0:
            return "asking the probes while the system is idle"
        p99 = float(np.quantile(self._recent, 0.99)) if self._recent else 0.0
        rate = self._count / max(1e-9, self.clock_s)
        total_s = self.wish.warm_up_s + self.wish.seconds
        left = f"{max(0.0, total_s - self.clock_s):.0f} s left" if self.wish.seconds else self._still_wanted()
        phase = "warm-up" if self.clock_s < self.wish.warm_up_s else "measuring"
        shoppers = "" if self.wish.open else f"{users:,} shoppers  "
        return f"{self.clock_s:5.0f} s  {phase}  {shoppers}{self._count:,} requests, {rate:,.1f}/s  p99 {p99:.1f} ms  {self._failed:,} failed  {left}"

    def _still_wanted(self) -> str:
        searches = self._timeline.searches
        if self.clock_s <= self.wish.warm_up_s or not searches:
            return f"{self.wish.requests:,} searches wanted after {self.wish.warm_up_s:g} s"
        left_s = max(0, self.wish.requests - searches) * (self.clock_s - self.wish.warm_up_s) / searches
        return f"{searches:,} of {self.wish.requests:,} searches, about {left_s:.0f} s left"

    def finish(self, users: int, locust: Mapping[str, float], pinned: str, calibration: Calibration | None, *, interrupted: bool) -> Run:
        """Grade everything. The records are read back from their file: a load keeps none in memory, and only so many are graded."""
        distributions, totals = merge(self._totals)
        length_s, counted = self._length(), self._timeline
        records, stages, parts = self._read_back()
        case = judge.Case(records, self.shelf, self.wish.limits, self.wish.warm_up_s, counted)
        rows = [_requests(kind, counted, distributions, length_s) for kind in REQUESTS if counted.counts[kind]]
        latency, service = (_both(distributions, clock) for clock in ("latency", "service"))
        quality = measure(self.root, records) if self.wish.judged else None
        findings = self._clock_rules(distributions, totals, latency)
        if self.wish.judged:
            findings += [*judge.judge(case), rule(quality, self.wish.limits.quality_margin)]
        shown = [s.shown for s in case.measured if s.shown]
        return Run(
            format=FORMAT,
            started_ms=self.started_ms,
            seconds=round(length_s, 3),
            wish=self.wish,
            users=0 if self.wish.open else users,
            shop=self.root.name,
            code_version=code_version(),
            machine=machine(self._load_before, pinned),
            requests=rows,
            total=_total(rows, latency, service, length_s),
            locust=dict(locust),
            histograms=totals.histograms,
            generator=_generator(distributions, totals, len(self._totals)),
            seconds_seen=counted.seconds(),
            blocks=counted.blocks(length_s),
            resources=self.watch.samples,
            where=parts.rows(latency),
            stages=stages.report(),
            tiers=where.tier_hits(case.measured),
            degraded=dict(Counter(d for s in shown for d in s.degraded).most_common()),
            generations=sorted({s.generation for s in shown}),
            releases=sorted({s.release for s in shown if s.release is not None}),
            failures=[Failure(REQUESTS[request], reason, n) for (request, reason), n in counted.reasons.most_common()],
            findings=findings,
            verdict=rules.verdict(findings),
            answers_file=self._file.name,
            graded_of=self._file.every,
            interrupted=interrupted,
            quality=quality,
            shoppers=shoppers(self.root, records),
            calibration=calibration,
        )

    def _read_back(self) -> tuple[list[Seen], StageTable, where.WhereTable]:
        """The records that are graded, without the timings of which the tables are made."""
        records, stages, parts = [], StageTable(), where.WhereTable()
        every, timed = max(1, self._file.kept // TIMINGS), 0
        for s in self._file.read():
            records.append(structs.replace(s, timing=""))
            timed += bool(s.timing)
            if s.timing and timed % every == 0 and s.at_s >= self.wish.warm_up_s and not s.idle and (waterfall := parse(s.timing)):
                stages.add(waterfall)
                parts.add(waterfall, s.service_ms)
        self._file.close()
        return records, stages, parts

    def _length(self) -> float:
        ran_s = (self._ended_s or self.clock_s) - self.wish.warm_up_s
        return max(1e-9, min(ran_s, self.wish.seconds) if self.wish.seconds else ran_s)

    def _clock_rules(self, distributions: Mapping[str, Distribution], totals: Totals, latency: Distribution) -> list[Finding]:
        limits = self.wish.limits
        lag = distributions.get("lag")
        found = [
            rules.limit_rule(
                rules.IN_TIME,
                lag.quantile_ms(0.99) if lag and lag.count else None,
                limits.lag_p99_ms,
                unit="ms lag at p99",
                advice="the generator itself was late: lower the rate, give it more processes (--processes) or a core of its own (--pin)",
            ),
            rules.enough(latency.count, limits.claim, latency.interval_ms(limits.claim) if latency.count else None),
            Finding(
                rule="warm-up is left out",
                state="kept" if self.wish.warm_up_s > 0 else "open",
                value=f"{self.wish.warm_up_s:g} s before the measured part",
                threshold="more than 0 s",
            ),
        ]
        if (lost := self._processes - len(self._totals)) > 0:
            value, advice = f"{lost} of {self._processes} processes ended without a word", "look at what they said; run the load again"
            return [*found, Finding(rule=SCHEDULE, state="broken", value=value, threshold="all report", advice=advice)]
        missed = [""] * max(0, totals.planned - totals.searched)
        advice = "requests were planned and never recorded: the load was stopped, or the generator broke down"
        what = "planned requests are missing"
        return [*found, rules.share_rule(SCHEDULE, missed, totals.planned, allowed=0.001, what=what, advice=advice)]


def _requests(kind: Request, counted: Timeline, distributions: Mapping[str, Distribution], seconds: float) -> Requests:
    latency = distributions.get(f"{kind}.latency", Distribution())
    service = distributions.get(f"{kind}.service", Distribution())
    return Requests(
        kind=REQUESTS[kind],
        count=counted.counts[kind],
        failed=counted.failed[kind],
        per_second=round(counted.counts[kind] / seconds, 2),
        latency=times(latency),
        service=times(service),
        p99_interval_ms=latency.interval_ms(0.99),
    )


def _total(rows: Sequence[Requests], latency: Distribution, service: Distribution, seconds: float) -> Requests:
    """All searches; events are a request of another kind."""
    searches = [r for r in rows if r.kind != REQUESTS["events"]]
    count = sum(r.count for r in searches)
    return Requests(
        kind="all searches",
        count=count,
        failed=sum(r.failed for r in searches),
        per_second=round(count / seconds, 2),
        latency=times(latency),
        service=times(service),
        p99_interval_ms=latency.interval_ms(0.99),
    )


def _both(distributions: Mapping[str, Distribution], clock: str) -> Distribution:
    both = Distribution()
    for request in ("first", "next"):
        if (part := distributions.get(f"{request}.{clock}")) is not None:
            both.merge(part)
    return both


def _generator(distributions: Mapping[str, Distribution], totals: Totals, processes: int) -> Generator:
    return Generator(
        lag=times(distributions.get("lag", Distribution())),
        processes=processes,
        planned=totals.planned,
        sent=totals.sent,
        cpu_s=round(totals.cpu_s, 3),
        per_core_s=round(totals.sent / totals.cpu_s, 1) if totals.cpu_s else 0.0,
        left_alone=totals.left_alone,
    )
