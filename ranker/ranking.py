"""How candidates are put in order: features, scores by a strategy, a stable sort. Plain arrays in and out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ranker.pairs import Pair
from services.contracts import Candidates, Category, Term
from services.errors import InvalidRequest
from services.features import BM25, FEATURES, ITEM_FEATURES, POPULARITY_SCORE, absent, item_features, matches_first, user_features
from services.models.port import Preferences

Floats = npt.NDArray[np.float32]

BASELINES = {"popularity": POPULARITY_SCORE, "bm25": BM25}
"""Strategy -> the feature that is its score."""
STRATEGIES = ("network", *BASELINES)
WEIGHTS = "weights"
"""A strategy beside those: its scores come from the ranking index (ranker/weights.py)."""
MAX_CANDIDATES = 65_535


@dataclass(frozen=True, slots=True)
class Ranked:
    """order uint16[n]: rows, best first; scores float32[n] in that order, never ascending."""

    order: npt.NDArray[np.uint16]
    scores: Floats


def strategy_of(asked: str | None, pair: Pair, *, weights: bool = False) -> str:
    """The strategy that ranks: the one asked for, or the release's own. `weights`: there is a ranking index. Raises InvalidRequest for one
    that this release cannot."""
    strategy = asked or pair.model.strategy
    possible = STRATEGIES if pair.model.strategy == "network" else tuple(BASELINES)
    if weights:
        possible = (*possible, WEIGHTS)
    if strategy not in possible:
        reason = f"release {pair.release} ({pair.model.strategy}) cannot rank by strategy {strategy[:40]!r}"
        raise InvalidRequest(reason, field="strategy", accepted=", ".join(possible))
    return strategy


def preferences_of(pair: Pair, scores: bytes | None, weights: bytes | None, vector: bytes | None) -> Preferences:
    """What `/preferences` answered as arrays of the release's sizes; None is neutral. Raises InvalidRequest for other sizes."""
    vectors = pair.binding.property_vectors
    return Preferences(
        _array("scores", scores, len(vectors)), _array("weights", weights, len(FEATURES)), _array("vector", vector, vectors.shape[1])
    )


def check_candidates(candidates: Candidates) -> None:
    """Raises InvalidRequest when the parallel arrays are not of one length, or too long to be numbered."""
    n = len(candidates)
    lengths = [len(candidates.product_no), len(candidates.score), len(candidates.tier) * 4, len(candidates.strict) * 4]
    if lengths != [n * 4] * 4:
        raise InvalidRequest(
            "the arrays of candidates differ in length", field="candidates", accepted="n x (uint32, float32, uint8, uint8)"
        )
    if n > MAX_CANDIDATES:
        raise InvalidRequest(f"{n} candidates", field="candidates", accepted=f"at most {MAX_CANDIDATES}")


def items(pair: Pair, terms: Sequence[Term], categories: Sequence[Category], candidates: Candidates, now_ms: int) -> Floats:
    """float32[n, F] whose item part is filled in; the user part is neutral."""
    features = np.zeros((len(candidates), len(FEATURES)), np.float32)
    item_features(pair.index, terms, categories, candidates, now_ms, features[:, : len(ITEM_FEATURES)])
    return features


def personalise(features: Floats, pair: Pair, candidates: Candidates, user: Preferences) -> None:
    """Fill in the user part of the features."""
    features[:, len(ITEM_FEATURES) :] = user_features(pair.binding, candidates.numbers(), user.scores, user.vector)


def score(strategy: str, pair: Pair, features: Floats, user: Preferences) -> npt.NDArray[np.floating]:
    """A score per row, higher is better; full matches stand before partial ones, exact titles before both."""
    column = BASELINES.get(strategy)
    scores = pair.model.rank(features, user.weights, user.vector) if column is None else features[:, column]
    return matches_first(scores, features)


def ordered(scores: npt.NDArray[np.floating], missing: npt.NDArray[np.bool_]) -> Ranked:
    """Best first; equal scores stay in retrieval order; products that the generation does not have (`missing` bool[n]) come last."""
    if missing.any():
        scores = np.where(missing, scores[~missing].min(initial=0.0) - 1.0, scores)
    order = np.argsort(-scores, kind="stable")
    return Ranked(order.astype(np.uint16), scores[order].astype(np.float32))


def missing_products(pair: Pair, candidates: Candidates) -> npt.NDArray[np.bool_]:
    return absent(pair.index, candidates.numbers())


def _array(name: str, data: bytes | None, size: int) -> Floats:
    if data is None:
        return np.zeros(size, np.float32)
    if len(data) != size * 4:
        raise InvalidRequest(f"{name} is of another release: it has {len(data)} bytes", field=name, accepted=f"float32[{size}]")
    return np.frombuffer(data, np.float32)
