"""A degraded answer for each row of DESIGN.md section 6, by services that fault. In process; the rows are the tests' names."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import httpx
import pytest

from planner.app import create
from services.contracts import RankAnswer
from services.errors import Overloaded, Unavailable, VersionGone
from services.eventlog.port import NewRecord
from tests.planner_shop import StandIn, World, make_shop, names, settings, world

pytestmark = pytest.mark.anyio
RETRIEVED = [f"p{n}" for n in range(10)]
RANKED = [f"p{n}" for n in range(59, 49, -1)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A busy machine is no failure: what is late here is 30 s late, is given 2 s of 20, and leaves 16 to those who come after it."""
    monkeypatch.setattr("planner.budget.RESERVED", 0.9)
    monkeypatch.setattr("planner.budget.FETCH_SHARE", 0.9)
    async with world(tmp_path, deadline_ms=20_000) as opened:
        yield opened


@pytest.mark.parametrize("fault", ["down", "overloaded", Unavailable("the model is not loaded")])
async def test_recommender(shop: World, fault: str | Unavailable) -> None:
    shop.services.faults["recommender"] = fault
    answer = await shop.search(query="Running shoes", user_id="ann")
    assert answer["degraded"] == ["analysis", "preferences"]
    assert names(answer) == RANKED
    assert answer["query"]["terms"] == ["run", "shoe"]
    assert answer["query"]["categories"] == []
    assert (await shop.search(query="shoes"))["degraded"] == ["analysis"]
    assert (await shop.search(user_id="ann"))["degraded"] == ["preferences"]


async def test_user_graph_or_model(shop: World) -> None:
    shop.services.faults["/preferences"] = Unavailable("the user graph cannot be read")
    answer = await shop.search(query="shoe", user_id="ann")
    assert answer["degraded"] == ["preferences"]
    assert answer["query"]["categories"] != []
    rank = shop.services.asked["/rank"][0]
    assert (rank.scores, rank.weights, rank.vector, rank.release) == (None, None, None, None)


async def test_a_shop_without_any_release(shop: World) -> None:
    for path in ("/preferences", "/rank"):
        shop.services.faults[path] = VersionGone("releases None is not served; served are []", field="release")
    answer = await shop.search(query="shoe", user_id="ann")
    assert (answer["degraded"], names(answer), answer["release"]) == (["preferences", "ranking"], RETRIEVED, None)


async def test_a_ranker_that_answers_for_other_candidates(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_of_sixty(*_: object) -> RankAnswer:
        return RankAnswer(1, 5, "network", b"\0\0", b"\0\0\0\0", b"", "v1")

    monkeypatch.setattr(StandIn, "rank", one_of_sixty)
    assert (await shop.search(query="shoe"))["degraded"] == ["ranking"]


async def test_preferences_that_come_too_late_are_left_out_before_the_planner_is_late(shop: World) -> None:
    shop.services.faults["/preferences"] = "slow"
    answer = await shop.client.post("/search", json={"query": "shoe", "user_id": "ann"})
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["preferences"])
    assert "preferences;dur=" in answer.headers["server-timing"]  # hops that timed out are in the waterfall


async def test_analysis_that_comes_too_late(shop: World) -> None:
    shop.services.faults["/analyse"] = "slow"
    answer = await shop.client.post("/search", json={"query": "shoe", "user_id": "ann"})
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["analysis"])


async def test_one_tier(shop: World) -> None:
    shop.services.tiers_down = ["high"]
    answer = await shop.search(query="shoe")
    assert (answer["degraded"], names(answer)) == (["tier:high"], RANKED)
    assert (await shop.search(cursor=answer["cursor"]))["degraded"] == ["tier:high"]


@pytest.mark.parametrize("fault", ["down", "slow"])
async def test_ranker(shop: World, fault: str) -> None:
    shop.services.faults["ranker"] = fault
    answer = await shop.search(query="shoe", user_id="ann")
    assert (answer["degraded"], answer["release"], names(answer)) == (["ranking"], None, RETRIEVED)
    second = await shop.search(cursor=answer["cursor"])
    assert (second["degraded"], names(second)) == (["ranking"], [f"p{n}" for n in range(10, 20)])


