"""The settings of a load: what profiles fill in, what makes no load, and that every setting is said."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loadgen.options import OPTIONS, PROFILES, Wish, refused, too_few, watched, wish
from services.errors import ConfigurationError


def wished(**changes: Any) -> Wish:
    return wish(SimpleNamespace(**{**{option.name: option.default for option in OPTIONS}, **changes}))


def test_the_reports_profile_is_the_reports() -> None:
    w = wished(load_profile="report")
    assert (w.warm_up_s, w.think_s, w.requests, w.seconds, w.open) == (30, 10, 20_000, 0, False)


@pytest.mark.parametrize(
    ("profile", "seconds"), [("closed", 60), ("open", 60), ("sessions", 60), ("ramp", 60), ("spike", 60), ("soak", 3600)]
)
def test_every_other_profile_has_its_length(profile: str, seconds: float) -> None:
    w = wished(load_profile=profile)
    assert (w.seconds, w.warm_up_s, w.requests, w.open) == (seconds, 30 if profile == "sessions" else 5, 0, profile != "closed")


def test_a_setting_goes_before_the_profile() -> None:
    w = wished(load_profile="report", warm_up=0.0, think=2.0, requests=10, seconds=7.0, misspelt=0.2)
    assert (w.warm_up_s, w.think_s, w.requests, w.seconds, w.mix.misspelt) == (0, 2, 10, 7, 0.2)
    assert wished().mix.misspelt is None


def test_a_ramp_rises_after_the_warm_up_and_a_spike_comes_at_its_time() -> None:
    assert wished(load_profile="ramp", rate=10.0, seconds=20.0).rates().points == ((5.0, 10.0), (25.0, 20.0))
    spiky = wished(load_profile="spike", rate=10.0, top=90.0, spike_start=3.0, spike_seconds=2.0).rates().points
    assert (8.0, 10.0) in spiky
    assert (10.0, 90.0) in spiky


def test_a_trace_is_sent_as_it_was_recorded(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_text("5\n5.5\n6.5\n")
    slots = wished(load_profile="open", arrivals="trace", trace=str(file), pace=0.5, seconds=10.0).slots()
    assert [slot.at_s for slot in slots] == [0, 1, 3]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rare": 1.5}, "--rare"),
        ({"claim": -0.1}, "--claim"),
        ({"misspelt": 0.6, "rare": 0.3, "empty": 0.2}, "together at most 1"),
        ({"claim": 1.0}, "--claim"),
        ({"rate": 0.0}, "--rate"),
        ({"rate": float("nan")}, "--rate: a number, and a finite one"),
        ({"seconds": float("inf")}, "--seconds: a number, and a finite one"),
        ({"seconds": -3.0}, "--seconds -3: not below 0"),
        ({"arrivals": "trace", "trace": "/nowhere"}, "trace /nowhere"),
        ({"arrivals": "trace"}, "--trace FILE"),
    ],
)
def test_what_makes_no_load_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        wished(**wrong)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rate": "40", "seconds": ""}, None),
        ({"rate": "many"}, "--rate 'many': a number"),
        ({"rate": "0"}, "--rate"),
        ({"misspelt": "2"}, "together at most 1"),
    ],
)
def test_a_form_is_refused_as_the_command_line_is(given: dict[str, str], said: str | None) -> None:
    options = SimpleNamespace(**{option.name: option.default for option in OPTIONS})
    found = refused(options, given)
    assert found is None if said is None else found is not None and said in found
    assert options.rate == next(option.default for option in OPTIONS if option.name == "rate")


def test_every_setting_and_every_profile_is_explained_once() -> None:
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)
    assert all(len(option.help) > 5 for option in OPTIONS)
    assert set(OPTIONS[0].choices) == set(PROFILES)


def test_processes_to_watch_are_names_and_numbers() -> None:
    assert watched("planner=12,ranker=7") == {"planner": 12, "ranker": 7}
    assert watched("") == {}
    with pytest.raises(ConfigurationError, match="name=pid"):
        watched("planner")


@pytest.mark.parametrize(
    ("changes", "users", "few"),
    [
        ({"load_profile": "closed", "seconds": 10.0}, 20, True),
        ({"load_profile": "closed", "seconds": 10.0}, 200, False),
        ({"load_profile": "open", "rate": 20.0, "seconds": 10.0}, 1, True),
        ({"load_profile": "open", "rate": 20.0, "seconds": 10.0, "claim": 0.9}, 1, False),
        ({"load_profile": "spike", "rate": 20.0, "top": 100.0, "seconds": 10.0, "spike_start": 2.0}, 1, False),
        ({"load_profile": "report"}, 1000, False),
    ],
)
def test_a_load_too_short_for_its_percentile_is_said_before_it_starts(changes: dict[str, Any], users: int, few: bool) -> None:
    assert (too_few(wished(**changes), users) is not None) == few


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"warm_up": -7.0}, "--warm-up -7"),
        ({"max_lag": -1.0}, "--max-lag -1"),
        ({"max_pages": 0}, "--max-pages 0"),
        ({"deadline_ms": -1.0}, "--deadline-ms -1"),
        ({"page_size": 1000}, "--page-size 1000: at most 100"),
        ({"load_profile": "ramp", "rate": 50.0, "top": 10.0}, "--top 10: above --rate"),
        ({"load_profile": "spike", "seconds": 10.0}, "--spike-start 20: within"),
        ({"pool": 0}, "--pool 0: above 0"),
    ],
)
def test_a_setting_that_cannot_work_is_named(changes: dict[str, Any], flag: str) -> None:
    with pytest.raises(ConfigurationError, match=flag):
        wished(**changes)


def test_a_form_has_to_name_a_profile_that_there_is() -> None:
    options = SimpleNamespace(**{option.name: option.default for option in OPTIONS})
    assert "one of report, closed" in (refused(options, {"load_profile": "foo"}) or "")
    assert refused(options, {"load_profile": "open"}) is None
