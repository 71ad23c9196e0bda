"""Whatever is judged answers alike: a running system through its API (a stand-in here), and BM25 over a generation."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from evaluation.systems import GlobalBaseline, Running, System, ask_all
from ranker.build import build_part
from services.artifacts import Versions
from services.errors import ConfigurationError
from services.shop import Shop
from tests.forward_shop import popular, product, small_shop, write

LAMPS = 150


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = small_shop(tmp_path)
    versions = Versions(made.generations)
    number, folder = versions.begin()
    write(folder, [product(n, f"lamp {n}") for n in range(LAMPS)], [popular(n) for n in range(LAMPS)])
    build_part(made, number)
    versions.publish(number, {})
    versions.activate(number)
    return made


class Api:
    """A stand-in for the public API: every query with "lamp" finds all lamps, in the order of their numbers."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.asked.append(body)
        if body.get("query") == "broken":
            return httpx.Response(503, json={"title": "Unavailable"})
        start = int(body["cursor"]) if "cursor" in body else 0
        found = LAMPS if "cursor" in body or "lamp" in body["query"] else 0
        end = min(start + body.get("page_size", 100), found)
        items = [{"product_id": f"p{n}", "summary": {"title": f"lamp {n}"}, "strict": True} for n in range(start, end)]
        more = {"cursor": str(end)} if end < found else {}
        return httpx.Response(
            200, json={"items": items, "query": {"text": body.get("query")}, "degraded": [], "generation": 1, "release": 2, **more}
        )


@pytest.fixture(params=["running", "bm25"])
def system(request: pytest.FixtureRequest, shop: Shop) -> System:
    made: dict[str, Callable[[], System]] = {
        "running": lambda: Running("http://shop.test", client=Api().client()),
        "bm25": lambda: GlobalBaseline(shop),
    }
    return made[request.param]()


def test_all_that_is_found_is_given_once_and_the_first_page_with_titles(system: System) -> None:
    found = system.answer("lamp")
    assert found.product_ids == [f"p{n}" for n in range(LAMPS)]
    assert [(s.product_id, s.title) for s in found.shown] == [(f"p{n}", f"lamp {n}") for n in range(10)]
    assert found.latency_ms > 0


def test_nothing_found_is_an_answer(system: System) -> None:
    found = system.answer("zeppelin")
    assert (found.product_ids, found.shown) == ([], [])


def test_every_query_has_an_answer_and_the_system_says_what_it_is(system: System) -> None:
    assert set(ask_all(system, ["lamp", "zeppelin"])) == {"lamp", "zeppelin"}
    assert system.facts()["system"] in ("running", "bm25")
    assert system.facts()["generation"] == [1]
    system.close()


def test_settings_go_into_every_search_but_not_beside_a_cursor() -> None:
    api = Api()
    Running("http://shop.test", {"verbatim": True}, api.client()).answer("lamp")
    assert [body.get("verbatim") for body in api.asked] == [True, True, None]


def test_a_system_that_says_no_stops_the_evaluation() -> None:
    with pytest.raises(ConfigurationError, match="503"):
        Running("http://shop.test", client=Api().client()).answer("broken")


def test_no_generation_is_no_baseline(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no generation"):
        GlobalBaseline(small_shop(tmp_path))
