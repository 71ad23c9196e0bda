"""The forward index: what is known about every product of a generation as memory-mapped columns, row = product_no.

Ranking reads rows of it (`services.features`); `GlobalBm25`, the baseline, searches it as one index over the catalogue. Terms are
kept by term, not by product: to look up a query's few terms in 200 candidates by bisection costs less than to read 200 texts.
Lengths and frequencies are those of an engine that indexes `services.text.index_terms` of the parts of `catalogue.searched_text`
as one field; lengths are exact, where Lucene and Tantivy round them to one byte.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from services.catalogue import Catalogue
from services.contracts import Category, Term
from services.shop import ShopInfo

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]

K1, B = 1.2, 0.75
SYNONYM = 0.7
"""A synonym scores this much of what it would score as a term; a phrase synonym this much of the mean of its terms, all of which must occur."""
CATEGORY_BOOST = 2.0
"""A predicted category adds this, times its probability, to the score of a match below it."""

PARTS = ("title", "brand", "category", "attributes", "description")
TITLE, BRAND, CATEGORY, ATTRIBUTES, DESCRIPTION = (1 << i for i in range(len(PARTS)))
ASKED = 1 << len(PARTS)
"""Bit of `fields`: a term that the title, typed as a query, asks for (no stop word, no part of a compound)."""

PROPERTIES = ("category", "brand", "price_level", "color")
POPULARITY = ("impressions", "clicks", "carts", "purchases", "score")


class Averages(msgspec.Struct, frozen=True):
    """Catalogue-wide statistics of popularity and price that features are relative to."""

    impressions: float
    clicks: float
    carts: float
    purchases: float
    score: float  # mean of its absolute value
    log_price: float


@dataclass(frozen=True, eq=False)
class ForwardIndex:
    """n = `size` rows, T distinct terms, E postings (term, product), C categories. Product numbers that do not exist are not `present`."""

    present: npt.NDArray[np.bool_]  # [n]
    price_cents: npt.NDArray[np.int64]  # [n]
    price_level: npt.NDArray[np.uint8]  # [n]
    category_id: npt.NDArray[np.int32]  # [n], leaf; -1 none
    created_ms: npt.NDArray[np.int64]  # [n]
    tier: npt.NDArray[np.uint8]  # [n]
    popularity: Floats  # [n, len(POPULARITY)]
    property_ids: npt.NDArray[np.int32]  # [n, len(PROPERTIES)], into property_values; -1 missing
    posting_starts: npt.NDArray[np.int64]  # [T + 1]: term t has the postings posting_starts[t]:posting_starts[t + 1], by ascending row
    posting_rows: npt.NDArray[np.uint32]  # [E]
    posting_tf: npt.NDArray[np.uint8]  # [E], at most 255
    posting_fields: npt.NDArray[np.uint8]  # [E], bits of PARTS and ASKED
    doc_len: Floats  # [n], terms with repetition
    title_len: Floats  # [n], terms of the title with repetition
    title_asked: npt.NDArray[np.uint8]  # [n], distinct terms with the bit ASKED, at most 255
    category_row: npt.NDArray[np.int32]  # [n], row of category_lines; the last one is "none"
    category_ids: npt.NDArray[np.int32]  # [C], ascending
    category_lines: npt.NDArray[np.int32]  # [C + 1, depth], ids from the department down, filled up with -1
    property_values: list[str]
    vocabulary: dict[str, int]  # term -> term id
    documents: int
    average_length: float
    average_title: float
    averages: Averages

    @property
    def size(self) -> int:
        return len(self.present)

    def ancestors(self, category_id: int) -> list[int]:
        """Ids from the department down to the category itself; [] for an unknown one."""
        row = int(np.searchsorted(self.category_ids, category_id))
        if row == len(self.category_ids) or self.category_ids[row] != category_id:
            return []
        return [int(c) for c in self.category_lines[row] if c >= 0]

    @property
    def df(self) -> npt.NDArray[np.int64]:
        """int64[T]: products that have each term."""
        return np.diff(self.posting_starts)

    @cached_property
    def idf(self) -> Floats:
        """float32[T + 1]: inverse document frequency as in Lucene and Tantivy, always positive; the last one is that of an unknown term."""
        df = np.append(self.df, 0).astype(np.float64)
        return np.log1p((self.documents - df + 0.5) / (df + 0.5)).astype(np.float32)


def with_popularity(index: ForwardIndex, popularity: Floats, tier: npt.NDArray[np.uint8] | None = None) -> ForwardIndex:
    """The same catalogue at another time: popularity float32[size, 5] in the order of POPULARITY; arrays are shared, tiers kept unless given."""
    clean = clean_popularity(popularity, index.present)
    return replace(
        index, popularity=clean, tier=index.tier if tier is None else tier, averages=averages_of(clean, index.price_cents, index.present)
    )


def category_probability(index: ForwardIndex, categories: Sequence[Category], rows: npt.NDArray[Any]) -> Floats:
    """float32[len(rows)]: for each product the probabilities of the predicted categories that are its leaf or above it, summed."""
    lines = index.category_lines[index.category_row[rows]]
    real = [category for category in categories if category.id >= 0]  # -1 only fills up the lines
    probabilities = np.array([min(max(0.0, category.probability), 1.0) for category in real], np.float32)
    ids = np.array([category.id for category in real], np.int32)
    return np.asarray((lines[:, :, None] == ids).sum(axis=1) @ probabilities, np.float32)


def build(catalogue: Catalogue, info: ShopInfo) -> ForwardIndex:
    """The forward index of a catalogue; without `popularity.parquet` every product is in the least popular tier."""
    from services.forward_build import build_index  # the builder knows this module; what only reads an index does without it

    return build_index(catalogue, info)


def clean_popularity(popularity: Floats, present: npt.NDArray[np.bool_]) -> Floats:
    """A copy in which counts are not negative, everything is finite, and products that do not exist have none."""
    clean: Floats = np.nan_to_num(np.asarray(popularity, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    np.maximum(clean[:, :4], 0.0, out=clean[:, :4])
    clean[~present] = 0.0
    return clean


def averages_of(popularity: Floats, price_cents: npt.NDArray[np.int64], present: npt.NDArray[np.bool_]) -> Averages:
    if not present.any():
        return Averages(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    means = np.abs(popularity[present]).mean(axis=0, dtype=np.float64)
    return Averages(
        **dict(zip(POPULARITY, means.tolist(), strict=True)), log_price=float(np.log1p(np.maximum(price_cents[present], 0)).mean())
    )


# ---- files ---------------------------------------------------------------------------------------------------------------------


class _Meta(msgspec.Struct, frozen=True):
    property_values: list[str]
    terms: list[str]
    documents: int
    average_length: float
    average_title: float
    averages: Averages


_ARRAYS = tuple(f.name for f in fields(ForwardIndex) if f.name not in {*_Meta.__struct_fields__, "vocabulary"})


def save(index: ForwardIndex, folder: Path) -> None:
    """One `.npy` per column and `meta.json`, in a folder that exists."""
    for name in _ARRAYS:
        np.save(folder / f"{name}.npy", getattr(index, name))
    shared = {name: getattr(index, name) for name in _Meta.__struct_fields__ if name != "terms"}
    (folder / "meta.json").write_bytes(msgspec.json.encode(_Meta(terms=list(index.vocabulary), **shared)))


def load(folder: Path) -> ForwardIndex:
    """Memory-mapped; vocabulary and property values are read. Raises FileNotFoundError for a folder without an index."""
    meta = msgspec.json.decode((folder / "meta.json").read_bytes(), type=_Meta)
    # asarray drops the memmap subclass (its bookkeeping costs a microsecond an operation) and keeps the mapping.
    arrays: dict[str, Any] = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in _ARRAYS}
    shared = {name: getattr(meta, name) for name in _Meta.__struct_fields__ if name != "terms"}
    return ForwardIndex(**arrays, **shared, vocabulary={term: i for i, term in enumerate(meta.terms)})


# ---- the catalogue as one index -------------------------------------------------------------------------------------------------


class GlobalBm25:
    """BM25 (k1 1.2, b 0.75; Robertson and Zaragoza 2009, idf as in Lucene) over the catalogue as one index: any term matches."""

    def __init__(self, index: ForwardIndex) -> None:
        self._index = index
        tf = index.posting_tf.astype(np.float32)
        norm = (K1 * (1 - B + B * index.doc_len / index.average_length)).astype(np.float32)
        weight = np.repeat(index.idf[:-1] * np.float32(K1 + 1), index.df)
        self._impacts: Floats = weight * tf / (tf + norm[index.posting_rows])

    def search(
        self, terms: list[Term], k: int, *, categories: Sequence[Category] = (), mask: npt.NDArray[np.bool_] | None = None
    ) -> tuple[npt.NDArray[np.uint32], Floats]:
        """The k best products, best first (ties: lower product_no first), and their scores: uint32[<= k], float32[<= k].

        A term scores the best of itself and its synonyms. Predicted categories boost matches by CATEGORY_BOOST x probability;
        `mask` bool[size] restricts. No terms match nothing.
        """
        scores, new = np.zeros(self._index.size, np.float32), [np.zeros(0, np.intp)]
        for term in terms:
            documents, gains = self._scored(term)
            rows = documents.astype(np.intp)  # what NumPy indexes by: converted once, not at each use
            before = scores.take(rows)
            new.append(rows[before == 0] if len(new) > 1 else rows)
            scores[rows] = before + gains
        matched = np.concatenate(new)
        if mask is not None:
            matched = matched[mask[matched]]
        found = scores.take(matched)
        if categories:
            found += np.float32(CATEGORY_BOOST) * category_probability(self._index, categories, matched)
        if len(matched) > k > 0:
            kept = np.flatnonzero(found >= np.partition(found, len(found) - k)[len(found) - k])
            matched, found = matched[kept], found[kept]
        best = np.lexsort((matched, -found))[:k]
        return matched[best].astype(np.uint32), found[best]

    def _scored(self, term: Term) -> tuple[npt.NDArray[np.uint32], Floats]:
        """Products that a term or one of its synonyms matches, each once, and what it adds to their scores (always more than 0)."""
        own = self.posting(term.text)
        found = [own] if own is not None else []
        for phrase in term.synonyms:
            if (stand_in := self._phrase(phrase)) is not None:
                found.append((stand_in[0], np.float32(SYNONYM) * stand_in[1]))
        if len(found) == 1:
            return found[0]
        rows = np.unique(np.concatenate([np.zeros(0, np.uint32), *(documents for documents, _ in found)]))
        gains = np.zeros(len(rows), np.float32)
        for documents, impacts in found:
            at = rows.searchsorted(documents)
            gains[at] = np.maximum(gains[at], impacts)
        return rows, gains

    def _phrase(self, phrase: list[str]) -> tuple[npt.NDArray[np.uint32], Floats] | None:
        postings = [self.posting(text) for text in phrase]
        known = [p for p in postings if p is not None]
        if not known or len(known) < len(postings):
            return None
        documents, impacts = known[0]
        for others, more in known[1:]:
            documents, left, right = np.intersect1d(documents, others, assume_unique=True, return_indices=True)
            impacts = impacts[left] + more[right]
        return documents, impacts / np.float32(len(known))

    def posting(self, text: str) -> tuple[npt.NDArray[np.uint32], Floats] | None:
        """Products with this term, ascending, and what it scores in each; None for a term that no product has."""
        if (term := self._index.vocabulary.get(text)) is None:
            return None
        span = slice(int(self._index.posting_starts[term]), int(self._index.posting_starts[term + 1]))
        return self._index.posting_rows[span], self._impacts[span]
