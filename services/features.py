"""The one place where ranking features are written: serving (`ranker`) and training (`offline`) both call it.

Every feature is finite and scaled to about [-3, 3] by constants or by averages of the catalogue, so nothing has to be fitted before a
network can read it. Text features use catalogue-wide statistics, never those of the tier that found a candidate.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from services.catalogue import TIERS
from services.contracts import Candidates, Category, Term
from services.forward import POPULARITY, PROPERTIES, Floats, ForwardIndex, Rows, category_probability
from services.text_features import TEXT_FEATURES, Query, text_features

Numbers = npt.NDArray[np.uint32]

__all__ = [
    "BM25",
    "FEATURES",
    "FEATURE_SCHEMA",
    "ITEM_FEATURES",
    "MATCH_LEAD",
    "POPULARITY_SCORE",
    "PROPERTIES",
    "STRICT",
    "USER_FEATURES",
    "Binding",
    "Shown",
    "absent",
    "features_of",
    "item_features",
    "lasting",
    "matches_first",
    "user_features",
]

ITEM_FEATURES = (
    *TEXT_FEATURES,
    "strict",
    "query_terms",
    "category_probability",  # of the predicted categories that the product is in
    "price_position",  # among the candidates
    "price",  # against the catalogue's average, log
    "price_level",  # within its category
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

MATCH_LEAD = 20.0
"""What a full match is ahead of a partial one, and a product that is called just what was asked for ahead of other full matches, whatever
ranks them: more than any score differs by. A model learns from pages that were shown, which hold few partial matches and next to no titles
typed out; how it would weigh the popular ones among 200 candidates, it was never taught."""

_FORMULAS = 1
"""Raise it when a feature of the same name is computed in another way."""
FEATURE_SCHEMA = hashlib.sha256(json.dumps([_FORMULAS, FEATURES]).encode()).hexdigest()[:16]

_TIER_NUMBERS = np.arange(len(TIERS), dtype=np.uint8)[:, None]
_column = ITEM_FEATURES.index
_TITLE_EXACT, _TITLE_COVERAGE, _STRICT, _QUERY_TERMS = (_column(n) for n in ("title_exact", "title_coverage", "strict", "query_terms"))
_ALL = 1.0 - 1e-5  # of a coverage, which is a sum of shares
_CATEGORY, _PRICE_POSITION, _AGE = _column("category_probability"), _column("price_position"), _column("age")
_RETRIEVAL_RANK = _column("retrieval_rank")
_TEXT = slice(0, len(TEXT_FEATURES))
_LASTING = slice(_column("price"), _column("popularity_score") + 1)
_TIERS = slice(_column("tier_high"), _column("tier_low") + 1)
_P_IMPRESSIONS, _P_CLICKS, _P_PURCHASES, _P_SCORE = (POPULARITY.index(name) for name in ("impressions", "clicks", "purchases", "score"))
_DAY_MS = 86_400_000
_CLICK_PRIOR, _PURCHASE_PRIOR = 50.0, 10.0  # impressions and clicks that an unseen product is credited with, at the average rate


class Shown(NamedTuple):
    """Some products of one candidate list of m: what `features_of` makes features of."""

    terms: Sequence[Term]
    numbers: Numbers  # [m]
    tiers: npt.NDArray[np.uint8]  # [m]
    stricts: npt.NDArray[np.bool_]  # [m]
    places: Rows  # in the list, of the products whose features are wanted


def item_features(
    index: ForwardIndex,
    terms: Sequence[Term],
    categories: Sequence[Category],
    candidates: Candidates,
    now_ms: int,
    out: Floats | None = None,
) -> Floats:
    """float32[n, len(ITEM_FEATURES)] of the candidates, in their order. A product that the index does not have is a row of zeros.

    Prices are placed among these very candidates, so features belong to a candidate list, not to a product. `out`: zeros of that
    shape to write to (the first columns of a wider array, say).
    """
    numbers = candidates.numbers()
    n = len(numbers)
    features = np.zeros((n, len(ITEM_FEATURES)), np.float32) if out is None else out
    if n == 0 or index.size == 0:
        return features
    rows = np.minimum(numbers, index.size - 1).astype(np.intp)
    columns = features.T
    if terms:
        columns[_TEXT] = text_features(index, [Query.of(index, terms)], rows[None])[0]
    columns[_QUERY_TERMS] = _query_length(terms)
    if categories:
        columns[_CATEGORY] = np.minimum(category_probability(index, categories, rows), 1.0)
    _found(columns, candidates.tiers(), candidates.stricts() != 0, np.arange(n))
    prices = _product(index, rows, now_ms, columns)
    columns[_PRICE_POSITION] = _place_among(prices, prices)
    if (missing := absent(index, numbers)).any():
        features[missing] = 0.0
    return features


def features_of(index: ForwardIndex, lists: Sequence[Shown], now_ms: int) -> list[Floats]:
    """float32[len(places), len(ITEM_FEATURES)] for each list: what `item_features` gives for these places of the whole list,
    without predicted categories, but for hundreds of lists at a fraction of the cost of one after the other."""
    wanted = [i for i, shown in enumerate(lists) if len(shown.places)]
    sizes = [len(shown.places) for shown in lists]
    starts = list(accumulate(sizes, initial=0))
    features = np.zeros((starts[-1], len(ITEM_FEATURES)), np.float32)
    if wanted and index.size:
        numbers = np.concatenate([lists[i].numbers[lists[i].places] for i in wanted])
        rows = np.minimum(numbers, index.size - 1).astype(np.intp)
        columns = features.T
        _texts(index, [(lists[i].terms, starts[i], sizes[i]) for i in wanted], rows, columns)
        columns[_QUERY_TERMS] = np.repeat([_query_length(lists[i].terms) for i in wanted], [sizes[i] for i in wanted])
        tiers, stricts = (np.concatenate([getattr(lists[i], of)[lists[i].places] for i in wanted]) for of in ("tiers", "stricts"))
        _found(columns, tiers, stricts, np.concatenate([lists[i].places for i in wanted]))
        prices = _product(index, rows, now_ms, columns)
        all_prices = lasting(index)[:, 0]
        for i in wanted:
            span = slice(starts[i], starts[i + 1])
            everybody = all_prices[np.minimum(lists[i].numbers, index.size - 1)]
            columns[_PRICE_POSITION, span] = _place_among(prices[span], everybody)
        if (missing := absent(index, numbers)).any():
            features[missing] = 0.0
    return [features[start:end] for start, end in pairwise(starts)]


def _texts(index: ForwardIndex, asked: Sequence[tuple[Sequence[Term], int, int]], rows: Rows, columns: Floats) -> None:
    """Text features of spans of `rows` (terms, start, length); queries of one shape and length are looked up together."""
    alike: dict[tuple[int, tuple[object, ...]], list[tuple[Query, int]]] = {}
    for terms, start, length in asked:
        if terms:
            query = Query.of(index, terms)
            alike.setdefault((length, query.shape()), []).append((query, start))
    for (length, _), group in alike.items():
        at = np.array([start for _, start in group])[:, None] + np.arange(length)
        text = text_features(index, [query for query, _ in group], rows[at])
        columns[_TEXT, at] = text.transpose(1, 0, 2)


def _query_length(terms: Sequence[Term]) -> float:
    return math.log1p(len(terms)) - 1.0


def _found(columns: Floats, tiers: npt.NDArray[np.uint8], stricts: npt.NDArray[np.bool_], places: Rows) -> None:
    """What finding them told; `places` in the list of all candidates."""
    columns[_STRICT] = stricts
    columns[_TIERS] = tiers == _TIER_NUMBERS
    columns[_RETRIEVAL_RANK] = 10.0 / (10.0 + places.astype(np.float32))


def absent(index: ForwardIndex, product_no: Numbers) -> npt.NDArray[np.bool_]:
    """bool[n]: which products the index does not have (a generation may have lost what an earlier one found)."""
    if index.size == 0:
        return np.ones(len(product_no), np.bool_)
    return (product_no >= index.size) | ~index.present[np.minimum(product_no, index.size - 1)]


# ---- product -------------------------------------------------------------------------------------------------------------------


_lasting: WeakKeyDictionary[ForwardIndex, Floats] = WeakKeyDictionary()


def lasting(index: ForwardIndex) -> Floats:
    """float32[size, 8]: what does not depend on the request, price to popularity_score, and the day of creation; made once per index.

    A service calls it when it loads an index, so that no request waits for it.
    """
    if (known := _lasting.get(index)) is not None:
        return known
    average, popularity = index.averages, index.popularity.T
    clicks, purchases = popularity[_P_CLICKS], popularity[_P_PURCHASES]
    columns = (
        (np.log1p(np.maximum(index.price_cents, 0)) - average.log_price) / 1.5,
        (index.price_level - np.float32(2.0)) / 1.5,
        0.5 * np.log((clicks + 1) / (average.clicks + 1)),
        0.5 * np.log((purchases + 1) / (average.purchases + 1)),
        _rate(clicks, popularity[_P_IMPRESSIONS], average.clicks, average.impressions, _CLICK_PRIOR),
        _rate(purchases, clicks, average.purchases, average.clicks, _PURCHASE_PRIOR),
        0.5 * np.arcsinh(popularity[_P_SCORE] / max(average.score, 1e-12)),
        index.created_ms / _DAY_MS,
    )
    return _lasting.setdefault(index, np.stack(columns, axis=1).astype(np.float32))


def _product(index: ForwardIndex, rows: Rows, now_ms: int, columns: Floats) -> Floats:
    """Returns float32[n]: the prices of the products, as _LASTING has them."""
    known = lasting(index).take(rows, axis=0)
    columns[_LASTING] = known[:, :-1].T
    columns[_AGE] = np.minimum(np.log1p(np.maximum(np.float32(now_ms / _DAY_MS) - known[:, -1], 0.0)) / 2.0 - 2.0, 3.0)
    return known[:, 0]


def _place_among(prices: Floats, everybody: Floats) -> Floats:
    """float64[n] in [-1, 1]: where prices stand among those of all candidates; equal ones in their middle."""
    ordered = np.sort(everybody)
    return np.asarray((ordered.searchsorted(prices) + ordered.searchsorted(prices, side="right")) / len(ordered) - 1.0)


def _rate(hits: Floats, shown: Floats, average_hits: float, average_shown: float, prior: float) -> Floats:
    """Log of the smoothed rate against the catalogue's, within [-3, 3]."""
    usual = min(max(average_hits / (average_shown or 1.0), 1e-6), 1.0)
    return np.asarray(np.clip(np.log((hits / usual + prior) / (shown + prior)), -3.0, 3.0), np.float32)


