"""HDR histograms: exact sums, merged as if one process had seen everything."""

import random

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.hdr import Distribution, from_raw, merged

times = st.lists(st.floats(0.0, 60_000), max_size=80)


def of(values: list[float]) -> Distribution:
    distribution = Distribution()
    for value in values:
        distribution.add(value)
    return distribution


@settings(deadline=None, max_examples=20)
@given(times, times)
def test_merging_what_processes_saw_is_the_same_as_one_that_saw_all(a: list[float], b: list[float]) -> None:
    one, both = of(a + b), from_raw(merged([of(a).raw(), of(b).raw()]))
    assert both.count == one.count
    for q in (0.0, 0.5, 0.9, 0.99, 1.0):
        assert both.quantile_ms(q) == pytest.approx(one.quantile_ms(q), rel=1e-3, abs=1e-3)
    assert both.mean_ms == pytest.approx(one.mean_ms)
    assert both.max_ms == one.max_ms


def test_an_interval_holds_the_quantile_and_needs_enough_times() -> None:
    enough = of([float(n) for n in range(1, 1001)])
    low, high = enough.interval_ms(0.99) or (0, 0)
    assert low < 990 < high <= 1000
    assert of([1.0] * 100).interval_ms(0.99) is None
    assert of([]).interval_ms(0.5) is None


def test_of_a_hundred_samples_about_ninety_five_intervals_hold_the_truth() -> None:
    rng = random.Random(1)
    held = 0
    for _ in range(100):
        interval = of([rng.expovariate(0.1) for _ in range(600)]).interval_ms(0.9)
        held += interval is not None and interval[0] <= 23.026 <= interval[1]
    assert 88 <= held <= 100


def test_a_histogram_is_kept_in_the_format_that_other_tools_read() -> None:
    raw = of([1.0, 2.0, 3.0]).raw()
    assert HdrHistogram.decode(raw.hdr).get_total_count() == 3
