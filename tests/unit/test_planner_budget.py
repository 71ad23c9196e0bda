"""The planner keeps time back for what has to come last, and never promises time that is not there."""

from hypothesis import given, settings
from hypothesis import strategies as st

from planner.budget import Budget

times = st.floats(-1e6, 1e6)


@settings(deadline=None)
@given(times, times)
def test_no_share_is_negative_or_more_than_what_is_left(total_ms: float, remaining_ms: float) -> None:
    budget = Budget(total_ms)
    for share in (budget.analyse_ms(remaining_ms), budget.before_ranking_ms(remaining_ms), budget.rank_ms(remaining_ms)):
        assert 0 <= share <= max(0.0, remaining_ms)


@settings(deadline=None)
@given(st.floats(0, 60_000))
def test_a_fifth_is_kept_for_ranking_and_fetch(total_ms: float) -> None:
    budget = Budget(total_ms)
    assert abs(total_ms - budget.before_ranking_ms(total_ms) - total_ms / 5) < 1e-6
    assert budget.before_ranking_ms(total_ms / 5) == 0


@settings(deadline=None)
@given(st.floats(1, 60_000))
def test_if_everything_takes_all_it_may_there_is_time_left_for_the_fetch(total_ms: float) -> None:
    budget, left = Budget(total_ms), total_ms
    left -= budget.analyse_ms(left)
    assert budget.before_ranking_ms(left) > 0
    left -= budget.before_ranking_ms(left)
    left -= budget.rank_ms(left)
    assert left > 0
