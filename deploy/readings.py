"""What a service's /metrics says, and what changed between two looks at it. Pure."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Labels = Mapping[str, str]
Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at one service: every sample by name and labels, and when (monotonic seconds)."""

    at_s: float
    samples: Mapping[Key, float] = field(default_factory=dict)

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples.get((name, tuple(sorted(labels.items()))))


def parse(text: str, at_s: float) -> Reading:
    """Prometheus' text format; comments and what is no sample are passed over."""
    samples: dict[Key, float] = {}
    for line in text.splitlines():
        if found := _SAMPLE.match(line):
            labels = tuple(sorted(_LABEL.findall(found[2] or "")))
            samples[found[1], labels] = float(found[3])
    return Reading(at_s, samples)


@dataclass(frozen=True, slots=True)
class Times:
    """Of a histogram between two readings: events a second, and quantiles in milliseconds (nan without events)."""

    rate: float
    mean_ms: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Change:
    """What happened between two readings of one process. A counter that fell was reset: it counts from zero again."""

    before: Reading
    after: Reading

    @property
    def seconds(self) -> float:
        return max(1e-9, self.after.at_s - self.before.at_s)

    def grown(self, name: str, by: str) -> dict[str, float]:
        """Increase of a counter, summed by one of its labels; with "" as label of all its samples together."""
        return self._sums(name, lambda labels: labels.get(by, ""))

    def rate(self, name: str) -> float:
        return sum(self.grown(name, "").values()) / self.seconds

    def times(self, name: str, by: str) -> dict[str, Times]:
        """A histogram of seconds, by one of its labels."""
        counts, sums = self.grown(f"{name}_count", by), self.grown(f"{name}_sum", by)
        found = {}
        for value, count in counts.items():
            buckets = self._buckets(f"{name}_bucket", by, value)
            mean = sums.get(value, 0.0) / count * 1000 if count else math.nan
            found[value] = Times(count / self.seconds, mean, quantile(buckets, 0.5) * 1000, quantile(buckets, 0.99) * 1000)
        return found

    def _buckets(self, name: str, by: str, value: str) -> list[tuple[float, float]]:
        sums = self._sums(name, lambda labels: labels["le"] if labels.get(by, "") == value else None)
        return sorted((float(le), count) for le, count in sums.items())

    def _sums(self, name: str, group: Callable[[Labels], str | None]) -> dict[str, float]:
        sums: dict[str, float] = {}
        for (of, labels), now in self.after.samples.items():
            if of == name and (key := group(dict(labels))) is not None:
                before = self.before.samples.get((of, labels), 0.0)
                sums[key] = sums.get(key, 0.0) + (now - before if now >= before else now)
        return sums


def quantile(buckets: list[tuple[float, float]], q: float) -> float:
    """As Prometheus' histogram_quantile: linear within the bucket; the last finite bound when it lies beyond; nan without events."""
    if not buckets or buckets[-1][1] <= 0:
        return math.nan
    rank = q * buckets[-1][1]
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (rank - below) / (count - below) if count > below else bound
        low, below = bound, count
    return low
