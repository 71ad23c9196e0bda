"""The commands that search for the peak and look beyond it, against a server that answers 60 searches a second and refuses the rest."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from deploy.layout import PROJECT
from loadgen.run import load
from services.shop import Shop
from tests.system.load_shop import make_shop, server

CAPACITY = 60
EASY = ("--max-lag", "100000", "--pool", "200", "--probes", "0", "--click", "0", "--max-failed", "0.05", "--no-pin")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_shop(tmp_path_factory.mktemp("shops") / "little")


def loadgen(shop: Shop, results: Path, command: str, *more: str) -> tuple[int, str]:
    with server("-m", "tests.system.cheating_server", str(shop.root), str(CAPACITY)) as url:
        argv = [sys.executable, "-m", "loadgen", command, "--url", url, "--shop-root", str(shop.root), "--results", str(results)]
        done = subprocess.run([*argv, *EASY, *more], cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_peak_that_is_found_is_the_servers(shop: Shop, tmp_path: Path) -> None:
    search = (
        "--slo",
        "p50=60000ms",
        "--start",
        "50",
        "--close",
        "1.3",
        "--seconds",
        "3",
        "--warm-up",
        "0.5",
        "--repetitions",
        "1",
        "--arrivals",
        "fixed",
    )
    code, said = loadgen(shop, tmp_path, "peak", *search)
    assert code == 0, said
    found = msgspec.json.decode((tmp_path / "peak.json").read_bytes())["peak"]
    assert 30 <= found["rate"] <= 90, said
    assert found["low"] <= found["rate"] <= found["high"]
    assert "every request is answered" in said, "why the next rate did not hold"
    assert "latency over rate" in said


def test_ctrl_c_tells_what_was_found_so_far(shop: Shop, tmp_path: Path) -> None:
    with server("-m", "tests.system.cheating_server", str(shop.root), str(CAPACITY)) as url:
        argv = [sys.executable, "-m", "loadgen", "peak", "--url", url, "--shop-root", str(shop.root), "--results", str(tmp_path), *EASY]
        argv += ["--slo", "p50=60000ms", "--start", "20", "--seconds", "1", "--warm-up", "0.5"]
        search = subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        assert search.stdout
        held = (float(line.split("/s")[0]) for line in search.stdout if "holds" in line)
        first, second = next(held), next(held)
        assert 0 < first <= 20, "unless the machine stood still, the rate to start with"
        assert second != first
        os.killpg(search.pid, signal.SIGINT)  # as a terminal does it: the load as well
        said = search.communicate(timeout=60)[0]
    assert search.returncode == 2, said
    assert not (tmp_path / "peak.json").exists(), "what was interrupted is no peak"
    assert "interrupted" in said
    assert "peak: " in said, "at least the first rate, perhaps the second"


def test_beyond_the_peak_goodput_stays_and_comes_back(shop: Shop, tmp_path: Path) -> None:
    short = ("--claim", "0.5", "--peak", "50", "--peak-seconds", "3", "--warm-up", "1", "--around", "4", "--spike-seconds", "4")
    code, said = loadgen(shop, tmp_path, "beyond", *short)
    assert "INVALID" not in said
    assert (code == 0) == ("broken" not in said), (
        said
    )  # which of both a busy machine decides; what is concluded from what was seen, a unit test
    assert "goodput at" in said
    assert "good again" in said
    [spike] = [load(file) for file in (tmp_path / "searches").glob("001-*/*[0-9].json")]
    assert sum(s.refused for s in spike.seconds_seen if 5 <= s.at_s < 9) > 0, "the server takes 60 of the 100 a second"
    assert sum(s.good for s in spike.seconds_seen if s.at_s >= 9) > 0, "and goes on"


def test_beyond_needs_a_peak(shop: Shop, tmp_path: Path) -> None:
    code, said = loadgen(shop, tmp_path, "beyond")
    assert code == 2
    assert "run `aisle load peak` first" in said