async def test_ranker_that_comes_back_between_two_pages(shop: World) -> None:
    shop.services.faults["ranker"] = "down"
    first = await shop.search(query="shoe")
    del shop.services.faults["ranker"]
    second = await shop.search(cursor=first["cursor"])
    assert second["degraded"] == []
    assert not set(names(first)) & set(names(second))


@pytest.mark.parametrize("fault", ["down", "slow", Unavailable("all tiers failed")])
async def test_searcher_or_all_tiers(shop: World, fault: str | Unavailable) -> None:
    first = await shop.search(query="shoe")
    shop.services.faults["searcher"] = fault
    answer = await shop.client.post("/search", json={"query": "shoe", "user_id": "ann"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert names(await shop.search(cursor=first["cursor"])) != []  # a page turn does not need it


async def test_product_store(shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise Unavailable("the product store cannot be read: disk I/O error")

    monkeypatch.setattr("planner.products.sqlite.SqliteProducts.summaries", fails)
    answer = await shop.client.post("/search", json={"query": "shoe"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


class BrokenLog:
    """An event log whose disk is full."""

    def append(self, records: Sequence[NewRecord]) -> "Future[int]":
        future: Future[int] = Future()
        future.set_exception(Unavailable("database or disk is full"))
        return future

    def forget(self, user: str) -> "Future[int]":
        return self.append([])

    def expire(self, before_ms: int, limit: int) -> "Future[int]":
        return self.append([])

    def ping(self) -> None:
        raise Unavailable("database or disk is full")

    def close(self) -> None: ...


async def test_event_log(tmp_path: Path) -> None:
    make_shop(tmp_path)
    planner = create(settings(), tmp_path, transport=StandIn(), log=BrokenLog())
    app = planner.asgi()
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://p") as client:
        refused = await client.post("/events", json=[{"action_name": "click"}])
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        answer = await client.post("/search", json={"query": "shoe"})
        assert (answer.status_code, answer.json()["degraded"]) == (200, [])
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["log"]["ok"]) == (503, False)


async def test_overload_is_refused_early(tmp_path: Path) -> None:
    services = StandIn()
    services.faults["/retrieve"] = "slow"
    async with world(tmp_path, services=services, max_in_flight=1, max_queue_ms=30) as shop:
        first = asyncio.create_task(shop.client.post("/search", json={"query": "shoe"}))
        while "/analyse" not in services.asked:
            await asyncio.sleep(0)
        second = await shop.client.post("/search", json={"query": "shoe"})
        assert (second.status_code, second.json()["type"]) == (503, "urn:aisle:overloaded")
        assert ((await first).status_code, (await first).json()["type"]) == (503, "urn:aisle:unavailable")


async def test_a_deadline_that_passes_during_the_work_is_a_504(shop: World) -> None:
    shop.services.faults["/retrieve"] = "slow"
    answer = await shop.client.post("/search", json={"query": "shoe"}, headers={"x-deadline-ms": "60"})
    assert (answer.status_code, answer.json()["type"]) == (504, "urn:aisle:deadline-exceeded")


async def test_every_fall_back_is_counted(shop: World) -> None:
    shop.services.faults |= {"recommender": "down", "ranker": "down"}
    shop.services.tiers_down = ["low"]
    await shop.search(query="shoe", user_id="ann")
    metrics = (await shop.client.get("/metrics")).text
    for reason in ("analysis", "preferences", "ranking", "tier:low"):
        assert f'aisle_degraded_total{{reason="{reason}"}} 1.0' in metrics


async def test_readiness_needs_the_searcher_and_only_mentions_the_others(shop: World) -> None:
    shop.services.faults |= {"recommender": "down", "ranker": "down"}
    ready = await shop.client.get("/readyz")
    assert ready.status_code == 200
    assert "go on without" in ready.json()["checks"]["ranker"]["detail"]
    shop.services.faults["searcher"] = Overloaded("busy")
    assert (await shop.client.get("/readyz")).status_code == 503
