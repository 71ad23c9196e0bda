"""How a forward index (`services.forward`) is made from a catalogue: texts become postings, products become columns."""

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.catalogue import COLOR, TIERS, Catalogue, Categories, Product, price_levels, searched_text
from services.forward import ASKED, POPULARITY, PROPERTIES, TITLE, Floats, ForwardIndex, Rows, averages_of, clean_popularity
from services.shop import ShopInfo
from services.text import fold, index_terms, query_terms

_LEAST_POPULAR = len(TIERS) - 1


def build_index(catalogue: Catalogue, info: ShopInfo) -> ForwardIndex:
    """See `services.forward.build`."""
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
    popularity, tier = _popularity(catalogue, present)
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
        averages=averages_of(popularity, columns["price_cents"], present),
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


def _popularity(catalogue: Catalogue, present: npt.NDArray[np.bool_]) -> tuple[Floats, npt.NDArray[np.uint8]]:
    size = len(present)
    popularity, tier = np.zeros((size, len(POPULARITY)), np.float32), np.full(size, _LEAST_POPULAR, np.uint8)
    if (table := catalogue.popularity) is not None:
        numbers = table["product_no"].to_numpy().astype(np.intp)
        kept = numbers < size  # popularity may still know products that the catalogue has lost
        for column, name in enumerate(POPULARITY):
            popularity[numbers[kept], column] = table[name].to_numpy()[kept]
        tier[numbers[kept]] = table["tier"].to_numpy()[kept]
    return clean_popularity(popularity, present), tier


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
