"""Tiers in Tantivy: embedded, one index folder per tier, read through memory maps."""

import os
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import tantivy
from tantivy import FieldType, Occur

from searcher.index.aggregations import BRAND_NAME, MAX_VALUES, VALUE, aggregation, counted
from searcher.index.port import Buckets, Counts, Hits, TierDocument, TierUnavailable, Values
from searcher.query import (
    ATTRIBUTE,
    BRAND,
    CATEGORY,
    CREATED,
    POPULARITY,
    PRICE,
    TEXT,
    TIER,
    Best,
    Bool,
    Constant,
    Everything,
    OneOf,
    Order,
    Query,
    Range,
    Term,
    keyword,
)
from services.text import fold

_ENGINE_ERRORS = (ValueError, OSError, RuntimeError)
_PRODUCT_NO = "product_no"
_MARK = "="
"""Stands before every attribute value, or the engine would take those that look like dates for dates."""


@cache
def schema() -> tantivy.Schema:
    """The fields of searcher/query.py, and the fast ones that are only read: product_no, display values for facets."""
    builder = tantivy.SchemaBuilder()
    builder.add_text_field(TEXT, tokenizer_name="whitespace", index_option="freq")
    for name in (BRAND, ATTRIBUTE):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in (CATEGORY, PRICE, TIER):
        builder.add_integer_field(name, indexed=True, fast=True)
    for name in (CREATED, _PRODUCT_NO):
        builder.add_integer_field(name, fast=True)
    builder.add_float_field(POPULARITY, fast=True)
    builder.add_text_field(BRAND_NAME, tokenizer_name="raw", index_option="basic", fast=True)
    builder.add_json_field(VALUE, tokenizer_name="raw", index_option="basic", fast=True)
    return builder.build()


