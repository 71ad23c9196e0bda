"""Every panel's and rule's PromQL, run by a real Prometheus that scrapes the running system under load: it returns data."""

import json
import math
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.dashboards import queries
from deploy.engine_metrics import Poller, server
from deploy.layout import PROJECT, SERVICES
from deploy.preflight import free_port
from tests.system.shopping import Shopping
from tests.system.stack import Stack

pytestmark = pytest.mark.timeout(900)
RULES = PROJECT / "deploy" / "prometheus" / "rules.yml"
CALM = {
    # a well system has none of these, and saying so is their whole point
    ("overview", "alerts firing"),
}
SCRAPES = 8


class Prometheus:
    """A server of the test's own, with the rules of the product."""

    def __init__(self, folder: Path, targets: dict[str, str]) -> None:
        port = free_port("127.0.0.1")
        self.url = f"http://127.0.0.1:{port}"
        jobs = [{"job_name": name, "static_configs": [{"targets": [t], "labels": {"service": name}}]} for name, t in targets.items()]
        config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(RULES)], "scrape_configs": jobs}
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        argv = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
        argv += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        self._log = open(folder / "prometheus.log", "wb")  # noqa: SIM115  # closed in close()
        self._process = subprocess.Popen(argv, stdout=self._log, stderr=subprocess.STDOUT)

    def query(self, expr: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expr}, timeout=20)
        assert answer.status_code == 200, f"{expr}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def wait(self, expr: str, limit_s: float = 120.0) -> None:
        """Until the server is ready (it refuses connections first, then says 503) and the expression returns something."""
        give_up = time.monotonic() + limit_s
        ready = False
        while True:
            try:
                ready = ready or httpx.get(f"{self.url}/-/ready", timeout=20).status_code == 200
                if ready and self.query(expr):
                    return
            except httpx.TransportError:
                assert self._process.poll() is None
            assert time.monotonic() < give_up, f"{expr} returns nothing" if ready else "Prometheus is not ready"
            time.sleep(0.2)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


RECORDED = Path(__file__).with_name("engine_answers.json")
"""Answers of Elasticsearch 8.19.0, Neo4j 5.26 and Locust to the poller, by path."""


@pytest.fixture(scope="module")
def engine_metrics() -> Iterator[str]:
    """The poller over recorded answers of the engines, counters growing with every look."""
    answers = json.loads(RECORDED.read_text())
    looks = [0]

    class Engine(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            looks[0] += 1
            body = json.dumps(_grown(answers[self.path], looks[0])).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = _answer  # noqa: N815  # http.server names it

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self._answer()

        def log_message(self, format: str, *args: Any) -> None: ...

    fake = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=fake.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{fake.server_address[1]}"
    engines = [("elasticsearch", name, url) for name in ("high", "medium", "low", "products")]
    engines += [("neo4j", "graph", url), ("tensorflow", "models", f"{url}/v1/models/aisle"), ("locust", "locust", url)]
    poller = Poller(engines, {})
    web = server("127.0.0.1", 0, poller.telemetry)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.5):
            poller.look()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield f"127.0.0.1:{web.server_address[1]}"
    stop.set()
    thread.join(10)
    web.shutdown()
    fake.shutdown()


def _grown(tree: Any, by: int) -> Any:
    """The answer with its counters moved on."""
    if isinstance(tree, dict):
        counters = ("query_total", "query_time_in_millis", "num_requests")
        return {k: v + by if k in counters and isinstance(v, int) else _grown(v, by) for k, v in tree.items()}
    return [_grown(v, by) for v in tree] if isinstance(tree, list) else tree


@pytest.fixture(scope="module")
def prometheus(small: Stack, engine_metrics: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if shutil.which("prometheus") is None:
        assert not os.environ.get("CI"), "CI has to have Prometheus (Debian: apt-get install prometheus)"
        pytest.skip("PANELS ARE NOT TESTED: Prometheus is missing (Debian: apt-get install prometheus)")
    targets = {name: small.service(name).address.removeprefix("http://") for name in SERVICES}
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), {**targets, "engines": engine_metrics})
    try:
        with Shopping(small.url) as shopping:
            prometheus.wait('sum(aisle_path_searches_total) > 4 and on () sum(aisle_events_total{outcome="click"}) > 10')
            prometheus.wait(f"min(count_over_time(up[5m])) >= {SCRAPES}")
            assert shopping.searches > 60
            yield prometheus
    finally:
        prometheus.close()


def test_every_service_is_scraped(prometheus: Prometheus) -> None:
    prometheus.wait("min(up) == 1")  # one scrape in a hundred may be late on a busy machine
    assert {r["metric"]["service"]: r["value"][1] for r in prometheus.query("up")} == {**dict.fromkeys(SERVICES, "1"), "engines": "1"}


@pytest.mark.parametrize(("dashboard", "panel", "expr"), [pytest.param(*q, id=f"{q[0]}-{q[1]}-{n}") for n, q in enumerate(queries())])
def test_every_panel_returns_data(prometheus: Prometheus, dashboard: str, panel: str, expr: str) -> None:
    result = prometheus.query(expr.replace("$__rate_interval", "30s"))
    assert result, f"{dashboard} / {panel}: no data for {expr}"
    if (dashboard, panel) not in CALM:
        values = [float(r["value"][1]) for r in result]
        assert any(math.isfinite(v) for v in values), f"{dashboard} / {panel}: only {values}"


def test_every_rule_is_evaluated_without_error_and_no_alert_fires(prometheus: Prometheus) -> None:
    prometheus.wait("aisle:searches_bad:ratio_rate5m")
    prometheus.wait("aisle:degraded:ratio_rate5m")
    groups = httpx.get(f"{prometheus.url}/api/v1/rules", timeout=20).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) >= 13
    assert [(r["name"], r["health"], r.get("lastError")) for r in rules if r["health"] != "ok"] == []
    assert [r["name"] for r in rules if r.get("state") == "firing"] == []


def test_what_is_drawn_is_what_happened(prometheus: Prometheus) -> None:
    """Spot checks of meaning: shares are shares, the critical path adds up to the search."""
    judged, asked = (f'sum({name}{{service="planner",route="/search"}})' for name in ("aisle_objective_total", "aisle_requests_total"))
    (difference,) = prometheus.query(f"{judged} - {asked}")  # one query: both of the same moment
    assert float(difference["value"][1]) == pytest.approx(0, abs=3)
    (path,) = prometheus.query("sum(aisle_path_critical_seconds_total) / sum(aisle_path_searches_total)")
    (mean,) = prometheus.query(
        'sum(aisle_request_seconds_sum{service="planner",route="/search"}) / sum(aisle_request_seconds_count{service="planner",route="/search"})'
    )
    assert 0.3 < float(path["value"][1]) / float(mean["value"][1]) < 3
