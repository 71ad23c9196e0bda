"""The logging policy: what the generated shop showed before it had AIsle. BM25 as one global index over the query's words, popularity on top.

It knows what a shop knows: catalogue and its own log up to the evening before. Nothing of the truth is imported here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from services import popularity
from services.catalogue import TIERS
from services.contracts import CANDIDATES, Term
from services.features import FEATURES, USER_FEATURES, Shown, features_of
from services.forward import Floats, ForwardIndex, GlobalBm25, Rows, with_popularity
from services.text import query_terms

Counts = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.uint32]

COUNTED = ("impressions", "clicks", "carts", "purchases")
REMEMBERED = 60_000
"""Queries whose candidates are kept from day to day (2 kB each)."""
AHEAD = 20
"""Products of a list whose features are made at once: two pages, and the shuffled ones."""
_LOW = 2
_NOT_YET = np.zeros((0, len(FEATURES)), np.float32)


@dataclass(frozen=True, slots=True)
class Found:
    """What a query finds, whatever the day: the best candidates of the whole catalogue."""

    terms: list[Term]
    product_no: Numbers
    scores: Floats
    strict: npt.NDArray[np.bool_]


@dataclass(slots=True)
class Ranking:
    """The answer to a query on one day: products in the order shown. `found` has all in the order in which tiers found them, and, as
    places in that order, which are shown first."""

    terms: list[Term]
    product_no: Numbers
    order: Rows  # place of each in `found`
    found: Shown
    known: Floats  # features of the first AHEAD


def terms_of(query: str) -> list[Term]:
    """As the services read a query: a compound may be found by its parts."""
    return [Term(t.text, [list(t.parts)] if t.parts else []) for t in query_terms(query, "en")]


def popularity_of(index: ForwardIndex, counts: Counts, listed: npt.NDArray[np.bool_], now_ms: int) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """float32[n, 5] (counts and score) and tier uint8[n]: as `offline` makes them, every impression counted as seen. Products that are not
    yet listed have a score of 0 and the last tier, and take nobody's place."""
    rows = np.flatnonzero(listed)
    shown, *behaviours = counts[rows].T
    score = np.zeros(len(counts))
    score[rows] = popularity.scores(popularity.Counts(shown, shown, *behaviours), index.category_id[rows])
    tier = np.full(len(counts), _LOW, np.uint8)
    tier[rows] = popularity.tiers(score[rows], index.created_ms[rows], now_ms)
    return np.column_stack([counts, score]).astype(np.float32), tier


class Policy:
    """Ranks for one day; `begin_day` takes what was counted up to then."""

    def __init__(self, index: ForwardIndex, popularity_weight: float) -> None:
        self._base, self._bm25, self._weight = index, GlobalBm25(index), popularity_weight
        self.find = lru_cache(REMEMBERED)(self._find)
        self._today: dict[str, Ranking] = {}
        self.begin_day(np.zeros((index.size, len(COUNTED))), 0)

    def begin_day(self, counts: Counts, now_ms: int) -> None:
        """Popularity as of this morning; products that are created later are not found."""
        self._listed = self._base.present & (self._base.created_ms <= now_ms)
        columns, tier = popularity_of(self._base, counts, self._listed, now_ms)
        self._index = with_popularity(self._base, columns, tier)
        self._boost = self._weight * np.log1p(counts[:, 1])
        self._now_ms = now_ms
        self._today.clear()

    def prepare(self, queries: Iterable[str]) -> None:
        """Rank what is going to be asked for: many queries together cost less than one after the other."""
        new = [query for query in dict.fromkeys(queries) if query not in self._today]
        rankings = [self._rank(self.find(query)) for query in new]
        for query, ranking, known in zip(new, rankings, self._features([r.found for r in rankings]), strict=True):
            ranking.known = known
            self._today[query] = ranking

    def rank(self, query: str) -> Ranking:
        """At most CANDIDATES products. The caller must not change what it gets."""
        if query not in self._today:
            self.prepare([query])
        return self._today[query]

    def features(self, asked: Sequence[tuple[Ranking, Rows]]) -> list[Floats]:
        """float32[n, len(FEATURES)] of the products at n places of each of these lists, as served."""
        further = [i for i, (ranking, places) in enumerate(asked) if places.max(initial=-1) >= len(ranking.known)]
        made = self._features([asked[i][0].found._replace(places=asked[i][0].order[asked[i][1]]) for i in further])
        late = dict(zip(further, made, strict=True))
        return [late[i] if i in late else ranking.known[places] for i, (ranking, places) in enumerate(asked)]

    def _find(self, query: str) -> Found:
        terms = terms_of(query)
        numbers, scores = self._bm25.search(terms, CANDIDATES)
        return Found(terms, numbers, scores, self._strict(terms, numbers))

    def _rank(self, found: Found) -> Ranking:
        """Without features."""
        numbers, scores, strict = found.product_no, found.scores, found.strict
        if not (listed := self._listed[numbers]).all():
            numbers, scores, strict = numbers[listed], scores[listed], strict[listed]
        tier = self._index.tier[numbers]
        # The order in which a tier walk would find them: strict first, then by tier, then as BM25 found them, which is the order they are in.
        walked = np.argsort(tier + np.uint8(len(TIERS)) * ~strict, kind="stable")
        numbers, scores, strict, tier = numbers[walked], scores[walked], strict[walked], tier[walked]
        shown = np.argsort(-(scores + self._boost[numbers]), kind="stable")
        return Ranking(found.terms, numbers[shown], shown, Shown(found.terms, numbers, tier, strict, shown[:AHEAD]), _NOT_YET)

    def _features(self, lists: list[Shown]) -> list[Floats]:
        made = features_of(self._index, lists, self._now_ms)
        return [np.concatenate((item, np.zeros((len(item), len(USER_FEATURES)), np.float32)), axis=1) for item in made]

    def _strict(self, terms: list[Term], numbers: Numbers) -> npt.NDArray[np.bool_]:
        strict = np.ones(len(numbers), np.bool_)
        for term in terms if len(terms) > 1 else ():  # what was found has the only term
            found = self._has(term.text, numbers)
            for phrase in term.synonyms:
                found |= np.logical_and.reduce([self._has(text, numbers) for text in phrase])
            strict &= found
        return strict

    def _has(self, term: str, numbers: Numbers) -> npt.NDArray[np.bool_]:
        if (posting := self._bm25.posting(term)) is None:
            return np.zeros(len(numbers), np.bool_)
        documents = posting[0]
        at = np.minimum(documents.searchsorted(numbers), len(documents) - 1)
        return np.asarray(documents[at] == numbers)
