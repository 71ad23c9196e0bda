"""The ranker as a service: what it serves, what it refuses, how it moves on to new versions."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest

from ranker import build
from ranker.app import create
from ranker.settings import RankerSettings
from services.artifacts import Versions
from services.contracts import RankAnswer, RankRequest
from services.errors import ConfigurationError
from services.features import FEATURE_SCHEMA, FEATURES, ITEM_FEATURES, matches_first
from services.models.onnx import load as load_onnx
from services.shop import Shop
from tests import ranker_model
from tests.forward_shop import NOW_MS, candidates, facts, popular, product, publish, small_shop, terms, write

PRODUCTS = [
    product(0, "old sofa", price_cents=300, brand="Acme"),
    product(1, "red sofa", price_cents=100),
    product(2, "sofa bed", price_cents=900),
]
REQUEST = RankRequest(terms=terms("sofa"), categories=[], candidates=candidates([0, 1, 2]))
Ask = Callable[[httpx.AsyncClient], Awaitable[Any]]


def generation(shop: Shop, products: list[dict[str, Any]] = PRODUCTS) -> int:
    versions = Versions(shop.generations)
    number, folder = versions.begin()
    write(folder, products, [popular(row["product_no"], score=row["product_no"]) for row in products])
    assert build.main([str(shop.root), str(number)]) == 0
    versions.publish(number, {})
    versions.activate(number)
    return number


def release(shop: Shop, strategy: str = "network", **changed: Any) -> int:
    return publish(shop.releases, msgspec.structs.asdict(facts(strategy, **changed)))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = small_shop(tmp_path)
    generation(made)
    release(made)
    return made


def served(shop: Shop, ask: Ask, load_model: Any = ranker_model.load) -> Any:
    service = create(RankerSettings(shop="small", refresh_s=0.02, deadline_ms=60_000), shop.root.parent.parent, load_model, lambda: NOW_MS)

    async def run() -> Any:
        app = service.asgi()
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://ranker") as client:
            return await ask(client)

    return asyncio.run(run())


async def post(client: httpx.AsyncClient, request: RankRequest) -> httpx.Response:
    return await client.post("/rank", content=msgspec.json.encode(request))


def rank(shop: Shop, request: RankRequest, load_model: Any = ranker_model.load) -> RankAnswer:
    response = served(shop, lambda client: post(client, request), load_model)
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=RankAnswer)


def refused(shop: Shop, request: RankRequest) -> tuple[int, str | None]:
    response = served(shop, lambda client: post(client, request))
    return response.status_code, response.json().get("field")


def test_candidates_come_back_in_order_with_the_features_of_the_page(shop: Shop) -> None:
    answer = rank(shop, msgspec.structs.replace(REQUEST, first=1, count=5))
    assert np.frombuffer(answer.order, np.uint16).tolist() == [2, 0, 1]
    features = np.frombuffer(answer.features, np.float32).reshape(-1, len(FEATURES))
    scores = np.frombuffer(answer.scores, np.float32)
    assert matches_first(features[:, FEATURES.index("price")], features) == pytest.approx(scores[1:], abs=1e-5)
    assert (answer.generation, answer.release, answer.strategy, answer.feature_schema) == (1, 1, "network", FEATURE_SCHEMA)
    assert answer.explanation is None


def test_preferences_are_part_of_the_features_and_without_them_the_user_is_neutral(shop: Shop) -> None:
    liked = msgspec.structs.replace(
        REQUEST,
        scores=np.array([0, 5, 0], np.float32).tobytes(),
        weights=bytes(4 * len(FEATURES)),
        vector=np.array([2, 0], np.float32).tobytes(),
    )
    user = slice(len(ITEM_FEATURES), None)
    by_row = dict(zip([2, 0, 1], np.frombuffer(rank(shop, liked).features, np.float32).reshape(3, -1)[:, user].tolist(), strict=True))
    assert by_row == {0: [0, 5, 0, 0, 2], 1: [0, 0, 0, 0, 0], 2: [0, 0, 0, 0, 0]}
    assert not np.frombuffer(rank(shop, REQUEST).features, np.float32).reshape(3, -1)[:, user].any()


def test_an_explanation_is_given_for_each_item_of_the_page(shop: Shop) -> None:
    answer = rank(shop, msgspec.structs.replace(REQUEST, count=2, explain=True))
    assert answer.explanation is not None
    assert [round(sum(item["shares"].values()), 4) for item in answer.explanation] == pytest.approx(
        np.frombuffer(answer.scores, np.float32)[:2].tolist(), abs=1e-4
    )
    assert {name for name, share in answer.explanation[0]["shares"].items() if share} - {"rest"} == {"price"}


def test_a_shop_without_logs_is_ranked_by_its_bm25_release(tmp_path: Path) -> None:
    shop = small_shop(tmp_path)
    generation(shop)
    release(shop, "bm25")
    answer = rank(shop, REQUEST, load_onnx)
    assert (answer.strategy, np.frombuffer(answer.order, np.uint16).tolist()) == ("bm25", [1, 2, 0])
    assert rank(shop, msgspec.structs.replace(REQUEST, strategy="popularity"), load_onnx).strategy == "popularity"


def test_no_candidates_are_an_empty_order(shop: Shop) -> None:
    answer = rank(shop, msgspec.structs.replace(REQUEST, candidates=candidates([]), explain=True))
    assert (answer.order, answer.scores, answer.features, answer.explanation) == (b"", b"", b"", [])


def test_stages_are_told(shop: Shop) -> None:
    response = served(shop, lambda client: post(client, REQUEST))
    stages = [entry.split(";")[0] for entry in response.headers["server-timing"].split(", ")]
    assert stages[1:4] == ["features", "user", "inference"]


def test_what_is_wrong_with_a_request_is_named(shop: Shop) -> None:
    for change, field in (
        ({"strategy": "lightgbm"}, "strategy"),
        ({"first": -1}, "first"),
        ({"vector": b"1234"}, "vector"),
        ({"candidates": msgspec.structs.replace(REQUEST.candidates, tier=b"")}, "candidates"),
    ):
        assert refused(shop, msgspec.structs.replace(REQUEST, **change)) == (400, field)


def test_versions_that_are_not_served_are_gone(shop: Shop) -> None:
    assert refused(shop, msgspec.structs.replace(REQUEST, generation=7)) == (410, "generation")
    assert refused(shop, msgspec.structs.replace(REQUEST, release=7)) == (410, "release")


def test_a_new_generation_and_release_are_served_beside_the_ones_before(shop: Shop) -> None:
    async def ask(client: httpx.AsyncClient) -> list[tuple[int, int]]:
        await post(client, REQUEST)
        generation(shop, PRODUCTS[:2])
        release(shop)
        while (
            answer := msgspec.json.decode((await post(client, REQUEST)).content, type=RankAnswer)
        ) and answer.generation + answer.release < 4:
            await asyncio.sleep(0)
        pinned = msgspec.structs.replace(REQUEST, generation=1, release=1)
        before = msgspec.json.decode((await post(client, pinned)).content, type=RankAnswer)
        lost = msgspec.json.decode((await post(client, REQUEST)).content, type=RankAnswer)
        assert np.frombuffer(lost.order, np.uint16).tolist() == [0, 1, 2]  # product 2 is no more: last
        return [(a.generation, a.release) for a in (answer, before)]

    assert served(shop, ask) == [(2, 2), (1, 1)]


def test_readiness_tells_generation_and_release(shop: Shop) -> None:
    checks = served(shop, lambda client: client.get("/readyz")).json()["checks"]
    assert checks["generation"]["detail"] == {"current": 1, "loaded": [1], "products": 3}
    assert (checks["release"]["detail"]["current"], checks["release"]["detail"]["strategy"]) == (1, "network")


def test_without_a_generation_the_ranker_starts_and_is_not_ready(tmp_path: Path) -> None:
    shop = small_shop(tmp_path)
    response = served(shop, lambda client: client.get("/readyz"))
    assert (response.status_code, response.json()["checks"]["generation"]["ok"]) == (503, False)
    assert refused(shop, REQUEST)[0] == 410


def test_a_model_that_does_not_answer_makes_the_ranker_not_ready(shop: Shop) -> None:
    def load(folder: Path, manifest: Any) -> Any:
        model = ranker_model.LinearModel(manifest)
        model.alive = False
        return model

    response = served(shop, lambda client: client.get("/readyz"), load)
    assert (response.status_code, response.json()["checks"]["release"]["ok"]) == (503, False)


@pytest.mark.parametrize(
    ("changed", "message"), [({"feature_schema": "old"}, "train again"), ({"strategy": "lightgbm"}, "has strategy 'lightgbm'")]
)
def test_a_release_that_this_code_cannot_serve_stops_the_start(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    shop = small_shop(tmp_path)
    generation(shop)
    release(shop, **changed)
    with pytest.raises(ConfigurationError, match=message):
        served(shop, lambda client: client.get("/readyz"))


def test_a_generation_without_its_forward_index_stops_the_start(tmp_path: Path) -> None:
    shop = small_shop(tmp_path)
    publish(shop.generations, {})
    with pytest.raises(ConfigurationError, match="run `aisle build`"):
        served(shop, lambda client: client.get("/readyz"))


def test_building_without_popularity_is_refused_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shop = small_shop(tmp_path)
    write(shop.generations / "1", PRODUCTS)
    assert build.main([str(shop.root), "1"]) == 2
    assert "no popularity.parquet; run `aisle build`" in caplog.text
    assert build.main([str(shop.root), "2"]) == 2


def test_building_again_replaces_what_was_there(shop: Shop) -> None:
    part = shop.generations / "1" / "ranker"
    (part / "left.over").write_text("")
    assert build.main([str(shop.root), "1"]) == 0
    assert not (part / "left.over").exists()
    assert not part.with_name("ranker.building").exists()
