"""Metrics of engines that have no Prometheus endpoint of their own: read from their status pages, every few seconds.

    python -m deploy.engine_metrics --elasticsearch high=http://tier-high:9200 --neo4j graph=http://graph:7474 \\
        --tensorflow models=http://models:8501/v1/models/aisle --locust locust=http://locust:8089

Passwords come from ELASTIC_PASSWORD and NEO4J_PASSWORD. An engine that does not answer is down (aisle_engine_up 0), and asked again.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import click
import httpx

from services.telemetry import Telemetry

LIMIT_S = 4.0
STATUS = {"green": 0, "yellow": 1, "red": 2}
GRAPH_COUNTS = ("MATCH (n) RETURN count(n)", "MATCH ()-[r]->() RETURN count(r)")
GRAPH_HEAP = "CALL dbms.queryJmx('java.lang:type=Memory') YIELD attributes RETURN attributes.HeapMemoryUsage.value.properties"
log = logging.getLogger("aisle.engines")

Look = Callable[[httpx.Client, str, str, Telemetry], None]
"""Asks one engine (client, name, address) and sets its metrics; raises httpx.HTTPError, KeyError, ValueError for what is no answer."""


def elasticsearch(client: httpx.Client, name: str, url: str, telemetry: Telemetry) -> None:
    health = _get(client, f"{url}/_cluster/health")
    telemetry.set("aisle_engine_status", STATUS[health["status"]], name)
    telemetry.set("aisle_engine_nodes", health["number_of_nodes"], name)
    nodes = list(_get(client, f"{url}/_nodes/stats/jvm,indices,thread_pool")["nodes"].values())
    for metric, path in (
        ("aisle_engine_heap_bytes", ("jvm", "mem", "heap_used_in_bytes")),
        ("aisle_engine_heap_limit_bytes", ("jvm", "mem", "heap_max_in_bytes")),
        ("aisle_engine_documents", ("indices", "docs", "count")),
        ("aisle_engine_store_bytes", ("indices", "store", "size_in_bytes")),
        ("aisle_engine_queries_total", ("indices", "search", "query_total")),
        ("aisle_engine_rejected_total", ("thread_pool", "search", "rejected")),
    ):
        telemetry.set(metric, sum(_at(node, path) for node in nodes), name)
    query_ms = sum(_at(node, ("indices", "search", "query_time_in_millis")) for node in nodes)
    telemetry.set("aisle_engine_query_seconds_total", query_ms / 1000, name)


def neo4j(client: httpx.Client, name: str, url: str, telemetry: Telemetry) -> None:
    statements = [{"statement": text} for text in (*GRAPH_COUNTS, GRAPH_HEAP)]
    answer = client.post(f"{url}/db/neo4j/tx/commit", json={"statements": statements})
    answer.raise_for_status()
    nodes, relationships, heap = (result["data"][0]["row"][0] for result in answer.json()["results"])
    telemetry.set("aisle_engine_documents", nodes, name)
    telemetry.set("aisle_engine_relationships", relationships, name)
    telemetry.set("aisle_engine_heap_bytes", heap["used"], name)
    telemetry.set("aisle_engine_heap_limit_bytes", heap["max"], name)
    telemetry.set("aisle_engine_nodes", 1, name)


def tensorflow(client: httpx.Client, name: str, url: str, telemetry: Telemetry) -> None:
    versions = _get(client, url)["model_version_status"]
    available = [int(v["version"]) for v in versions if v["state"] == "AVAILABLE"]
    telemetry.set("aisle_engine_version", max(available, default=0), name)


def locust(client: httpx.Client, name: str, url: str, telemetry: Telemetry) -> None:
    """Locust keeps totals until its next run; a counter that falls is a reset, as Prometheus understands it."""
    stats = _get(client, f"{url}/stats/requests")
    telemetry.set("aisle_load_users", stats["user_count"])
    for entry in stats["stats"]:
        if entry["name"] != "Aggregated":
            telemetry.set("aisle_load_requests_total", entry["num_requests"], entry["name"])
            telemetry.set("aisle_load_failures_total", entry["num_failures"], entry["name"])
    percentiles = stats.get("current_response_time_percentiles") or {}
    telemetry.set("aisle_load_median_seconds", (percentiles.get("response_time_percentile_0.5") or 0) / 1000)
    telemetry.set("aisle_load_p95_seconds", (percentiles.get("response_time_percentile_0.95") or 0) / 1000)


KINDS: dict[str, tuple[Look, tuple[str, str] | None]] = {
    "elasticsearch": (elasticsearch, ("elastic", "ELASTIC_PASSWORD")),
    "neo4j": (neo4j, ("neo4j", "NEO4J_PASSWORD")),
    "tensorflow": (tensorflow, None),
    "locust": (locust, None),
}


class Poller:
    """Looks at engines in turn until it is stopped. `engines`: (kind, name, address)."""

    def __init__(self, engines: list[tuple[str, str, str]], environment: "os._Environ[str] | dict[str, str]") -> None:
        self.telemetry = Telemetry()
        self._engines = [(kind, name, url.rstrip("/"), _client(kind, environment)) for kind, name, url in engines]
        self._up: dict[str, bool] = {}

    def look(self) -> None:
        for kind, name, url, client in self._engines:
            try:
                KINDS[kind][0](client, name, url, self.telemetry)
                self._note(name, up=True, why="")
            except (httpx.HTTPError, KeyError, ValueError, IndexError, TypeError) as error:  # an engine may answer anything
                self._note(name, up=False, why=f"{type(error).__name__}: {error}")

    def _note(self, name: str, *, up: bool, why: str) -> None:
        self.telemetry.set("aisle_engine_up", up, name)
        if self._up.get(name) != up:
            log.info("%s %s", name, "answers" if up else f"does not answer: {why}")
        self._up[name] = up


def _client(kind: str, environment: "os._Environ[str] | dict[str, str]") -> httpx.Client:
    credentials = KINDS[kind][1]
    auth = (credentials[0], environment[credentials[1]]) if credentials and environment.get(credentials[1]) else None
    return httpx.Client(auth=auth, timeout=LIMIT_S)


def _get(client: httpx.Client, url: str) -> Any:
    answer = client.get(url)
    answer.raise_for_status()
    return answer.json()


def _at(tree: Any, path: tuple[str, ...]) -> float:
    for key in path:
        tree = tree[key]
    return float(tree)


def server(host: str, port: int, telemetry: Telemetry) -> ThreadingHTTPServer:
    """Serves /metrics and /healthz; not started yet."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path in ("/metrics", "/healthz")
            body = telemetry.render() if self.path == "/metrics" else b"alive\n" if known else b"there are /metrics and /healthz\n"
            self.send_response(200 if known else 404)
            self.send_header("content-type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...

    return ThreadingHTTPServer((host, port), Handler)


def _named(kind: str, values: tuple[str, ...]) -> list[tuple[str, str, str]]:
    found = []
    for value in values:
        name, separator, url = value.partition("=")
        if not separator or not url.startswith(("http://", "https://")):
            raise click.BadParameter(f"{value!r} is not NAME=http://HOST:PORT", param_hint=f"--{kind}")
        found.append((kind, name, url))
    return found


@click.command(help=__doc__)
@click.option("--elasticsearch", "elastic", multiple=True, metavar="NAME=URL")
@click.option("--neo4j", "graphs", multiple=True, metavar="NAME=URL")
@click.option("--tensorflow", "models", multiple=True, metavar="NAME=URL")
@click.option("--locust", "loads", multiple=True, metavar="NAME=URL")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9400, show_default=True)
@click.option("--interval", default=5.0, show_default=True, help="Seconds between two looks.")
def main(
    elastic: tuple[str, ...],
    graphs: tuple[str, ...],
    models: tuple[str, ...],
    loads: tuple[str, ...],
    host: str,
    port: int,
    interval: float,
) -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s engines %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    engines = [
        *_named("elasticsearch", elastic),
        *_named("neo4j", graphs),
        *_named("tensorflow", models),
        *_named("locust", loads),
    ]
    poller = Poller(engines, os.environ)
    web = server(host, port, poller.telemetry)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    log.info("metrics on http://%s:%d/metrics", *web.server_address[:2])
    stopped = threading.Event()
    while not stopped.wait(interval):
        poller.look()


if __name__ == "__main__":
    main()
