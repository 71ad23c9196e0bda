"""When requests are meant to be sent: rates, independence, shapes of sessions."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.schedules import Rate, chained, constant, fixed, in_sessions, poisson, ramp, read_trace, replay, share, spike, thinking
from loadgen.sessions import gaps_s, lengths, sessions
from services.errors import ConfigurationError


def test_poisson_arrivals_are_as_many_as_the_rate_says_and_as_irregular_as_chance() -> None:
    at = np.array(list(poisson(constant(200), 300, seed=1)))
    gaps = np.diff(at)
    assert len(at) == pytest.approx(60_000, abs=4 * np.sqrt(60_000))
    assert gaps.std() / gaps.mean() == pytest.approx(1, abs=0.02), "exponential"
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 0.02, "without memory"
    counts = np.bincount(at.astype(int), minlength=300)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.3)


def test_the_gaps_of_poisson_arrivals_follow_the_exponential_distribution() -> None:
    gaps = np.sort(np.diff(list(poisson(constant(100), 100, seed=2))))
    expected = 1 - np.exp(-gaps * 100)
    distance = np.abs(np.arange(1, len(gaps) + 1) / len(gaps) - expected).max()
    assert distance < 1.63 / np.sqrt(len(gaps)), "Kolmogorov-Smirnov, 1 %"


def test_the_same_seed_gives_the_same_schedule_and_another_one_another() -> None:
    def slots(seed: int) -> list[object]:
        return list(chained(poisson(constant(50), 20, seed), 0.3, seed))

    assert slots(1) == slots(1)
    assert slots(1) != slots(2)


def test_fixed_arrivals_are_evenly_spread() -> None:
    assert list(fixed(constant(10), 1.0)) == pytest.approx([n / 10 for n in range(10)])


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 8), st.integers(0, 5))
def test_processes_together_send_exactly_what_one_would(of: int, seed: int) -> None:
    everything = list(chained(poisson(constant(60), 5, seed), 0.4, seed))
    parts = [list(share(everything, index, of)) for index in range(of)]
    assert sorted(itertools.chain(*parts), key=lambda s: s.at_s) == everything
    assert len({chain for part in parts for chain in {s.chain for s in part}}) == sum(len({s.chain for s in part}) for part in parts)


def test_a_ramp_rises_and_a_spike_stands_out() -> None:
    rising = np.bincount(np.array(list(poisson(ramp(10, 190, 100), 100, 1))).astype(int), minlength=100)
    assert rising[:20].mean() == pytest.approx(28, rel=0.2)
    assert rising[-20:].mean() == pytest.approx(172, rel=0.1)
    spiky = np.bincount(np.array(list(fixed(spike(20, 200, 10, 5), 30))).astype(int), minlength=30)
    assert set(spiky[:9]) <= {19, 20, 21}
    assert spiky[11:15].mean() == pytest.approx(200, rel=0.02)
    assert spiky[17:].mean() == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("points", [(), ((1.0, 5.0), (0.0, 5.0)), ((0.0, -1.0),)])
def test_a_rate_that_is_none_is_refused(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ConfigurationError):
        Rate(points)


def test_a_trace_is_replayed_from_its_first_request_as_fast_as_wanted(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("100.0,a\n100.5,b\n102.0,c\n300,d\n")
    assert list(replay(read_trace(file), 10, pace=2)) == [0.0, 0.25, 1.0]


def test_shoppers_think_an_exponential_time_each_in_their_own_way() -> None:
    times = np.sort(list(itertools.islice(thinking(10, 1, 5), 4000)))
    assert times.mean() == pytest.approx(10, rel=0.06)
    distance = np.abs(np.arange(1, 4001) / 4000 - (1 - np.exp(-times / 10))).max()
    assert distance < 1.63 / np.sqrt(4000), "Kolmogorov-Smirnov, 1 %"
    assert next(thinking(10, 1, 5)) != next(thinking(10, 1, 6))


@pytest.mark.parametrize("text", ["", "2\n1\n", "soon\n"])
def test_a_file_that_is_no_trace_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(ConfigurationError, match="trace"):
        read_trace(tmp_path / "t")


def test_a_chain_begins_with_a_first_page_and_turns_as_often_as_asked() -> None:
    slots = list(chained(poisson(constant(100), 100, 3), 0.4, 3))
    began: set[int] = set()
    for slot in slots:
        assert slot.turn == (slot.chain in began)
        began.add(slot.chain)
    assert np.mean([s.turn for s in slots]) == pytest.approx(0.4, abs=0.02)


# ---- sessions: against the figures that alibaba/eCommerceSearchBench published ----


def test_generated_sessions_have_the_published_shape() -> None:
    rng = np.random.default_rng(1)
    all_ = sessions(np.zeros(300_000), rng)
    requests, queries = np.bincount(all_.session), np.bincount(all_.session, ~all_.turns)
    assert requests.mean() == pytest.approx(10.66, rel=0.02)
    assert queries.mean() == pytest.approx(2.08, rel=0.02)
    assert (requests == 1).mean() == pytest.approx(0.216, abs=0.004)
    assert all_.turns.mean() == pytest.approx(0.805, abs=0.005)


def test_lengths_of_sessions_follow_the_published_distribution() -> None:
    n = lengths(400_000, np.random.default_rng(2))
    published = {1: 0.2162, 2: 0.3420, 3: 0.4368, 5: 0.5659, 10: 0.7350, 20: 0.8677, 50: 0.9655, 100: 0.9920, 200: 0.9988}
    for length, share_ in published.items():
        assert (n <= length).mean() == pytest.approx(share_, abs=0.006), f"up to {length} requests"


def test_sessions_of_ten_requests_have_the_published_number_of_queries() -> None:
    all_ = sessions(np.zeros(400_000), np.random.default_rng(3))
    requests, queries = np.bincount(all_.session), np.bincount(all_.session, ~all_.turns)
    published = {2: (1.24, 0.756), 5: (1.74, 0.494), 10: (2.36, 0.341), 20: (3.25, 0.238)}
    for length, (mean, single) in published.items():
        of_length = queries[requests == length]
        assert of_length.mean() == pytest.approx(mean, rel=0.06), f"of {length} requests"
        assert (of_length == 1).mean() == pytest.approx(single, abs=0.06), f"of {length} requests"


def test_gaps_follow_the_published_burr_distribution() -> None:
    gaps = gaps_s(400_000, np.random.default_rng(4))
    measured = np.quantile(gaps, (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99))
    published = np.array([3.0, 5.0, 8.0, 17.0, 44.0, 87.0, 298.0])  # whole seconds
    assert np.all(np.abs(np.log(measured / published)) < 0.25)
    assert gaps.max() <= 600


@pytest.mark.parametrize("seed", range(3))
def test_sessions_come_at_their_full_rate_from_the_first_second_on(seed: int) -> None:
    slots = list(in_sessions(50 / 10.66, 120, seed))
    halves = [sum(s.at_s < 60 for s in slots), sum(s.at_s >= 60 for s in slots)]
    assert halves[0] / 60 == pytest.approx(50, rel=0.15)
    assert halves[1] / 60 == pytest.approx(50, rel=0.15)
    assert [s.at_s for s in slots] == sorted(s.at_s for s in slots)


def test_sessions_under_way_ask_in_the_warm_up_for_what_they_turn_the_pages_of() -> None:
    slots, asked, turnable, turned = in_sessions(50 / 10.66, 150, 1, warm_up_s=30), set(), 0, 0
    measured = 0
    for slot in slots:
        if slot.at_s >= 30:
            measured += 1
            turned += slot.turn
            turnable += slot.turn and slot.chain in asked
        asked.add(slot.chain)
    assert measured / 120 == pytest.approx(50, rel=0.15)
    assert turned / measured == pytest.approx(0.805, abs=0.03)
    assert turnable / turned > 0.98


def test_a_faster_pace_shortens_gaps_and_keeps_the_rate() -> None:
    slots = list(in_sessions(50 / 10.66, 60, 1, pace=10))
    assert len(slots) / 60 == pytest.approx(50, rel=0.15)
