"""Distributions of times as HDR histograms: three significant digits from 100 ns to an hour, mergeable, in a format that other tools read."""

import math
from collections.abc import Iterable

from hdrh.histogram import HdrHistogram
from msgspec import Struct

UNITS_PER_MS = 10_000
"""Histograms count in units of 100 ns."""
_HIGHEST = 3_600_000 * UNITS_PER_MS
_DIGITS = 3
Z95 = 1.96


class Raw(Struct, frozen=True):
    """A whole histogram: HdrHistogram's compressed V2 encoding in base64, values in units of 100 ns; sum and maximum are exact."""

    hdr: str
    sum_ms: float
    max_ms: float = 0.0


class Distribution:
    """Times in milliseconds. Mean and maximum are exact, quantiles within 0.1 %."""

    def __init__(self) -> None:
        self._hdr = HdrHistogram(1, _HIGHEST, _DIGITS)
        self.count = 0
        self.sum_ms = 0.0
        self.max_ms = 0.0

    def add(self, ms: float) -> None:
        self.count += 1
        self.sum_ms += ms
        self.max_ms = max(self.max_ms, ms)
        self._hdr.record_value(min(_HIGHEST, max(0, round(ms * UNITS_PER_MS))))

    def merge(self, other: "Distribution") -> None:
        """Add everything that `other` has seen."""
        self._hdr.add(other._hdr)
        self.count += other.count
        self.sum_ms += other.sum_ms
        self.max_ms = max(self.max_ms, other.max_ms)

    @property
    def mean_ms(self) -> float:
        return self.sum_ms / self.count if self.count else 0.0

    def quantile_ms(self, q: float) -> float:
        """The time that a share `q` of all did not exceed; 0 when there is none."""
        if not self.count:
            return 0.0
        rank = math.ceil(q * self.count - 1e-9)  # a whole one: HdrHistogram rounds to the nearest, which may be one too low
        return float(min(self._hdr.get_value_at_percentile(100 * rank / self.count) / UNITS_PER_MS, self.max_ms))

    def interval_ms(self, q: float, z: float = Z95) -> tuple[float, float] | None:
        """Bounds of the q-quantile (95 % by default) by order statistics; None when there are too few times for an upper bound."""
        spread = z * math.sqrt(self.count * q * (1 - q))
        low, high = math.floor(self.count * q - spread), math.ceil(self.count * q + spread)
        if high >= self.count:
            return None
        return self.quantile_ms(max(0, low) / self.count), self.quantile_ms(high / self.count)

    def raw(self) -> Raw:
        return Raw(self._hdr.encode().decode() if self.count else "", self.sum_ms, self.max_ms)


def from_raw(raw: Raw) -> Distribution:
    distribution = Distribution()
    distribution.sum_ms = raw.sum_ms
    if raw.hdr:
        distribution._hdr = HdrHistogram.decode(raw.hdr)
        distribution.count = distribution._hdr.get_total_count()
        distribution.max_ms = raw.max_ms
    return distribution


def merged(parts: Iterable[Raw]) -> Raw:
    """One histogram of all; the same as if one process had seen everything."""
    total = Distribution()
    for part in parts:
        total.merge(from_raw(part))
    return total.raw()
