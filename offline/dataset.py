"""Training examples from the log, all as arrays. Pure.

An example is a page as it was served. Its history are the user's behaviours *strictly before* the page: whatever came at the same
millisecond or later may be a consequence of it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from offline.records import Array, Behaviours, Log, item_keys
from services.models.port import KIND_IDS, MAX_STEPS, UNKNOWN, Events
from services.popularity import GAINS, examination

SPLIT = (0.60, 0.85)
"""Shares of the pages, by time: the preference network learns on the first part, ranking on the second, gates judge on the third."""
MIN_SEEN = 3
MAX_VALUES = 4_000


class Sequences(NamedTuple):
    """Histories of b pages, oldest first, padded at the end: properties int32[b, T, P], kinds int32[b, T] (0 padding), gaps float32[b, T]."""

    properties: Array
    kinds: Array
    gaps: Array

    def events(self, row: int) -> Events:
        """One of them as the served model takes it."""
        steps = int((self.kinds[row] > 0).sum())
        return Events(self.properties[row, :steps], self.kinds[row, :steps], self.gaps[row, :steps])


class Items(NamedTuple):
    """Shown items of b pages, padded with -1: rows int64[b, L] into the items of all pages."""

    rows: Array

    @property
    def real(self) -> Array:
        return self.rows >= 0

    def take(self, values: Array) -> Array:
        """[b, L, ...]: the values of these items, zeros where there is none."""
        taken = values[np.maximum(self.rows, 0)]
        taken[~self.real] = 0
        return taken


@dataclass(frozen=True, slots=True)
class Dataset:
    """Pages with labels, histories and parts.

    grade int8[N] per shown item: 0 nothing, else the highest KIND_IDS of what followed (2 click, 3 cart, 4 purchase).
    part int8[n] per page: 0 preference, 1 ranking, 2 hold-out. first, last int64[n]: the page's history is sorted.*[first:last].
    """

    log: Log
    grade: Array
    part: Array
    sorted: Behaviours
    first: Array
    last: Array

    @property
    def gain(self) -> Array:
        """float32[N]: what each item's grade is worth."""
        return np.array(GAINS, np.float32)[self.grade]

    def pages(self, part: int) -> Array:
        return np.flatnonzero(self.part == part)

    def clicked(self, pages: Array) -> Array:
        """Those of the pages on which something was clicked: only they say what was preferred to what."""
        total = np.concatenate([[0], np.cumsum(self.grade > 0)])
        indptr = self.log.pages.indptr
        return pages[total[indptr[pages + 1]] > total[indptr[pages]]]  # type: ignore[no-any-return]

    def lengths(self, pages: Array) -> Array:
        """Behaviours in each page's history, at most MAX_STEPS."""
        return np.minimum(self.last[pages] - self.first[pages], MAX_STEPS)  # type: ignore[no-any-return]

    def histories(self, pages: Array, columns: Array) -> Sequences:
        """The newest MAX_STEPS behaviours before each page; columns int32[size, P] as `features.Binding.columns` gives them."""
        lengths = self.lengths(pages)
        steps = np.arange(max(1, int(lengths.max(initial=0))))
        rows = (self.last[pages] - lengths)[:, None] + steps
        real = steps < lengths[:, None]
        rows = np.where(real, rows, 0)
        if not len(self.sorted):
            return Sequences(
                np.zeros((*rows.shape, columns.shape[1]), np.int32), np.zeros(rows.shape, np.int32), np.zeros(rows.shape, np.float32)
            )
        product_no = self.sorted.product_no[rows]
        known = real & (product_no < len(columns))
        properties = np.where(known[..., None], columns[np.minimum(product_no, len(columns) - 1)], 0)
        before = np.where(rows > self.first[pages][:, None], rows - 1, rows)
        gaps = np.log1p((self.sorted.ts_ms[rows] - self.sorted.ts_ms[before]) / 1000.0)
        return Sequences(
            properties.astype(np.int32),
            np.where(real, self.sorted.kind[rows], 0).astype(np.int32),
            np.where(real, gaps, 0).astype(np.float32),
        )

    def items(self, pages: Array) -> Items:
        indptr = self.log.pages.indptr
        lengths = indptr[pages + 1] - indptr[pages]
        steps = np.arange(max(1, int(lengths.max(initial=0))))
        return Items(np.where(steps < lengths[:, None], indptr[pages][:, None] + steps, -1))

    def examination(self) -> Array:
        """float64[positions + 1] by position, from the randomised pages before the hold-out (see offline.popularity.examination)."""
        pages = self.log.pages
        used = np.repeat(pages.randomised & (self.part < 2), np.diff(pages.indptr))
        known = examination(pages.position[used], self.grade[used] > 0)
        return known[np.minimum(np.arange(int(pages.position.max(initial=0)) + 1), len(known) - 1)]


