"""What the recommender answers."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from recommender.graph.port import UserGraph
from recommender.profile import BEHAVIOURS, Profile, ProfileCache
from recommender.projection import Projector
from recommender.understanding import Understanding
from services.artifacts import Served
from services.calls import Call
from services.contracts import (
    AnalyseAnswer,
    AnalyseRequest,
    PreferencesAnswer,
    PreferencesRequest,
    ProjectAnswer,
    ProjectRequest,
)
from services.eventlog.port import PARTITION
from services.models.port import I32, MAX_STEPS, Model, Preferences
from services.telemetry import Telemetry
from services.text import ANALYZER_VERSION, MAX_QUERY_CHARS


class Analysis:
    """`/analyse`. It computes and never waits (0.1 ms; under 2 ms for a query made to be slow), so it runs where it is: a thread costs more."""

    def __init__(self, generations: Served[Understanding]) -> None:
        self._generations = generations

    async def analyse(self, request: AnalyseRequest, call: Call) -> AnalyseAnswer:
        generation, understanding = self._generations.get(request.generation)
        text, corrected, speller = request.query[:MAX_QUERY_CHARS], None, understanding.speller
        with call.timing.stage("spell"):
            if not request.verbatim and speller.needs_work(text):
                corrected = speller.correct(text)
        with call.timing.stage("rewrite"):
            terms = understanding.terms(corrected or text)
        with call.timing.stage("categories"):
            categories = understanding.categories(corrected or text) if terms else []
        return AnalyseAnswer(generation, ANALYZER_VERSION, terms, categories, corrected, understanding.off)


class UserPreferences:
    """`/preferences`. A user of whom nothing is known, and a release without a network, get zeros: neutral, with `events` 0."""

    def __init__(
        self,
        generations: Served[Understanding],
        releases: Served[Model],
        graph: UserGraph,
        cache: ProfileCache,
        telemetry: Telemetry,
        *,
        remote_models: bool = False,
    ) -> None:
        """`remote_models`: a release's calls wait for a server, so they are made in a thread."""
        self._generations, self._releases, self._graph, self._cache = generations, releases, graph, cache
        self._telemetry, self._remote = telemetry, remote_models
        self._columns: dict[tuple[int, int], I32] = {}
        self._nobody = Profile.of([])

    async def preferences(self, request: PreferencesRequest, call: Call) -> PreferencesAnswer:
        generation, understanding = self._generations.get(request.generation)
        release, model = self._releases.get(request.release)
        profile = self._nobody
        if model.strategy == "network":
            with call.timing.stage("graph"):
                known = self._cache.get(request.user)
                if known is None:
                    known = await call.run(self._read, request.user)
                profile = known.with_pending(request.pending) if request.pending else known
        key = (generation, release)
        columns = self._columns.get(key)
        if columns is None:
            columns = self._columns[key] = understanding.products.columns(model.vocabulary)
        with call.timing.stage("encode"):
            states = profile.states.get(key)
            if states is None:
                states = model.encode(profile.events(columns))
                profile.keep(key, states)
                self._telemetry.observe("aisle_model_batch_rows", len(states), "encode")
        with call.timing.stage("inference"):
            if self._remote and len(states):
                found = await call.run(model.preference, states, request.categories)
            else:
                found = model.preference(states, request.categories)
        return _answer(release, model, found, min(len(states), MAX_STEPS))

    def prepare(self) -> None:
        """Map every loaded generation to every loaded release, so that no request has to; forget pairs that are gone."""
        pairs = {(g, r) for g in self._generations.loaded for r in self._releases.loaded}
        columns = {
            (g, r): self._columns[g, r]
            if (g, r) in self._columns
            else self._generations.get(g)[1].products.columns(self._releases.get(r)[1].vocabulary)
            for g, r in pairs
        }
        self._columns = columns

    def _read(self, user: str) -> Profile:
        epoch = self._cache.epoch
        profile = Profile.of(self._graph.recent(user, BEHAVIOURS))
        self._cache.put(user, profile, epoch)
        return profile


class Projection:
    """`/project`: callers that come while a projection runs wait for the next one together."""

    def __init__(self, projector: Projector) -> None:
        self._projector = projector
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="projection")
        self._run: asyncio.Future[int] | None = None

    async def project(self, request: ProjectRequest, call: Call) -> ProjectAnswer:
        target = request.position.get(PARTITION, 0)
        with call.timing.stage("project"):
            for _ in range(2):  # the run that is under way may have begun before the position was written; the next one has not
                if self._projector.position() >= target or call.deadline.remaining_ms() <= 1:
                    break
                await self._next(call.deadline.remaining_ms())
        position = self._projector.position()
        return ProjectAnswer(position >= target, {PARTITION: position})

    async def _next(self, wait_ms: float) -> None:
        if self._run is None or self._run.done():
            self._run = asyncio.get_running_loop().run_in_executor(self._thread, self._projector.catch_up)
            self._run.add_done_callback(
                lambda run: run.cancelled() or run.exception()
            )  # whoever waited may have gone; it is logged elsewhere
        done, _ = await asyncio.wait({self._run}, timeout=wait_ms / 1000)
        for run in done:
            run.result()  # raises what went wrong

    def close(self) -> None:
        self._projector.close()
        self._thread.shutdown(wait=True, cancel_futures=True)


def categories_check(generations: Served[Understanding]) -> Callable[[], object]:
    def check() -> object:
        facts = generations.get()[1].part.categories
        return "off: the catalogue has no categories" if facts is None else {"model": facts.kind, "categories": len(facts.names)}

    return check


def _answer(release: int, model: Model, found: Preferences, events: int) -> PreferencesAnswer:
    return PreferencesAnswer(release, model.strategy, found.scores.tobytes(), found.weights.tobytes(), found.vector.tobytes(), events)
