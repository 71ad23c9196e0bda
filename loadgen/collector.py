"""What one process of a load gathers while it runs: records for grading, distributions of its times. Mergeable; knows nothing of Locust."""

from collections import defaultdict

from msgspec import Struct

from loadgen.hdr import Distribution, Raw, from_raw
from loadgen.seen import Request, Seen

CLOCKS = ("latency", "service")


class Totals(Struct, frozen=True):
    """What a process reports at its end: histograms by `<request>.<clock>` and `lag`, and what it did."""

    histograms: dict[str, Raw]
    planned: int
    sent: int
    """With events; `searched` without."""
    searched: int
    cpu_s: float
    left_alone: int = 0
    """Slots of page turns that had no page before them (its query failed or had no further page): they asked anew."""


class Collector:
    """One process. Only what was meant to be sent in the measured part counts in the distributions."""

    def __init__(self, warm_up_s: float) -> None:
        self.warm_up_s = warm_up_s
        self.batch: list[Seen] = []
        self.measured = self.sent = self.searched = self.planned = self.left_alone = 0
        self._times: defaultdict[str, Distribution] = defaultdict(Distribution)
        self.lag = Distribution()

    def add(self, seen: Seen) -> None:
        self.batch.append(seen)
        if seen.idle:
            return
        search = seen.request != "events"
        self.sent += 1
        self.searched += search
        if seen.at_s < self.warm_up_s:
            return
        self.measured += search
        if search:
            self.lag.add(seen.lag_ms)
        if seen.failure is None:
            self._of(seen.request, "latency").add(seen.latency_ms)
            self._of(seen.request, "service").add(seen.service_ms)

    def take(self) -> list[Seen]:
        """Records since the last time."""
        batch, self.batch = self.batch, []
        return batch

    def totals(self, cpu_s: float) -> Totals:
        histograms = {name: d.raw() for name, d in self._times.items()} | {"lag": self.lag.raw()}
        return Totals(histograms, self.planned, self.sent, self.searched, cpu_s, self.left_alone)

    def _of(self, request: Request, clock: str) -> Distribution:
        return self._times[f"{request}.{clock}"]


def merge(parts: list[Totals]) -> tuple[dict[str, Distribution], Totals]:
    """Distributions over all processes, and their sums."""
    distributions: defaultdict[str, Distribution] = defaultdict(Distribution)
    for part in parts:
        for name, raw in part.histograms.items():
            distributions[name].merge(from_raw(raw))
    raws = {name: d.raw() for name, d in distributions.items()}
    planned, sent, searched, left_alone = (sum(getattr(p, name) for p in parts) for name in ("planned", "sent", "searched", "left_alone"))
    return dict(distributions), Totals(raws, planned, sent, searched, sum(p.cpu_s for p in parts), left_alone)
