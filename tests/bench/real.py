"""Real engines in the bench: their processes, and what Elasticsearch itself counts."""

from collections.abc import Mapping

import httpx

from deploy.layout import PROJECT
from deploy.state import RunState
from tests.bench.costs import ENGINE

COSTS = PROJECT / "docs" / "costs.md"
_HTTP = "/_nodes/stats/http?filter_path=nodes.*.http.total_opened,nodes.*.http.current_open"


def pids(run: RunState | None) -> dict[str, int]:
    """Engine -> process id; {} for embedded engines."""
    return {ENGINE + e.name: e.process.pid for e in (run.engines if run else []) if e.process}


def clusters(run: RunState | None) -> dict[str, str]:
    """Short name -> address of each Elasticsearch cluster."""
    engines = run.engines if run else []
    return {e.name.removeprefix("elasticsearch-"): e.address for e in engines if e.name.startswith("elasticsearch")}


def opened(addresses: Mapping[str, str]) -> dict[str, int]:
    """Connections that each cluster has accepted since it started, without the one that asks."""
    found = {}
    for name, url in addresses.items():
        nodes = httpx.get(url + _HTTP, timeout=10).json()["nodes"]
        found[name] = sum(int(node["http"]["total_opened"]) for node in nodes.values()) - 1
    return found
