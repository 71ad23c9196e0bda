"""One search is one trace over all services, received by a real OTLP receiver."""

import json
import time
from collections.abc import Callable

import httpx
import pytest

from tests.otlp import Receiver, Span
from tests.system.stack import Stack

pytestmark = pytest.mark.timeout(600)
SERVICES = {"aisle-planner", "aisle-recommender", "aisle-searcher", "aisle-ranker"}
TRACE = "0af7651916cd43dd8448eb211c80319c"


def received(receiver: Receiver, holds: Callable[[list[Span]], bool], limit_s: float = 30.0) -> list[Span]:
    give_up = time.monotonic() + limit_s
    while not holds(found := list(receiver.spans)):
        assert time.monotonic() < give_up, found
        time.sleep(0.05)
    return found


def ask(small: Stack, **headers: str) -> None:
    first = httpx.post(f"{small.url}/search", json={}, headers={"x-deadline-ms": "10000"}, timeout=20).json()["items"][0]
    body = {"query": f"secretword {first['summary']['title']}", "user_id": "jane.doe@example.com", "facets": ["brand"]}
    response = httpx.post(f"{small.url}/search", json=body, headers={"x-deadline-ms": "10000", **headers}, timeout=20)
    assert response.status_code == 200, response.text


def test_one_search_is_one_trace_over_all_services_with_engine_calls_and_without_the_user(small: Stack, traces: Receiver) -> None:
    ask(small, traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    spans = received(traces, lambda spans: {s.service for s in spans if s.trace == TRACE} == SERVICES)
    mine = [s for s in spans if s.trace == TRACE]
    requests = {s.service: s for s in mine if s.kind == 2 and s.name != "POST /preferences"}
    root = requests["aisle-planner"]
    assert (root.name, root.parent) == ("POST /search", "b7ad6b7169203331")
    assert {requests[name].parent for name in SERVICES - {"aisle-planner"}} == {root.id}
    ids = {s.id for s in mine} | {"b7ad6b7169203331"}
    assert all(s.parent in ids for s in mine)
    engine_calls = {s.name for s in mine if s.kind == 3}
    assert {"high", "facets"} <= engine_calls
    told = json.dumps([[s.name, s.attributes] for s in mine])
    for secret in ("secretword", "jane", "example.com"):
        assert secret not in told


def test_who_says_no_is_not_traced(small: Stack, traces: Receiver) -> None:
    silent, loud = "1" * 32, "2" * 32
    ask(small, traceparent=f"00-{silent}-b7ad6b7169203331-00")
    ask(small, traceparent=f"00-{loud}-b7ad6b7169203331-01")
    spans = received(traces, lambda spans: any(s.trace == loud and s.name == "POST /search" for s in spans))
    assert not [s for s in spans if s.trace == silent]
