"""Loads of every profile against a little honest server: what is sent, by one process and by many, and what Ctrl-C leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest

from deploy.layout import PROJECT
from loadgen.hdr import from_raw
from loadgen.run import Run
from loadgen.seen import Seen
from services.shop import Shop
from tests.system.load_shop import broken, load, make_shop, server, workers


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_shop(tmp_path_factory.mktemp("shops") / "little")


@pytest.fixture(scope="module")
def url(shop: Shop) -> Iterator[str]:
    with server("-m", "tests.system.cheating_server", str(shop.root)) as address:
        yield address


def test_shoppers_search_turn_pages_and_click_and_the_load_is_valid(url: str, shop: Shop, tmp_path: Path) -> None:
    closed = ("--profile", "closed", "--users", "8", "--think", "0.05", "--seconds", "6", "--turn", "0.8", "--click", "0.3")
    code, said, run = load(url, shop, tmp_path, *closed, "--probes", "0.3")
    assert (code, broken(run)) == (0, set()), said
    assert {r.kind for r in run.requests} == {"first pages", "page turns", "events"}
    assert run.users == 8
    assert {row.part for row in run.where} >= {"whole search", "planner: product store"}


def test_the_reports_profile_ends_after_its_requests_and_leaves_the_warm_up_out(url: str, shop: Shop, tmp_path: Path) -> None:
    few = ("--profile", "report", "--users", "20", "--think", "0.1", "--requests", "200", "--warm-up", "1", "--probes", "0.05")
    _, said, run = load(url, shop, tmp_path, *few)
    assert 200 <= run.total.count <= 230, said
    assert "161 / 392 / 956" in said, "the report's own figures beside ours"
    assert "16 nodes" in said, "and its hardware"
    assert "ERROR" not in said, "Locust lets everybody go in peace"
    assert run.seconds_seen[0].at_s <= 1
    assert run.blocks == [] or run.blocks[0].at_s >= 1


def asked(run: Run, folder: Path) -> list[tuple[float, str, str | None]]:
    """Planned moment, query and user of every search, in order."""
    [file] = folder.rglob(run.answers_file)
    seen = [msgspec.json.decode(line, type=Seen) for line in file.read_bytes().splitlines()]
    rows = [(s.at_s, s.ask.query, s.ask.user_id) for s in seen if s.ask and not s.idle and s.request != "events"]
    return sorted(rows, key=lambda row: (row[0], row[1]))


def counts(run: Run) -> dict[str, int]:
    return {name: from_raw(raw).count for name, raw in run.histograms.items()}


def test_one_process_two_and_a_lead_with_workers_send_the_same_and_count_the_same(url: str, shop: Shop, tmp_path: Path) -> None:
    plan = ("--profile", "sessions", "--rate", "40", "--seconds", "4", "--pace", "4", "--click", "0")
    _, said_one, one = load(url, shop, tmp_path / "one", *plan)
    for name in ("processes", "workers"):
        with workers(shop, 2) if name == "workers" else nullcontext((("--processes", "2"), [])) as (options, _):
            _, said, two = load(url, shop, tmp_path / name, *plan, *options)
        assert (broken(one), broken(two)) == (set(), set()), said_one + said
        assert (one.generator.processes, two.generator.processes) == (1, 2)
        assert asked(one, tmp_path / "one") == asked(two, tmp_path / name)
        assert (two.wish, two.total.count, counts(two)) == (one.wish, one.total.count, counts(one))
        assert [(f.rule, f.state) for f in two.findings] == [(f.rule, f.state) for f in one.findings]
        assert one.generator.planned == two.generator.planned == two.generator.sent


def test_a_recorded_trace_is_replayed_at_its_moments(url: str, shop: Shop, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("".join(f"{1000 + at}\n" for at in (0, 0.5, 0.6, 0.61, 1.4, 1.41, 2.0)))
    replayed = ("--profile", "open", "--arrivals", "trace", "--trace", str(trace), "--seconds", "2", "--pace", "1", "--claim", "0.1")
    _, said, run = load(url, shop, tmp_path, *replayed, "--probes", "0", "--turn", "0")
    assert [at_s for at_s, _, _ in asked(run, tmp_path)] == pytest.approx([0, 0.5, 0.6, 0.61, 1.4, 1.41, 2.0]), said
    assert (run.generator.planned, run.total.count) == (7, 6), "the first is warm-up"


@pytest.mark.parametrize("profile", ["ramp", "spike", "soak"])
def test_rates_that_change_show_second_by_second(profile: str, url: str, shop: Shop, tmp_path: Path) -> None:
    plan = ("--profile", profile, "--rate", "10", "--top", "80", "--seconds", "4", "--spike-start", "2", "--spike-seconds", "1")
    code, said, run = load(url, shop, tmp_path, *plan, "--probes", "0.5", "--claim", "0.5")
    assert code == 0, said
    meant = [s.meant for s in run.seconds_seen]
    assert max(meant) > 40 if profile != "soak" else max(meant) < 40
    assert "every 1 s" in said


@pytest.mark.parametrize(("processes", "how"), [("1", signal.SIGINT), ("1", signal.SIGTERM), ("2", signal.SIGINT), ("2", signal.SIGTERM)])
def test_ctrl_c_reports_what_was_measured(processes: str, how: signal.Signals, url: str, shop: Shop, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "loadgen", "run", "--url", url, "--shop-root", str(shop.root), "--results", str(tmp_path)]
    argv += ["--profile", "open", "--rate", "20", "--seconds", "300", "--warm-up", "0.2", "--probes", "0", "--max-lag", "100000"]
    argv += ["--processes", processes, "--pin"] if processes != "1" else []
    process = subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    assert process.stdout
    for line in process.stdout:
        if "measuring" in line:
            break
    time.sleep(0.5)
    if (processes, how) == ("2", signal.SIGTERM):
        os.kill(process.pid, how)  # as a supervisor does it: the first process alone
    else:
        os.killpg(process.pid, how)  # as a terminal, or `timeout`, does it: every process of the load
    said = process.communicate(timeout=60)[0]
    [file] = tmp_path.glob("*[0-9].json")
    run = json.loads(file.read_text())
    assert run["interrupted"], said
    assert run["total"]["count"] > 0
    assert run["generator"]["processes"] == int(processes), said
    assert run["generator"]["sent"] >= run["total"]["count"]
    assert "interrupted" in said
    assert not [word for word in ("Traceback", "KeyboardInterrupt", "ERROR") if word in said], said
    assert run["seconds"] < 60
    assert bool(run["machine"]["pinned"]) == (processes != "1")


def test_a_worker_that_is_lost_makes_the_load_invalid_and_the_others_end_it(url: str, shop: Shop, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "loadgen", "run", "--url", url, "--shop-root", str(shop.root), "--results", str(tmp_path)]
    argv += ["--profile", "open", "--rate", "20", "--seconds", "20", "--warm-up", "0.2", "--probes", "0", "--pool", "50"]
    with workers(shop, 2, lost=1) as (two, processes):
        lead = subprocess.Popen([*argv, *two], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert lead.stdout
        for line in lead.stdout:
            if "measuring" in line:
                break
        processes[0].kill()
        said = lead.communicate(timeout=120)[0]
    assert "1 of 2 processes ended without a word" in said
    assert lead.returncode == 1


def test_a_run_is_printed_again_and_compared_in_words(url: str, shop: Shop, tmp_path: Path) -> None:
    _, said, _ = load(url, shop, tmp_path, "--profile", "open", "--rate", "40", "--seconds", "2")
    [file] = tmp_path.rglob("*[0-9].json")

    def loadgen(*argv: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "loadgen", *argv], cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout + done.stderr

    again = loadgen("show", "last", "--results", str(file.parent))
    report = said[said.index("open load of shop") :].rpartition("kept in")[0]
    assert again.strip() == report.strip()
    assert "are the same run" in loadgen("compare", str(file), "last", "--results", str(file.parent))
    file.with_name("29990101T000000000.json").write_bytes(file.read_bytes())
    assert "cannot be compared" in loadgen("compare", str(file), "last", "--results", str(file.parent))
    assert "there is no one run" in loadgen("show", "nothing", "--results", str(file.parent))


def test_the_generator_alone_is_measured_and_wrong_settings_of_that_are_refused(shop: Shop, tmp_path: Path) -> None:
    def calibrate(*more: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "loadgen", "calibrate", "--url", "", "--shop-root", str(shop.root), "--results", str(tmp_path)]
        return subprocess.run([*argv, *more], cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False)

    for wrong in (("--rate", "-5"), ("--seconds", "0"), ("--processes", "0"), ("--foo",)):
        done = calibrate(*wrong)
        assert (done.returncode, wrong[0] in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr
    done = calibrate("--seconds", "1", "--rate", "200", "--page-rate", "100")
    assert done.returncode == 0, done.stderr
    assert "requests a second and core" in done.stdout
    [kept] = tmp_path.glob("*.json")
    assert json.loads(kept.read_text())["small_per_core_s"] > 0


def test_two_loads_at_once_keep_their_answers_apart(url: str, shop: Shop, tmp_path: Path) -> None:
    argv = [
        sys.executable,
        "-m",
        "loadgen",
        "run",
        "--url",
        url,
        "--shop-root",
        str(shop.root),
        "--results",
        str(tmp_path),
        "--probes",
        "0",
    ]
    argv += ["--profile", "open", "--rate", "30", "--seconds", "2", "--warm-up", "0.5", "--claim", "0.5", "--max-lag", "100000"]
    both = [subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(list(tmp_path.glob("*[0-9].json"))) == len(list(tmp_path.glob("*.answers.jsonl"))) == 2
