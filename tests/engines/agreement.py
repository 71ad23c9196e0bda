"""How alike the embedded engines and Elasticsearch answer: candidates of each tier, their order, pages after ranking."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from searcher import plan
from searcher.engines import Tiers, open_embedded
from searcher.index.port import Hits, TierIndex
from searcher.part import FOLDER
from searcher.retrieve import Part, open_part, retrieve
from searcher.settings import SearcherSettings
from services.artifacts import Versions
from services.catalogue import TIERS
from services.contracts import CANDIDATES, RetrieveRequest
from services.settings import load as load_settings
from services.shop import Shop
from tests.bench.engines import Unwatched
from tests.bench.ranked import Ranker

PAGE = 10
CLOSE = 0.01
"""Scores within this of each other may come in any order."""


@dataclass(slots=True)
class Agreement:
    """Shares of candidates, per tier and for pages; pairs of candidates, and how many of them the engines put the other way round."""

    tiers: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in TIERS})
    pages: list[float] = field(default_factory=list)
    pairs: int = 0
    reversed: int = 0

    def mean(self, tier: str) -> float:
        return float(np.mean(self.tiers[tier])) if self.tiers[tier] else 1.0

    def __str__(self) -> str:
        tiers = ", ".join(f"{name} {self.mean(name):.4f} (least {min(of, default=1.0):.2f})" for name, of in self.tiers.items())
        return (
            f"{len(self.pages)} queries: candidates shared: {tiers}; of {self.pairs:,} pairs whose scores differ by more than 1 %, "
            f"{self.reversed} in another order; top ten shared: {float(np.mean(self.pages)):.4f}"
        )


class Compared:
    """One generation of a shop, served by both."""

    def __init__(self, shop: Shop, environment: dict[str, str]) -> None:
        generations = Versions(shop.generations)
        self.generation = generations.current() or 0
        folder = generations.folder(self.generation)
        self._ranker = Ranker(shop)
        self._elastic = Tiers(load_settings(SearcherSettings, "AISLE_SEARCHER_", environment), shop.info())
        part: Path = folder / FOLDER
        self.embedded = open_part(part, open_embedded(part), skip_high=True)
        self.real = open_part(part, self._elastic.open(part), skip_high=True)

    def close(self) -> None:
        self._elastic.close()

    def compare(self, queries: Iterable[str]) -> Agreement:
        found = Agreement()
        for text in queries:
            terms, categories = self._ranker.understood(text)
            if terms:
                self._compare(RetrieveRequest(terms, categories, generation=self.generation), found)
        return found

    def _compare(self, request: RetrieveRequest, found: Agreement) -> None:
        level = plan.levels(request)[-1]  # the loosest, so that tiers are full
        for name, ours, theirs in zip(TIERS, self.embedded.indexes, self.real.indexes, strict=True):
            shared, pairs, wrong = compare_tier(ours, theirs, level.query)
            if shared is not None:
                found.tiers[name].append(shared)
            found.pairs += pairs
            found.reversed += wrong
        pages = [self.page(part, request) for part in (self.embedded, self.real)]
        if pages[0] or pages[1]:
            found.pages.append(len(set(pages[0]) & set(pages[1])) / max(map(len, pages)))

    def page(self, part: Part, request: RetrieveRequest) -> list[int]:
        """The ten first product numbers, ranked for a user of whom nothing is known."""
        answer = retrieve(part, self.generation, request, Unwatched())
        numbers: list[int] = self._ranker.page(request, answer.candidates, PAGE).tolist()
        return numbers


def compare_tier(ours: TierIndex, theirs: TierIndex, query: object) -> tuple[float | None, int, int]:
    """Share of the candidates that both have (None: there are none), pairs that can be compared, and those in another order."""
    a, b = (index.search(query, CANDIDATES) for index in (ours, theirs))  # type: ignore[arg-type]
    size = max(len(a.product_no), len(b.product_no))
    if not size:
        return None, 0, 0
    shared = np.intersect1d(a.product_no, b.product_no)
    return len(shared) / size, *reversals(_scores(a, shared), _scores(b, shared))


def reversals(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> tuple[int, int]:
    """Of two scorings of the same n products: pairs that either puts more than CLOSE apart, and those that the other puts the other way."""
    above_a, above_b = a[:, None] > a[None, :] * (1 + CLOSE), b[:, None] > b[None, :] * (1 + CLOSE)
    apart = above_a | above_b
    wrong = (above_a & (b[:, None] < b[None, :])) | (above_b & (a[:, None] < a[None, :]))
    return int(np.triu(apart | apart.T).sum()), int(np.triu(wrong | wrong.T).sum())


def _scores(hits: Hits, numbers: npt.NDArray[np.uint32]) -> npt.NDArray[np.float64]:
    order = np.argsort(hits.product_no)
    return hits.key[order][np.searchsorted(hits.product_no[order], numbers)]
