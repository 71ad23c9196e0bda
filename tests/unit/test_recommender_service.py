"""The recommender as its callers see it: over HTTP, with a graph in memory and a model that counts."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from recommender.app import create
from recommender.build import build
from recommender.settings import RecommenderSettings
from services.artifacts import Manifest, Versions
from services.contracts import AnalyseAnswer, EventRecord, PreferencesAnswer, ProjectAnswer
from services.errors import ConfigurationError
from services.eventlog.port import LogRecord
from services.shop import Shop, open_shop
from tests.recommender_fakes import CountingModel, MemoryGraph, MemoryLog
from tests.recommender_shop import plant, publish

VOCABULARY = ["<unknown>", "category:1", "category:2", "category:3", "category:4"]


@dataclass
class Stage:
    """One service with its doubles; `category_of[product]` says what the planted products are."""

    home: Path
    category_of: list[int]
    log: MemoryLog = field(default_factory=MemoryLog)
    graph: MemoryGraph = field(default_factory=MemoryGraph)
    models: dict[int, CountingModel] = field(default_factory=dict)

    @property
    def shop(self) -> Shop:
        return open_shop("planted", self.home)

    def load_release(self, folder: Path, manifest: Manifest) -> CountingModel:
        return self.models.setdefault(manifest.version, CountingModel(manifest.version, VOCABULARY))

    def run(self, talk: Callable[[httpx.AsyncClient], Awaitable[Any]], **settings: int) -> Any:
        async def go() -> Any:
            given = RecommenderSettings(shop="planted", **{"refresh_ms": 100, "projection_ms": 10, "deadline_ms": 60_000, **settings})
            service = create(given, home=self.home, log=self.log, graph=self.graph, load_release=self.load_release)
            app = service.asgi()
            transport = httpx.ASGITransport(app)
            async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://recommender") as client:
                return await talk(client)

        return asyncio.run(go())

    def event(self, user: str, product: int, kind: str = "click") -> None:
        offset = self.log.end() + 1
        record = EventRecord(event_id=f"e{offset}", action=kind, ts_ms=1_000 * offset, kind=kind, product_no=product)  # type: ignore[arg-type]
        self.log.records.append(LogRecord(offset, "event", record.ts_ms, user, msgspec.json.encode(record)))


def release(shop: Shop) -> None:
    versions = Versions(shop.releases)
    version, _ = versions.begin()
    versions.publish(version, {})
    versions.activate(version)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A home whose shop has generation 1 and release 1, made once; tests work on copies."""
    home = tmp_path_factory.mktemp("built")
    planted = plant(home / "shops" / "planted", products=300)
    build(planted.shop, 1, MemoryLog())
    publish(planted.shop)
    release(planted.shop)
    return home, planted.category_of


@pytest.fixture
def stage(built: tuple[Path, list[int]], tmp_path: Path) -> Stage:
    shutil.copytree(built[0], tmp_path, dirs_exist_ok=True)
    return Stage(tmp_path, built[1])


async def ask(client: httpx.AsyncClient, path: str, answer: Any, **request: Any) -> Any:
    response = await client.post(path, json=request)
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=answer)


async def ready(client: httpx.AsyncClient) -> dict[str, Any]:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        response = await client.get("/readyz")
        if response.status_code == 200:
            return response.json()["checks"]  # type: ignore[no-any-return]
        await asyncio.sleep(0.01)
    raise AssertionError(f"never ready: {response.text}")


def scores(answer: PreferencesAnswer) -> list[float]:
    return np.frombuffer(answer.scores, np.float32).tolist()  # type: ignore[no-any-return]


# ---- /analyse ------------------------------------------------------------------------------------------------------------------


def analyse(stage: Stage, **request: Any) -> AnalyseAnswer:
    return stage.run(lambda client: ask(client, "/analyse", AnalyseAnswer, **request))  # type: ignore[no-any-return]


def test_a_query_is_corrected_cut_into_terms_and_put_into_categories(stage: Stage) -> None:
    answer = analyse(stage, query="leathr sofa usb-c")
    assert answer.corrected == "leather sofa usb-c"
    assert [(t.text, t.synonyms) for t in answer.terms] == [("leather", []), ("sofa", []), ("usbc", [["usb", "c"]])]
    assert answer.categories[0].name == "Sofas"
    assert (answer.generation, answer.off) == (1, [])


