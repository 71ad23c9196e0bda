"""The one place where ranking features are written: serving (`ranker`) and training (`offline`) both call it.

Every feature is finite and scaled to about [-3, 3] by constants or by averages of the catalogue, so nothing has to be fitted before a
network can read it. Text features use catalogue-wide statistics, never those of the tier that found a candidate.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from services.contracts import Candidates, Category, Term
from services.forward import (
    ASKED,
    ATTRIBUTES,
    BRAND,
    CATEGORY,
    K1,
    POPULARITY,
    PROPERTIES,
    SYNONYM,
    TITLE,
    B,
    Floats,
    ForwardIndex,
    Rows,
    below,
    idf,
)

__all__ = [
    "BM25",
    "FEATURES",
    "FEATURE_SCHEMA",
    "ITEM_FEATURES",
    "POPULARITY_SCORE",
    "PROPERTIES",
    "STRICT",
    "USER_FEATURES",
    "Binding",
    "item_features",
    "user_features",
]

ITEM_FEATURES = (
    "bm25",  # of the whole text
    "bm25_share",  # of the most that these terms could score
    "title_coverage",  # idf-weighted share of the query's terms that occur in the title, in the brand, ...
    "brand_coverage",
    "category_coverage",
    "attributes_coverage",
    "title_bm25",  # of the title alone, each term once, as a share of the most it could be
    "title_asked",  # share of the title's terms that the query asks for
    "title_exact",  # all of them
    "terms_matched",  # share of the query's terms that occur
    "strict",
    "query_terms",
    "category_probability",  # of the predicted categories that the product is in
    "price",  # against the catalogue's average, log
    "price_level",  # within its category
    "price_position",  # among the candidates
    "clicks",  # against the catalogue's average, log; so are the next four
    "purchases",
    "click_rate",
    "purchase_rate",
    "popularity_score",
    "age",  # days, log
    "tier_high",  # tier that found it
    "tier_medium",
    "tier_low",
    "retrieval_rank",  # reciprocal
)
USER_FEATURES = ("pref_category", "pref_brand", "pref_price_level", "pref_color", "affinity")
FEATURES = ITEM_FEATURES + USER_FEATURES
BM25, STRICT, POPULARITY_SCORE = (FEATURES.index(name) for name in ("bm25", "strict", "popularity_score"))
"""Columns that the strategies without a network sort by."""

_FORMULAS = 1
"""Raise it when a feature of the same name is computed in another way."""
FEATURE_SCHEMA = hashlib.sha256(json.dumps([_FORMULAS, FEATURES]).encode()).hexdigest()[:16]

_AT = {name: column for column, name in enumerate(ITEM_FEATURES)}
_COVERED = {"title_coverage": TITLE, "brand_coverage": BRAND, "category_coverage": CATEGORY, "attributes_coverage": ATTRIBUTES}
_OCCURS = 1 << 6  # beside the bits of parts: a phrase whose terms occur in different parts still occurs
_IMPRESSIONS, _CLICKS, _PURCHASES, _SCORE = (POPULARITY.index(name) for name in ("impressions", "clicks", "purchases", "score"))
_DAY_MS = 86_400_000
_CLICK_PRIOR, _PURCHASE_PRIOR = 50.0, 10.0  # impressions and clicks that an unseen product is credited with, at the average rate


def item_features(
    index: ForwardIndex, terms: Sequence[Term], categories: Sequence[Category], candidates: Candidates, now_ms: int
) -> npt.NDArray[np.float32]:
    """float32[n, len(ITEM_FEATURES)] of the candidates, in their order. A product that the index does not have is a row of zeros.

    Prices are placed among these very candidates, so features belong to a candidate list, not to a product.
    """
    numbers = candidates.numbers()
    n = len(numbers)
    columns = np.zeros((len(ITEM_FEATURES), n), np.float32)
    if n == 0 or index.size == 0:
        return columns.T.copy()
    rows = np.minimum(numbers, index.size - 1).astype(np.intp)
    if terms:
        _text(index, Query.of(index, terms), rows, columns)
    columns[_AT["strict"]] = candidates.stricts() != 0
    columns[_AT["query_terms"]] = np.log1p(len(terms)) - 1.0
    for category in categories:
        columns[_AT["category_probability"]] += np.float32(min(max(0.0, category.probability), 1.0)) * below(index, rows, category.id)
    _product(index, rows, now_ms, columns)
    columns[_AT["tier_high"] : _AT["tier_low"] + 1] = candidates.tiers() == np.arange(3, dtype=np.uint8)[:, None]
    columns[_AT["retrieval_rank"]] = 10.0 / (10.0 + np.arange(n, dtype=np.float32))
    absent = (numbers >= index.size) | ~index.present[rows]
    if absent.any():
        columns[:, absent] = 0.0
    return np.ascontiguousarray(columns.T)


# ---- text ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """A query's terms as ids of the index. `wanted` uint32[m] ascending; the others number its entries."""

    wanted: npt.NDArray[np.uint32]
    own: list[int]  # per term; -1: no product has it
    synonyms: list[list[list[int]]]  # per term: phrases of which every term is in the catalogue
    idf: npt.NDArray[np.float32]  # per term, of itself

    @staticmethod
    def of(index: ForwardIndex, terms: Sequence[Term]) -> "Query":
        known = index.vocabulary
        own = [known.get(term.text, -1) for term in terms]
        phrases = [[[known.get(text, -1) for text in phrase] for phrase in term.synonyms if phrase] for term in terms]
        phrases = [[phrase for phrase in alternatives if min(phrase) >= 0] for alternatives in phrases]
        wanted = sorted({i for i in own if i >= 0}.union(i for alternatives in phrases for phrase in alternatives for i in phrase))
        place = {term: i for i, term in enumerate(wanted)} | {-1: -1}
        weights = idf(index.documents, [index.df[i] if i >= 0 else 0 for i in own])
        numbered = [[[place[i] for i in phrase] for phrase in alternatives] for alternatives in phrases]
        return Query(np.array(wanted, np.uint32), [place[i] for i in own], numbered, weights.astype(np.float32))


