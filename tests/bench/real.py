"""Real engines in the bench: their processes, and what Elasticsearch itself counts."""

from collections.abc import Mapping

import httpx
from msgspec import Struct

from deploy.layout import PROJECT
from deploy.state import RunState

COSTS = PROJECT / "docs" / "costs.md"
ENGINE = "engine: "
"""Stands before the names of processes that are engines."""
SEARCHED = ("/{index}/_search", "/{index}/_mget")
"""Elasticsearch's own names of what a search asks for."""
_HTTP = "/_nodes/stats/http?filter_path=nodes.*.http.total_opened,nodes.*.http.routes"


class Traffic(Struct, frozen=True):
    """Searches and look-ups that a cluster answered, bytes of these answers, connections that it accepted."""

    calls: int = 0
    bytes: int = 0
    opened: int = 0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.calls + other.calls, self.bytes + other.bytes, self.opened + other.opened)

    def __sub__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.calls - other.calls, self.bytes - other.bytes, self.opened - other.opened)


class Clusters:
    """The Elasticsearch clusters of a run, by short name (`high`, `products`); asked over connections that are kept."""

    def __init__(self, run: RunState | None) -> None:
        engines = run.engines if run else []
        self._urls = {e.name.removeprefix("elasticsearch-"): e.address for e in engines if e.name.startswith("elasticsearch")}
        self._client = httpx.Client(timeout=10)

    def traffic(self) -> dict[str, Traffic]:
        """Since each cluster started."""
        return {name: self._of(url) for name, url in self._urls.items()}

    def _of(self, url: str) -> Traffic:
        found = Traffic()
        for node in self._client.get(url + _HTTP).json()["nodes"].values():
            answers = [of["responses"] for route, of in node["http"].get("routes", {}).items() if route in SEARCHED]
            found += Traffic(sum(a["count"] for a in answers), sum(a["total_size_in_bytes"] for a in answers), node["http"]["total_opened"])
        return found

    def close(self) -> None:
        self._client.close()


def pids(run: RunState | None) -> dict[str, int]:
    """Engine -> process id; {} for embedded engines."""
    return {ENGINE + e.name: e.process.pid for e in (run.engines if run else []) if e.process}


def between(before: Mapping[str, Traffic], after: Mapping[str, Traffic]) -> dict[str, Traffic]:
    return {name: after[name] - before[name] for name in after}
