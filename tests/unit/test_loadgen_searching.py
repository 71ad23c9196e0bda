"""The commands over many loads: what each load is told, what is concluded, and when nothing is."""

from argparse import Namespace
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from loadgen import searching
from loadgen.peak import Objective
from loadgen.rules import ENOUGH, IN_TIME, Finding
from loadgen.run import Run
from loadgen.searching import Loads
from loadgen.timeline import Second
from services.errors import ConfigurationError
from tests.load_runs import run

SLO = Objective(0.99, 100.0)
Told = list[tuple[float, tuple[str, ...]]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("loads"))


def broken(found: Run, *names: str) -> Run:
    """The same run with these rules broken."""
    bad = [Finding(rule=name, state="broken", value="bad", threshold="good") for name in names]
    return msgspec.structs.replace(found, findings=bad, verdict="INVALID" if names else "VALID")


def loads(answers: Callable[[float], Run]) -> tuple[Loads, Told]:
    """Loads that end as `answers` says, and what they were told."""
    told: Told = []
    known = Namespace(seconds=30.0, warm_up=3.0, profile="open")
    made = Loads(known, (), Console(file=StringIO()))

    def ends(rate: float, *more: str) -> Run:
        told.append((rate, more))
        return answers(rate)

    made.run = ends  # type: ignore[method-assign]  # a load takes half a minute
    return made, told


def test_a_load_at_a_low_rate_lasts_until_the_percentile_can_be_claimed(good: Run) -> None:
    made, told = loads(lambda rate: good)
    assert made.held(100.0, SLO)
    assert made.held(2.0, SLO)
    lengths = [float(more[more.index("--seconds") + 1]) for _, more in told]
    assert lengths[0] == 30
    assert 2.0 * lengths[1] > 380, "what the 95 % interval of a p99 needs"


def test_a_rate_is_too_high_when_it_fails_twice(good: Run) -> None:
    ends = iter([broken(good, ENOUGH), good, broken(good, ENOUGH), broken(good, ENOUGH)])
    made, told = loads(lambda rate: next(ends))
    assert made.held(100.0, SLO)
    assert not made.held(100.0, SLO)
    assert len(told) == 4


def test_a_rate_that_only_the_generator_was_late_at_is_remembered(good: Run) -> None:
    made, _ = loads(lambda rate: broken(good, IN_TIME) if rate < 200 else broken(good, IN_TIME, ENOUGH))
    assert not made.held(100.0, SLO)
    assert not made.held(300.0, SLO)
    assert set(made.late) == {100.0}


# ---- beyond the peak ----


def beyond(monkeypatch: pytest.MonkeyPatch, folder: Path, at_peak: Run, spike: Run) -> tuple[int, list[tuple[str, ...]]]:
    ends, told = iter([at_peak, spike]), []

    def runs(self: Loads, rate: float, *more: str) -> Run:
        told.append((f"{rate:g}", *more))
        return next(ends)

    monkeypatch.setattr(Loads, "run", runs)
    monkeypatch.setattr(searching.calibrate, "once_a_day", lambda *given: None)
    argv = ["--url", "", "--shop-root", str(folder), "--results", str(folder), "--no-pin", "--peak", "20", "--warm-up", "1"]
    return searching.beyond([*argv, "--around", "10", "--spike-seconds", "10"]), told


def seconds(of: Run, good_of: Callable[[int], tuple[int, int]]) -> Run:
    """The run with (meant, good) by second, what was not good having been refused."""
    rows = [(at, *good_of(at)) for at in range(31)]
    seen = [Second(at_s=at, meant=meant, good=good, refused=meant - good, failed=0, p50_ms=1, p99_ms=2) for at, meant, good in rows]
    return msgspec.structs.replace(of, seconds_seen=seen)


def spiky(good_in_spike: int, back_after: int) -> Callable[[int], tuple[int, int]]:
    def of(at: int) -> tuple[int, int]:
        if 11 <= at < 21:
            return 40, good_in_spike
        return 10, 0 if 21 <= at < 21 + back_after else 10

    return of


@pytest.mark.parametrize(
    ("good_in_spike", "back_after", "code", "said"),
    [
        (20, 2, 0, "kept: goodput at 40/s is 20.0/s, 100% of the peak's 20.0"),
        (10, 2, 1, "broken: goodput at 40/s is 10.0/s, 50%"),
        (20, 8, 1, "broken: good again after 8 s"),
        (20, 10, 1, "broken: good again not before the load ended"),
    ],
)
def test_beyond_the_peak_goodput_and_recovery_are_judged(
    good_in_spike: int,
    back_after: int,
    code: int,
    said: str,
    good: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at_peak = seconds(good, lambda at: (20, 20))
    ended, told = beyond(monkeypatch, tmp_path, at_peak, seconds(good, spiky(good_in_spike, back_after)))
    assert ended == code
    assert said in capsys.readouterr().out
    assert [rate for rate, *_ in told] == ["20", "10"]
    assert told[1][told[1].index("--top") + 1] == "40.000"


def test_a_peak_at_twice_of_which_all_is_answered_is_none(
    good: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert beyond(monkeypatch, tmp_path, seconds(good, lambda at: (20, 20)), seconds(good, spiky(40, 0)))[0] == 1
    assert "so 20.0/s is not the peak" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["peak", "beyond"])
def test_what_these_commands_decide_cannot_be_given(command: str, tmp_path: Path) -> None:
    argv = ["--url", "", "--shop-root", str(tmp_path), "--results", str(tmp_path), "--no-pin"]
    for wrong in ("--rate", "--master"):
        with pytest.raises(ConfigurationError, match=wrong):
            getattr(searching, command)([*argv, wrong, "5"])


@pytest.mark.parametrize("wrong", ["answers fit the contract", IN_TIME])
def test_what_is_wrong_for_another_reason_proves_nothing(
    wrong: str, good: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spike = seconds(broken(good, ENOUGH, wrong), spiky(20, 2))
    assert beyond(monkeypatch, tmp_path, seconds(good, lambda at: (20, 20)), spike)[0] == 1
    assert f"INVALID, it proves nothing: {wrong}: bad" in capsys.readouterr().out


def test_what_is_broken_on_purpose_is_no_reason(good: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spike: Any = seconds(broken(good, ENOUGH), spiky(20, 2))
    assert beyond(monkeypatch, tmp_path, seconds(good, lambda at: (20, 20)), spike)[0] == 0
