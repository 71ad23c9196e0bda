"""`docker compose up`, for real: started, searched, restarted, cut, scaled, upgraded under load, and taken down.

Takes many minutes and 8 GB, so it runs when asked for: `make compose-test`. Where no image can be pulled, compose-standins (see the project's
notes) makes the images first; what is a stand-in there (TensorFlow Serving, Grafana, a reduced Elasticsearch) is one here.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.layout import PROJECT
from deploy.preflight import free_port
from tests.system.shopping import Shopping

pytestmark = [
    pytest.mark.timeout(3000),
    pytest.mark.skipif(not os.environ.get("AISLE_COMPOSE_TEST"), reason="THE COMPOSE STACK IS NOT TESTED: `make compose-test` does"),
]
SIZES = {"DEMO_PRODUCTS": "800", "DEMO_USERS": "150", "DEMO_PAGES": "4000"}
PORTS = ("AISLE_PORT", "LOCUST_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
SERVICES = ("planner", "recommender", "searcher", "ranker")
ENGINES = ("tier-high", "tier-medium", "tier-low", "products", "graph", "models")
Answer = dict[str, Any]


class Compose:
    """A project of the test's own: its volumes, networks and ports touch no other."""

    def __init__(self, project: str, env_file: Path) -> None:
        self.project = project
        self._base = ["docker", "compose", "-p", project, "--env-file", str(env_file)]
        values = dict(line.split("=", 1) for line in env_file.read_text().split())
        self.url, self.locust, self.prometheus, self.grafana = (f"http://127.0.0.1:{values[name]}" for name in PORTS)

    def run(self, *argv: str, limit_s: float = 900) -> str:
        done = subprocess.run([*self._base, *argv], cwd=PROJECT, capture_output=True, text=True, timeout=limit_s)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout[-2000:]}{done.stderr[-4000:]}\n{self.states()}"
        return done.stdout

    def up(self, *more: str) -> None:
        self.run("up", "-d", "--wait", *more, limit_s=1500)

    def states(self) -> str:
        return subprocess.run([*self._base, "ps", "-a"], cwd=PROJECT, capture_output=True, text=True).stdout

    def search(self, **request: Any) -> Answer:
        headers = {"x-deadline-ms": "10000", "authorization": f"Bearer {self.token()}"}
        response = httpx.post(f"{self.url}/search", json=request, headers=headers, timeout=15)
        assert response.status_code == 200, response.text
        answer: Answer = response.json()
        return answer

    def token(self) -> str:
        if not hasattr(self, "_token"):
            self._token = self.run("exec", "-T", "planner", "cat", "/var/lib/aisle/operator.token").strip()
        return self._token

    def query(self, expr: str) -> list[float]:
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": expr}, timeout=10)
        return [float(r["value"][1]) for r in answer.json()["data"]["result"]]

    def whole(self) -> bool:
        """A search that lacks nothing."""
        try:
            return not self.search(query=self.word(), user_id="u1")["degraded"]
        except (AssertionError, httpx.HTTPError):
            return False

    def word(self) -> str:
        if not hasattr(self, "_word"):
            self._word = next(w for w in self.search()["items"][0]["summary"]["title"].split() if w.isalpha())
        return self._word


def eventually(holds: Callable[[], bool], limit_s: float = 300.0) -> None:
    give_up = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.5)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    env_file = tmp_path_factory.mktemp("compose") / "env"
    ports = {name: str(free_port("127.0.0.1")) for name in PORTS}
    env_file.write_text("".join(f"{k}={v}\n" for k, v in {**SIZES, **ports}.items()))
    compose = Compose(f"aisletest{os.getpid()}", env_file)
    try:
        began = time.monotonic()
        compose.run("build", limit_s=2000)
        built = time.monotonic()
        compose.up()
        print(f"images in {built - began:.0f} s, ready {time.monotonic() - built:.0f} s later")
        eventually(compose.whole)
        yield compose
    finally:
        compose.run("down", "-v", "--remove-orphans", limit_s=300)


