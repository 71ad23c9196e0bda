"""The search for the peak, and what is concluded about the load beyond it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.peak import CLOSE, Beyond, Bracket, Peak, beyond, conclude, objective, search
from loadgen.timeline import Second
from services.errors import ConfigurationError


@settings(deadline=None)
@given(st.floats(2, 5000), st.floats(1, 500))
def test_the_search_closes_in_on_whatever_the_peak_is(peak: float, start: float) -> None:
    bracket = search(Bracket(start), lambda rate: rate <= peak)
    assert bracket.low <= peak < bracket.high
    assert bracket.high / bracket.low <= CLOSE
    assert len(bracket.tried) < 40


def test_a_system_that_holds_nothing_ends_the_search() -> None:
    bracket = search(Bracket(50), lambda rate: False)
    assert bracket.low == 0
    assert min(rate for rate, _ in bracket.tried) >= 1


def test_a_rate_that_holds_by_chance_above_one_that_did_not_is_not_believed() -> None:
    bracket = Bracket(100)
    for rate, held in ((100.0, True), (160.0, False), (126.0, False), (130.0, True)):
        bracket.tell(rate, held)
    assert (bracket.low, bracket.high) == (100.0, 126.0)


def test_the_peak_is_the_median_of_the_repetitions_with_their_range() -> None:
    brackets = [Bracket(1, low=low, high=low * 1.07) for low in (90.0, 110.0, 100.0)]
    found = conclude(brackets)
    assert found
    assert (found.rate, found.low, found.high) == (100.0, 90.0, pytest.approx(117.7))
    assert conclude([]) is None
    assert conclude([Bracket(1, low=50.0)]) == Peak(rate=50.0, low=50.0, high=None, repetitions=[50.0]), "nothing failed so far"


@pytest.mark.parametrize("text", ["", "p99", "p98=100ms", "p99=100", "p99=-1ms"])
def test_an_objective_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="p99=100ms"):
        objective(text)


def test_an_objective_is_a_share_and_a_limit() -> None:
    assert (objective("p99=100ms").share, objective("p90=1.5ms").limit_ms) == (0.99, 1.5)


def seconds(*goods: int, meant: int = 100) -> list[Second]:
    return [Second(at_s=n, meant=meant, good=g, refused=meant - g, failed=0, p50_ms=1, p99_ms=2) for n, g in enumerate(goods)]


def test_goodput_that_stays_flat_and_comes_back_is_recovered() -> None:
    found = beyond(seconds(*[100] * 5, *[48] * 10, 60, 97, 100, 100, 100), 5, 10, peak_goodput=50)
    assert found == Beyond(offered=100, goodput=48, peak_goodput=50, recovered_s=1, refused=52, failed=0)


def test_a_system_that_never_comes_back_has_not_recovered() -> None:
    assert beyond(seconds(*[100] * 5, *[48] * 10, *[20] * 5), 5, 10, peak_goodput=50).recovered_s is None


def test_a_relapse_counts_as_not_yet_recovered() -> None:
    found = beyond(seconds(*[100] * 5, *[48] * 10, 100, 100, 30, 100, 100, 100), 5, 10, peak_goodput=50)
    assert found.recovered_s == 3
