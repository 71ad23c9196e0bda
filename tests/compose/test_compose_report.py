"""The report's sizes: tiers of 4, 3 and 2 nodes with copies on each, 100,000 products."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compose.stack import REPORT, Compose, env_file, eventually

pytestmark = pytest.mark.timeout(3000)
NODES = {"high": 4, "medium": 3, "low": 2}


@pytest.fixture
def report(docker: None, tmp_path: Path) -> Compose:
    sizes = {"REPORT_PRODUCTS": "800", "REPORT_USERS": "150", "REPORT_PAGES": "4000"}
    return Compose(f"aislereport{os.getpid()}", env_file(tmp_path, **sizes), *REPORT)


def test_the_override_has_the_nodes_of_the_report_each_with_a_copy(report: Compose) -> None:
    told = json.loads(report.run("config", "--format", "json"))["services"]
    tiers = {name: service for name, service in told.items() if name.startswith("tier-")}
    assert Counter(s["environment"]["cluster.name"] for s in tiers.values()) == {f"tier-{name}": n for name, n in NODES.items()}
    for name, service in tiers.items():
        environment, cluster = service["environment"], service["environment"]["cluster.name"]
        assert (environment["node.name"], environment["discovery.type"]) == (name, "multi-node")
        assert environment["discovery.seed_hosts"] == environment["cluster.initial_master_nodes"] == cluster
        assert name == cluster or service["networks"]["engines"]["aliases"] == [cluster]
        assert {v["source"] for v in service["volumes"]} == {name, "certificates"}
        assert told["prepare"]["depends_on"][name]["condition"] == "service_healthy"
        assert "ports" not in service
    replicas = {name: told["prepare"]["environment"][f"AISLE_SEARCHER_{name.upper()}_REPLICAS"] for name in NODES}
    assert replicas == {name: str(n - 1) for name, n in NODES.items()}


def test_the_default_is_100_000_products_and_the_reports_1_000_users(docker: None, tmp_path: Path) -> None:
    told = json.loads(Compose("aisle", env_file(tmp_path), *REPORT).run("config", "--format", "json"))
    assert {"--products=100000", "--users=1000"} <= set(told["services"]["prepare"]["command"])


@pytest.fixture
def started(report: Compose) -> Iterator[Compose]:
    if not os.environ.get("AISLE_COMPOSE_TEST"):
        pytest.skip("THE REPORT'S SIZES ARE NOT STARTED: `make compose-test` does (10 nodes of Elasticsearch)")
    try:
        report.run("build", limit_s=2000)
        report.up()
        eventually(report.whole)
        yield report
    finally:
        report.run("down", "-v", "--remove-orphans", limit_s=300)


def asked(stack: Compose, tier: str, path: str) -> Any:
    return json.loads(
        stack.run("exec", "-T", f"tier-{tier}", "sh", "-c", f'curl -sf -u "elastic:$ELASTIC_PASSWORD" "localhost:9200{path}"')
    )


def test_a_small_world_starts_on_it_and_a_lost_node_is_not_missed(started: Compose) -> None:
    for tier, nodes in NODES.items():
        eventually(lambda tier=tier: asked(started, tier, "/_cluster/health")["status"] == "green")
        assert asked(started, tier, "/_cluster/health")["number_of_nodes"] == nodes
        shards = asked(started, tier, f"/_cat/shards/demo-{tier}-1?format=json")
        assert len({s["node"] for s in shards if s["state"] == "STARTED"}) == nodes
    started.run("kill", "tier-high-3")
    eventually(lambda: asked(started, "high", "/_cluster/health")["number_of_nodes"] == 3)
    eventually(started.whole)
