"""The tier walk (DESIGN.md section 2): which tier is asked what, in which order, and when it is enough. Pure over the port.

Relevance: strict over high, medium, low, in that order, until enough products are there; only when all three fall short, the next
looser level, in the same order, after them. Nothing is given twice. A tier that fails is left out, and named; the last
one that has not failed is given all the time that is left.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from searcher.index.port import Buckets, Counts, Hits, TierIndex, TierUnavailable, Values
from searcher.plan import Level
from searcher.query import Order, Query, outside_tier
from services.catalogue import TIERS
from services.contracts import Candidates, TierCount, Total
from services.errors import Unavailable
from services.timing import last_resort

R = TypeVar("R")
V = TypeVar("V")
Watch = Callable[[str, Level], AbstractContextManager[None]]
"""Called around every search with the name of the tier and the level: for timing and counting."""

HIGH, MEDIUM, LOW = range(3)


class AskAll(Protocol):
    """How questions are asked that do not need each other's answers: the answers, in the order of `values`."""

    def __call__(self, question: Callable[[V], R], values: Sequence[V], /) -> list[R]: ...


def in_turn(question: Callable[[V], R], values: Sequence[V]) -> list[R]:
    """One after the other: best where a question keeps this process busy."""
    return [question(value) for value in values]


class Layout(Struct, frozen=True):
    """`nested`: medium holds the high tier too (else the three are disjoint). `skip_high`: medium is asked to leave out what high gave; else
    that comes along and is dropped here (the same products at another cost)."""

    nested: bool = True
    skip_high: bool = True

    @property
    def cover(self) -> tuple[int, ...]:
        """The tiers that together hold every product once."""
        return (MEDIUM, LOW) if self.nested else (HIGH, MEDIUM, LOW)


class Found(Struct, frozen=True):
    """What a walk found; `total` counts the products that match at `level`, the loosest one that was used."""

    candidates: Candidates
    tiers: list[TierCount]
    total: Total
    level: Level


class _Run(Struct, frozen=True):
    """What one search gave to the answer."""

    tier: int
    strict: bool
    hits: Hits


def _search_in_order(query: Query, wanted: int, order: Order, index: TierIndex) -> Hits:
    return index.search(query, wanted, order=order, count=True)


def _unwatched(tier: str, level: Level) -> AbstractContextManager[None]:
    return nullcontext()