def test_verbatim_means_what_was_typed(stage: Stage) -> None:
    answer = analyse(stage, query="leathr sofa", verbatim=True)
    assert (answer.corrected, [t.text for t in answer.terms]) == (None, ["leathr", "sofa"])


@pytest.mark.parametrize("query", ["", "   ", "🎧🎧", "\x00\x01", "!!! -- //", "(", '"'])
def test_a_query_without_words_has_no_terms_and_no_categories(stage: Stage, query: str) -> None:
    answer = analyse(stage, query=query)
    assert (answer.terms, answer.categories, answer.corrected) == ([], [], None)


def test_a_very_long_query_is_answered(stage: Stage) -> None:
    assert [t.text for t in analyse(stage, query="wirelesss " * 2_000).terms] == ["wireless", "wirel"]  # cut in the last word


def test_stages_are_timed(stage: Stage) -> None:
    async def talk(client: httpx.AsyncClient) -> list[str]:
        response = await client.post("/analyse", json={"query": "sofa"})
        return [entry.split(";")[0] for entry in response.headers["server-timing"].split(", ")]

    assert {"spell", "rewrite", "categories"} <= set(stage.run(talk))


def test_a_generation_that_is_not_served_is_gone(stage: Stage) -> None:
    async def talk(client: httpx.AsyncClient) -> int:
        return (await client.post("/analyse", json={"query": "sofa", "generation": 7})).status_code

    assert stage.run(talk) == 410


def test_a_shop_without_categories_says_so(tmp_path: Path) -> None:
    planted = plant(tmp_path / "shops" / "planted", products=30, categories=False)
    build(planted.shop, 1, MemoryLog())
    publish(planted.shop)
    release(planted.shop)
    stage = Stage(tmp_path, planted.category_of)

    async def talk(client: httpx.AsyncClient) -> tuple[AnalyseAnswer, Any]:
        return await ask(client, "/analyse", AnalyseAnswer, query="sofa"), (await ready(client))["categories"]["detail"]

    answer, detail = stage.run(talk)
    assert (answer.off, answer.categories) == (["categories"], [])
    assert detail == "off: the catalogue has no categories"


# ---- /project and /preferences -------------------------------------------------------------------------------------------------


def test_a_click_counts_in_the_preferences_right_after_it_was_projected(stage: Stage) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        await ready(client)
        cold = await ask(client, "/preferences", PreferencesAnswer, user="ann")
        assert (cold.events, sum(scores(cold))) == (0, 0)
        for product in (3, 4):
            stage.event("ann", product)
            projected = await ask(client, "/project", ProjectAnswer, position={"0": stage.log.end()})
            assert (projected.projected, projected.position) == (True, {"0": stage.log.end()})
            warm = await ask(client, "/preferences", PreferencesAnswer, user="ann")
            assert warm.events == stage.log.end()
        wanted = np.zeros(len(VOCABULARY))
        for product in (3, 4):
            wanted[stage.category_of[product]] += 1
        assert scores(warm) == wanted.tolist()
        assert (await ask(client, "/preferences", PreferencesAnswer, user="bob")).events == 0

    stage.run(talk, projection_ms=60_000)


def test_a_behaviour_that_is_not_projected_yet_travels_along_and_counts_once(stage: Stage) -> None:
    stage.event("ann", 3)
    pending = [{"event_id": f"e{n}", "kind": "click", "product_no": 3, "ts_ms": 1_000 * n} for n in (1, 2)]

    async def talk(client: httpx.AsyncClient) -> None:
        await ready(client)
        assert (await ask(client, "/preferences", PreferencesAnswer, user="ann", pending=pending)).events == 2
        assert (await ask(client, "/preferences", PreferencesAnswer, user="ann")).events == 1
        assert (await ask(client, "/preferences", PreferencesAnswer, user="new", pending=pending)).events == 2

    stage.run(talk)


