"""Strategy `weights` on the whole path, and pages that are not in memory: a second planner and ranker beside those that run."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from deploy.layout import PROJECT
from deploy.preflight import free_port
from ranker.engine import LEAD
from tests.engines.conftest import DEADLINE_MS, LATE_S, SHOPPER, Real, wait_for


@pytest.fixture(scope="module")
def weighing(real: Real) -> Iterator[str]:
    """Address of a planner whose ranker goes by the ranking index. It begins with no summary in memory."""
    planner, ranker = (f"http://127.0.0.1:{free_port('127.0.0.1')}" for _ in range(2))
    with (
        service(real, "ranker", ranker, AISLE_RANKER_STRATEGY="weights"),
        service(real, "planner", planner, AISLE_PLANNER_RANKER_URL=ranker),
    ):
        wait_for(lambda: all(map(ready, (ranker, planner))), 60.0)
        yield planner


@contextlib.contextmanager
def service(real: Real, name: str, url: str, **changed: str) -> Iterator[None]:
    """Another process of a running service, with the settings of that one but for those changed."""
    running = real.stack.service(name).process
    assert running
    environment = {**psutil.Process(running.pid).environ(), f"AISLE_{name.upper()}_PORT": url.rpartition(":")[2], **changed}
    process = subprocess.Popen([sys.executable, "-m", name], cwd=PROJECT, env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def search(url: str, **more: object) -> tuple[httpx.Response, float]:
    started = time.perf_counter()
    body = {"query": "acme thing", "user_id": SHOPPER, **more}
    answer = httpx.post(f"{url}/search", json=body, headers={"x-deadline-ms": str(DEADLINE_MS)}, timeout=10)
    return answer, time.perf_counter() - started


def whole(url: str) -> bool:
    answer = search(url)[0]
    return answer.status_code == 200 and answer.json()["degraded"] == []


def test_a_page_is_ranked_by_weights_and_without_their_index_by_retrieval(real: Real, weighing: str) -> None:
    wait_for(lambda: whole(weighing), 60.0)
    weighed = search(weighing)[0].json()
    assert weighed["items"][0]["score"] > LEAD
    assert [i["summary"]["brand"] for i in weighed["items"]] == ["acme"] * 10
    search(weighing, page_size=30)  # every product with all terms is in memory now, whatever the order
    with real.paused("elasticsearch-products"):
        answer, took_s = search(weighing)
        assert (answer.status_code, answer.json()["degraded"], took_s < LATE_S) == (200, ["ranking"], True)
    wait_for(lambda: whole(weighing), 30.0)
    assert [i["product_id"] for i in search(weighing)[0].json()["items"]] == [i["product_id"] for i in weighed["items"]]


def test_a_page_that_is_not_in_memory_needs_the_product_store(real: Real, weighing: str) -> None:
    wait_for(lambda: whole(weighing), 60.0)
    with real.paused("elasticsearch-products"):
        answer, took_s = search(weighing, page=9)  # nobody has turned so far
        assert (answer.status_code, took_s < LATE_S) == (503, True)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"]
        assert "the product store cannot be read" in answer.json()["detail"]
    wait_for(lambda: search(weighing, page=9)[0].status_code == 200, 30.0)
