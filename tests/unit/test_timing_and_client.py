"""Timing headers, breaker and retry budget: the pure parts of a call."""

from hypothesis import given
from hypothesis import strategies as st

from services.breaker import Breaker
from services.calls import child_trace
from services.client import RetryBudget
from services.timing import Timing


def test_a_callee_is_joined_below_the_name_of_the_call() -> None:
    timing = Timing()
    started = timing.arrival + 0.010
    timing.join("rank", "features;dur=0.500;start=0.200, total;dur=2.000;start=0.000", started, started + 0.003)
    (net, net_ms, net_start), (name, duration, start) = timing.entries
    assert (net, name, duration) == ("rank.net", "rank.features", 0.5)
    assert abs(net_ms - 1.0) < 1e-6
    assert abs(net_start - 10.0) < 1e-6
    assert abs(start - 10.7) < 1e-6


def test_a_callee_that_said_nothing_is_all_network() -> None:
    timing = Timing()
    timing.join("rank", "", timing.arrival, timing.arrival + 0.004)
    assert [(n, round(d, 3)) for n, d, _ in timing.entries] == [("rank.net", 4.0)]


def test_a_stage_that_raises_is_measured_too() -> None:
    timing = Timing()
    try:
        with timing.stage("spell"):
            raise ValueError
    except ValueError:
        pass
    assert [name for name, _, _ in timing.entries] == ["spell"]


def test_the_breaker_opens_after_failures_in_a_row_and_lets_one_try() -> None:
    breaker = Breaker(failures=2, pause_s=1.0)
    breaker.failed(0.0)
    assert breaker.allows(0.0)
    breaker.failed(0.0)
    assert not breaker.allows(0.5)
    assert breaker.allows(1.1)
    assert not breaker.allows(1.2)
    breaker.succeeded()
    assert breaker.allows(1.3)


@given(st.lists(st.booleans(), max_size=300))
def test_retries_are_a_tenth_of_the_calls_and_a_small_start(wishes: list[bool]) -> None:
    budget = RetryBudget()
    retried = 0
    for wish in wishes:
        budget.earn()
        retried += wish and budget.spend()
    assert retried <= 5 + len(wishes) / 10


def test_a_trace_goes_on_with_a_span_of_its_own() -> None:
    caller = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    ours = child_trace(caller).split("-")
    assert (ours[1], ours[3]) == ("a" * 32, "01")
    assert ours[2] != "b" * 16
    assert len(child_trace("nonsense")) == 55
