"""The logging policy: what the generated shop showed before it had AIsle. BM25 as one global index over the query's words, popularity on top.

It knows what a shop knows: catalogue and its own log up to the evening before. Nothing of the truth is imported here.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.catalogue import TIERS
from services.contracts import CANDIDATES, Candidates, Term
from services.features import ITEM_FEATURES, USER_FEATURES, item_features
from services.forward import Floats, ForwardIndex, GlobalBm25, with_popularity
from services.text import query_terms

Counts = npt.NDArray[np.float64]

COUNTED = ("impressions", "clicks", "carts", "purchases")
GAINS = np.array([0.0, 1.0, 2.0, 4.0])
PRIOR = 20.0
"""Impressions that the mean of all products is worth against a product's own."""
TIER_SHARES = (0.15, 0.5)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The answer to a query on one day: products in the order shown, with the features of each as served."""

    terms: list[Term]
    product_no: npt.NDArray[np.uint32]
    features: Floats  # [n, len(FEATURES)]


def terms_of(query: str) -> list[Term]:
    """As the services read a query: a compound may be found by its parts."""
    return [Term(t.text, [list(t.parts)] if t.parts else []) for t in query_terms(query, "en")]


def popularity(counts: Counts, category: npt.NDArray[np.int32]) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """float32[n, 5] (counts and score) and tier uint8[n] from counts float64[n, 4]: gains per impression, shrunk to the category's mean."""
    gained, shown = counts @ GAINS, counts[:, 0]
    overall = gained.sum() / max(shown.sum(), 1.0)
    groups, group = np.unique(category, return_inverse=True)
    mean = (np.bincount(group, gained, len(groups)) + PRIOR * overall) / (np.bincount(group, shown, len(groups)) + PRIOR)
    score = (gained + PRIOR * mean[group]) / (shown + PRIOR) * (shown + 1.0)
    places = np.argsort(np.argsort(-score, kind="stable"), kind="stable") / max(len(score), 1)
    tier = np.searchsorted(TIER_SHARES, places, side="right").astype(np.uint8)
    return np.column_stack([counts, score]).astype(np.float32), np.minimum(tier, len(TIERS) - 1).astype(np.uint8)


class Policy:
    """Ranks for one day; `begin_day` takes what was counted up to then."""

    def __init__(self, index: ForwardIndex, popularity_weight: float) -> None:
        self._base, self._bm25, self._weight = index, GlobalBm25(index), popularity_weight
        self._cache: dict[str, Ranking] = {}
        self.begin_day(np.zeros((index.size, len(COUNTED))), 0)

    def begin_day(self, counts: Counts, now_ms: int) -> None:
        """Popularity as of this morning; products that are created later are not found."""
        columns, tier = popularity(counts, self._base.category_id)
        self._index = with_popularity(self._base, columns, tier)
        self._boost = self._weight * np.log1p(counts[:, 1])
        self._listed = self._base.present & (self._base.created_ms <= now_ms)
        self._now_ms = now_ms
        self._cache.clear()

    def rank(self, query: str) -> Ranking:
        """At most CANDIDATES products. The caller must not change what it gets."""
        if query not in self._cache:
            self._cache[query] = self._rank(terms_of(query))
        return self._cache[query]

    def _rank(self, terms: list[Term]) -> Ranking:
        numbers, scores = self._bm25.search(terms, CANDIDATES, mask=self._listed)
        strict, tier = self._strict(terms, numbers), self._index.tier[numbers]
        walked = np.lexsort((numbers, -scores, tier, ~strict))  # the order in which a tier walk would find them
        numbers, scores, strict, tier = numbers[walked], scores[walked], strict[walked], tier[walked]
        candidates = Candidates(numbers.tobytes(), scores.tobytes(), tier.tobytes(), strict.astype(np.uint8).tobytes())
        features = np.zeros((len(numbers), len(ITEM_FEATURES) + len(USER_FEATURES)), np.float32)
        features[:, : len(ITEM_FEATURES)] = item_features(self._index, terms, [], candidates, self._now_ms)
        shown = np.argsort(-(scores + self._boost[numbers]), kind="stable")
        return Ranking(terms, numbers[shown], features[shown])

    def _strict(self, terms: list[Term], numbers: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
        strict = np.ones(len(numbers), np.bool_)
        for term in terms:
            found = self._has(term.text, numbers)
            for phrase in term.synonyms:
                found |= np.logical_and.reduce([self._has(text, numbers) for text in phrase])
            strict &= found
        return strict

    def _has(self, term: str, numbers: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
        if (posting := self._bm25.posting(term)) is None:
            return np.zeros(len(numbers), np.bool_)
        documents = posting[0]
        at = np.minimum(documents.searchsorted(numbers), len(documents) - 1)
        return np.asarray(documents[at] == numbers)
