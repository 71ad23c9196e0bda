"""`docker compose up`, for real: started, searched, cut, scaled, upgraded under load, restarted, and taken down. The tests go on from each other."""

import json
import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from deploy.layout import PROJECT
from tests.compose.stack import Compose, eventually
from tests.system.shopping import Shopping

pytestmark = pytest.mark.timeout(3000)
SERVICES = ("planner", "recommender", "searcher", "ranker")
ENGINES = ("tier-high", "tier-medium", "tier-low", "products", "graph", "models")
SEEN = ("gateway", "engine-metrics", "prometheus", "grafana", "locust", "locust-worker")
LIBRARIES = {"tantivy", "ladybug", "onnxruntime", "tensorflow", "fasttext", "locust", "elasticsearch", "neo4j"}
OF_SERVICE = {
    "planner": {"elasticsearch"},
    "searcher": {"elasticsearch", "tantivy"},
    "ranker": {"elasticsearch", "onnxruntime"},
    "recommender": {"fasttext", "ladybug", "neo4j", "onnxruntime"},
}
LOOK = f"""
import importlib.util as i, json, os
try: open("/app/x", "w"); writes = True
except OSError: writes = False
print(json.dumps([os.getuid(), writes, sorted(os.listdir("/app")), [n for n in {sorted(LIBRARIES)} if i.find_spec(n)]]))
"""


def test_an_interrupted_first_start_went_on_where_it_was(stack: Compose) -> None:
    """The fixture killed it in step 3 of 4."""
    said = stack.run("logs", "--no-log-prefix", "prepare")
    assert len(re.findall(r"\[\d/\d\] world", said)) == 1
    assert len(re.findall(r"\[\d/\d\] history", said)) == 1
    assert "[1/2] generation" in said
    assert "is ready to be served: generation 1, release 1" in said


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_what_its_service_needs_and_its_container_may_not_write(stack: Compose, service: str) -> None:
    user, writes, packages, libraries = json.loads(stack.run("exec", "-T", service, "python", "-c", LOOK))
    assert (user, writes) == (10001, False)
    assert packages == sorted(["services", service])
    assert set(libraries) == OF_SERVICE[service]


def test_a_click_changes_the_next_page(stack: Compose) -> None:
    before = stack.complete(query=stack.word(), user_id="newcomer", explain=True)
    attributes = {"object": {"object_id": before["items"][0]["product_id"]}, "position": {"ordinal": 1}}
    event = {"action_name": "click", "query_id": before["query_id"], "user_id": "newcomer", "event_attributes": attributes}
    httpx.post(f"{stack.url}/events", json=[event], timeout=15).raise_for_status()
    after = stack.complete(query=stack.word(), user_id="newcomer", explain=True)
    assert (before["preferences"]["events"], after["preferences"]["events"]) == (0, 1)
    assert [i["score"] for i in before["items"]] != [i["score"] for i in after["items"]]


def test_prometheus_has_the_requests_of_every_service_and_every_engine_is_up(stack: Compose) -> None:
    with Shopping(stack.url) as shopping:
        eventually(lambda: shopping.searches > 50)
    eventually(lambda: len(stack.query("sum by (service) (aisle_requests_total) > 40")) == len(SERVICES))
    eventually(lambda: stack.query("min(up)") == [1.0])
    eventually(lambda: stack.query("min(aisle_engine_up)") == [1.0] and stack.query("count(aisle_engine_up)") == [7.0])
    eventually(lambda: stack.query('sum(aisle_engine_queries_total{engine="high"}) > 40'))


def test_locusts_master_and_worker_put_it_under_load_and_it_is_seen(stack: Compose) -> None:
    form = {"user_count": "10", "spawn_rate": "10", "seconds": "10", "warm_up": "1"}
    started = httpx.post(f"{stack.locust}/swarm", data=form, timeout=30).json()
    assert started["success"], started

    def figures() -> dict[str, int]:
        """Requests by kind, from our own table on Locust's page; there when the load has ended."""
        tables = httpx.get(f"{stack.locust}/stats/requests", timeout=30).json()["extended_stats"]
        return {row["requests"]: row["count"] for table in tables if table["key"] == "aisle" for row in table["data"]}

    eventually(lambda: bool(figures()))
    assert figures()["all searches"] > 5
    assert len(httpx.get(f"{stack.locust}/stats/requests", timeout=30).json()["workers"]) == 1
    eventually(lambda: bool(stack.query("sum(aisle_load_requests_total) > 10")))


def test_grafana_has_the_dashboards(stack: Compose) -> None:
    found = httpx.get(f"{stack.grafana}/api/search", timeout=10).json()
    assert {d["uid"] for d in found} == {"overview", "stages", "engines", "models", "load"}


def test_a_tier_without_network_is_left_out_and_comes_back(stack: Compose) -> None:
    network, tier = f"{stack.project}_engines", f"{stack.project}-tier-low-1"
    subprocess.run(["docker", "network", "disconnect", network, tier], check=True, timeout=60)
    try:
        eventually(lambda: "tier:low" in stack.search(query=stack.word())["degraded"])
        assert stack.search(query=stack.word())["items"]
    finally:
        subprocess.run(["docker", "network", "connect", "--alias", "tier-low", network, tier], check=True, timeout=60)
    eventually(stack.whole)


