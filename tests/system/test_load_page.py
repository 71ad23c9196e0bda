"""Locust's web page as people see it, in Chromium: a load is started on it, and shows our figures. Needs Debian's chromium and chromium-driver."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from deploy.layout import PROJECT
from deploy.preflight import free_port
from loadgen.run import load
from services.shop import Shop
from tests.system.load_shop import make_shop, server, workers

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "chromium and chromedriver are not installed: apt-get install chromium chromium-driver"
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER) and os.environ.get("CI") != "true", reason=MISSING)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return make_shop(tmp_path / "shops" / "little")


@contextmanager
def locust(shop: Shop, folder: Path, *more: str) -> Iterator[str]:
    """Locust's page over an honest server; its address."""
    port = free_port("127.0.0.1")
    with server("-m", "tests.system.cheating_server", str(shop.root)) as url:
        argv = [sys.executable, "-m", "locust", "-f", "loadgen/locustfile.py", "--host", url, "--shop-root", str(shop.root), *more]
        argv += ["--web-host", "127.0.0.1", "--web-port", str(port), "--users", "1", "--spawn-rate", "1", "--loglevel", "WARNING"]
        argv += ["--load-profile", "open", "--rate", "40", "--seconds", "4", "--warm-up", "1", "--claim", "0.9", "--max-lag", "100000"]
        process = subprocess.Popen([*argv, "--pool", "100", "--results", str(folder)], cwd=PROJECT)
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: answers(address), 60)
            yield address
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def page(shop: Shop, tmp_path: Path) -> Iterator[str]:
    with locust(shop, tmp_path / "loads") as address:
        yield address


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    assert CHROMIUM and DRIVER, MISSING
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=1600,1200",
        f"--user-data-dir={tmp_path / 'chromium'}",
    ):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def until(condition: Any, limit_s: float) -> None:
    give_up = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < give_up, "not in time"
        time.sleep(0.1)


def test_a_load_started_on_the_page_shows_our_figures_there(page: str, browser: Any, tmp_path: Path) -> None:
    wait = WebDriverWait(browser, 60)
    browser.get(page)
    wait.until(lambda d: d.find_element(By.XPATH, "//button[@type='submit']")).click()
    until(lambda: "\nVALID" in httpx.get(f"{page}/stages", timeout=60).text, 60)

    tab = wait.until(lambda d: d.find_element(By.XPATH, "//button[@role='tab'][normalize-space()='AIsle']"))
    tab.click()
    shown = wait.until(lambda d: text if "page turns" in (text := d.find_element(By.TAG_NAME, "body").text) else None)
    folder = os.environ.get("AISLE_SCREENSHOTS")
    if folder:
        browser.save_screenshot(str(Path(folder) / "locust-aisle.png"))
    for word in ("first pages", "all searches", "p99"):
        assert word in shown
    assert p99_of(httpx.get(f"{page}/stats/requests", timeout=60).json()) in shown.replace(",", "")

    browser.find_element(By.XPATH, "//button[@role='tab'][normalize-space()='AIsle: rules']").click()
    rules = wait.until(lambda d: text if "no product comes twice" in (text := d.find_element(By.TAG_NAME, "body").text) else None)
    if folder:
        browser.save_screenshot(str(Path(folder) / "locust-rules.png"))
    assert "VALID" in rules
    assert "kept" in rules
    assert list((tmp_path / "loads").glob("*[0-9].json"))


def test_settings_that_make_no_load_are_refused_on_the_page_and_a_good_load_follows(page: str, tmp_path: Path) -> None:
    form = {"user_count": "1", "spawn_rate": "1"}
    for wrong, said in (
        ({"rate": "0"}, "--rate"),
        ({"rate": "many"}, "many"),
        ({"arrivals": "trace", "trace": str(tmp_path / "none")}, "none"),
        ({"load_profile": "foo"}, "one of report"),
    ):
        told = httpx.post(f"{page}/swarm", data=form | wrong, timeout=60).json()
        assert (told["success"], said in told["message"]) == (False, True), told
    assert httpx.post(f"{page}/swarm", data=form, timeout=60).json()["success"]
    told = httpx.post(f"{page}/swarm", data=form | {"rate": "7"}, timeout=60).json()
    assert (told["success"], "a load is running" in told["message"]) == (False, True), told
    until(lambda: "\nVALID" in httpx.get(f"{page}/stages", timeout=60).text, 60)


def test_the_page_of_a_lead_shows_the_load_of_all_its_workers_one_after_the_other(shop: Shop, tmp_path: Path) -> None:
    with workers(shop, 2, slow_s=3) as (two, _), locust(shop, tmp_path / "loads", *two) as address:
        until(lambda: httpx.get(f"{address}/stats/requests", timeout=60).json()["workers"][1:], 60)
        shape = {"user_count": 2, "spawn_rate": 1, "load_profile": "open", "rate": 40, "seconds": 3, "warm_up": 1, "claim": 0.9}
        for number in (1, 2):
            assert httpx.post(f"{address}/swarm", data=shape, timeout=60).json()["success"]
            until(lambda number=number: len(list((tmp_path / "loads").glob("*[0-9].json"))) == number, 60)
            until(lambda: httpx.get(f"{address}/stats/requests", timeout=60).json()["state"] in ("stopped", "ready"), 60)
            assert "generator: 2 processes" in httpx.get(f"{address}/stages", timeout=60).text
            assert float(p99_of(httpx.get(f"{address}/stats/requests", timeout=60).json())) > 0
        until(lambda: httpx.get(f"{address}/stats/requests", timeout=60).json()["workers"][1:], 60)  # else the slow one is not told to end
    for file in (tmp_path / "loads").glob("*[0-9].json"):
        run = load(file)
        assert (run.verdict, run.wish.seconds, run.interrupted) == ("VALID", 3, False)
        assert run.total.count > 60, "of both workers"


def p99_of(answer: dict[str, Any]) -> str:
    rows = next(table["data"] for table in answer["extended_stats"] if table["key"] == "aisle")
    return str(next(row["p99"] for row in rows if row["requests"] == "all searches"))
