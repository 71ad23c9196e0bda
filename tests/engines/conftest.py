"""A shop on real engines, started once for these tests: `aisle up --engines real`, with a network that was trained on a planted log."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from neo4j import GraphDatabase as Neo4jDriver

from deploy.local import elasticsearch, neo4j
from deploy.local.server import Server
from recommender.graph.neo4j import recent
from recommender.profile import BEHAVIOURS
from services.eventlog.sqlite import SqliteWriter
from services.shop import Shop, ShopInfo
from tests import planted
from tests.local_servers import toolchain
from tests.system.stack import Stack

TIERS = ("elasticsearch-high", "elasticsearch-medium", "elasticsearch-low")
DEADLINE_MS = 2500
LATE_S = DEADLINE_MS / 1000 + 1.0
"""The deadline, and what client and machine may add. The engine calls' own limits are 10 s: who forgets the deadline is later than this."""
SHOPPER = "shopper-1"


@dataclass(frozen=True)
class Real:
    """The running stack, and how tests use it."""

    home: Path
    shop: Shop
    stack: Stack
    again: dict[str, Server]
    """Engines that tests have killed and started again."""
    client: httpx.Client

    def search(self, query: str = "acme thing", **more: Any) -> tuple[httpx.Response, float]:
        """The answer, and the seconds that it took."""
        return self.post("planner", "/search", {"query": query, "user_id": SHOPPER, **more})

    def post(self, service: str, path: str, body: object, deadline_ms: int = DEADLINE_MS) -> tuple[httpx.Response, float]:
        started = time.perf_counter()
        headers = {"x-deadline-ms": str(deadline_ms)}
        answer = self.client.post(self.stack.service(service).address + path, json=body, headers=headers)
        return answer, time.perf_counter() - started

    def settings(self) -> dict[str, str]:
        run = self.stack.state.read()
        assert run
        return run.engine_settings

    @contextlib.contextmanager
    def paused(self, *engines: str) -> Iterator[None]:
        """SIGSTOP: connections stay open and nobody answers, which is worse than a server that is gone."""
        pids = [self.pid(name) for name in engines]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def pid(self, engine: str) -> int:
        if engine in self.again:
            return self.again[engine].pid
        process = self.stack.engine(engine).process
        assert process
        return process.pid

    def kill(self, engine: str) -> None:
        os.kill(self.pid(engine), signal.SIGKILL)

    def start_again(self, engine: str) -> None:
        """On the same port, with the data that it had; until it answers whoever asks it directly, as quickly as a search needs it."""
        module = neo4j if engine == "neo4j" else elasticsearch
        port = int(self.stack.engine(engine).address.rpartition(":")[2])
        server = self.again[engine] = module.start(self.home / "run" / "engines" / engine, port=port, limit_s=600)
        wait_for(lambda: (graph_answers if engine == "neo4j" else answers)(server.url), 120.0)

    def whole_again_s(self, limit_s: float = 30.0) -> float:
        """Seconds until a search has everything."""
        return wait_for(lambda: json.loads(self.search()[0].content).get("degraded") == [], limit_s)


def answers(url: str) -> bool:
    """A cluster whose shards are recovered and whose code is warm."""
    body = {"query": {"bool": {"should": [{"term": {"text": "acme"}}, {"term": {"text": "thing"}}]}}, "docvalue_fields": ["product_no"]}
    with httpx.Client(timeout=10) as client:
        started = time.perf_counter()
        status = client.post(f"{url}/planted-*/_search", json=body).status_code
        return status == 200 and time.perf_counter() - started < 0.2


def graph_answers(url: str) -> bool:
    """A graph that a new connection has its answer from in time: the first ones of a JVM take seconds."""
    with Neo4jDriver.driver(url) as driver, driver.session() as session:
        driver.verify_connectivity()
        started = time.perf_counter()
        session.run(recent(BEHAVIOURS), user="nobody").consume()
        return time.perf_counter() - started < 0.3


def wait_for(condition: Callable[[], bool], limit_s: float) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit_s, f"not after {limit_s} s"
        time.sleep(0.1)
    return time.monotonic() - started


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    toolchain()
    home = tmp_path_factory.mktemp("real")
    shop = planted_shop(home)
    with Stack.start(home, shop.name, engines="real", restart=True, limit_s=600) as stack, httpx.Client(timeout=30) as client:
        made = Real(home, shop, stack, {}, client)
        known_shopper(made)
        yield made
        for server in made.again.values():
            server.stop()


def planted_shop(home: Path) -> Shop:
    shop = Shop(home / "shops" / "planted")
    shop.write_info(ShopInfo(name="planted", created_ms=1))
    planted.catalogue(shop.root / "staged")
    shop.log_file.parent.mkdir(parents=True)
    writer = SqliteWriter(shop.log_file)
    writer.append(planted.history(1_600, users=60, preference=1.0)).result(timeout=60)
    writer.close()
    return shop


def known_shopper(real: Real) -> None:
    """Behaviours for SHOPPER, and searches until every process is warm: the first ones of a JVM take a second."""
    events = [event("click", f"p{n * 4}", SHOPPER) for n in range(12)]
    assert real.post("planner", "/events", events)[0].status_code == 202
    for _ in range(30):
        real.search(facets=["brand"])
        real.post(
            "ranker", "/rank", {"terms": [], "categories": [], "candidates": dict.fromkeys(("product_no", "score", "tier", "strict"), "")}
        )
    real.whole_again_s(60)


def event(action: str, product_id: str, user_id: str, event_id: str | None = None) -> dict[str, Any]:
    attributes: dict[str, Any] = {"object": {"object_id": product_id, "object_id_field": "product_id"}}
    if event_id:
        attributes["event_id"] = event_id
    return {"action_name": action, "user_id": user_id, "client_id": user_id, "event_attributes": attributes}
