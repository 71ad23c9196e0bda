"""Strategy `weights`, the way of the AIBench report: a user's preferences as weights of function_score functions. Pure.

The score of a candidate is BM25 over the whole catalogue, plus its popularity, plus for each of its properties (category, brand, price level,
colour) the user's preference for that value. A function can only add: what the user dislikes adds nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.contracts import Category, Term

TEXT, PROPERTIES, POPULARITY = "text", "properties", "popularity"
SYNONYM_BOOST, CATEGORY_BOOST = 0.7, 2.0
PREFERENCE_WEIGHT, POPULARITY_WEIGHT = 2.0, 1.0
MAX_FUNCTIONS = 64
"""Preferences in one query: the strongest."""


def preferences(vocabulary: Sequence[str], columns: npt.NDArray[np.int32], scores: npt.NDArray[np.float32]) -> list[tuple[str, float]]:
    """The values that candidates have and the user likes, strongest first. columns int32[n, P] of the candidates (0 unknown), scores
    float32[A] of the vocabulary."""
    values = np.unique(columns)
    values = values[(values > 0) & (scores[values] > 0)]
    strongest = values[np.argsort(-scores[values], kind="stable")][:MAX_FUNCTIONS]
    return [(vocabulary[value], float(scores[value])) for value in strongest]


def query(
    terms: Sequence[Term], categories: Sequence[Category], numbers: Sequence[int], liked: Sequence[tuple[str, float]]
) -> dict[str, Any]:
    """The question for the ranking index: these products, scored."""
    boosts = [
        _constant({"term": {PROPERTIES: f"category:{c.id}"}}, CATEGORY_BOOST * c.probability) for c in categories if c.probability > 0
    ]
    relevance = {"bool": {"filter": [{"terms": {"product_no": list(numbers)}}], "should": [*map(_clause, terms), *boosts]}}
    functions: list[dict[str, Any]] = [
        {"field_value_factor": {"field": POPULARITY, "modifier": "ln1p", "missing": 0.0}, "weight": POPULARITY_WEIGHT},
        *({"filter": {"term": {PROPERTIES: value}}, "weight": PREFERENCE_WEIGHT * score} for value, score in liked),
    ]
    return {"function_score": {"query": relevance, "functions": functions, "score_mode": "sum", "boost_mode": "sum"}}


def _clause(term: Term) -> dict[str, Any]:
    own: dict[str, Any] = {"term": {TEXT: term.text}}
    if not term.synonyms:
        return own
    return {"dis_max": {"queries": [own, *(_synonym(words) for words in term.synonyms if words)]}}


def _synonym(words: Sequence[str]) -> dict[str, Any]:
    if len(words) == 1:
        return {"term": {TEXT: {"value": words[0], "boost": SYNONYM_BOOST}}}
    return {"bool": {"must": [{"term": {TEXT: word}} for word in words], "boost": SYNONYM_BOOST}}


def _constant(condition: Mapping[str, Any], score: float) -> dict[str, Any]:
    return {"constant_score": {"filter": condition, "boost": score}}
