"""The searcher as its callers see it: real tiers, real HTTP side, in one process."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from searcher.app import create
from searcher.build import build
from searcher.engines import open_embedded
from searcher.index.port import TierIndex
from searcher.part import FOLDER
from searcher.retrieve import open_part, warm_up
from searcher.settings import SearcherSettings
from services.app import Service
from services.artifacts import Versions
from services.catalogue import TIERS
from services.contracts import FacetCount, Filters, PriceRange, RetrieveAnswer, RetrieveRequest, SuggestAnswer, Term, Total
from services.errors import ConfigurationError
from services.shop import Shop
from services.warm import IN_A_ROW, Warmth
from tests.searcher_tiers import FaultyTier, write_generation

CATEGORIES = [(1, "Clothing", -1), (2, "Hats", 1), (3, "Shoes", 1)]
COLORS = ("Red", "Blue", "Green")
PRODUCTS: list[dict[str, object]] = [
    {
        "title": f"{COLORS[n % 3]} {'Hat' if n % 2 else 'Shoe'} {n}",
        "brand": ("Acme", "Öko")[n % 2],
        "category_id": 2 if n % 2 else 3,
        "price_cents": 100 * (n % 7 + 1),
        "created_ms": n,
        "attributes": {"color": COLORS[n % 3]},
    }
    for n in range(40)
]
TIER_OF = [0] * 6 + [1] * 14 + [2] * 20


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("home")
    publish(Shop(base / "shops" / "demo"))
    return base


def publish(shop: Shop) -> int:
    folder = write_generation(shop, PRODUCTS, TIER_OF, CATEGORIES)
    generation = int(folder.name)
    build(shop, generation)
    versions = Versions(shop.generations)
    versions.publish(generation, {})
    versions.activate(generation)
    return generation


def ask(service: Service, method: str, path: str, body: object = None) -> httpx.Response:
    async def run() -> httpx.Response:
        app = service.asgi()
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://searcher") as client,
        ):
            return await client.request(method, path, content=None if body is None else msgspec.json.encode(body))

    return asyncio.run(run())


def retrieved(home: Path, request: RetrieveRequest, **ports: Any) -> RetrieveAnswer:
    response = ask(create(SearcherSettings(deadline_ms=60_000), home, **ports), "POST", "/retrieve", request)
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=RetrieveAnswer)


def holds(condition: Callable[[dict[str, Any]], bool]) -> list[int]:
    return [n for n, product in enumerate(PRODUCTS) if condition(product)]


def test_strict_products_come_first_then_those_with_any_term(home: Path) -> None:
    answer = retrieved(home, RetrieveRequest([Term("red"), Term("hat")]))
    numbers = answer.candidates.numbers().tolist()
    both = holds(lambda p: "Red" in p["title"] and "Hat" in p["title"])
    either = holds(lambda p: "Red" in p["title"] or "Hat" in p["title"])
    assert sorted(numbers[: len(both)]) == both
    assert sorted(numbers) == either
    assert answer.total == Total(len(either), "eq")
    assert [t.strict for t in answer.tiers] == [1, 2, 4]


def test_the_answer_says_where_its_time_went(home: Path) -> None:
    request = RetrieveRequest([Term("red"), Term("hat")], facets=["brand"])
    response = ask(create(SearcherSettings(deadline_ms=60_000), home), "POST", "/retrieve", request)
    stages = {entry.split(";")[0].strip() for entry in response.headers["server-timing"].split(",")}
    assert {"high", "medium", "low", "high_any", "medium_any", "low_any", "facets", "total"} <= stages


def test_filters_are_kept(home: Path) -> None:
    filters = Filters(brand=["oko"], category=[1], price_cents=PriceRange(200, 500), attributes={"color": ["red", "BLUE"]})
    answer = retrieved(home, RetrieveRequest([], filters=filters))
    expected = holds(lambda p: p["brand"] == "Öko" and 200 <= p["price_cents"] <= 500 and p["attributes"]["color"] in ("Red", "Blue"))
    assert sorted(answer.candidates.numbers().tolist()) == expected
    assert answer.total == Total(len(expected), "eq")


@pytest.mark.parametrize(
    ("sort", "key"),
    [("price_asc", lambda p: p["price_cents"]), ("price_desc", lambda p: -p["price_cents"]), ("newest", lambda p: -p["created_ms"])],
)
def test_a_sort_covers_every_product(home: Path, sort: Any, key: Callable[[dict[str, Any]], int]) -> None:
    answer = retrieved(home, RetrieveRequest([Term("hat")], sort=sort, wanted=9))
    expected = sorted(holds(lambda p: "Hat" in p["title"]), key=lambda n: (key(PRODUCTS[n]), n))
    assert answer.candidates.numbers().tolist() == expected[:9]
    assert answer.total == Total(20, "eq")


def test_facets_count_what_matches_with_all_filters(home: Path) -> None:
    answer = retrieved(
        home, RetrieveRequest([Term("red")], filters=Filters(brand=["Acme"]), facets=["brand", "category", "color"], wanted=1)
    )
    red_acme = len(holds(lambda p: "Red" in p["title"] and p["brand"] == "Acme"))
    assert answer.facets == {
        "brand": [FacetCount("Acme", red_acme)],
        "category": [FacetCount("1", red_acme, "Clothing"), FacetCount("3", red_acme, "Clothing > Shoes")],
        "color": [FacetCount("Red", red_acme)],
    }
    assert answer.total == Total(red_acme, "eq")
    assert len(answer.candidates) == 1


def test_what_is_typed_is_completed(home: Path) -> None:
    response = ask(create(SearcherSettings(deadline_ms=60_000), home), "GET", "/suggest?q=ha&limit=3")
    answer = msgspec.json.decode(response.content, type=SuggestAnswer)
    assert [(s.text, s.kind, s.category_id) for s in answer.suggestions[:1]] == [("Hats", "category", 2)]


@pytest.mark.parametrize("wanted", [0, -1, 10_001])
def test_a_wanted_out_of_bounds_is_refused_by_name(home: Path, wanted: int) -> None:
    response = ask(create(SearcherSettings(deadline_ms=60_000), home), "POST", "/retrieve", RetrieveRequest([], wanted=wanted))
    assert (response.status_code, response.json()["field"]) == (400, "wanted")


def faulty(*names: str) -> Callable[[Path], Sequence[TierIndex]]:
    return lambda folder: [FaultyTier(tier.name, []) if tier.name in names else tier for tier in open_embedded(folder)]


def test_a_failed_tier_is_named_in_answer_readiness_and_metrics(home: Path) -> None:
    answer = retrieved(home, RetrieveRequest([Term("hat")]), open_tiers=faulty("low"))
    assert answer.unavailable == ["low"]
    assert answer.candidates.numbers().tolist() and max(answer.candidates.numbers().tolist()) < 20
    ready = ask(create(SearcherSettings(deadline_ms=60_000), home, open_tiers=faulty("low")), "GET", "/readyz")
    assert ready.status_code == 503
    assert {name: check["ok"] for name, check in ready.json()["checks"].items()} == {
        "generation": True,
        "tier:high": True,
        "tier:medium": True,
        "tier:low": False,
    }


def test_when_all_tiers_fail_the_answer_is_503(home: Path) -> None:
    response = ask(create(SearcherSettings(deadline_ms=60_000), home, open_tiers=faulty(*TIERS)), "POST", "/retrieve", RetrieveRequest([]))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


class Counted:
    """A tier that counts its searches."""

    def __init__(self, tier: TierIndex) -> None:
        self._tier, self.name, self.searches = tier, tier.name, 0

    def search(self, *args: Any, **more: Any) -> Any:
        self.searches += 1
        return self._tier.search(*args, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tier, name)


def _warmed(home: Path, tiers: Callable[[Path], Sequence[Any]]) -> tuple[bool, Sequence[Any]]:
    part = home / "shops" / "demo" / "generations" / "1" / FOLDER
    opened, warmth, brought = tiers(part), Warmth("tiers", 60.0), []
    warmth.bring = lambda ask: brought.append(Warmth.bring(warmth, ask))  # type: ignore[method-assign, assignment]
    warm_up(open_part(part, opened, skip_high=True), "en", warmth)
    return brought[0], opened


def test_every_tier_is_asked_before_it_is_needed(home: Path) -> None:
    quick, opened = _warmed(home, lambda part: [Counted(tier) for tier in open_embedded(part)])
    assert quick
    assert all(tier.searches >= IN_A_ROW for tier in opened)


def test_tiers_are_not_quick_while_one_does_not_answer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.warm.START_S", 0.3)
    assert not _warmed(home, faulty("medium"))[0]


def test_a_pinned_generation_is_answered_until_two_newer_ones_are_there(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shops" / "demo")
    publish(shop)
    service = create(SearcherSettings(deadline_ms=60_000), tmp_path)
    refresh = next(job for name, job, _ in service._jobs if name == "refresh")
    statuses = []
    for _ in range(2):
        publish(shop)
        refresh()
        statuses.append([_pinned(service, generation) for generation in (1, 2, None)])
    assert statuses == [[(200, 1), (200, 2), (200, 2)], [(410, None), (200, 2), (200, 3)]]


def _pinned(service: Service, generation: int | None) -> tuple[int, int | None]:
    response = ask_without_stopping(service, RetrieveRequest([Term("hat")], generation=generation))
    return response.status_code, response.json().get("generation")


def ask_without_stopping(service: Service, request: RetrieveRequest) -> httpx.Response:
    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(service.asgi()), base_url="http://searcher") as client:
            return await client.post("/retrieve", content=msgspec.json.encode(request))

    return asyncio.run(run())


def test_a_shop_without_a_generation_starts_and_says_that_it_is_not_ready(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shops" / "demo")
    write_generation(shop, [], [])
    service = create(SearcherSettings(deadline_ms=60_000), tmp_path)
    assert ask_without_stopping(service, RetrieveRequest([])).status_code == 503
    assert ask(service, "GET", "/readyz").status_code == 503


def test_a_shop_that_does_not_exist_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="aisle data"):
        create(SearcherSettings(deadline_ms=60_000), tmp_path)
