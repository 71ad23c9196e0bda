"""Whether a release may be served, from what shoppers did on the hold-out. Pure.

Two questions, each as a paired difference with a 95 % interval by bootstrap over users (the pages of one user are not independent):
does it put what was clicked above the rest of the page better than popularity does (AUC within pages), and does it rank what was shown better than
BM25 as one index does (nDCG@10)? And one guard: not below what is served now by more than MARGIN.
"""

from dataclasses import dataclass

import msgspec
import numpy as np

from offline.records import Array
from services.contracts import Strategy

DEPTH = 10
MARGIN = 0.005
LEAST_EXAMINED = 0.1
"""Bounds the weight of one click."""
RESAMPLES = 1_000


def ndcg(score: Array, gain: Array, indptr: Array) -> Array:
    """nDCG@10 of each page's items by score, float64[n]; NaN where nothing was gained. Equal scores: in the order shown."""
    page = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    got, best = _dcg(page, -score, gain, indptr), _dcg(page, -gain, gain, indptr)
    quotient: Array = np.divide(got, best, out=np.full(len(got), np.nan), where=best > 0)
    return quotient


def _dcg(page: Array, key: Array, gain: Array, indptr: Array) -> Array:
    order = np.lexsort((key, page))  # stable
    rank = np.arange(len(page)) - np.repeat(indptr[:-1], np.diff(indptr))
    discounted = np.where(rank < DEPTH, gain[order] / np.log2(rank + 2.0), 0.0)
    return np.bincount(page, discounted, len(indptr) - 1)


def auc(score: Array, gain: Array, indptr: Array) -> Array:
    """Share of a page's other items that the score puts below a clicked one, ties half, float64[n]: the mean over clicked items, weighted by
    their gains; NaN where there is none. Against *all* others, clicked or not: with gains corrected for position it then depends on what is
    relevant alone (against the unclicked only, whatever ordered the page would gain from what nobody had looked at)."""
    n, lengths = len(indptr) - 1, np.diff(indptr)
    page = np.repeat(np.arange(n), lengths)
    order = np.lexsort((score, page))
    page, score, gain = page[order], score[order], gain[order]
    start = np.flatnonzero(np.concatenate([[True], (page[1:] != page[:-1]) | (score[1:] != score[:-1])]))[: len(page)]
    ties = np.diff([*start, len(page)])
    below = np.repeat(start + (ties - 1) / 2.0, ties) - indptr[:-1][page]
    right, total = np.bincount(page, gain * below, n), np.bincount(page, gain, n) * (lengths - 1)
    share: Array = np.divide(right, total, out=np.full(n, np.nan), where=total > 0)
    return share


@dataclass(frozen=True, slots=True)
class Judged:
    """Pages with clicks: indptr into their items, gain float64 and examination float64 per item, user int per page (-1: a page of nobody).

    What is clicked at a position where few look stands for the many who did not look. So gains are divided by examination, and a page
    counts by how much its clicks were corrected (`weight`): within a page alone, a single click would be corrected by nothing.
    """

    indptr: Array
    gain: Array
    examination: Array
    user: Array

    @property
    def corrected(self) -> Array:
        return self.gain / np.maximum(self.examination, LEAST_EXAMINED)

    @property
    def weight(self) -> Array:
        """float64[n]: mean inverse examination of what was clicked."""
        page = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        return np.bincount(page, self.corrected, len(self.user)) / np.bincount(page, self.gain, len(self.user))

    def ndcg(self, score: Array) -> Array:
        return ndcg(score, self.corrected, self.indptr)

    def auc(self, score: Array) -> Array:
        return auc(score, self.corrected, self.indptr)


class Comparison(msgspec.Struct, frozen=True):
    """Two means over the same pages, and the 95 % interval of their difference."""

    metric: str
    other: str  # what it is compared with
    pages: int
    network: float
    baseline: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        return self.network - self.baseline


def compare(metric: str, other: str, ours: Array, theirs: Array, pages: Judged, seed: int = 0) -> Comparison:
    """Of two values per page, over the pages that have both."""
    used = np.flatnonzero(~(np.isnan(ours) | np.isnan(theirs)))
    if not len(used):
        return Comparison(metric, other, 0, 0.0, 0.0, -1.0, 1.0)
    ours, theirs, weight, user = ours[used], theirs[used], pages.weight[used], pages.user[used]
    cluster = np.unique(np.where(user >= 0, user, -2 - np.arange(len(user))), return_inverse=True)[1]
    sums, sizes = np.bincount(cluster, weight * (ours - theirs)), np.bincount(cluster, weight)
    random = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = np.bincount(random.integers(0, len(sums), len(sums)), minlength=len(sums))
        means[i] = (drawn @ sums) / (drawn @ sizes)
    low, high = np.quantile(means, [0.025, 0.975])
    mean, others = (float(np.average(values, weights=weight)) for values in (ours, theirs))
    return Comparison(metric, other, len(used), mean, others, float(low), float(high))


@dataclass(frozen=True, slots=True)
class Decision:
    """What to ship (None: nothing, the served release stays), and why, for people."""

    ship: Strategy | None
    reason: str


def decide(clicks: Comparison, ranking: Comparison, popularity_ranking: float, served: Comparison | None, served_wins: bool) -> Decision:
    """clicks: AUC against popularity; ranking: nDCG@10 against BM25; popularity_ranking: popularity's own nDCG@10; served: nDCG@10 against
    the network that is served now (None: none is, or it cannot be compared), and whether that one passes where the new one fails."""
    failed = [f"{c.metric} is not above {c.other}" for c in (clicks, ranking) if c.low <= 0]
    if failed:
        why = " and ".join(failed) + " with 95 % confidence"
        if served_wins:
            return Decision(None, f"{why}; the served network is, and stays")
        best: Strategy = "popularity" if popularity_ranking > ranking.baseline else "bm25"
        return Decision(best, f"{why}; {best} ranks best of the baselines")
    if served is not None and served.difference < -MARGIN:
        return Decision(
            None, f"{served.metric} is {-served.difference:.4f} below {served.other}, more than the margin of {MARGIN}, which stays"
        )
    return Decision("network", f"above {clicks.other} in {clicks.metric} and above {ranking.other} in {ranking.metric}")


def table(comparisons: list[Comparison]) -> list[str]:
    """The comparisons as lines for people."""
    width = max(len(f"{c.metric} vs {c.other}") for c in comparisons)
    lines = [f"{'':{width}}  {'pages':>7}  {'network':>7}  {'other':>7}  difference [95 %]"]
    for c in comparisons:
        name = f"{c.metric} vs {c.other}"
        shown = f"{c.network:7.4f}  {c.baseline:7.4f}  {c.difference:+.4f} [{c.low:+.4f}, {c.high:+.4f}]" if c.pages else "no such pages"
        lines.append(f"{name:{width}}  {c.pages:7,}  {shown}")
    return lines
