"""The planner's composition root."""

import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from httpx_aiohttp import AiohttpTransport

from planner.events import Arrival
from planner.experiments import parse
from planner.fallbacks import Fallbacks
from planner.intake import Intake
from planner.pages import FLUSH_EVERY_S, PageQueue
from planner.pending import Pending
from planner.personal import Dependencies
from planner.products.cache import CachedProducts
from planner.products.engine import Stores
from planner.projection import Projection
from planner.retention import RETENTION_EVERY_S, Retention
from planner.routes import DESCRIPTION, Routes
from planner.search import Options, Search
from planner.settings import PlannerSettings
from services.app import Service
from services.artifacts import Manifest, Served, Versions
from services.calls import Call
from services.client import ServiceClient
from services.errors import AisleError, ConfigurationError
from services.eventlog.port import EventLogWriter
from services.eventlog.sqlite import SqliteWriter
from services.identity import user_key
from services.shop import Shop, open_shop, operator_token, secret
from services.shop import home as default_home
from services.timing import Deadline

CHECK_MS = 1000.0


def create(
    settings: PlannerSettings,
    home: Path | None = None,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    log: EventLogWriter | None = None,
) -> Service:
    """The planner over the shop's generations, event log and the three other services (reached through `transport`, by default HTTP).

    Raises ConfigurationError when the shop, its log or its product store is not usable; without a generation it starts, and is ready once
    there is one.
    """
    base = home or default_home()
    if settings.workers != 1:
        raise ConfigurationError(f"AISLE_PLANNER_WORKERS={settings.workers}: the embedded event log has one writer; leave it at 1")
    shop = open_shop(settings.shop, base)
    options = _options(settings, shop, base)
    service = Service("planner", settings, description=DESCRIPTION, operator_token=operator_token(base))
    products = _products(service, shop, settings)
    writer = log or SqliteWriter(shop.log_file)
    service.on_stop(writer.close)
    pages = PageQueue(writer, service.telemetry, limit=settings.page_queue)
    service.background("pages", pages.flush, FLUSH_EVERY_S)
    service.on_stop(pages.flush)
    if settings.retention_days:
        service.background("retention", Retention(writer, settings.retention_days), RETENTION_EVERY_S)
    shared = transport or AiohttpTransport()
    service.on_stop(shared.aclose)
    clients = _clients(service, settings, shared)
    pending = Pending(max_users=settings.pending_users, max_events=settings.pending_events)
    projection = Projection(clients["projection"], pending, service.telemetry)
    service.on_stop(projection.close)
    dependencies = Dependencies(
        clients["recommender"], clients["preferences"], clients["ranker"], pending, projection, Fallbacks(service.telemetry)
    )
    search = Search(dependencies, clients["searcher"], products, pages, options)
    intake = Intake(
        writer,
        products,
        projection,
        pending,
        pages,
        service.telemetry,
        arrival=lambda: Arrival(time.time_ns() // 1_000_000, options.user_key, lambda: str(uuid.uuid4())),
        wait_ms=settings.project_wait_ms,
    )
    Routes(service, search, intake, products, clients["searcher"], options)
    _checks(service, writer, _readiness(settings, shared))
    return service


def _options(settings: PlannerSettings, shop: Shop, base: Path) -> Options:
    key = secret(base)
    return Options(
        language=shop.info().language,
        candidates=settings.candidates,
        key=key,
        user_key=lambda user_id: user_key(user_id, key),
        experiments=parse(settings.experiments),
        salt=settings.experiment_salt,
        patience_ms=0.8 * settings.deadline_ms,
    )


def _products(service: Service, shop: Shop, settings: PlannerSettings) -> Served[CachedProducts]:
    stores = Stores(settings.products_url, shop.info())
    service.on_stop(stores.close)

    def load(folder: Path, manifest: Manifest) -> CachedProducts:
        return CachedProducts(stores.open(folder), settings.cached_summaries)

    served: Served[CachedProducts] = Served(Versions(shop.generations), load, under="planner/")

    def refresh() -> None:
        if (version := served.refresh()) is not None:
            service.telemetry.set("aisle_version", version, "generation")

    def check() -> dict[str, object]:
        version, store = served.get()
        store.ping()
        return {"current": version, "served": served.loaded}

    refresh()
    service.background("refresh", refresh, settings.poll_s)
    service.check("products", check)
    return served


def _clients(service: Service, settings: PlannerSettings, transport: httpx.AsyncBaseTransport) -> dict[str, ServiceClient]:
    """One for each service; `preferences` and `projection` are the recommender again, with breakers of their own."""
    urls = {
        "recommender": settings.recommender_url,
        "preferences": settings.recommender_url,
        "projection": settings.recommender_url,
        "searcher": settings.searcher_url,
        "ranker": settings.ranker_url,
    }
    return {name: ServiceClient(name, url, transport, service.telemetry) for name, url in urls.items()}


def _readiness(settings: PlannerSettings, transport: httpx.AsyncBaseTransport) -> dict[str, ServiceClient]:
    """Clients that only ask whether services are there: what these are told while everything starts must not keep searches from them."""
    urls = {"searcher": settings.searcher_url, "recommender": settings.recommender_url, "ranker": settings.ranker_url}
    return {name: ServiceClient(name, url, transport) for name, url in urls.items()}


def _checks(service: Service, writer: EventLogWriter, clients: dict[str, ServiceClient]) -> None:
    """The planner is ready when it can answer: without searcher it cannot; without recommender or ranker it can, and tells what they say."""
    service.check("log", writer.ping)

    async def searcher() -> str:
        await clients["searcher"].get("/healthz", dict, Call(deadline=Deadline(CHECK_MS)))
        return "answers"

    service.check("searcher", searcher)
    for name in ("recommender", "ranker"):
        service.check(name, _optional(clients[name]))


def _optional(client: ServiceClient) -> Callable[[], Awaitable[object]]:
    async def check() -> object:
        try:
            answer = await client.get("/readyz", dict, Call(deadline=Deadline(CHECK_MS)))
        except AisleError as error:
            return f"searches go on without it: {error.detail}"
        return {name: result["detail"] for name, result in answer["checks"].items()}

    return check
