"""Whether a release may be served, from what shoppers did on the hold-out. Pure.

Two questions, each as a paired difference with a 95 % interval by bootstrap over users (the pages of one user are not independent):
does it order the clicked above the unclicked better than popularity does (AUC within pages), and does it rank what was shown better than
BM25 as one index does (nDCG@10)? And one guard: not below what is served now by more than MARGIN.
"""

from dataclasses import dataclass

import msgspec
import numpy as np

from offline.records import Array
from services.contracts import Strategy

DEPTH = 10
MARGIN = 0.005
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
    """Share of each page's (clicked, unclicked) pairs that the score orders rightly, float64[n], pairs weighted by the clicked item's gain,
    ties half; NaN where there is no pair."""
    n, page = len(indptr) - 1, np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    order = np.lexsort((score, page))
    page, score, weight = page[order], score[order], gain[order]
    passed = (weight == 0).astype(float)
    seen = np.concatenate([[0.0], np.cumsum(passed)])
    start = np.flatnonzero(np.concatenate([[True], (page[1:] != page[:-1]) | (score[1:] != score[:-1])]))
    tie = np.repeat(np.arange(len(start)), np.diff([*start, len(page)]))
    end = np.append(start[1:], len(page))
    below = (seen[start] + seen[end])[tie] / 2.0 - seen[indptr[:-1]][page]
    unclicked = np.bincount(page, passed, n)
    right, total = np.bincount(page, weight * below, n), np.bincount(page, weight, n) * unclicked
    quotient: Array = np.divide(right, total, out=np.full(n, np.nan), where=total > 0)
    return quotient


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


def compare(metric: str, other: str, ours: Array, theirs: Array, user: Array, seed: int = 0) -> Comparison:
    """Of two values per page, over the pages that have both; user int[n], -1: a page that stands for itself."""
    pages = np.flatnonzero(~(np.isnan(ours) | np.isnan(theirs)))
    if not len(pages):
        return Comparison(metric, other, 0, 0.0, 0.0, -1.0, 1.0)
    difference = ours[pages] - theirs[pages]
    cluster = np.unique(np.where(user[pages] >= 0, user[pages], -2 - np.arange(len(pages))), return_inverse=True)[1]
    sums, sizes = np.bincount(cluster, difference), np.bincount(cluster)
    random = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for i in range(RESAMPLES):
        drawn = np.bincount(random.integers(0, len(sums), len(sums)), minlength=len(sums))
        means[i] = (drawn @ sums) / (drawn @ sizes)
    low, high = np.quantile(means, [0.025, 0.975])
    return Comparison(metric, other, len(pages), float(ours[pages].mean()), float(theirs[pages].mean()), float(low), float(high))


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
