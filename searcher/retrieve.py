"""One retrieval over one generation: the walk, the facets, the answer. Blocking, so the routes run it in the thread pool."""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

import pyarrow.parquet as pq
from msgspec import Struct

from searcher import part, plan, suggest
from searcher.facets import FIELDS, FacetFields, merge
from searcher.index.port import TierIndex, TierUnavailable
from searcher.plan import Level
from searcher.suggest import Suggester
from searcher.walk import AskAll, Layout, Walk, in_turn
from services.catalogue import CATEGORIES_SCHEMA, TIERS, Categories
from services.contracts import FacetCount, RetrieveAnswer, RetrieveRequest, Term, Total
from services.errors import InvalidRequest, Unavailable
from services.text import query_terms
from services.warm import Warmth

MAX_WANTED = 10_000
WARM_TEXTS = 200
QUICK_S = 0.15
"""What `warm_up` asks at a time takes on servers that are warm, and some more."""
log = logging.getLogger("aisle.searcher")


class Observer(Protocol):
    """Told of everything that takes time, as context managers around it."""

    def search(self, tier: str, level: Level) -> AbstractContextManager[None]: ...
    def stage(self, name: str) -> AbstractContextManager[None]: ...


class Part(Struct, frozen=True):
    """What the searcher serves of one generation; `indexes` in the order of TIERS."""

    indexes: Sequence[TierIndex]
    layout: Layout
    fields: FacetFields
    suggester: Suggester
    categories: Categories
    ask_all: AskAll = in_turn

    def index(self, tier: str) -> TierIndex:
        return self.indexes[TIERS.index(tier)]


def open_part(folder: Path, indexes: Sequence[TierIndex], *, skip_high: bool, ask_all: AskAll = in_turn) -> Part:
    """The part in this folder with its opened tiers. Raises ConfigurationError for one that this code cannot serve."""
    info = part.read(folder)
    fields = FacetFields({name: number for number, name in enumerate(info.attributes)}, tuple(info.price_edges))
    categories = Categories(pq.read_table(folder.parent / "categories.parquet", schema=CATEGORIES_SCHEMA))
    return Part(indexes, Layout(info.nested, skip_high), fields, suggest.load(folder / "suggestions.parquet"), categories, ask_all)


def warm_up(served: Part, language: str, warmth: Warmth) -> None:
    """Searches of what is popular, until tiers on servers are quick: every tier by itself, then a walk with facets."""
    texts = served.suggester.texts(WARM_TEXTS) or [""]
    asked = [[Term(term.text) for term in query_terms(text, language)] for text in texts]

    def ask(number: int) -> None:
        request = RetrieveRequest(asked[number % len(asked)], facets=[*FIELDS])
        try:
            for index in served.indexes:  # the high tier alone may have all that a walk wants
                index.search(plan.levels(request)[-1].query, request.wanted, count=True)
        except TierUnavailable as error:
            raise Unavailable(str(error)) from error
        if lost := retrieve(served, 0, request, _Unwatched()).unavailable:
            raise Unavailable(f"tiers left out: {', '.join(lost)}")

    warmth.bring(ask)


class _Unwatched:
    def search(self, tier: str, level: Level) -> AbstractContextManager[None]:
        return nullcontext()

    def stage(self, name: str) -> AbstractContextManager[None]:
        return nullcontext()


def retrieve(served: Part, generation: int, request: RetrieveRequest, observer: Observer) -> RetrieveAnswer:
    """Raises InvalidRequest for a `wanted` out of bounds, Unavailable when no tier answers."""
    if not 1 <= request.wanted <= MAX_WANTED:
        raise InvalidRequest(f"wanted is {request.wanted}", field="wanted", accepted=f"1 to {MAX_WANTED}")
    levels, order = plan.levels(request), plan.order(request)
    walk = Walk(served.indexes, served.layout, observer.search, served.ask_all)
    if order is None or request.sort == "relevance":
        found = walk.relevance(levels, request.wanted, order)
    else:
        found = walk.sorted(levels, request.wanted, order)
    facets: dict[str, list[FacetCount]] = {}
    total = found.total
    if request.facets:
        with observer.stage("facets"):
            facets, total = _facets(served, walk, found.level, request.facets)
    for reason in walk.failed.values():
        log.warning("left out: %s", reason)
    return RetrieveAnswer(generation, found.candidates, found.tiers, total, facets, [TIERS[tier] for tier in sorted(walk.failed)])


def _facets(served: Part, walk: Walk, level: Level, names: list[str]) -> tuple[dict[str, list[FacetCount]], Total]:
    questions = served.fields.questions(names)
    counts, total = walk.facets(level, list(questions.values()))
    return merge(questions, counts, served.categories), total