# ---- user ----------------------------------------------------------------------------------------------------------------------


class Binding:
    """One generation's products in terms of one release: what their properties are called in its vocabulary of A values.

    `columns` int32[size, P]: per product and property the value, 0 where the release does not know it or the product has none;
    `shares` float32[size]: 1 / number of known properties.
    """

    def __init__(self, index: ForwardIndex, vocabulary: list[str], property_vectors: Floats) -> None:
        numbers = {value: i for i, value in enumerate(vocabulary)}
        table = np.array([*(numbers.get(value, 0) for value in index.property_values), 0], np.int32)  # the last one is for -1, missing
        self.columns: npt.NDArray[np.int32] = table[index.property_ids]
        self.shares = (1.0 / np.maximum((self.columns > 0).sum(axis=1), 1)).astype(np.float32)
        self.property_vectors: Floats = np.array(property_vectors, np.float32)
        self.property_vectors[0] = 0.0

    @property
    def size(self) -> int:
        return len(self.columns)

    @cached_property
    def item_vectors(self) -> Floats:
        """float32[size, D]: the mean of the vectors of a product's known properties; zeros when there are none. Made when first asked for."""
        return np.asarray(self.property_vectors[self.columns].sum(axis=1) * self.shares[:, None], np.float32)


def user_features(binding: Binding, product_no: npt.NDArray[np.uint32], scores: Floats, vector: Floats) -> npt.NDArray[np.float32]:
    """float32[n, len(USER_FEATURES)]: the user's score of each property of the products, and user vector . item vector.

    scores float32[A], vector float32[D] as `/preferences` gave them; zeros are neutral, and so is what is not known of a product.
    """
    out = np.zeros((len(product_no), len(USER_FEATURES)), np.float32)
    if binding.size == 0 or len(product_no) == 0:
        return out
    rows = np.minimum(product_no, binding.size - 1).astype(np.intp)
    columns = binding.columns.take(rows, axis=0)
    known = scores.copy()
    known[0] = 0.0
    out[:, : len(PROPERTIES)] = known.take(columns)
    # The mean of dot products is the dot product with the mean: no table of item vectors is needed to serve.
    out[:, len(PROPERTIES)] = (binding.property_vectors @ vector).take(columns).sum(axis=1) * binding.shares.take(rows)
    if (absent := product_no >= binding.size).any():
        out[absent] = 0.0
    return out if np.isfinite(out).all() else np.nan_to_num(out, nan=0.0, posinf=0.0, neginf=0.0)


# ---- order ----------------------------------------------------------------------------------------------------------------------


def matches_first(scores: npt.NDArray[np.floating], features: npt.NDArray[np.float32], lead: float = MATCH_LEAD) -> npt.NDArray[np.float64]:
    """float64[n]: scores of n candidates with features float32[n, F], full matches before partial ones, and first those whose title is the
    query (its words or synonyms of them, all of them and no other, in whatever order). Double, because a lead added in single precision would make ties of what
    is not quite the same."""
    strict = features[:, STRICT]
    titled = (features[:, _TITLE_EXACT] >= _ALL) & (features[:, _TITLE_COVERAGE] >= _ALL)
    return scores.astype(np.float64) + lead * (strict + strict * titled)
