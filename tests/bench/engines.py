"""The engines of a shop in one process: everything that its services load of the current generation and release. Which engines: as the
services, by AISLE_SEARCHER_HIGH_URL and so on."""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec
import numpy as np

from planner.products.cache import CachedProducts
from planner.products.engine import Stores
from planner.settings import PlannerSettings
from ranker.app import load_index
from ranker.engine import Weights
from ranker.pairs import Pair
from ranker.routes import rank
from ranker.settings import RankerSettings
from recommender.app import open_graph
from recommender.profile import BEHAVIOURS, Profile
from recommender.settings import RecommenderSettings
from recommender.understanding import load as load_understanding
from searcher.engines import Tiers
from searcher.part import FOLDER
from searcher.retrieve import open_part, retrieve
from searcher.settings import SearcherSettings
from services.artifacts import Versions
from services.contracts import AnalyseAnswer, AnalyseRequest, PreferencesAnswer, PreferencesRequest, RankRequest, RetrieveRequest
from services.features import Binding
from services.identity import user_key
from services.models.engine import Executor
from services.models.onnx import load as load_onnx
from services.models.port import F32
from services.settings import load
from services.shop import Shop, secret
from services.text import ANALYZER_VERSION
from services.timing import Timing
from tests.bench.hops import Sizes
from tests.bench.workload import PAGE


class Unwatched:
    """An observer of the tier walk that does nothing."""

    def search(self, tier: str, level: object) -> AbstractContextManager[None]:
        return nullcontext()

    def stage(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()


class Engines:
    """One search after the other, without services; and each engine by itself, for tests/bench/calls.py."""

    def __init__(self, home: Path, name: str) -> None:
        shop = Shop(home / "shops" / name)
        generations, releases = Versions(shop.generations), Versions(shop.releases)
        generation, release = generations.current(), releases.current()
        assert generation and release
        folder, manifest = generations.folder(generation), generations.manifest(generation)
        self.generation, self.secret = generation, secret(home)
        self.understanding = load_understanding(folder, manifest)
        recommender = load(RecommenderSettings, "AISLE_RECOMMENDER_", os.environ)
        self.tiers = Tiers(load(SearcherSettings, "AISLE_SEARCHER_", os.environ), shop.info())
        self.part = open_part(folder / FOLDER, self.tiers.open(folder / FOLDER), skip_high=True)
        self.model = Executor(recommender.models_url).load(releases.folder(release), releases.manifest(release))
        ranker = load_onnx(releases.folder(release), releases.manifest(release))
        index = load_index(folder, manifest)
        self.pair = Pair(generation, index, release, ranker, Binding(index, self.model.vocabulary, self.model.property_vectors))
        self.columns = self.understanding.products.columns(self.model.vocabulary)
        self.graph = open_graph(recommender, shop, sys.maxsize)  # the system's log has gone on, and its graph is not to be made anew
        self.personal = 0
        """Searches whose user's behaviours the model was asked about."""
        planner = load(PlannerSettings, "AISLE_PLANNER_", os.environ)
        self.stores = Stores(planner.products_url, shop.info())
        self.products = self.stores.open(folder)
        self.store = CachedProducts(self.products, planner.cached_summaries)
        ranking_url = load(RankerSettings, "AISLE_RANKER_", os.environ).ranking_url
        self.weights = Weights(ranking_url, shop) if ranking_url else None
        if self.weights:
            self.weights.refresh()
        self.states: dict[str, F32] = {}

    def close(self) -> None:
        self.graph.close()

    def search(self, query: str, user_id: str) -> dict[str, tuple[object, object]]:
        """One search; returns request and answer of each call of the real path."""

        user, (asked, corrected) = user_key(user_id, self.secret), self.understood(query)
        terms, categories = asked.terms, asked.categories
        found = retrieve(self.part, self.generation, asked, Unwatched())
        behaviours = self.behaviours(user)
        self.personal += len(behaviours) > 0
        known = self.model.preference(behaviours, categories)
        scores, weights, vector = (array.tobytes() for array in (known.scores, known.weights, known.vector))
        ranking = RankRequest(terms, categories, found.candidates, scores, weights, vector, self.generation, self.pair.release)
        ranked = rank(ranking, self.pair, int(time.time() * 1000), Timing())
        page = found.candidates.numbers()[np.frombuffer(ranked.order, np.uint16)[:PAGE]].tolist()
        if self.store.ready(page) is None:
            self.store.summaries(page)
        preferences = PreferencesAnswer(self.pair.release, self.model.strategy, scores, weights, vector, events=50)
        return {
            "analyse": (
                AnalyseRequest(query, self.generation),
                AnalyseAnswer(self.generation, ANALYZER_VERSION, terms, categories, corrected),
            ),
            "retrieve": (asked, found),
            "preferences": (PreferencesRequest(user, categories, generation=self.generation), preferences),
            "rank": (ranking, ranked),
        }

    def understood(self, query: str) -> tuple[RetrieveRequest, str | None]:
        """What is asked of the tiers, and the query as it was corrected."""
        understanding = self.understanding
        corrected = understanding.speller.correct(query) if understanding.speller.needs_work(query) else None
        terms, categories = understanding.terms(corrected or query), understanding.categories(corrected or query)
        return RetrieveRequest(terms=terms, categories=categories, generation=self.generation), corrected

    def behaviours(self, user: str) -> F32:
        """Encoded behaviours; read from the graph once and kept, as the recommender does."""
        states = self.states.get(user)
        if states is None:
            events = self.graph.recent(user, BEHAVIOURS) if self.model.strategy == "network" else []
            states = self.states[user] = self.model.encode(Profile.of(events).events(self.columns))
        return states

    def sizes(self, asks: Sequence[tuple[str, str]]) -> Sizes:
        messages = [self.search(*ask) for ask in asks]

        def mean(call: str) -> tuple[int, int]:
            asked, answered = (sum(len(msgspec.json.encode(m[call][side])) for m in messages) // len(messages) for side in (0, 1))
            return asked, answered

        return Sizes((0, 0), mean("analyse"), mean("retrieve"), mean("preferences"), mean("rank"))
