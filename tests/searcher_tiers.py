"""Tiers in memory: the neutral query tree by its own words, slow and plain. Held to the same contract as the real engines."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from searcher.build import members
from searcher.index.port import AttributeValue, Buckets, Counts, Hits, TierDocument, TierUnavailable, Values
from searcher.query import ATTRIBUTE, BRAND, CATEGORY, Best, Bool, Constant, OneOf, Order, Query, Range, Term, keyword
from services.artifacts import Versions
from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA, POPULARITY_SCHEMA, TIERS
from services.shop import Shop, ShopInfo
from services.text import fold

K1, B = 1.2, 0.75


class MemoryTier:
    """A TierIndex over a list of products."""

    def __init__(self, name: str, documents: Sequence[TierDocument]) -> None:
        self.name = name
        self._documents = sorted(documents, key=lambda d: d.product_no)
        self._terms = {d.product_no: Counter(d.text.split()) for d in documents}
        self._holding = Counter(term for counts in self._terms.values() for term in counts)
        self._average = sum(sum(t.values()) for t in self._terms.values()) / max(1, len(documents))
        self._open = True

    def search(self, query: Query, wanted: int, *, order: Order | None = None, count: bool = False) -> Hits:
        found = self._matching(query)
        if order is not None:
            found = [(float(getattr(d, order.field)), d) for _, d in found]
        best = sorted(found, key=lambda f: (f[0] if order and not order.descending else -f[0], f[1].product_no))[:wanted]
        numbers = np.array([d.product_no for _, d in best], np.uint32)
        return Hits(numbers, np.array([key for key, _ in best], np.float64), len(found) if count else None)

    def facets(self, query: Query, wanted: Sequence[Values | Buckets]) -> Counts:
        documents = [d for _, d in self._matching(query)]
        return Counts(len(documents), [dict(Counter(v for d in documents for v in _facet_values(w, d))) for w in wanted])

    def ping(self) -> int:
        self._matching(Bool())
        return len(self._documents)

    def close(self) -> None:
        self._open = False

    def _matching(self, query: Query) -> list[tuple[float, TierDocument]]:
        if not self._open:
            raise TierUnavailable(f"tier {self.name} is closed")
        scored = [(self._score(query, d), d) for d in self._documents]
        return [(score, d) for score, d in scored if score is not None]

    def _score(self, query: Query, document: TierDocument) -> float | None:
        """None: does not match."""
        if isinstance(query, Term):
            return self._bm25(query, document)
        if isinstance(query, Bool):
            return self._bool(query, document)
        if isinstance(query, Best):
            return max((s for q in query.of if (s := self._score(q, document)) is not None), default=None)
        if isinstance(query, Constant):
            return None if self._score(query.query, document) is None else query.score
        if isinstance(query, OneOf):
            return 0.0 if set(query.values) & set(_values(query.field, document)) else None
        if isinstance(query, Range):
            value = getattr(document, query.field)
            low, high = -math.inf if query.min is None else query.min, math.inf if query.max is None else query.max
            return 0.0 if low <= value <= high else None
        return 0.0

    def _bool(self, query: Bool, document: TierDocument) -> float | None:
        must = [self._score(q, document) for q in query.must]
        conditions = [self._score(q, document) for q in query.filter]
        should = [s for q in query.should if (s := self._score(q, document)) is not None]
        minimum = max(query.minimum, 1 if query.should and not query.must and not query.filter and not query.must_not else 0)
        excluded = any(self._score(q, document) is not None for q in query.must_not)
        if None in must or None in conditions or len(should) < minimum or excluded:
            return None
        return query.boost * (sum(s for s in must if s is not None) + sum(should))

    def _bm25(self, term: Term, document: TierDocument) -> float | None:
        terms = self._terms[document.product_no]
        frequency, length = terms[term.value], sum(terms.values())
        if not frequency:
            return None
        holding = self._holding[term.value]
        idf = math.log(1 + (len(self._documents) - holding + 0.5) / (holding + 0.5))
        return term.boost * idf * frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * length / self._average))


class FaultyTier(MemoryTier):
    """A tier that fails whenever `fails` says so."""

    def __init__(self, name: str, documents: Sequence[TierDocument], fails: Callable[[], bool] = lambda: True) -> None:
        super().__init__(name, documents)
        self._fails = fails

    def _matching(self, query: Query) -> list[tuple[float, TierDocument]]:
        if self._fails():
            raise TierUnavailable(f"tier {self.name} was told to fail")
        return super()._matching(query)


def _values(field: str, document: TierDocument) -> list[str] | list[int]:
    if field == CATEGORY:
        return document.category_ids
    if field == BRAND:
        return [fold(document.brand)] if document.brand else []
    if field == ATTRIBUTE:
        return [keyword(a.name, a.value) for a in document.attributes]
    return [int(getattr(document, field))]


def _facet_values(wanted: Values | Buckets, document: TierDocument) -> list[str]:
    if isinstance(wanted, Buckets):
        return [str(sum(edge <= getattr(document, wanted.field) for edge in wanted.edges) - 1)]
    if wanted.field.startswith(f"{ATTRIBUTE}."):
        return [a.value for a in document.attributes if wanted.field == f"{ATTRIBUTE}.a{a.number}"]
    if wanted.field == BRAND:
        return [document.brand] if document.brand else []
    return [str(value) for value in _values(wanted.field, document)]


COLORS = ("Red", "Blue", "Sky-Blue", "2024-01-05T00:00:00Z")


def document(product_no: int, text: str, **columns: object) -> TierDocument:
    """A product with plain values where none are given."""
    plain: dict[str, object] = {
        "brand": "Acme",
        "category_ids": [1, 10],
        "price_cents": 1000,
        "created_ms": product_no,
        "popularity": 1.0,
        "tier": 0,
        "attributes": [AttributeValue(0, "color", COLORS[product_no % len(COLORS)])],
    }
    return TierDocument(product_no, text, **{**plain, **columns})  # type: ignore[arg-type]  # a test's columns


def tiers(documents: Sequence[TierDocument], *, nested: bool = True) -> list[MemoryTier]:
    """The three tiers in memory, each product where its own tier says."""
    return [MemoryTier(name, [d for d in documents if name in members(d.tier, nested)]) for name in TIERS]


def write_generation(
    shop: Shop, products: Sequence[dict[str, object]], tier: Sequence[int], categories: Sequence[tuple[int, str, int]] = ()
) -> Path:
    """Catalogue, categories and popularity of a new generation; its builders and manifest are the caller's."""
    shop.write_info(ShopInfo(name=shop.name))
    _, folder = Versions(shop.generations).begin()
    plain = {"brand": "", "category_id": -1, "description": "", "price_cents": 1000, "image_link": "", "created_ms": 0, "attributes": {}}
    rows = [{"product_no": n, "product_id": f"p{n}", **plain, **product} for n, product in enumerate(products)]
    rows = [{**row, "attributes": list(dict(row["attributes"]).items())} for row in rows]  # type: ignore[call-overload]
    pq.write_table(pa.Table.from_pylist(rows, schema=CATALOGUE_SCHEMA), folder / "catalogue.parquet")
    names = [dict(zip(CATEGORIES_SCHEMA.names, category, strict=True)) for category in categories]
    pq.write_table(pa.Table.from_pylist(names, schema=CATEGORIES_SCHEMA), folder / "categories.parquet")
    popularity = [
        {"product_no": n, "impressions": 0.0, "clicks": 0.0, "carts": 0.0, "purchases": 0.0, "score": 1.0 / (n + 1), "tier": t}
        for n, t in enumerate(tier)
    ]
    pq.write_table(pa.Table.from_pylist(popularity, schema=POPULARITY_SCHEMA), folder / "popularity.parquet")
    return folder
