"""Rates and quantiles from two readings of /metrics."""

import math

import pytest

from deploy.readings import Change, parse, quantile
from services.telemetry import Telemetry


def change(before: Telemetry, after: Telemetry, seconds: float = 2.0) -> Change:
    return Change(parse(before.render().decode(), 10.0), parse(after.render().decode(), 10.0 + seconds))


def searched(times: list[float]) -> Telemetry:
    telemetry = Telemetry()
    for seconds in times:
        telemetry.count("aisle_requests_total", "/search", "200")
        telemetry.observe("aisle_request_seconds", seconds, "/search")
    return telemetry


def test_a_rate_is_the_increase_by_the_time_between_the_looks() -> None:
    assert change(searched([0.01]), searched([0.01] * 7), seconds=2).rate("aisle_requests_total") == 3.0


def test_quantiles_are_of_the_window_and_not_of_all_time() -> None:
    old, new = [2.0] * 1000, [0.011] * 99 + [0.13]
    times = change(searched(old), searched(old + new)).times("aisle_request_seconds", "route")["/search"]
    assert times.rate == 50.0
    assert 10 < times.p50_ms <= 15
    assert times.mean_ms == pytest.approx((0.011 * 99 + 0.13) * 10)


def test_a_restarted_process_counts_from_zero_and_never_backwards() -> None:
    assert change(searched([0.01] * 50), searched([0.01] * 4), seconds=1).rate("aisle_requests_total") == 4.0


def test_without_events_there_is_no_quantile() -> None:
    times = change(searched([0.01]), searched([0.01])).times("aisle_request_seconds", "route")["/search"]
    assert times.rate == 0
    assert math.isnan(times.p50_ms)


def test_a_quantile_is_linear_in_its_bucket_and_ends_at_the_last_finite_bound() -> None:
    buckets = [(0.1, 50.0), (0.2, 100.0), (math.inf, 100.0)]
    assert quantile(buckets, 0.75) == pytest.approx(0.15)
    assert quantile(buckets, 0.25) == pytest.approx(0.05)
    assert quantile([(0.1, 1.0), (math.inf, 100.0)], 0.99) == 0.1


def test_labels_with_commas_and_quotes_are_read_whole() -> None:
    reading = parse('# HELP x y\nx{a="1,2",b="\\"q\\""} 4\n', 0.0)
    assert reading.value("x", a="1,2", b='\\"q\\"') == 4.0
