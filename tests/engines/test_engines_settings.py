"""Engines are chosen by settings alone: wrong ones stop the start, lost ones are told by name, and a new generation reaches those that run."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx

from deploy.layout import PROJECT
from deploy.real_engines import SETTINGS
from services.artifacts import Versions
from tests.engines.conftest import TIERS, Real, wait_for
from tests.planted import PRODUCTS

NOWHERE = "127.0.0.1:1"
NAMED = {
    "searcher": {"tier:high", "tier:medium", "tier:low"},
    "planner": {"products"},
    "ranker": {"ranking"},
    "recommender": {"graph", "release"},
}
"""The checks of /readyz that have an engine behind them."""
KINDS = {
    **{tier: f"AISLE_SEARCHER_{tier.upper()}_URL" for tier in ("high", "medium", "low")},
    "products": "AISLE_PLANNER_PRODUCTS_URL",
    "ranking": "AISLE_RANKER_RANKING_URL",
}
"""Kind of index -> the setting of its cluster."""


def test_an_engine_that_is_not_there_stops_the_start_of_its_service_in_one_line(real: Real) -> None:
    started = {setting: start(real, setting) for settings in SETTINGS.values() for setting in settings}
    for setting, process in started.items():
        _, said = process.communicate(timeout=120)
        assert process.returncode == 2, said
        lines = [line for line in said.strip().splitlines() if "not yet quick" not in line]  # eight start at once: engines are slow
        assert len(lines) == 1, said
        assert NOWHERE in said
        assert setting in said or "the model server" in said


def start(real: Real, setting: str) -> "subprocess.Popen[str]":
    """The service of a setting, which names an address where nobody listens."""
    service = setting.split("_")[1].lower()
    scheme = "bolt://" if "GRAPH" in setting else "" if "MODELS" in setting else "http://"
    environment = {**os.environ, **real.settings(), "AISLE_HOME": str(real.home), setting: scheme + NOWHERE}
    environment |= {f"AISLE_{service.upper()}_{name}": value for name, value in (("SHOP", real.shop.name), ("PORT", "0"))}
    return subprocess.Popen(
        [sys.executable, "-m", service], cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def test_every_engine_that_does_not_answer_is_told_by_name(real: Real) -> None:
    def lost(service: str) -> set[str]:
        checks = httpx.get(real.stack.service(service).ready_url, timeout=10).json()["checks"]
        return {name for name, check in checks.items() if not check["ok"]}

    with real.paused(*TIERS, "elasticsearch-products", "neo4j", "model-server"), ThreadPoolExecutor() as pool:
        wait_for(lambda: dict(zip(NAMED, pool.map(lost, NAMED), strict=True)) == NAMED, 30.0)
    wait_for(lambda: not any(map(lost, NAMED)), 30.0)
    real.whole_again_s()


def test_a_build_that_is_killed_changes_nothing_and_the_next_one_is_served_from_the_engines(real: Real) -> None:
    generation, settings = real.search()[0].json()["generation"], real.settings()
    environment = {**os.environ, "AISLE_HOME": str(real.home)}

    def index(kind: str, number: int) -> str:
        return f"{settings[KINDS[kind]]}/{real.shop.name}-{kind}-{number}"

    build = subprocess.Popen(
        [sys.executable, "-m", "offline.build", str(real.shop.root)], cwd=PROJECT, env=environment | settings, start_new_session=True
    )
    wait_for(lambda: httpx.head(index("high", generation + 1), timeout=5).status_code == 200, 120.0)
    os.killpg(build.pid, signal.SIGKILL)
    assert build.wait(30) == -signal.SIGKILL
    assert Versions(real.shop.generations).current() == generation

    command = [sys.executable, "-m", "deploy.cli", "build", "--shop", real.shop.name]
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL) as again:
        while again.poll() is None:
            answer, _ = real.post("planner", "/search", {"query": "acme thing"}, deadline_ms=10_000)  # building takes processors too
            assert answer.status_code == 200, answer.text
            assert set(answer.json()["degraded"]) <= {"preferences"}  # the model server is given a second, whatever the deadline
            assert answer.json()["items"]
    assert again.returncode == 0
    wait_for(lambda: real.search()[0].json().get("generation") == generation + 1, 60.0)
    counts = {kind: httpx.get(f"{index(kind, generation + 1)}/_count", timeout=5).json()["count"] for kind in KINDS}
    assert counts["products"] == counts["ranking"] == counts["medium"] + counts["low"] == PRODUCTS
    assert 0 < counts["high"] < counts["medium"]
