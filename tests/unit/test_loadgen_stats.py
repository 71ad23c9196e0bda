"""The table of stages."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.hdr import Distribution
from loadgen.stats import AI_STAGES, StageTable, is_ai, times
from services.waterfall import Interval, Waterfall


@settings(deadline=None)
@given(st.lists(st.floats(0.001, 10_000), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_within_a_thousandth_of_the_exact_ones(values: list[float], q: float) -> None:
    distribution = Distribution()
    for value in values:
        distribution.add(value)
    exact = sorted(values)[math.ceil(q * len(values)) - 1]
    assert distribution.quantile_ms(q) == pytest.approx(exact, rel=0.001, abs=1e-4)
    assert distribution.mean_ms == pytest.approx(sum(values) / len(values))


def test_nothing_measured_is_zero() -> None:
    assert times(Distribution()) == times(Distribution())
    assert times(Distribution()).p99_ms == 0


def waterfall(**stages: tuple[float, float]) -> Waterfall:
    return Waterfall(10.0, tuple(Interval(name.replace("__", "."), start, end) for name, (start, end) in stages.items()))


def test_critical_shares_of_all_stages_sum_to_one() -> None:
    table = StageTable()
    table.add(waterfall(a=(0, 4), b=(4, 9)))
    table.add(waterfall(a=(0, 10)))
    report = table.report()
    assert sum(row.critical_share for row in report.rows) == pytest.approx(1)
    assert {row.stage: row.critical_share for row in report.rows} == {
        "a": pytest.approx(0.7),
        "b": pytest.approx(0.25),
        "other": pytest.approx(0.05),
    }


def test_busy_time_is_of_the_requests_in_which_a_stage_ran() -> None:
    table = StageTable()
    table.add(waterfall(a=(0, 4), b=(4, 9)))
    table.add(waterfall(a=(0, 10)))
    row = next(r for r in table.report().rows if r.stage == "b")
    assert row.requests == 0.5
    assert row.busy.mean_ms == pytest.approx(5)


def test_learned_stages_are_told_apart_from_the_others() -> None:
    table = StageTable()
    table.add(Waterfall(10.0, (Interval(AI_STAGES[0], 0, 4), Interval("fetch", 4, 10))))
    report = table.report()
    assert report.ai.critical_share == pytest.approx(0.4)
    assert report.ai.busy_ms == pytest.approx(4)
    assert report.other.critical_share == pytest.approx(0.6)


def test_encoding_json_is_not_a_learned_stage() -> None:
    assert is_ai("preferences.encode")
    assert not is_ai("preferences.serialise")
