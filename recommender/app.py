"""Composition root of the recommender: the one place where its parts are made and wired."""

from collections.abc import Callable
from pathlib import Path

from recommender.graph import ladybug, neo4j
from recommender.graph.port import UserGraph
from recommender.profile import ProfileCache
from recommender.projection import Projector
from recommender.routes import Analysis, Projection, UserPreferences, categories_check
from recommender.settings import RecommenderSettings
from recommender.understanding import Understanding, load
from services.app import Service
from services.artifacts import Manifest, Served, Versions
from services.contracts import (
    AnalyseAnswer,
    AnalyseRequest,
    PreferencesAnswer,
    PreferencesRequest,
    ProjectAnswer,
    ProjectRequest,
)
from services.errors import ConfigurationError, Unavailable
from services.eventlog.port import EventLogReader
from services.eventlog.sqlite import SqliteReader
from services.models.engine import Executor
from services.models.port import Model
from services.shop import Shop, open_shop

DESCRIPTION = "What a query means and what its user prefers. Internal: the planner calls it."


def create(
    settings: RecommenderSettings,
    *,
    home: Path | None = None,
    log: EventLogReader | None = None,
    graph: UserGraph | None = None,
    load_release: Callable[[Path, Manifest], Model] | None = None,
) -> Service:
    """The service for one shop. Raises ConfigurationError when the shop has no generation, its graph is open elsewhere, or an engine of the
    settings is not there."""
    shop = open_shop(settings.shop, home)
    executor = Executor(settings.models_url)
    generations, releases = (
        Served(Versions(shop.generations), load, under="recommender/"),
        Served(Versions(shop.releases), load_release or executor.load),
    )
    if generations.refresh() is None:
        raise ConfigurationError(f"shop {shop.name!r} has no generation to serve; run `aisle build`")
    releases.refresh()
    log = log or SqliteReader(shop.log_file)
    graph = graph or open_graph(settings, shop, log.end())
    service = Service("recommender", settings, description=DESCRIPTION)
    cache = ProfileCache(settings.cached_profiles)
    projector = Projector(graph, log, Versions(shop.generations), cache, service.telemetry)
    preferences = UserPreferences(generations, releases, graph, cache, service.telemetry, remote_models=executor.remote)
    preferences.prepare()
    projection = Projection(projector)
    refresh = Refresh(service, generations, releases, preferences)

    service.post(
        "/analyse", AnalyseRequest, AnalyseAnswer, Analysis(generations).analyse, summary="Spelling, synonyms, categories of a query"
    )
    service.post("/preferences", PreferencesRequest, PreferencesAnswer, preferences.preferences, summary="What a user prefers, for a query")
    service.post("/project", ProjectRequest, ProjectAnswer, projection.project, summary="Bring the user graph to a position of the log")
    service.check("generation", lambda: {"current": generations.current, "served": generations.loaded})
    service.check("categories", categories_check(generations))
    service.check("graph", lambda: _graph(graph, projector))
    service.check("release", lambda: _release(releases))
    service.background("refresh", refresh, settings.refresh_ms / 1000)
    service.background("projection", projector.catch_up, settings.projection_ms / 1000)
    for stop in (executor.close, log.close, graph.close, projection.close):  # called last first
        service.on_stop(stop)
    return service


class Refresh:
    """Follows the pointers of generations and releases."""

    def __init__(self, service: Service, generations: Served[Understanding], releases: Served[Model], preferences: UserPreferences) -> None:
        self._service, self._generations, self._releases, self._preferences = service, generations, releases, preferences

    def __call__(self) -> None:
        """New generations and releases; what they need is made before the first request asks for it."""
        versions = {"generation": self._generations.refresh(), "release": self._releases.refresh()}
        self._preferences.prepare()
        for artifact, version in versions.items():
            if version is not None:
                self._service.telemetry.set("aisle_version", version, artifact)


def open_graph(settings: RecommenderSettings, shop: Shop, log_end: int) -> UserGraph:
    """The shop's user graph, where the settings say; its log ends at `log_end`. Raises ConfigurationError."""
    match settings.graph_url:
        case "":
            return ladybug.open_graph(shop.graph, log_end, readers=settings.graph_readers)
        case url:
            return neo4j.open_graph(url, shop.info().identity, log_end)


def _graph(graph: UserGraph, projector: Projector) -> dict[str, int]:
    graph.ping()
    if not projector.complete:
        raise Unavailable(f"the log is being projected: {projector.lag():,} offsets to go")
    return {"position": projector.position(), "lag": projector.lag()}


def _release(releases: Served[Model]) -> dict[str, object]:
    if releases.current is None:
        raise Unavailable("no release; run `aisle train`, or `python -m offline.baseline` for a shop without logs")
    version, model = releases.get()
    model.ping()
    return {"current": version, "strategy": model.strategy, "served": releases.loaded}
