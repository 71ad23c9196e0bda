"""A small shop and a stand-in for the three services behind the planner, for its tests: everything in one process, no ports.

60 products; the stand-in ranks by product_no, highest first, but puts what the user has clicked before everything else.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from planner.app import create
from planner.build import build
from planner.degrade import plain_analysis
from planner.settings import PlannerSettings
from services.app import Service
from services.artifacts import Versions
from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA
from services.contracts import (
    AnalyseRequest,
    Candidates,
    Category,
    FacetCount,
    PreferencesAnswer,
    PreferencesRequest,
    ProjectAnswer,
    ProjectRequest,
    RankAnswer,
    RankRequest,
    RetrieveAnswer,
    RetrieveRequest,
    SuggestAnswer,
    Suggestion,
    TierCount,
    Total,
)
from services.errors import AisleError, Overloaded, Unavailable, VersionGone, problem
from services.shop import Shop, ShopInfo, operator_token

PRODUCTS = 60
FEATURES = 3


def make_shop(home: Path, products: int = PRODUCTS) -> Shop:
    """A shop whose generation 1 has products "p0", "p1", ..."""
    shop = Shop(home / "shops" / "demo")
    shop.write_info(ShopInfo(name="demo"))
    add_generation(shop, range(products))
    return shop


def add_generation(shop: Shop, product_nos: "range | list[int]") -> int:
    versions = Versions(shop.generations)
    version, folder = versions.begin()
    rows = [
        {
            "product_no": n,
            "product_id": f"p{n}",
            "title": f"Shoe {n}",
            "brand": "Acme",
            "category_id": 1,
            "description": "A shoe.",
            "price_cents": 1000 + n,
            "image_link": f"https://shop.example/{n}.jpg",
            "created_ms": n,
            "attributes": [("color", "red")],
        }
        for n in product_nos
    ]
    pq.write_table(pa.Table.from_pylist(rows, CATALOGUE_SCHEMA), folder / "catalogue.parquet")
    categories = [{"category_id": 1, "name": "Shoes", "parent_id": -1}]
    pq.write_table(pa.Table.from_pylist(categories, CATEGORIES_SCHEMA), folder / "categories.parquet")
    build(shop, version)
    versions.publish(version, {})
    versions.activate(version)
    return version


class StandIn(httpx.AsyncBaseTransport):
    """Answers for recommender, searcher and ranker (told apart by host). `faults` maps a path or a service to what goes wrong there:
    "down", "slow", "overloaded", or an AisleError to answer with. `asked` holds every request by path, in order."""

    def __init__(self, *, found: int = PRODUCTS) -> None:
        self.found = found
        self.faults: dict[str, str | AisleError] = {}
        self.asked: dict[str, list[Any]] = {}
        self.projects = True
        self.release = 5
        self.ranker_release: int | None = None
        self.tiers_down: list[str] = []
        self.generations = {1, 2}
        self.clicked: set[int] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path, host = request.url.path, request.url.host
        fault = self.faults.get(path) or self.faults.get(host)
        try:
            if fault == "down":
                raise httpx.ConnectError("refused")
            if fault == "slow":
                await asyncio.sleep(30)
            if fault == "overloaded":
                raise Overloaded("too many requests")
            if isinstance(fault, AisleError):
                raise fault
            answer = getattr(self, path.strip("/"))(await request.aread(), request)
        except AisleError as error:
            return httpx.Response(error.status, content=msgspec.json.encode(problem(error)))
        timing = {"server-timing": "work;dur=0.100;start=0.000, total;dur=0.200;start=0.000"}
        return httpx.Response(200, content=msgspec.json.encode(answer), headers=timing)

    def _note(self, path: str, body: bytes, kind: type[Any]) -> Any:
        decoded = msgspec.json.decode(body, type=kind)
        self.asked.setdefault(path, []).append(decoded)
        generation = getattr(decoded, "generation", None)
        if generation is not None and generation not in self.generations:
            raise VersionGone(f"generation {generation} is not served", field="generation")
        return decoded

    def healthz(self, body: bytes, request: httpx.Request) -> dict[str, bool]:
        return {"alive": True}

    def analyse(self, body: bytes, request: httpx.Request) -> Any:
        asked = self._note("/analyse", body, AnalyseRequest)
        plain = plain_analysis(asked.query, "en", asked.generation or 1)
        return msgspec.structs.replace(plain, categories=[Category(1, "Shoes", 0.9)], corrected="shoes" if "sheos" in asked.query else None)

    def retrieve(self, body: bytes, request: httpx.Request) -> RetrieveAnswer:
        asked = self._note("/retrieve", body, RetrieveRequest)
        numbers = np.arange(min(self.found, asked.wanted), dtype=np.uint32)
        if asked.sort == "price_desc":
            numbers = numbers[::-1].copy()
        n = len(numbers)
        scores, tiers = np.linspace(9, 1, n, dtype=np.float32), np.full(n, 2, np.uint8)
        counts = [TierCount("high", True, 0, 0), TierCount("medium", True, 0, 0), TierCount("low", True, n, 0)]
        candidates = Candidates(numbers.tobytes(), scores.tobytes(), tiers.tobytes(), np.ones(n, np.uint8).tobytes())
        facets = {name: [FacetCount("acme", n)] for name in asked.facets}
        return RetrieveAnswer(asked.generation or 1, candidates, counts, Total(n, "eq"), facets, self.tiers_down)

    def preferences(self, body: bytes, request: httpx.Request) -> PreferencesAnswer:
        asked = self._note("/preferences", body, PreferencesRequest)
        if asked.release is not None and asked.release not in (self.release, self.ranker_release):
            raise VersionGone(f"release {asked.release} is not served", field="release")
        clicked = self.clicked | {e.product_no for e in asked.pending}
        vector = np.array(sorted(clicked), np.float32).tobytes()
        return PreferencesAnswer(asked.release or self.release, "network", b"", b"", vector, len(clicked))

    def project(self, body: bytes, request: httpx.Request) -> ProjectAnswer:
        asked = self._note("/project", body, ProjectRequest)
        return ProjectAnswer(self.projects, asked.position if self.projects else {"0": 0})

    def rank(self, body: bytes, request: httpx.Request) -> RankAnswer:
        asked = self._note("/rank", body, RankRequest)
        serves = self.ranker_release or self.release
        if asked.release not in (None, serves):
            raise VersionGone(f"release {asked.release} is not served", field="release")
        numbers = asked.candidates.numbers().astype(np.float32)
        clicked = np.frombuffer(asked.vector or b"", np.float32)
        scores = numbers + 1000 * np.isin(numbers, clicked)
        order = np.argsort(-scores, kind="stable").astype(np.uint16)
        page = order[asked.first : asked.first + asked.count]
        features = np.repeat(numbers[page][:, None], FEATURES, axis=1).astype(np.float32)
        explanation = [{"no": int(numbers[row])} for row in page] if asked.explain else None
        return RankAnswer(
            asked.generation or 1,
            serves,
            "network",
            order.tobytes(),
            scores[order].astype(np.float32).tobytes(),
            features.tobytes(),
            "v1",
            explanation,
        )

    def suggest(self, body: bytes, request: httpx.Request) -> SuggestAnswer:
        self.asked.setdefault("/suggest", []).append(dict(request.url.params))
        return SuggestAnswer(1, [Suggestion("shoes", "phrase")])


class World:
    """The planner over a shop and a stand-in, and a client of its public API."""

    def __init__(self, home: Path, shop: Shop, services: StandIn, planner: Service, client: httpx.AsyncClient) -> None:
        self.home, self.shop, self.services, self.planner, self.client = home, shop, services, planner, client
        self.operator = {"authorization": f"Bearer {operator_token(home)}"}

    async def search(self, **request: Any) -> dict[str, Any]:
        answer = await self.client.post("/search", json=request)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def click(self, user_id: str, product_id: str) -> dict[str, Any]:
        event = {"action_name": "click", "user_id": user_id, "event_attributes": {"object": {"object_id": product_id}}}
        answer = await self.client.post("/events", json=[event])
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found


def settings(**changed: Any) -> PlannerSettings:
    urls = {f"{name}_url": f"http://{name}" for name in ("recommender", "searcher", "ranker")}
    return PlannerSettings(
        **{**urls, "poll_s": 0.05, "deadline_ms": 20_000, "project_wait_ms": 2000, **changed}
    )  # a busy machine is no failure


@asynccontextmanager
async def world(
    home: Path, *, products: int = PRODUCTS, services: StandIn | None = None, prepare: Callable[[Shop], None] | None = None, **changed: Any
) -> AsyncIterator[World]:
    shop = make_shop(home, products)
    if prepare:
        prepare(shop)
    stand_in = services or StandIn()
    planner = create(settings(**changed), home, transport=stand_in)
    app = planner.asgi()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://planner") as client:
        yield World(home, shop, stand_in, planner, client)


def names(answer: dict[str, Any]) -> list[str]:
    return [item["product_id"] for item in answer["items"]]


def page_records(shop: Shop) -> list[Any]:
    from services.contracts import PageRecord
    from services.eventlog.sqlite import SqliteReader

    reader = SqliteReader(shop.log_file)
    try:
        return [msgspec.json.decode(r.payload, type=PageRecord) for r in reader.read(0, 10_000, ["page"])]
    finally:
        reader.close()


__all__ = ["PRODUCTS", "StandIn", "Unavailable", "World", "add_generation", "make_shop", "names", "page_records", "settings", "world"]
