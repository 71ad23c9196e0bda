"""What Locust sends with: its fast client behind our clock, and the user of closed loops. With locustfile.py, all that imports Locust."""

import contextlib
import time
from typing import Any

import gevent
from locust import FastHttpUser, task

from loadgen.crew import OUTSTANDING, GoneHome, Look, Post, Reply, ShopperLoop

FOREVER_S = 1e6


class Dispatcher:
    """A Locust user that is only a client: many requests at once over kept connections."""

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._post: Post | None = None

    @property
    def post(self) -> Post:
        if self._post is None:
            Connections.host = self._environment.host
            self._post = posting(Connections(self._environment).client)
        return self._post


def posting(client: Any) -> Post:
    """POST through Locust's fast client; Locust is told the latency, so that its figures are of the same clock as ours."""

    def post(path: str, body: bytes, name: str, headers: dict[str, str], look: Look) -> None:
        sent = time.perf_counter()
        with client.post(path, data=body, headers=headers, name=name, catch_response=True) as response:
            ended = time.perf_counter()
            error = str(getattr(response, "error", None) or "no answer")
            timing = (response.headers or {}).get("server-timing", "") if response.status_code else ""
            failure, latency_ms = look(Reply(response.status_code or 0, response.content or b"", timing, sent, ended, error))
            response.request_meta["response_time"] = latency_ms
            if failure:
                response.failure(failure)
            else:
                response.success()

    return post


class Connections(FastHttpUser):
    """The connections of an open loop; never spawned by Locust."""

    abstract = True
    concurrency = OUTSTANDING
    max_retries = 0


class ShopperUser(FastHttpUser):
    """Closed loops: searches, reads, clicks, turns pages; thinks before each step. Open loops: waits for the end."""

    max_retries = 0

    def wait_time(self) -> float:
        """Thinking is between the steps of a visit. At the end of a load its users wait for Locust, which complains of those who left by themselves."""
        return FOREVER_S if self.crew.stopping.is_set() else 0.0

    def on_start(self) -> None:
        while (session := getattr(self.environment, "aisle", None)) is None:
            gevent.sleep(0.05)  # a lead may be quicker than its worker, which is still reading the shop
        session.ready.wait()
        assert session.crew
        self.crew = session.crew
        self.post = posting(self.client)
        self.loop: ShopperLoop | None = None

    @task
    def visit(self) -> None:
        if self.crew.wish.open:
            self.crew.stopping.wait()
            return
        self.crew.begun.wait()
        if self.loop is None:
            self.loop = self.crew.shopper()
        with contextlib.suppress(GoneHome):
            self.crew.visit(self.post, self.loop)