def test_a_position_past_the_end_of_the_log_is_not_reached_and_said_so(stage: Stage) -> None:
    answer = stage.run(lambda client: ask(client, "/project", ProjectAnswer, position={"0": 99}))
    assert (answer.projected, answer.position) == (False, {"0": 0})


def test_many_callers_share_projections(stage: Stage) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        await ready(client)
        for product in range(20):
            stage.event("ann", product)
        asked = [ask(client, "/project", ProjectAnswer, position={"0": n}) for n in range(1, 21)]
        assert all(a.projected for a in await asyncio.gather(*asked))

    stage.run(talk, projection_ms=60_000)


def test_what_is_not_asked_for_is_projected_by_itself(stage: Stage) -> None:
    async def talk(client: httpx.AsyncClient) -> None:
        await ready(client)
        stage.event("ann", 1)
        until = time.monotonic() + 20
        while (await ask(client, "/preferences", PreferencesAnswer, user="ann")).events == 0:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)

    stage.run(talk)


def test_a_user_who_is_asked_for_again_costs_neither_a_graph_read_nor_an_encoding(stage: Stage) -> None:
    stage.event("ann", 3)

    async def talk(client: httpx.AsyncClient) -> None:
        await ready(client)
        first = await ask(client, "/preferences", PreferencesAnswer, user="ann")
        reads, encoded = stage.graph.reads, stage.models[1].encoded
        assert await ask(client, "/preferences", PreferencesAnswer, user="ann") == first
        assert (stage.graph.reads, stage.models[1].encoded) == (reads, encoded)

    stage.run(talk, projection_ms=60_000)


def test_a_new_release_is_served_and_the_pinned_one_still_answers(stage: Stage) -> None:
    stage.event("ann", 3)

    async def talk(client: httpx.AsyncClient) -> None:
        await ready(client)
        assert (await ask(client, "/preferences", PreferencesAnswer, user="ann")).release == 1
        release(stage.shop)
        until = time.monotonic() + 20
        while (await ask(client, "/preferences", PreferencesAnswer, user="ann")).release == 1:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
        assert (await ask(client, "/preferences", PreferencesAnswer, user="ann", release=1)).release == 1
        assert (stage.models[1].encoded, stage.models[2].encoded) == (1, 1)

    stage.run(talk)


def test_a_release_without_a_network_is_neutral_and_reads_no_graph(stage: Stage) -> None:
    stage.models[1] = CountingModel(1, ["<unknown>"], "bm25")
    stage.event("ann", 3)

    async def talk(client: httpx.AsyncClient) -> PreferencesAnswer:
        await ready(client)
        reads = stage.graph.reads
        answer = await ask(client, "/preferences", PreferencesAnswer, user="ann")
        assert stage.graph.reads == reads
        return answer  # type: ignore[no-any-return]

    answer = stage.run(talk)
    assert (answer.strategy, answer.events, scores(answer)) == ("bm25", 0, [0.0])


# ---- readiness -----------------------------------------------------------------------------------------------------------------


def test_readiness_names_each_dependency(stage: Stage) -> None:
    stage.event("ann", 3)
    checks = stage.run(ready)
    assert checks["generation"]["detail"] == {"current": 1, "served": [1]}
    assert checks["categories"]["detail"] == {"model": "fasttext", "categories": 4}
    assert checks["graph"]["detail"] == {"position": 1, "lag": 0}
    assert checks["release"]["detail"] == {"current": 1, "strategy": "network", "served": [1]}


def test_without_a_release_it_is_not_ready_but_understands_queries(stage: Stage) -> None:
    shutil.rmtree(stage.shop.releases)

    async def talk(client: httpx.AsyncClient) -> None:
        response = await client.get("/readyz")
        assert response.status_code == 503
        assert "aisle train" in response.json()["checks"]["release"]["detail"]
        assert (await client.post("/preferences", json={"user": "ann"})).status_code == 410
        assert (await client.post("/analyse", json={"query": "sofa"})).status_code == 200

    stage.run(talk)


def test_a_shop_without_a_generation_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="aisle build"):
        create(RecommenderSettings(shop="planted"), home=tmp_path)