def test_a_search_lacks_nothing_and_a_click_is_known_to_the_next(stack: Compose) -> None:
    before = stack.search(query=stack.word(), user_id="newcomer", explain=True)
    attributes = {"object": {"object_id": before["items"][0]["product_id"]}, "position": {"ordinal": 1}}
    event = {"action_name": "click", "query_id": before["query_id"], "user_id": "newcomer", "event_attributes": attributes}
    httpx.post(f"{stack.url}/events", json=[event], timeout=15).raise_for_status()
    after = stack.search(query=stack.word(), user_id="newcomer", explain=True)
    assert (before["preferences"]["events"], after["preferences"]["events"]) == (0, 1)
    assert (before["degraded"], after["degraded"]) == ([], [])


def test_prometheus_has_the_requests_of_every_service_and_every_engine_is_up(stack: Compose) -> None:
    with Shopping(stack.url) as shopping:
        eventually(lambda: shopping.searches > 50)
    eventually(lambda: len(stack.query("sum by (service) (aisle_requests_total) > 40")) == len(SERVICES), 60)
    eventually(lambda: stack.query("min(up)") == [1.0], 60)
    eventually(lambda: stack.query("min(aisle_engine_up)") == [1.0] and stack.query("count(aisle_engine_up)") == [7.0], 60)
    assert stack.query('sum(aisle_engine_queries_total{engine="high"})')[0] > 40


def test_grafana_has_the_dashboards_and_locust_its_page(stack: Compose) -> None:
    found = httpx.get(f"{stack.grafana}/api/search", timeout=10).json()
    assert {d["uid"] for d in found} == {"overview", "stages", "engines", "models", "load"}
    assert httpx.get(stack.locust, timeout=10).status_code == 200


def test_a_tier_without_network_is_left_out_and_comes_back(stack: Compose) -> None:
    network, tier = f"{stack.project}_engines", f"{stack.project}-tier-low-1"
    subprocess.run(["docker", "network", "disconnect", network, tier], check=True, timeout=60)
    try:
        eventually(lambda: "tier:low" in stack.search(query=stack.word())["degraded"], 60)
        assert stack.search(query=stack.word())["items"]
    finally:
        subprocess.run(["docker", "network", "connect", "--alias", "tier-low", network, tier], check=True, timeout=60)
    eventually(stack.whole, 120)


def test_two_planners_and_two_searchers_share_the_work(stack: Compose) -> None:
    stack.up("--no-recreate", "--scale", "planner=2", "--scale", "searcher=2")
    eventually(lambda: stack.query('count(up{service="planner"} == 1)') == [2.0], 60)

    def shared(service: str, route: str) -> bool:
        each = stack.query(f'sum by (instance) (increase(aisle_requests_total{{service="{service}", route="{route}"}}[1m]))')
        return len(each) == 2 and min(each) > 5

    with Shopping(stack.url):
        eventually(lambda: shared("planner", "/search"), 120)
        eventually(lambda: shared("searcher", "/retrieve"), 120)
    stack.up("--no-recreate", "--scale", "planner=1", "--scale", "searcher=1")


def test_a_release_is_trained_and_rolled_back_under_load_without_a_failed_search(stack: Compose) -> None:
    job = ("run", "--rm", "--no-deps", "-T", "prepare", "python", "-m", "deploy.cli")
    with Shopping(stack.url):  # raises when a search fails
        stack.run(*job, "train")
        eventually(lambda: stack.search(query=stack.word())["release"] == 2, 60)
        stack.run(*job, "rollback")
        eventually(lambda: stack.search(query=stack.word())["release"] == 1, 60)


def test_a_generation_is_rebuilt_under_load_without_a_failed_search(stack: Compose) -> None:
    with Shopping(stack.url):
        stack.run("run", "--rm", "--no-deps", "-T", "prepare", "python", "-m", "deploy.cli", "build")
        eventually(lambda: stack.search(query=stack.word())["generation"] == 2, 60)


def test_every_container_may_be_restarted(stack: Compose) -> None:
    for name in (*SERVICES, "gateway", "engine-metrics", "prometheus", "grafana", "locust", "locust-worker", *ENGINES):
        stack.run("restart", name)
    eventually(stack.whole, 400)


def test_data_survives_down_and_up(stack: Compose) -> None:
    before = stack.search(query=stack.word(), user_id="newcomer", explain=True)
    stack.run("down", limit_s=300)
    stack.up()
    eventually(stack.whole)
    after = stack.search(query=stack.word(), user_id="newcomer", explain=True)
    for field in ("generation", "release"):
        assert after[field] == before[field]
    assert after["preferences"]["events"] == before["preferences"]["events"] >= 1