def _text(index: ForwardIndex, query: Query, rows: Rows, columns: Floats) -> None:
    tf, fields = _occurrences(index, query.wanted, rows)
    weight = (index.idf(query.wanted) * (K1 + 1)).astype(np.float32)
    length = index.doc_len[rows] * np.float32(K1 * B / index.average_length) + np.float32(K1 * (1 - B))
    scores, found = _per_term(query, np.asarray(weight[:, None] * tf / (tf + length), np.float32), fields)
    total = query.idf.sum()
    bm25 = scores.sum(axis=0)
    columns[_AT["bm25"]] = np.arcsinh(bm25 / 8.0)
    columns[_AT["bm25_share"]] = np.minimum(bm25 / (total * np.float32(K1 + 1)), 2.0)  # a rare synonym of a common term can pass 1
    importance = query.idf / total
    for name, bit in _COVERED.items():
        columns[_AT[name]] = importance @ (found & np.uint8(bit) != 0)
    title_length = index.title_len[rows] * np.float32(K1 * B / index.average_title) + np.float32(K1 * (1 - B))
    columns[_AT["title_bm25"]] = columns[_AT["title_coverage"]] / (1.0 + title_length)
    asked = (fields & np.uint8(ASKED) != 0).sum(axis=0)
    titles = index.title_asked[rows]
    columns[_AT["title_asked"]] = asked / np.maximum(titles, 1)
    columns[_AT["title_exact"]] = (asked == titles) & (titles > 0)
    columns[_AT["terms_matched"]] = (found != 0).mean(axis=0)


def _occurrences(index: ForwardIndex, wanted: npt.NDArray[np.uint32], rows: Rows) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Frequency float32[m, n] and parts uint8[m, n] of m wanted terms in n rows."""
    starts = index.indptr[rows]
    lengths = index.indptr[rows + 1] - starts
    ends = np.cumsum(lengths)
    tf, fields = np.zeros((len(wanted), len(rows)), np.float32), np.zeros((len(wanted), len(rows)), np.uint8)
    pairs = np.arange(ends[-1]) + np.repeat(starts - ends + lengths, lengths)
    # A table of the terms' low bits finds the few pairs that matter in one pass, however many terms are wanted.
    table = np.zeros(1 << 16, np.bool_)
    table[wanted & 0xFFFF] = True
    ids = index.term_ids[pairs]
    hits = np.flatnonzero(table[ids & np.uint32(0xFFFF)])
    place = np.searchsorted(wanted, ids[hits])
    exact = wanted[np.minimum(place, max(0, len(wanted) - 1))] == ids[hits] if len(wanted) else np.zeros(0, np.bool_)
    hits, place = hits[exact], place[exact]
    row = np.searchsorted(ends, hits, side="right")
    tf[place, row] = index.tf[pairs[hits]]
    fields[place, row] = index.fields[pairs[hits]]
    return tf, fields


def _per_term(query: Query, scores: Floats, fields: npt.NDArray[np.uint8]) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Scores float32[t, n] and parts uint8[t, n] of the query's t terms, each the best (all) of itself and its synonyms."""
    own = np.array(query.own, np.intp)
    n = scores.shape[1]
    padded = np.vstack((scores, np.zeros((1, n), np.float32)))  # the last row stands for terms that no product has
    parts = np.vstack((fields, np.zeros((1, n), np.uint8)))
    best, found = padded[own], parts[own]
    for term, alternatives in enumerate(query.synonyms):
        for phrase in alternatives:
            complete = (fields[phrase] != 0).all(axis=0)
            best[term] = np.maximum(best[term], np.float32(SYNONYM) * scores[phrase].mean(axis=0) * complete)
            found[term] |= np.bitwise_and.reduce(fields[phrase], axis=0) | complete.astype(np.uint8) * np.uint8(_OCCURS)
    return best, found


