"""Two results, query by query: paired bootstrap over queries, wins and losses. Pure."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from evaluation.result import Result
from services.errors import ConfigurationError

RESAMPLES = 10_000
LEVEL = 0.95
TIE = 1e-6


class Difference(Struct, frozen=True, kw_only=True):
    """Mean of `ours` minus `other` over the queries that both have, with its 95 % percentile interval (Efron and Tibshirani 1993;
    Sakai 2006 for retrieval): queries are drawn with replacement, each with both of its values."""

    measure: str
    queries: int
    ours: float
    other: float
    difference: float
    low: float
    high: float
    wins: list[str]  # largest first
    losses: list[str]
    ties: int


class Comparison(Struct, frozen=True, kw_only=True):
    ours: str
    other: str
    resamples: int
    seed: int
    differences: list[Difference]
    only_ours: list[str]  # queries that the other result does not have
    only_other: list[str]


def compare(ours: Result, other: Result, *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Raises ConfigurationError when no query is in both, or when they were measured at another k."""
    if ours.k != other.k:
        raise ConfigurationError(f"the results are not of one kind: @{ours.k} and @{other.k}; measure one of them again with -k")
    common = [query for query in ours.queries if query in other.queries]
    if not common:
        raise ConfigurationError("the two results have no query in common")
    _check_same_judgments(ours, other, common)
    names = [name for name in ours.means if name in other.means]
    return Comparison(
        ours=ours.name,
        other=other.name,
        resamples=resamples,
        seed=seed,
        differences=[d for name in names if (d := _difference(name, ours, other, common, resamples, seed))],
        only_ours=[query for query in ours.queries if query not in other.queries],
        only_other=[query for query in other.queries if query not in ours.queries],
    )


def _check_same_judgments(ours: Result, other: Result, queries: Sequence[str]) -> None:
    """Raises ConfigurationError when a product that both show has another grade in one of them: then the list has changed in between."""
    for query in queries:
        graded = [
            {s.product_id: grade for s, grade in zip(r.shown, r.grades, strict=True)} for r in (ours.queries[query], other.queries[query])
        ]
        if changed := [id_ for id_ in graded[0].keys() & graded[1].keys() if graded[0][id_] != graded[1][id_]]:
            raise ConfigurationError(
                f"the results are not of the same judgments: {min(changed)!r} for {query!r} has another grade in one of them; measure again"
            )


def interval(differences: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean of paired differences float[n], n >= 1."""
    values = np.asarray(differences, np.float64)
    draws = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _difference(name: str, ours: Result, other: Result, queries: Sequence[str], resamples: int, seed: int) -> Difference | None:
    mine = {q: ours.queries[q].measures[name] for q in queries if name in ours.queries[q].measures}
    theirs = {q: other.queries[q].measures[name] for q in queries if name in other.queries[q].measures}
    both = [query for query in queries if query in mine and query in theirs]
    if not both:
        return None
    gained = {query: mine[query] - theirs[query] for query in both}
    low, high = interval(list(gained.values()), resamples=resamples, seed=seed)
    wins = sorted((q for q in both if gained[q] > TIE), key=lambda q: -gained[q])
    losses = sorted((q for q in both if gained[q] < -TIE), key=lambda q: gained[q])
    return Difference(
        measure=name,
        queries=len(both),
        ours=float(np.mean([mine[q] for q in both])),
        other=float(np.mean([theirs[q] for q in both])),
        difference=float(np.mean(list(gained.values()))),
        low=low,
        high=high,
        wins=wins,
        losses=losses,
        ties=len(both) - len(wins) - len(losses),
    )
