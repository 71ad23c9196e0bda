"""Distributions, the table of stages, and what a load amounts to."""

import math
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loadgen.recorder import Recorder
from loadgen.report import Result, save, show
from loadgen.stats import AI_STAGES, Distribution, StageTable, is_ai, times
from services.contracts import SearchAnswer, SearchedQuery, Total
from services.waterfall import Interval, Waterfall


@given(st.lists(st.floats(0.001, 10_000), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_quantiles_are_within_one_per_cent_of_the_exact_ones(values: list[float], q: float) -> None:
    distribution = Distribution()
    for value in values:
        distribution.add(value)
    exact = sorted(values)[math.ceil(q * len(values)) - 1]
    assert distribution.quantile_ms(q) == pytest.approx(exact, rel=0.01)
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


ANSWER = SearchAnswer(
    query_id="q",
    query=SearchedQuery("q", ["q"], []),
    total=Total(0, "eq"),
    tiers=[],
    items=[],
    generation=3,
    release=2,
    degraded=["preferences"],
    off=[],
    experiments={},
)


def test_a_load_without_failures_is_ok_and_names_what_it_saw() -> None:
    recorder = Recorder({"num_users": 2})
    recorder.request("POST /search", 12.0, None)
    assert recorder.answer(ANSWER, "fetch;dur=1;start=0, total;dur=2;start=0") == []
    result = recorder.result()
    assert result.ok
    assert (result.generations, result.releases, result.degraded) == ([3], [2], {"preferences": 1})
    assert result.total.times.count == 1


def test_a_load_with_a_failure_is_not_ok_and_says_which() -> None:
    recorder = Recorder({})
    recorder.request("POST /search", 12.0, None)
    recorder.request("POST /search", 12.0, "status 503")
    result = recorder.result()
    assert not result.ok
    assert [(f.kind, f.reason, f.count) for f in result.failures] == [("POST /search", "status 503", 1)]


def test_a_load_in_which_nothing_was_asked_is_not_ok() -> None:
    assert not Recorder({}).result().ok


def test_reasons_are_bounded() -> None:
    recorder = Recorder({})
    for n in range(200):
        recorder.request("POST /search", 1.0, f"reason {n}")
    assert len(recorder.result().failures) <= 51
    assert sum(f.count for f in recorder.result().failures) == 200


def test_an_answer_without_timing_is_wrong() -> None:
    assert Recorder({}).answer(ANSWER, "") == ["no `total` in Server-Timing"]


def test_a_result_is_kept_as_json_and_printed(tmp_path: Path) -> None:
    recorder = Recorder({"num_users": 2})
    recorder.request("POST /search", 12.0, None)
    recorder.answer(ANSWER, "analyse;dur=1;start=0, total;dur=2;start=0")
    result = recorder.result()
    assert msgspec.json.decode(save(result, tmp_path).read_bytes(), type=Result) == result
    out = StringIO()
    show(result, Console(file=out, width=160))
    assert "analyse" in out.getvalue()
    assert "every one checked" in out.getvalue()