# ---- product -------------------------------------------------------------------------------------------------------------------


def _product(index: ForwardIndex, rows: Rows, now_ms: int, columns: Floats) -> None:
    average = index.averages
    prices = np.log1p(np.maximum(index.price_cents[rows], 0)).astype(np.float32)
    columns[_AT["price"]] = (prices - np.float32(average.log_price)) / 1.5
    columns[_AT["price_level"]] = (index.price_level[rows] - np.float32(2.0)) / 1.5
    ordered = np.sort(prices)
    columns[_AT["price_position"]] = (np.searchsorted(ordered, prices) + np.searchsorted(ordered, prices, side="right")) / len(rows) - 1.0
    popularity = index.popularity[rows].T
    clicks, purchases = popularity[_CLICKS], popularity[_PURCHASES]
    columns[_AT["clicks"]] = 0.5 * np.log((clicks + 1) / (average.clicks + 1))
    columns[_AT["purchases"]] = 0.5 * np.log((purchases + 1) / (average.purchases + 1))
    columns[_AT["click_rate"]] = _rate(clicks, popularity[_IMPRESSIONS], average.clicks, average.impressions, _CLICK_PRIOR)
    columns[_AT["purchase_rate"]] = _rate(purchases, clicks, average.purchases, average.clicks, _PURCHASE_PRIOR)
    columns[_AT["popularity_score"]] = 0.5 * np.arcsinh(popularity[_SCORE] / (average.score or 1.0))
    days = np.maximum(now_ms - index.created_ms[rows].astype(np.float64), 0.0) / _DAY_MS
    columns[_AT["age"]] = np.minimum(np.log1p(days) / 2.0 - 2.0, 3.0)


def _rate(hits: Floats, shown: Floats, average_hits: float, average_shown: float, prior: float) -> Floats:
    """Log of the smoothed rate against the catalogue's, within [-3, 3]."""
    usual = min(max(average_hits / (average_shown or 1.0), 1e-6), 1.0)
    return np.asarray(np.clip(np.log((hits / usual + prior) / (shown + prior)), -3.0, 3.0), np.float32)


# ---- user ----------------------------------------------------------------------------------------------------------------------


class Binding:
    """One generation's products in terms of one release: what their properties are called in its vocabulary of A values.

    `columns` int32[size, P]: per product and property the value, 0 where the release does not know it or the product has none.
    """

    def __init__(self, index: ForwardIndex, vocabulary: list[str], property_vectors: Floats) -> None:
        numbers = {value: i for i, value in enumerate(vocabulary)}
        table = np.array([*(numbers.get(value, 0) for value in index.property_values), 0], np.int32)  # the last one is for -1, missing
        self.columns: npt.NDArray[np.int32] = table[index.property_ids]
        self.property_vectors: Floats = np.array(property_vectors, np.float32)
        self.property_vectors[0] = 0.0

    @property
    def size(self) -> int:
        return len(self.columns)

    @cached_property
    def item_vectors(self) -> Floats:
        """float32[size, D]: the mean of the vectors of a product's known properties; zeros when there are none. Made when first asked for."""
        known = np.maximum((self.columns > 0).sum(axis=1), 1).astype(np.float32)
        return np.asarray(self.property_vectors[self.columns].sum(axis=1) / known[:, None], np.float32)


def user_features(binding: Binding, product_no: npt.NDArray[np.uint32], scores: Floats, vector: Floats) -> npt.NDArray[np.float32]:
    """float32[n, len(USER_FEATURES)]: the user's score of each property of the products, and user vector . item vector.

    scores float32[A], vector float32[D] as `/preferences` gave them; zeros are neutral, and so is what is not known of a product.
    """
    out = np.zeros((len(product_no), len(USER_FEATURES)), np.float32)
    if binding.size == 0 or len(product_no) == 0:
        return out
    columns = binding.columns[np.minimum(product_no, binding.size - 1).astype(np.intp)]
    columns *= (product_no < binding.size)[:, None]
    known = columns > 0
    out[:, : len(PROPERTIES)] = scores[columns] * known
    # The mean of dot products is the dot product with the mean: no table of item vectors is needed to serve.
    liking = binding.property_vectors @ vector
    out[:, len(PROPERTIES)] = (liking[columns] * known).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.nan_to_num(out, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