def dataset(log: Log) -> Dataset:
    order = np.lexsort((log.behaviours.ts_ms, log.behaviours.user))
    by_user = Behaviours(*(getattr(log.behaviours, name)[order] for name in Behaviours.__slots__))
    first, last = _histories(log, by_user)
    return Dataset(log, grades(log), parts(log.pages.ts_ms), by_user, first, last)


def grades(log: Log) -> Array:
    """int8[N] per shown item: the highest kind of behaviour (KIND_IDS, from click on) that names its query and product; 0 none."""
    behaviours, pages = log.behaviours, log.pages
    counted = (behaviours.kind >= KIND_IDS["click"]) & (behaviours.query >= 0)
    keys, group = np.unique(item_keys(behaviours.query[counted], behaviours.product_no[counted]), return_inverse=True)
    best = np.zeros(len(keys) + 1, np.int8)
    np.maximum.at(best, group, behaviours.kind[counted].astype(np.int8))
    shown = item_keys(np.repeat(pages.query, np.diff(pages.indptr)), pages.product_no)
    place = np.searchsorted(keys, shown)
    found = np.zeros(len(shown), bool)
    inside = place < len(keys)
    found[inside] = keys[place[inside]] == shown[inside]
    return np.where(found, best[np.minimum(place, len(keys))], 0).astype(np.int8)


def parts(ts_ms: Array) -> Array:
    """int8[n]: 0, 1 or 2, so that every page of a part was served before every page of the next (equal times stay together)."""
    if not len(ts_ms):
        return np.zeros(0, np.int8)
    ordered = np.sort(ts_ms)
    bounds = ordered[[int(share * len(ordered)) for share in SPLIT]]
    return np.searchsorted(bounds, ts_ms, side="right").astype(np.int8)


def _histories(log: Log, by_user: Behaviours) -> tuple[Array, Array]:
    """first, last int64[n] into the behaviours sorted by user and time: those of the page's user with a time before the page's."""
    pages = log.pages
    origin = min(pages.ts_ms.min(initial=2**62), by_user.ts_ms.min(initial=2**62))
    span = max(pages.ts_ms.max(initial=0), by_user.ts_ms.max(initial=0)) - origin + 2
    keys = by_user.user.astype(np.int64) * span + (by_user.ts_ms - origin)
    users = pages.user.astype(np.int64)
    last = np.searchsorted(keys, users * span + (pages.ts_ms - origin), side="left")
    first = np.searchsorted(keys, users * span, side="left")
    return np.where(users >= 0, first, 0), np.where(users >= 0, last, 0)


def vocabulary(data: Dataset, property_ids: Array, property_values: list[str]) -> list[str]:
    """The property values that the first part shows at least MIN_SEEN times (the MAX_VALUES most shown), grouped by property.

    property_ids int32[size, P] and property_values as in `services.forward.ForwardIndex`; value 0 is UNKNOWN.
    """
    pages = data.log.pages
    shown = pages.product_no[np.repeat(data.part == 0, np.diff(pages.indptr))]
    ids = property_ids[shown[shown < len(property_ids)]]
    counts = np.bincount(ids[ids >= 0], minlength=len(property_values))
    best = np.argsort(-counts, kind="stable")[:MAX_VALUES]
    kept = [property_values[value] for value in best if counts[value] >= MIN_SEEN]
    return [UNKNOWN, *sorted(kept, key=lambda value: value.partition(":")[0])]


def groups(values: list[str]) -> list[tuple[int, int]]:
    """First and last + 1 value of each property in a vocabulary that is grouped by property."""
    names = [value.partition(":")[0] for value in values]
    starts = [row for row in range(1, len(names)) if names[row] != names[row - 1]]
    return list(zip(starts, [*starts[1:], len(names)], strict=False))  # without values there are no starts: no pairs
