"""The bare floor: the same engine calls and inference for the same searches, one after the other in one process, without services. Which
engines: as the services, by AISLE_SEARCHER_HIGH_URL and so on.

`python -m tests.bench.floor HOME SHOP` reads JSON lines from standard input: a list of [query, user_id], and answers each with one line:
CPU seconds it took, and on the first the bytes that the messages of the real path would have had.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from deploy.layout import PROJECT
from planner.products.cache import CachedProducts
from planner.products.engine import Stores
from planner.settings import PlannerSettings
from ranker.app import load_index
from ranker.pairs import Pair
from ranker.routes import rank
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
from services.eventlog.sqlite import SqliteReader
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
from tests.bench.workload import Ask

PAGE = 10


class Done(Struct, frozen=True):
    """`calls`: cluster -> Elasticsearch calls, bytes received, of these searches."""

    cpu_s: float
    searches: int
    sizes: Sizes
    calls: dict[str, tuple[int, int]] = {}


class Floor:
    """The other end of the floor process."""

    def __init__(self, home: Path, shop: str, engine_settings: Mapping[str, str] | None = None) -> None:
        argv = [sys.executable, "-m", "tests.bench.floor", str(home), shop]
        environment = {**os.environ, **(engine_settings or {})}
        self._process = subprocess.Popen(argv, cwd=PROJECT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, asks: Sequence[Ask]) -> Done:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(msgspec.json.encode([[a.query, a.user_id] for a in asks]) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Done)

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)


def serve(home: Path, name: str) -> None:
    engines = Engines(home, name)
    for line in sys.stdin.buffer:
        asks = msgspec.json.decode(line, type=list[tuple[str, str]])
        before = engines.calls()
        started = time.process_time()
        for query, user_id in asks:
            engines.search(query, user_id)
        cpu_s = time.process_time() - started
        calls = {name: (c - before[name][0], r - before[name][1]) for name, (c, r) in engines.calls().items()}
        sys.stdout.buffer.write(msgspec.json.encode(Done(cpu_s, len(asks), engines.sizes(asks[:50]), calls)) + b"\n")
        sys.stdout.buffer.flush()
    engines.close()


class Unwatched:
    """An observer of the tier walk that does nothing."""

    def search(self, tier: str, level: object) -> AbstractContextManager[None]:
        return nullcontext()

    def stage(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()


class Engines:
    """Everything that the services load of the current generation and release, in this process."""

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
        self.graph = open_graph(recommender, shop, SqliteReader(shop.log_file).end())
        self.stores = Stores(load(PlannerSettings, "AISLE_PLANNER_", os.environ).products_url, shop.info())
        store = self.stores.open(folder)
        self.store = CachedProducts(store, 20_000) if self.stores.elastic else store  # as the planner: one look-up is enough
        self.states: dict[str, F32] = {}

    def close(self) -> None:
        self.graph.close()

    def calls(self) -> dict[str, tuple[int, int]]:
        made = self.tiers.elastic | ({"products": self.stores.elastic} if self.stores.elastic else {})
        return {name: one.cluster.counted() for name, one in made.items()}

    def search(self, query: str, user_id: str) -> dict[str, tuple[object, object]]:
        """One search; returns request and answer of each call of the real path."""

        understanding, user = self.understanding, user_key(user_id, self.secret)
        corrected = understanding.speller.correct(query) if understanding.speller.needs_work(query) else None
        terms, categories = understanding.terms(corrected or query), understanding.categories(corrected or query)
        asked = RetrieveRequest(terms=terms, categories=categories, generation=self.generation)
        found = retrieve(self.part, self.generation, asked, Unwatched())
        known = self.model.preference(self._states(user), categories)
        ranking = RankRequest(
            terms,
            categories,
            found.candidates,
            known.scores.tobytes(),
            known.weights.tobytes(),
            known.vector.tobytes(),
            self.generation,
            self.pair.release,
        )
        ranked = rank(ranking, self.pair, int(time.time() * 1000), Timing())
        page = found.candidates.numbers()[np.frombuffer(ranked.order, np.uint16)[:PAGE]].tolist()
        if not (isinstance(self.store, CachedProducts) and self.store.ready(page)):
            self.store.summaries(page)
        preferences = PreferencesAnswer(
            self.pair.release, self.model.strategy, *(getattr(ranking, n) for n in ("scores", "weights", "vector")), 50
        )
        return {
            "analyse": (
                AnalyseRequest(query, self.generation),
                AnalyseAnswer(self.generation, ANALYZER_VERSION, terms, categories, corrected),
            ),
            "retrieve": (asked, found),
            "preferences": (PreferencesRequest(user, categories, generation=self.generation), preferences),
            "rank": (ranking, ranked),
        }

    def _states(self, user: str) -> F32:
        """Encoded behaviours; read from the graph once and kept, as the recommender does."""
        states = self.states.get(user)
        if states is None:
            events = self.graph.recent(user, BEHAVIOURS) if self.model.strategy == "network" else []
            states = self.states[user] = self.model.encode(Profile.of(events).events(self.columns))
        return states

    def sizes(self, asks: Sequence[tuple[str, str]]) -> Sizes:
        """Mean bytes of each message; those of the search itself are the client's to say."""
        messages = [self.search(*ask) for ask in asks]

        def mean(call: str) -> tuple[int, int]:
            asked, answered = (sum(len(msgspec.json.encode(m[call][side])) for m in messages) // len(messages) for side in (0, 1))
            return asked, answered

        return Sizes((0, 0), mean("analyse"), mean("retrieve"), mean("preferences"), mean("rank"))


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
