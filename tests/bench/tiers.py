"""`make tiers`: what searching tier by tier saves and what it loses, against one index of everything.

For nested and disjoint tiers, on the embedded engine and, with `--engines real`, on an Elasticsearch cluster for each tier: how often each tier
is searched, how many candidates come from it, CPU a search by tier, recall@200 and nDCG@10 lost (by the world's own truth, after ranking for a
user of whom nothing is known), and whether a product of the low tier is found first by its title or its model number.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from datagen.truth import grade
from datagen.world import QUERIES_FILE, World, open_world
from deploy.local import elasticsearch
from deploy.preflight import require_shop
from searcher import plan
from searcher.build import Documents, members
from searcher.index.elastic import ElasticTier, ElasticWriter
from searcher.index.port import TierDocument, TierIndex
from searcher.index.tantivy import TantivyTier, TantivyWriter
from searcher.plan import Level
from searcher.walk import Found, Layout, Walk
from services.artifacts import Versions
from services.catalogue import TIERS, Catalogue, Product
from services.contracts import CANDIDATES, Candidates, RetrieveRequest
from services.elastic import indexes
from services.errors import ConfigurationError
from services.shop import Shop, ShopInfo, home
from tests.bench.measure import cpu_seconds
from tests.bench.ranked import Ranker

RELEVANT = 2
"""Grade from which a product is one that was looked for."""
PAGE = 10
WARM_SEARCHES = 1_500
DEFINITIONS = ("everything", "nested", "disjoint")


@dataclass(slots=True)
class Seen:
    """What one definition did, over all queries."""

    searches: int = 0
    searched: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TIERS, 0))
    given: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TIERS, 0))
    cpu_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TIERS, 0.0))
    recall: list[float] = field(default_factory=list)
    ndcg: list[float] = field(default_factory=list)
    first: dict[str, list[bool]] = field(default_factory=dict)

    def note(self, found: Found) -> None:
        self.searches += 1
        for tier in found.tiers:
            self.searched[tier.name] += tier.searched
            self.given[tier.name] += tier.strict + tier.relaxed


class Clock:
    """CPU seconds of this process, and of the cluster that serves a tier, while it is searched."""

    def __init__(self, seen: Seen, pids: Mapping[str, int]) -> None:
        self._seen, self._pids = seen, pids

    @contextmanager
    def watch(self, tier: str, level: Level) -> Iterator[None]:
        began = time.process_time()
        yield
        self._seen.cpu_s[tier] += time.process_time() - began

    def cluster_s(self) -> dict[str, float]:
        return cpu_seconds(self._pids)


@dataclass(frozen=True, slots=True)
class Setup:
    """Tiers of one definition in one engine."""

    definition: str
    engine: str
    tiers: Sequence[TierIndex]
    pids: Mapping[str, int]

    @property
    def layout(self) -> Layout:
        return Layout(nested=self.definition == "nested")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.tiers", description=__doc__)
    parser.add_argument("--shop", default="demo")
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--products", type=int, default=200, help="of the low tier, looked for by title and by model number")
    parser.add_argument("--engines", choices=("embedded", "real"), default="embedded")
    options = parser.parse_args()
    try:
        shop = require_shop(options.shop, home())
        world = open_world(shop.root)
        with tempfile.TemporaryDirectory(prefix="aisle-tiers-") as folder:
            return Economics(options, shop, world, Path(folder)).run()
    except ConfigurationError as error:
        sys.exit(f"tiers: {error}")


class Economics:
    def __init__(self, options: argparse.Namespace, shop: Shop, world: World, folder: Path) -> None:
        self._options, self._world, self._folder = options, world, folder
        self._console = Console(highlight=False, width=150)
        self._info = shop.info()
        versions = Versions(shop.generations)
        self._ranker = Ranker(shop)
        catalogue = Catalogue(versions.folder(versions.current() or 0))
        documents = Documents(catalogue, self._info)
        self._products: list[Product] = list(catalogue.products())
        self._documents: list[TierDocument] = [documents.document(product) for product in self._products]
        self._queries = self._drawn(shop)

    def run(self) -> int:
        engines = ("embedded", "elasticsearch") if self._options.engines == "real" else ("embedded",)
        seen: dict[tuple[str, str], Seen] = {}
        for engine in engines:
            for definition in DEFINITIONS:
                with self._setup(engine, definition) as setup:
                    seen[engine, definition] = self._look(setup)
        self._print(seen)
        found = [np.mean(of) for (_, definition), one in seen.items() if definition != "everything" for of in one.first.values() if of]
        ok = all(share >= 0.99 for share in found)
        self._console.print(f"low-tier products found first by title or model number in at least 99 %: {'ok' if ok else 'NOT OK'}")
        return 0 if ok else 1

    # ---- tiers ----

    @contextmanager
    def _setup(self, engine: str, definition: str) -> Iterator[Setup]:
        parts = {name: [d for d in self._documents if name in self._of(d, definition)] for name in TIERS}
        if engine == "embedded":
            yield Setup(definition, engine, [self._tantivy(definition, name, of) for name, of in parts.items()], {})
            return
        with ExitStack() as stack:
            folder = self._folder / "elasticsearch" / definition
            servers = {name: stack.enter_context(elasticsearch.start(folder / name, cluster_name=name)) for name in TIERS}
            tiers = [self._elastic(servers[name].url, name, of, stack) for name, of in parts.items()]
            yield Setup(definition, engine, tiers, {name: server.pid for name, server in servers.items()})

    @staticmethod
    def _of(document: TierDocument, definition: str) -> list[str]:
        return ["low"] if definition == "everything" else members(document.tier, definition == "nested")

    def _tantivy(self, definition: str, name: str, documents: Sequence[TierDocument]) -> TierIndex:
        folder = self._folder / definition / name
        writer = TantivyWriter(folder, memory_bytes=200_000_000)
        for document in documents:
            writer.add(document)
        writer.finish()
        return TantivyTier(name, folder)

    def _elastic(self, url: str, name: str, documents: Sequence[TierDocument], stack: ExitStack) -> TierIndex:
        made = indexes(url, f"the {name} tier", ShopInfo(name="tiers"), name)
        stack.callback(made.cluster.close)
        writer = ElasticWriter(made, 1)
        for document in documents:
            writer.add(document)
        writer.finish()
        return ElasticTier(name, made.cluster, made.open(1, f"the {name} tier"))

    # ---- questions ----

    def _drawn(self, shop: Shop) -> list[tuple[str, int]]:
        """Words and intent, drawn from what the world's users said."""
        table = pq.read_table(shop.world / QUERIES_FILE, columns=["text", "intent"])
        rows = np.random.default_rng(1).permutation(len(table))[: self._options.queries]
        return [(table["text"][int(row)].as_py(), int(table["intent"][int(row)].as_py())) for row in rows]

    def _look(self, setup: Setup) -> Seen:
        seen = Seen()
        clock = Clock(seen, setup.pids)
        for number in range(WARM_SEARCHES if setup.pids else 50):  # a JVM compiles for some thousand searches, at the cost of some of them
            self._retrieve(setup, self._queries[number % len(self._queries)][0], Clock(Seen(), {}))
        before = clock.cluster_s()
        answers = [(intent, self._retrieve(setup, text, clock)) for text, intent in self._queries]
        for name, seconds in clock.cluster_s().items():
            seen.cpu_s[name] += seconds - before[name]
        for intent, answer in answers:
            if answer is not None:
                seen.note(answer[1])
                self._judge(seen, intent, *answer)
        seen.first = {what: self._found_first(setup, what) for what in ("title", "model number")}
        self._console.print(f"{setup.engine}, {setup.definition}: {seen.searches} searches")
        return seen

    def _retrieve(self, setup: Setup, text: str, clock: Clock) -> tuple[RetrieveRequest, Found] | None:
        terms, categories = self._ranker.understood(text)
        if not terms:
            return None
        request = RetrieveRequest(terms, categories)
        return request, Walk(setup.tiers, setup.layout, clock.watch).relevance(plan.levels(request), CANDIDATES)

    def _judge(self, seen: Seen, intent: int, request: RetrieveRequest, found: Found) -> None:
        grades = grade(self._world, intent, np.arange(len(self._world.items)))
        relevant = np.flatnonzero(grades >= RELEVANT)
        if not len(relevant):
            return
        numbers = found.candidates.numbers()
        seen.recall.append(len(np.intersect1d(numbers, relevant)) / min(len(relevant), CANDIDATES))
        page = self._ranker.page(request, found.candidates, PAGE)
        gains = 2.0 ** np.sort(grades)[::-1][:PAGE].astype(float) - 1
        discounts = 1 / np.log2(np.arange(2, PAGE + 2))
        got = 2.0 ** grades[page].astype(float) - 1
        seen.ndcg.append(float((got * discounts[: len(got)]).sum() / (gains * discounts[: len(gains)]).sum()))

    def _found_first(self, setup: Setup, what: str) -> list[bool]:
        """Products of the low tier, asked for by what only they are called. Verbatim: no spelling stands between."""
        numbers = np.random.default_rng(2).permutation(len(self._products))
        low = [self._products[n] for n in numbers if self._documents[n].tier == TIERS.index("low")]
        words = [(p, p.title if what == "title" else p.attributes.get("mpn", "")) for p in low]
        asked = [(p, text) for p, text in words if text][: self._options.products]
        return [self._is_first(setup, product, text) for product, text in asked]

    def _is_first(self, setup: Setup, product: Product, text: str) -> bool:
        answer = self._retrieve(setup, text, Clock(Seen(), {}))
        if answer is None:
            return False
        page = self._ranker.page(*answer_of(answer), 1)
        first = self._products[page[0]] if len(page) else None
        return first is not None and (first.product_no == product.product_no or same_words(first, product, text))

    # ---- the answer ----

    def _print(self, seen: Mapping[tuple[str, str], Seen]) -> None:
        table = Table(title="tiers: searched (of searches), candidates a search, CPU ms a search", title_justify="left", box=None)
        for heading in ("engine", "tiers", *TIERS, "recall@200", "lost", "nDCG@10", "lost", "by title", "by model number"):
            table.add_column(heading)
        for (engine, definition), one in seen.items():
            whole = seen[engine, "everything"]
            cells = [
                f"{one.searched[t] / one.searches:.0%} {one.given[t] / one.searches:.0f} {one.cpu_s[t] * 1000 / one.searches:.2f}"
                for t in TIERS
            ]
            table.add_row(
                engine, definition, *cells, *_lost(one.recall, whole.recall), *_lost(one.ndcg, whole.ndcg), *map(_share, one.first.values())
            )
        self._console.print(table)


def answer_of(answer: tuple[RetrieveRequest, Found]) -> tuple[RetrieveRequest, Candidates]:
    return answer[0], answer[1].candidates


def same_words(first: Product, product: Product, text: str) -> bool:
    """Two products that are called exactly alike cannot be told apart by that."""
    return first.title == product.title if text == product.title else first.attributes.get("mpn") == text


def _lost(values: Sequence[float], whole: Sequence[float]) -> tuple[str, str]:
    return f"{np.mean(values):.4f}", f"{np.mean(whole) - np.mean(values):+.4f}"


def _share(of: Sequence[bool]) -> str:
    return f"{np.mean(of):.1%} of {len(of)}" if of else "none has one"


if __name__ == "__main__":
    sys.exit(main())