class TantivyTier:
    """One tier, opened for reading; its methods may be called from several threads."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        try:
            index = tantivy.Index.open(str(folder))
            index.config_reader("manual", 0)  # a generation never changes: no thread that watches its folder
            self._searcher: tantivy.Searcher | None = index.searcher()
        except _ENGINE_ERRORS as error:
            raise TierUnavailable(f"tier {name} cannot be opened in {folder}: {error}") from error
        self._numbers, self._starts = _product_numbers(self._searcher, folder)

    def search(self, query: Query, wanted: int, *, order: Order | None = None, count: bool = False) -> Hits:
        searcher = self._open()
        try:
            translated = translated_once(query)
            if order is None:
                result = searcher.search(translated, wanted, count=count)
            else:
                direction = tantivy.Order.Desc if order.descending else tantivy.Order.Asc
                result = searcher.search(translated, wanted, count=count, order_by_field=order.field, order=direction)
            hits = result.hits
        except _ENGINE_ERRORS as error:
            raise TierUnavailable(f"tier {self.name}: {error}") from error
        total = result.count if count else None  # type: ignore[attr-defined]  # its stubs forget it
        if not hits:
            return Hits(np.empty(0, np.uint32), np.empty(0, np.float64), total)
        keys, addresses = zip(*hits, strict=True)
        return self._ordered(Hits(self._numbers[self._rows(addresses)], np.array(keys, np.float64), total), order)

    def facets(self, query: Query, wanted: Sequence[Values | Buckets]) -> Counts:
        searcher = self._open()
        asked = {"total": {"value_count": {"field": _PRODUCT_NO}}} | {
            str(i): aggregation(w, segment_size=MAX_VALUES) for i, w in enumerate(wanted)
        }
        try:
            answer = searcher.aggregate(translated_once(query), asked)
        except _ENGINE_ERRORS as error:
            raise TierUnavailable(f"tier {self.name}: {error}") from error
        return Counts(int(answer["total"]["value"]), [_counted(w, answer[str(i)]["buckets"]) for i, w in enumerate(wanted)])

    def ping(self) -> int:
        return int(self._open().num_docs)

    def close(self) -> None:
        self._searcher = None

    def _rows(self, addresses: Sequence[tantivy.DocAddress]) -> npt.NDArray[np.int64]:
        documents = np.array([address.doc for address in addresses], np.int64)
        if len(self._starts) == 1:
            return documents
        return documents + self._starts[[address.segment_ord for address in addresses]]

    def _ordered(self, hits: Hits, order: Order | None) -> Hits:
        """One segment keeps ties in the order of product_no; of several, which products of the last tie come along is left to the engine."""
        if len(self._starts) == 1:
            return hits
        rows = np.lexsort((hits.product_no, hits.key if order and not order.descending else -hits.key))
        return Hits(hits.product_no[rows], hits.key[rows], hits.total)

    def _open(self) -> tantivy.Searcher:
        if self._searcher is None:
            raise TierUnavailable(f"tier {self.name} is closed")
        return self._searcher


def _product_numbers(searcher: tantivy.Searcher, folder: Path) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """product_no of every document, segment by segment, and where each segment starts: asking the engine for them costs more than the search."""
    sizes = [int(segment["max_doc"]) for segment in msgspec.json.decode((folder / "meta.json").read_bytes())["segments"]]
    columns = [
        np.array(searcher.fast_field_values(_PRODUCT_NO, [tantivy.DocAddress(segment, doc) for doc in range(size)]), np.uint32)
        for segment, size in enumerate(sizes)
    ]
    return np.concatenate([np.empty(0, np.uint32), *columns]), np.cumsum([0, *sizes[:-1]])


@lru_cache(maxsize=4096)
def translated_once(query: Query) -> tantivy.Query:
    """The translation, remembered: the tiers share one schema, so one request asks for the same several times, and so do popular queries."""
    return translate(schema(), query)


def translate(schema: tantivy.Schema, query: Query) -> tantivy.Query:
    """The query as Tantivy objects: nothing is ever parsed, so syntax characters are just characters."""
    if isinstance(query, Term):
        return _boosted(tantivy.Query.term_query(schema, TEXT, query.value, "freq"), query.boost)
    if isinstance(query, Bool):
        return _bool(schema, query)
    if isinstance(query, Best):
        return tantivy.Query.disjunction_max_query([translate(schema, q) for q in query.of])
    if isinstance(query, Constant):
        return tantivy.Query.const_score_query(translate(schema, query.query), query.score)
    if isinstance(query, OneOf):
        if len(query.values) == 1:
            return _unscored(tantivy.Query.term_query(schema, query.field, query.values[0], "basic"))
        return _unscored(tantivy.Query.term_set_query(schema, query.field, list(query.values)))
    if isinstance(query, Range):
        if query.min is None and query.max is None:
            return _unscored(tantivy.Query.all_query())
        return _unscored(tantivy.Query.range_query(schema, query.field, FieldType.Integer, query.min, query.max))
    assert isinstance(query, Everything)
    return _unscored(tantivy.Query.all_query())


def _bool(schema: tantivy.Schema, query: Bool) -> tantivy.Query:
    clauses = [(Occur.Must, translate(schema, q)) for q in query.must]
    clauses += [(Occur.Must, _unscored(translate(schema, q))) for q in query.filter]
    clauses += [(Occur.Should, translate(schema, q)) for q in query.should]
    clauses += [(Occur.MustNot, translate(schema, q)) for q in query.must_not]
    if len(clauses) == len(query.must_not):
        clauses.append((Occur.Must, _unscored(tantivy.Query.all_query())))
    if len(clauses) == 1 and query.minimum <= 1:
        return _boosted(clauses[0][1], query.boost)  # bare, so that the engine may skip what cannot reach the top
    return _boosted(tantivy.Query.boolean_query(clauses, query.minimum or None), query.boost)


def _unscored(query: tantivy.Query) -> tantivy.Query:
    return tantivy.Query.const_score_query(query, 0.0)


def _boosted(query: tantivy.Query, boost: float) -> tantivy.Query:
    return query if boost == 1.0 else tantivy.Query.boost_query(query, boost)


def _counted(wanted: Values | Buckets, buckets: Iterable[dict[str, Any]]) -> dict[str, int]:
    counts = counted(buckets)
    if isinstance(wanted, Buckets):
        return {key: n for key, n in counts.items() if key.isdecimal()}  # the engine adds a bucket below the first edge
    if wanted.field.startswith(ATTRIBUTE):
        return {key.removeprefix(_MARK): n for key, n in counts.items()}
    return counts


class TantivyWriter:
    """Writes one tier; products must come in ascending product_no (ties of a sort are kept in that order)."""

    def __init__(self, folder: Path, *, memory_bytes: int) -> None:
        folder.mkdir(parents=True)
        self._schema = schema()
        self._index = tantivy.Index(self._schema, path=os.fspath(folder), reuse=False)
        self._writer = self._index.writer(memory_bytes, 1)  # one thread: one segment, or few, and the order kept

    def add(self, product: TierDocument) -> None:
        document = tantivy.Document()
        document.add_text(TEXT, product.text)
        document.add_integer(_PRODUCT_NO, product.product_no)
        document.add_integer(PRICE, product.price_cents)
        document.add_integer(CREATED, product.created_ms)
        document.add_integer(TIER, product.tier)
        document.add_float(POPULARITY, product.popularity)
        for category_id in product.category_ids:
            document.add_integer(CATEGORY, category_id)
        if product.brand:
            document.add_text(BRAND, fold(product.brand))
            document.add_text(BRAND_NAME, product.brand)
        for value in product.attributes:
            document.add_text(ATTRIBUTE, keyword(value.name, value.value))
        document.add_json(VALUE, {f"a{v.number}": _MARK + v.value for v in product.attributes})
        self._writer.add_document(document)

    def flush(self) -> None:
        """End a segment."""
        self._writer.commit()

    def finish(self) -> None:
        self.flush()
        self._writer.wait_merging_threads()