def test_a_release_is_trained_and_rolled_back_under_load_without_a_failed_search(stack: Compose) -> None:
    with Shopping(stack.url):  # raises when a search fails
        stack.job("train")
        eventually(lambda: stack.search(query=stack.word())["release"] == 2)
        stack.job("rollback")
        eventually(lambda: stack.search(query=stack.word())["release"] == 1)


def test_a_catalogue_is_imported_and_a_generation_rebuilt_under_load_without_a_failed_search(stack: Compose, tmp_path: Path) -> None:
    feed, mapping = tmp_path / "changed.csv", tmp_path / "mapping.toml"
    feed.write_bytes((PROJECT / "examples" / "your-shop" / "changed.csv").read_bytes())
    mapping.write_text(stack.job("import", "--catalog", "/in/changed.csv", "--guess", mounts=(feed,)))
    with Shopping(stack.url):
        options = ("--shop", "demo", "--upsert", "--catalog", "/in/changed.csv", "--mapping", "/in/mapping.toml")
        stack.job("import", *options, mounts=(feed, mapping))
        eventually(lambda: stack.search(query=stack.word())["generation"] == 2)
        product = httpx.get(f"{stack.url}/products/P900", headers={"x-deadline-ms": "10000"}, timeout=15).json()
        assert product["title"] == "Standing desk oak"
        eventually(stack.whole)
        stack.job("build")
        eventually(lambda: stack.search(query=stack.word())["generation"] == 3)


def test_two_planners_and_two_searchers_share_the_work(stack: Compose) -> None:
    stack.up("--no-recreate", "--scale", "planner=2", "--scale", "searcher=2")
    eventually(lambda: stack.query('count(up{service="planner"} == 1)') == [2.0])

    def shared(service: str, route: str) -> bool:
        each = stack.query(f'sum by (instance) (increase(aisle_requests_total{{service="{service}", route="{route}"}}[1m]))')
        return len(each) == 2 and min(each) > 5

    with Shopping(stack.url):
        eventually(lambda: shared("planner", "/search"))
        eventually(lambda: shared("searcher", "/retrieve"))
    stack.up("--no-recreate", "--scale", "planner=1", "--scale", "searcher=1")


def test_every_container_may_be_restarted(stack: Compose) -> None:
    before = _started(stack)
    assert before.keys() == {*SERVICES, *SEEN, *ENGINES}
    stack.run("restart", *before)
    eventually(stack.whole, 1200)  # sixteen starts at once, and restarts with growing pauses of what was too early
    after = _started(stack)
    assert [name for name in before if before[name] == after.get(name)] == []


def _started(stack: Compose) -> dict[str, str]:
    ids = stack.run("ps", "-q").split()
    told = subprocess.run(
        ["docker", "inspect", "-f", '{{index .Config.Labels "com.docker.compose.service"}} {{.State.StartedAt}}', *ids],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return dict(line.split() for line in told.stdout.splitlines())


def test_data_survives_down_and_up(stack: Compose) -> None:
    before = stack.complete(query=stack.word(), user_id="newcomer", explain=True)
    stack.run("down", limit_s=300)
    stack.up()
    eventually(stack.whole)
    after = stack.complete(query=stack.word(), user_id="newcomer", explain=True)
    for field in ("generation", "release"):
        assert after[field] == before[field]
    assert after["preferences"]["events"] == before["preferences"]["events"] >= 1


def test_a_backup_is_restored_into_new_volumes(stack: Compose, tmp_path: Path) -> None:
    if not os.environ.get("AISLE_COMPOSE_TEST"):
        pytest.skip("A BACKUP IS NOT RESTORED: `make compose-test` does")
    tar = [*stack.argv, "run", "--rm", "--no-deps", "-T", "prepare", "tar", "-C", "/var/lib/aisle"]
    before = stack.search(query=stack.word(), user_id="newcomer", explain=True)
    stack.run("stop", "planner")
    with open(tmp_path / "shop.tgz", "wb") as file:
        subprocess.run([*tar, "-cz", "."], check=True, cwd=PROJECT, stdout=file, timeout=120)
    stack.run("down", "-v", limit_s=300)
    with open(tmp_path / "shop.tgz", "rb") as file:
        subprocess.run([*tar, "-xz"], check=True, cwd=PROJECT, stdin=file, timeout=120)
    stack.job("build")
    stack.up()
    eventually(stack.whole)
    after = stack.search(query=stack.word(), user_id="newcomer", explain=True)
    assert after["generation"] == before["generation"] + 1
    assert after["release"] == before["release"]
    assert after["preferences"]["events"] == before["preferences"]["events"] >= 1


def test_down_with_volumes_leaves_nothing(stack: Compose) -> None:
    stack.run("down", "-v", limit_s=300)
    for kind in (("ps", "-a"), ("volume", "ls"), ("network", "ls")):
        left = ["docker", *kind, "-q", "--filter", f"label=com.docker.compose.project={stack.project}"]
        assert subprocess.run(left, check=True, capture_output=True, text=True, timeout=60).stdout == "", kind