class Walk:
    """One request's walk over the tiers, given in the order of TIERS; use it once."""

    def __init__(self, indexes: Sequence[TierIndex], layout: Layout, watch: Watch = _unwatched, ask_all: AskAll = in_turn) -> None:
        self._indexes, self._layout, self._watch, self._ask_all = indexes, layout, watch, ask_all
        self.failed: dict[int, str] = {}
        """Tier -> reason, of those that failed on the way."""
        self._runs: list[_Run] = []
        self._matched: dict[int, int] = {}

    def relevance(self, levels: Sequence[Level], wanted: int, order: Order | None = None) -> Found:
        """At most `wanted` products by level, then tier, then score (or `order`). Raises Unavailable when no tier answers."""
        for level in levels:
            searched: set[int] = set()
            for tier in (HIGH, MEDIUM, LOW):
                if self._given >= wanted:
                    break
                self._search(tier, level, wanted, order, searched, first=level is levels[0])
            if self._given >= wanted:
                break
        complete = all(tier in searched for tier in self._layout.cover)
        return self._found(level, Total(sum(self._matched.values()), "eq" if complete else "gte"))

    def sorted(self, levels: Sequence[Level], wanted: int, order: Order) -> Found:
        """The first `wanted` of all products that match, in `order`, at the strictest level at which any does: looser ones would come first."""
        for level in levels:
            runs, complete = self._over_all(partial(_search_in_order, level.query, wanted, order), level)
            total = sum(hits.total or 0 for _, hits in runs)
            if total:
                break
        self._runs = [_Run(tier, level.strict, hits) for tier, hits in runs]
        keys, numbers = self._joined("key"), self._joined("product_no")
        best = np.lexsort((numbers, -keys if order.descending else keys))[:wanted]
        return self._found(level, Total(total, "eq" if complete else "gte"), best)

    def facets(self, level: Level, wanted: Sequence[Values | Buckets]) -> tuple[list[Counts], Total]:
        """Counts over all products that match at this level, from tiers that hold every product once."""
        counts, complete = self._over_all(lambda index: index.facets(level.query, wanted))
        return [c for _, c in counts], Total(sum(c.total for _, c in counts), "eq" if complete else "gte")

    # ---- one search ----

    @property
    def _given(self) -> int:
        return sum(len(run.hits.product_no) for run in self._runs)

    def _search(self, tier: int, level: Level, wanted: int, order: Order | None, searched: set[int], *, first: bool) -> None:
        """Search one tier at one level and keep what is new; what `missing` products need is asked for, and what may be known already."""
        missing = wanted - self._given
        holds_high = self._layout.nested and tier == MEDIUM and HIGH in searched  # whose matches at this level are all given by now
        skip = holds_high and self._layout.skip_high
        overlaps = not first or (holds_high and not skip)
        query = outside_tier(level.query, HIGH) if skip else level.query
        hits = self._ask(tier, lambda index: index.search(query, wanted if overlaps else missing, order=order, count=True), level)
        if hits is None:
            self._matched.pop(tier, None)
            return
        searched.add(tier)
        self._matched[tier] = (hits.total or 0) - (self._matched[HIGH] if holds_high and not skip else 0)
        self._runs.append(_Run(tier, level.strict, self._new(hits, missing) if overlaps else hits))

    def _new(self, hits: Hits, missing: int) -> Hits:
        known = {number for run in self._runs for number in run.hits.product_no.tolist()}
        rows = [row for row, number in enumerate(hits.product_no.tolist()) if number not in known][:missing]
        return Hits(hits.product_no[rows], hits.key[rows])

    def _ask(self, tier: int, question: Callable[[TierIndex], R], level: Level | None) -> R | None:
        """None when the tier fails, or has failed before in this walk; `level` None: not watched."""
        if tier in self.failed:
            return None
        try:
            alone = len(self.failed) == len(TIERS) - 1
            with self._watch(TIERS[tier], level) if level else nullcontext(), last_resort() if alone else nullcontext():
                return question(self._indexes[tier])
        except TierUnavailable as error:
            self.failed[tier] = str(error)
            if len(self.failed) == len(TIERS):
                raise Unavailable(f"no tier answers: {'; '.join(self.failed.values())}") from error
            return None

    def _over_all(self, question: Callable[[TierIndex], R], level: Level | None = None) -> tuple[list[tuple[int, R]], bool]:
        """Ask the tiers that hold every product once, and whether all answered."""
        found = self._ask_all(lambda tier: self._ask_or_high(tier, question, level), self._layout.cover)
        answers = [answer for answer in found if answer is not None]
        return answers, [tier for tier, _ in answers] == list(self._layout.cover)

    def _ask_or_high(self, tier: int, question: Callable[[TierIndex], R], level: Level | None) -> tuple[int, R] | None:
        """Who answered, and what; high stands in for a failed medium that holds it."""
        for asked in (MEDIUM, HIGH) if tier == MEDIUM and self._layout.nested else (tier,):
            if (answer := self._ask(asked, question, level)) is not None:
                return asked, answer
        return None

    # ---- the answer ----

    def _joined(self, column: str) -> npt.NDArray[np.float64]:
        return np.concatenate([getattr(run.hits, column) for run in self._runs]) if self._runs else np.empty(0)

    def _found(self, level: Level, total: Total, rows: npt.NDArray[np.intp] | None = None) -> Found:
        sizes = [len(run.hits.product_no) for run in self._runs]
        numbers = self._joined("product_no").astype(np.uint32)
        scores = self._joined("key").astype(np.float32)
        tiers = np.repeat(np.array([run.tier for run in self._runs], np.uint8), sizes)
        stricts = np.repeat(np.array([run.strict for run in self._runs], np.uint8), sizes)
        if rows is not None:
            numbers, scores, tiers, stricts = numbers[rows], scores[rows], tiers[rows], stricts[rows]
        candidates = Candidates(numbers.tobytes(), scores.tobytes(), tiers.tobytes(), stricts.tobytes())
        strict = np.bincount(tiers[stricts == 1], minlength=len(TIERS))
        relaxed = np.bincount(tiers[stricts == 0], minlength=len(TIERS))
        searched = {run.tier for run in self._runs}
        counts = [TierCount(name, tier in searched, int(strict[tier]), int(relaxed[tier])) for tier, name in enumerate(TIERS)]
        return Found(candidates, counts, total, level)
