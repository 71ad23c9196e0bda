"""A run from what its processes saw: counted, graded, printed, printed again, compared in words, and shown on Locust's page."""

from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import msgspec
import pytest
from rich.console import Console

from loadgen import page
from loadgen.collector import Collector
from loadgen.compare import compare, words
from loadgen.lead import Lead, Watch
from loadgen.options import OPTIONS, wish
from loadgen.quality import rule
from loadgen.report import show
from loadgen.run import Quality, Run, load, save
from tests.load_runs import SHELF, run, search


def printed(found: Run) -> str:
    console = Console(file=StringIO(), width=220, highlight=False, soft_wrap=True)
    show(found, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("loads"))


def test_what_processes_saw_is_one_run(found: Run) -> None:
    assert (found.verdict, found.generator.processes, found.generator.planned) == ("VALID", 2, 610)
    assert (found.total.count, found.total.failed, found.total.per_second) == (600, 0, 10)
    assert found.total.latency.p50_ms == pytest.approx(14, rel=0.001)
    assert (found.total.latency.mean_ms, found.total.latency.max_ms) == (14.5, 19)
    assert len(found.blocks) == 12
    assert found.seconds_seen[0].meant == 10


def test_a_run_is_kept_with_all_that_its_report_is_printed_from(found: Run, tmp_path: Path) -> None:
    again = load(save(found, tmp_path))
    assert again == found
    assert printed(again) == printed(found)
    stored = msgspec.json.decode(save(found, tmp_path).read_bytes())
    assert {"wish", "code_version", "machine", "histograms", "findings", "generator"} <= set(stored)
    assert stored["wish"]["seed"] == 1
    assert set(stored["histograms"]) == {"first.latency", "first.service", "lag"}


def test_the_report_says_clocks_verdict_and_what_was_not_possible(found: Run) -> None:
    said = printed(found)
    for words_ in ("VALID", "lag p50 0.50", "Locust's own", "two significant digits", "not pinned: 1 core", "alone", "161 / 392 / 956"):
        assert words_ in said
    assert "not judged" in said, "rules that had too little to look at are named"


def test_a_late_generator_and_an_interruption_are_said(tmp_path: Path) -> None:
    late = run(tmp_path, max_lag=0.4, interrupted=True)
    assert late.verdict == "INVALID"
    said = printed(late)
    assert "the generator itself was late" in said
    assert "interrupted" in said


def test_requests_that_were_planned_and_never_recorded_make_a_run_invalid(tmp_path: Path) -> None:
    collector = Collector(1.0)
    assert collector.totals(0.0).searched == 0
    asked = {option.name: option.default for option in OPTIONS}
    for profile in ("open", "closed"):
        lead = Lead(wish(SimpleNamespace(**{**asked, "load_profile": profile})), SHELF, tmp_path / "shop", None, {})
        lead.begin(-10)
        collector.planned = 100
        lead.end(collector.totals(1.0))
        kept = {f.rule: f.state for f in lead.finish(1, {}, "", None, interrupted=False).findings}
        assert kept["the schedule is kept"] == "broken"


def test_how_it_goes_is_said_with_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {option.name: option.default for option in OPTIONS}
    lead = Lead(wish(SimpleNamespace(**{**asked, "load_profile": "report", "requests": 300, "warm_up": 0.0})), SHELF, tmp_path, None, {})
    assert "asking the probes" in lead.line(5)
    lead.begin(-10)
    monkeypatch.setattr(Lead, "clock_s", 10.0)
    lead.take([search(n, 10.0) for n in range(100)])
    said = lead.line(5)
    for words_ in ("5 shoppers", "100 requests", "10.0/s", "p99 10.0 ms", "0 failed", "100 of 300 searches, about 20 s left"):
        assert words_ in said


def test_what_a_process_uses_is_by_the_real_clock_from_the_beginning_of_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 102.0, 103.0, 103.5])
    used = iter([5.0, 6.0, 6.5, 7.0])
    process = Mock(cpu_times=lambda: SimpleNamespace(user=next(used), system=0.0), memory_info=lambda: SimpleNamespace(rss=50_000_000))
    monkeypatch.setattr("loadgen.lead.psutil.Process", lambda pid: process)
    monkeypatch.setattr("loadgen.lead.time.perf_counter", lambda: next(now))
    watch = Watch({"planner": 1})
    for at_s in (0.0, 0.0, 0.9, 1.4):  # the load's own clock stands still while the probes are asked
        watch.sample(at_s)
    assert [(s.at_s, s.cpu, s.rss_mb) for s in watch.samples] == [(0.9, 0.5, 50.0), (1.4, 1.0, 50.0)]


# ---- two runs ----


def test_two_loads_that_differ_are_said_to_by_how_much(found: Run, tmp_path: Path) -> None:
    slower = run(tmp_path, factor=1.5, seed=2)
    said = words(found, slower, compare(found.blocks, slower.blocks))
    assert "mean latency, ms: A 14.50, B 21.75: B is 50.0% slower" in said
    assert "answers a second: A 10.00, B 10.00: no difference found" in said
    assert "asked for differently: seed" in said
    assert said.endswith("The loads differ.")


def test_two_equal_loads_are_said_to_show_no_difference(found: Run) -> None:
    said = words(found, found, compare(found.blocks, found.blocks))
    assert said.endswith("No difference was found; the intervals say how large one could be.")


def test_short_or_invalid_loads_prove_nothing(tmp_path: Path) -> None:
    short = run(tmp_path, seconds=12.0, max_lag=0.1)
    said = words(short, short, compare(short.blocks, short.blocks))
    assert "fewer than 6 blocks" in said
    assert "A is INVALID and proves nothing" in said


# ---- Locust's page; quality ----


def test_locusts_page_shows_the_same_figures(found: Run) -> None:
    tables = {table["key"]: table["data"] for table in page.statistics(found)}
    assert next(row for row in tables["aisle"] if row["requests"] == "all searches")["p99"] == found.total.latency.p99_ms
    assert tables["aisle-rules"][0] == {"rule": "verdict", "state": "VALID", "value": "", "threshold": "", "advice": ""}
    assert {row["part"] for row in tables["aisle-where"]} >= {"whole search", "recommender"}
    assert all(table["data"] == [] for table in page.statistics(None))


@pytest.mark.parametrize(
    ("ndcg", "regret", "state"), [(0.50, 1.0, "kept"), (0.481, 1.019, "kept"), (0.47, 1.0, "broken"), (0.50, 1.03, "broken")]
)
def test_answers_worse_than_when_idle_by_more_than_the_margin_break_a_rule(ndcg: float, regret: float, state: str) -> None:
    finding = rule(Quality(queries=30, ndcg_idle=0.5, ndcg_load=ndcg, regret_idle=1.0, regret_load=regret), margin=0.02)
    assert finding.state == state
    assert bool(finding.advice) == (state == "broken")
    assert rule(None, 0.02).state == "open"
    assert rule(Quality(queries=5, ndcg_idle=0.5, ndcg_load=ndcg, regret_idle=1.0, regret_load=regret), 0.02).state == "open"
