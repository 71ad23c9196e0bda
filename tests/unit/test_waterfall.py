"""Where the time of a request went, from its Server-Timing header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.waterfall import Interval, Waterfall, busy, critical_path, parse

HEADER = (
    "queue;dur=1;start=0, analyse;dur=4;start=1, analyse.net;dur=1;start=1, analyse.spell;dur=2;start=2, analyse.category;dur=1;start=4, "
    "preferences;dur=2;start=5, retrieve;dur=6;start=5, retrieve.tier:high;dur=4;start=6, fetch;dur=3;start=11, total;dur=15;start=0"
)


def waterfall(header: str) -> Waterfall:
    parsed = parse(header)
    assert parsed
    return parsed


def test_a_header_gives_intervals_since_arrival() -> None:
    parsed = waterfall("rank;dur=2.5;start=1.25, total;dur=9;start=0.0")
    assert parsed == Waterfall(9.0, (Interval("rank", 1.25, 3.75),))


@pytest.mark.parametrize("header", ["", "rank;dur=1;start=0", "total", "nonsense"])
def test_a_header_without_total_is_none(header: str) -> None:
    assert parse(header) is None


def test_the_critical_path_leaves_out_what_was_hidden_behind_longer_work() -> None:
    path = critical_path(waterfall(HEADER))
    assert "preferences" not in path
    assert path["retrieve.tier:high"] == pytest.approx(4)
    assert path["fetch"] == pytest.approx(3)


def test_inside_a_hop_what_no_stage_covers_is_network_first_and_then_other() -> None:
    path = critical_path(waterfall(HEADER))
    assert path["analyse.spell"] == pytest.approx(2)
    assert path["analyse.net"] == pytest.approx(1)
    assert "analyse.other" not in path
    assert path["retrieve.other"] == pytest.approx(2)
    assert path["other"] == pytest.approx(1)


def test_busy_time_counts_hidden_work_in_full_and_no_hop_beside_its_parts() -> None:
    times = busy(waterfall(HEADER))
    assert times["preferences"] == pytest.approx(2)
    assert "analyse" not in times
    assert times["analyse.spell"] == pytest.approx(2)


def test_a_stage_that_runs_twice_is_one_stage() -> None:
    parsed = waterfall("score;dur=1;start=0, score;dur=2;start=3, total;dur=5;start=0")
    assert busy(parsed) == {"score": pytest.approx(3)}
    assert critical_path(parsed) == {"score": pytest.approx(3), "other": pytest.approx(2)}


def test_rounding_does_not_cut_the_chain() -> None:
    path = critical_path(waterfall("first;dur=4.001;start=0, second;dur=6;start=4, total;dur=10;start=0"))
    assert path == {"first": pytest.approx(4), "second": pytest.approx(6)}


times = st.floats(0, 50, allow_nan=False, width=32)
names = st.sampled_from(["a", "b", "c", "a.net", "a.x", "a.y", "b.net", "b.z", "a.x.net", "a.x.q"])
entries = st.lists(st.tuples(names, times, times), max_size=12)


@given(entries, st.floats(0.125, 100, width=32))
def test_the_path_adds_up_to_the_whole_request_whatever_the_entries(rows: list[tuple[str, float, float]], total: float) -> None:
    parsed = Waterfall(total, tuple(Interval(name, start, start + length) for name, start, length in rows))
    path = critical_path(parsed)
    assert sum(path.values()) == pytest.approx(total, rel=1e-6)
    assert min(path.values()) > 0


@given(entries, st.floats(0.125, 100, width=32))
def test_no_stage_is_longer_on_the_path_than_it_was_busy(rows: list[tuple[str, float, float]], total: float) -> None:
    parsed = Waterfall(total, tuple(Interval(name, start, start + length) for name, start, length in rows))
    times = busy(parsed)
    for name, ms in critical_path(parsed).items():
        if not name.endswith("other"):
            assert ms <= times[name] + 1e-6
