"""The forward index: what is known about every product of a generation as memory-mapped columns, row = product_no.

Ranking reads rows of it (`services.features`); `GlobalBm25`, the baseline, searches it as one index over the catalogue. Terms are
kept by term, not by product: to look up a query's few terms in 200 candidates by bisection costs less than to read 200 texts.
Lengths and frequencies are those of an engine that indexes `services.text.index_terms` of the parts of `catalogue.searched_text`
as one field; lengths are exact, where Lucene and Tantivy round them to one byte.
"""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from services.catalogue import COLOR, TIERS, Catalogue, Categories, Product, price_levels, searched_text
from services.contracts import Category, Term
from services.shop import ShopInfo
from services.text import fold, index_terms, query_terms

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
_LEAST_POPULAR = len(TIERS) - 1


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
    clean = _clean_popularity(popularity)
    return replace(
        index, popularity=clean, tier=index.tier if tier is None else tier, averages=_averages(clean, index.price_cents, index.present)
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


# ---- building ------------------------------------------------------------------------------------------------------------------


def build(catalogue: Catalogue, info: ShopInfo) -> ForwardIndex:
    """The forward index of a catalogue; without `popularity.parquet` every product is in the least popular tier."""
    table = catalogue.table
    numbers = table["product_no"].to_numpy().astype(np.intp)
    size = int(numbers.max()) + 1 if len(numbers) else 0
    category_ids, lines = _category_lines(catalogue.categories)
    columns = {
        name: _scattered(size, numbers, table[name].to_numpy(), fill)
        for name, fill in (("price_cents", 0), ("category_id", -1), ("created_ms", 0))
    }
    present = _scattered(size, numbers, np.ones(len(numbers), np.bool_), False)
    levels = price_levels(table["price_cents"].to_numpy(), table["category_id"].to_numpy())
    popularity, tier = _popularity(catalogue, size)
    texts = _Texts(catalogue, info)
    postings = _Postings.of(texts.batches(), size, texts.vocabulary)
    documents = len(numbers)
    return ForwardIndex(
        present=present,
        price_cents=columns["price_cents"],
        price_level=_scattered(size, numbers, levels, 0),
        category_id=columns["category_id"],
        created_ms=columns["created_ms"],
        tier=tier,
        popularity=popularity,
        property_ids=_scattered(size, numbers, texts.property_ids(levels), -1),
        **postings._asdict(),
        category_row=_category_rows(category_ids, columns["category_id"]),
        category_ids=category_ids,
        category_lines=lines,
        property_values=list(texts.values),
        vocabulary=texts.vocabulary,
        documents=documents,
        average_length=float(postings.doc_len.sum()) / max(1, documents) or 1.0,
        average_title=float(postings.title_len.sum()) / max(1, documents) or 1.0,
        averages=_averages(popularity, columns["price_cents"], present),
    )


def _scattered(size: int, numbers: Rows, values: npt.NDArray[Any], fill: Any) -> npt.NDArray[Any]:
    column = np.full((size, *values.shape[1:]), fill, values.dtype)
    column[numbers] = values
    return column


def _category_lines(categories: Categories) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    ids = np.array(sorted(categories), np.int32)
    paths = [categories.ancestors(int(c)) for c in ids]
    lines = np.full((len(ids) + 1, max(map(len, paths), default=1)), -1, np.int32)
    for row, path in enumerate(paths):
        lines[row, : len(path)] = path
    return ids, lines


def _category_rows(category_ids: npt.NDArray[np.int32], wanted: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    rows = np.searchsorted(category_ids, wanted)
    known = np.append(category_ids, -1)[rows] == wanted
    return np.where(known & (wanted >= 0), rows, len(category_ids)).astype(np.int32)


def _popularity(catalogue: Catalogue, size: int) -> tuple[Floats, npt.NDArray[np.uint8]]:
    popularity, tier = np.zeros((size, len(POPULARITY)), np.float32), np.full(size, _LEAST_POPULAR, np.uint8)
    if (table := catalogue.popularity) is not None:
        numbers = table["product_no"].to_numpy().astype(np.intp)
        kept = numbers < size  # popularity may still know products that the catalogue has lost
        for column, name in enumerate(POPULARITY):
            popularity[numbers[kept], column] = table[name].to_numpy()[kept]
        tier[numbers[kept]] = table["tier"].to_numpy()[kept]
    return _clean_popularity(popularity), tier


def _clean_popularity(popularity: Floats) -> Floats:
    clean: Floats = np.nan_to_num(np.asarray(popularity, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    np.maximum(clean[:, :4], 0.0, out=clean[:, :4])
    return clean


def _averages(popularity: Floats, price_cents: npt.NDArray[np.int64], present: npt.NDArray[np.bool_]) -> Averages:
    if not present.any():
        return Averages(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    means = np.abs(popularity[present]).mean(axis=0, dtype=np.float64)
    return Averages(
        **dict(zip(POPULARITY, means.tolist(), strict=True)), log_price=float(np.log1p(np.maximum(price_cents[present], 0)).mean())
    )


class _Batch(NamedTuple):
    """Terms of some products in product order: `ids` and `bits` per occurrence, the others per product."""

    ids: npt.NDArray[np.uint32]
    bits: npt.NDArray[np.uint8]
    numbers: npt.NDArray[np.uint32]
    lengths: npt.NDArray[np.uint32]
    titles: npt.NDArray[np.uint32]


class _Texts:
    """Terms and property values of the products; numbers both as they come."""

    def __init__(self, catalogue: Catalogue, info: ShopInfo) -> None:
        self.catalogue, self.info = catalogue, info
        self.vocabulary: dict[str, int] = {}
        self.values: dict[str, int] = {}
        self._repeated: dict[str, list[int]] = {}  # brands and category paths recur, titles do not
        self._brands, self._colors = array("i"), array("i")

    def batches(self, products: int = 10_000) -> Iterator[_Batch]:
        everything = self.catalogue.products(products)
        while True:
            ids, bits, numbers, lengths, titles = array("I"), array("B"), array("I"), array("I"), array("I")
            for product in islice(everything, products):
                self._read(product, ids, bits, titles)
                numbers.append(product.product_no)
                lengths.append(len(ids))
            if not numbers:
                return
            ends = np.array(lengths, np.uint32)
            each = np.diff(ends, prepend=np.uint32(0))
            yield _Batch(
                np.array(ids, np.uint32), np.array(bits, np.uint8), np.array(numbers, np.uint32), each, np.array(titles, np.uint32)
            )

    def _read(self, product: Product, ids: "array[int]", bits: "array[int]", titles: "array[int]") -> None:
        asked = set(self._numbered(t.text for t in query_terms(product.title, self.info.language)))
        for i, (part, text) in enumerate(searched_text(product, self.catalogue.categories, self.info.searchable_attributes).items()):
            terms = self._terms(part, text)
            ids.extend(terms)
            if part == "title":
                titles.append(len(terms))
                bits.extend([TITLE | ASKED if t in asked else TITLE for t in terms])
            else:
                bits.extend([1 << i] * len(terms))
        self._brands.append(self._value("brand", product.brand))
        self._colors.append(self._value(COLOR, product.attributes.get(COLOR, "")))

    def _terms(self, part: str, text: str) -> list[int]:
        if part not in ("brand", "category"):
            return self._numbered(index_terms(text, self.info.language))
        if text not in self._repeated:
            self._repeated[text] = self._numbered(index_terms(text, self.info.language))
        return self._repeated[text]

    def _numbered(self, terms: Iterable[str]) -> list[int]:
        vocabulary = self.vocabulary
        return [vocabulary.setdefault(term, len(vocabulary)) for term in terms]

    def _value(self, property_: str, text: str) -> int:
        folded = fold(text).strip()
        return self.values.setdefault(f"{property_}:{folded}", len(self.values)) if folded else -1

    def property_ids(self, levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
        """int32[products, len(PROPERTIES)] in catalogue order; call it after the batches were read."""
        ids = np.full((len(levels), len(PROPERTIES)), -1, np.int32)
        for column, (name, numbers) in enumerate((("category", self.catalogue.table["category_id"].to_numpy()), ("price_level", levels))):
            distinct, inverse = np.unique(numbers, return_inverse=True)
            mapped = [self._value(name, str(value)) if value >= 0 else -1 for value in distinct.tolist()]
            ids[:, column * 2] = np.array(mapped, np.int32)[inverse] if len(mapped) else -1
        ids[:, 1], ids[:, 3] = np.array(self._brands, np.int32), np.array(self._colors, np.int32)
        return ids


class _Postings(NamedTuple):
    """The term columns of the forward index."""

    posting_starts: npt.NDArray[np.int64]
    posting_rows: npt.NDArray[np.uint32]
    posting_tf: npt.NDArray[np.uint8]
    posting_fields: npt.NDArray[np.uint8]
    doc_len: Floats
    title_len: Floats
    title_asked: npt.NDArray[np.uint8]

    @staticmethod
    def of(batches: Iterable[_Batch], size: int, vocabulary: dict[str, int]) -> "_Postings":
        """`vocabulary` is complete only when the batches have been read."""
        doc_len, title_len = np.zeros(size, np.float32), np.zeros(size, np.float32)
        asked = np.zeros(size, np.int64)
        parts = [(np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.uint8), np.zeros(0, np.uint8))]
        for batch in batches:
            doc_len[batch.numbers], title_len[batch.numbers] = batch.lengths, batch.titles
            parts.append(_distinct(batch))
            rows, _, _, bits = parts[-1]
            asked += np.bincount(rows[bits & ASKED > 0], minlength=size)
        rows, terms, tf, bits = (np.concatenate(column) for column in zip(*parts, strict=True))
        by_term = np.argsort(terms, kind="stable")  # rows ascend already
        starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(np.bincount(terms, minlength=len(vocabulary)))))
        return _Postings(starts, rows[by_term], tf[by_term], bits[by_term], doc_len, title_len, np.minimum(asked, 255).astype(np.uint8))


def _distinct(batch: _Batch) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Per distinct (product, term) of the batch: row, term, frequency, bits."""
    keys = np.repeat(batch.numbers.astype(np.uint64), batch.lengths) << np.uint64(32) | batch.ids
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
    frequency = np.diff(np.append(starts, len(keys)))
    bits = np.bitwise_or.reduceat(batch.bits[order], starts) if len(starts) else batch.bits
    distinct = keys[starts]
    return (distinct >> np.uint64(32)).astype(np.uint32), distinct.astype(np.uint32), np.minimum(frequency, 255).astype(np.uint8), bits


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
        self, terms: list[Term], k: int, *, categories: Iterable[Category] = (), mask: npt.NDArray[np.bool_] | None = None
    ) -> tuple[npt.NDArray[np.uint32], Floats]:
        """The k best products, best first (ties: lower product_no first), and their scores: uint32[<= k], float32[<= k].

        A term scores the best of itself and its synonyms. Predicted categories boost matches by CATEGORY_BOOST x probability;
        `mask` bool[size] restricts. No terms match nothing.
        """
        scores = np.zeros(self._index.size, np.float32)
        for term in terms:
            self._add(term, scores)
        matched = np.flatnonzero(scores if mask is None else scores * mask)
        found = scores[matched]
        for category in categories:
            found += np.float32(CATEGORY_BOOST * category.probability) * below(self._index, matched, category.id)
        if len(matched) > k:
            kept = found >= np.partition(found, len(found) - k)[len(found) - k] if k else np.zeros(len(found), np.bool_)
            matched, found = matched[kept], found[kept]
        best = np.argsort(-found, kind="stable")[:k]
        return matched[best].astype(np.uint32), found[best]

    def _add(self, term: Term, scores: Floats) -> None:
        own = self.posting(term.text)
        if not term.synonyms:
            if own is not None:
                scores[own[0]] += own[1]
            return
        best = np.zeros(len(scores), np.float32)
        if own is not None:
            best[own[0]] = own[1]
        for phrase in term.synonyms:
            if (stand_in := self._phrase(phrase)) is not None:
                best[stand_in[0]] = np.maximum(best[stand_in[0]], np.float32(SYNONYM) * stand_in[1])
        scores += best

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


def below(index: ForwardIndex, rows: Rows, category_id: int) -> npt.NDArray[np.bool_]:
    """bool[len(rows)]: whether the category is the product's leaf or above it."""
    return np.asarray((index.category_lines[index.category_row[rows]] == category_id).any(axis=1))
