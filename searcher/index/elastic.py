"""Tiers in Elasticsearch: a cluster for each, one index a generation, one primary shard.

What it costs (DESIGN.md section 8): no `_source`, no stored fields, so that no document is read; product numbers come by column, and the
answer has nothing but them and the scores.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from searcher.index.aggregations import BRAND_NAME, VALUE, aggregation, counted
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
from services.elastic import FLAT, PING_LIMIT_S, SEARCH_LIMIT_S, Cluster, ElasticError, Indexes
from services.text import fold

_KEYWORD = {"type": "keyword", "doc_values": False}
MAPPING: dict[str, dict[str, Any]] = {
    TEXT: {"type": "text", "analyzer": "whitespace", "index_options": "freqs"},
    BRAND: _KEYWORD,
    ATTRIBUTE: _KEYWORD,
    CATEGORY: {"type": "keyword"},  # identifiers are looked up and counted, never compared
    TIER: _KEYWORD,
    PRICE: {"type": "long"},
    CREATED: {"type": "long", **FLAT},
    POPULARITY: {"type": "double", **FLAT},
    BRAND_NAME: {"type": "keyword", **FLAT},
    VALUE: {"type": "flattened"},  # one field for any number of attribute names
}
_SEARCH = "_search?filter_path=timed_out,_shards.failed,hits.total.value,hits.hits._score,hits.hits.sort,hits.hits.fields"
_COUNT = "_search?filter_path=timed_out,_shards.failed,hits.total.value,aggregations"


class ElasticTier:
    """One tier of one generation; its methods may be called from several threads. The cluster belongs to who made it."""

    def __init__(self, name: str, cluster: Cluster, index: str) -> None:
        self.name = name
        self._cluster, self._index = cluster, index
        self._closed = False

    def search(self, query: Query, wanted: int, *, order: Order | None = None, count: bool = False) -> Hits:
        body: dict[str, Any] = {
            "query": translated_once(query),
            "size": wanted,
            "track_total_hits": count,
            "stored_fields": "_none_",
            "docvalue_fields": ["product_no"],
        }
        if order is not None:
            body["sort"] = [{order.field: "desc" if order.descending else "asc"}, {"product_no": "asc"}]
        answer = self._ask(_SEARCH, body)
        hits = answer.get("hits", {}).get("hits", [])  # what is empty is filtered out with what is not asked for
        numbers = np.array([hit["fields"]["product_no"][0] for hit in hits], np.uint32)
        keys = np.array([hit["_score"] if order is None else hit["sort"][0] for hit in hits], np.float64)
        return Hits(numbers, keys, int(answer["hits"]["total"]["value"]) if count else None)

    def facets(self, query: Query, wanted: Sequence[Values | Buckets]) -> Counts:
        body: dict[str, Any] = {"query": translated_once(query), "size": 0, "track_total_hits": True}
        if wanted:
            body["aggs"] = {str(i): aggregation(w) for i, w in enumerate(wanted)}
        answer = self._ask(_COUNT, body)
        found = answer.get("aggregations", {})
        return Counts(
            int(answer["hits"]["total"]["value"]), [counted(found.get(str(i), {}).get("buckets", [])) for i in range(len(wanted))]
        )

    def ping(self) -> int:
        return int(self._ask(_COUNT, {"size": 0, "track_total_hits": True}, PING_LIMIT_S)["hits"]["total"]["value"])

    def close(self) -> None:
        self._closed = True

    def _ask(self, what: str, body: Mapping[str, Any], limit_s: float = SEARCH_LIMIT_S) -> Any:
        if self._closed:
            raise TierUnavailable(f"tier {self.name} is closed")
        try:
            answer = self._cluster.search(f"/{self._index}/{what}", body, limit_s=limit_s)
        except ElasticError as error:
            raise TierUnavailable(f"tier {self.name}: {error}") from error
        if answer.get("timed_out") or answer["_shards"]["failed"]:
            raise TierUnavailable(f"tier {self.name}: {self._cluster.url} answered in part only")
        return answer


@lru_cache(maxsize=4096)
def translated_once(query: Query) -> dict[str, Any]:
    """The translation, remembered: tiers are asked the same, and so are popular queries. Not to be changed by who gets it."""
    return translate(query)


def translate(query: Query) -> dict[str, Any]:
    """The query in Elasticsearch's words. Nothing is ever parsed, so syntax characters are just characters."""
    if isinstance(query, Term):
        return {"term": {TEXT: query.value if query.boost == 1.0 else {"value": query.value, "boost": query.boost}}}
    if isinstance(query, Bool):
        return _bool(query)
    if isinstance(query, Best):
        return {"dis_max": {"queries": [translate(q) for q in query.of]}}
    if isinstance(query, Constant):
        return {"constant_score": {"filter": condition(query.query), "boost": query.score}}
    return {"constant_score": {"filter": condition(query), "boost": 0.0}}


def condition(query: Query) -> dict[str, Any]:
    """The same, where no score is looked at."""
    if isinstance(query, OneOf):
        values = [str(value) for value in query.values]
        return {"term": {query.field: values[0]}} if len(values) == 1 else {"terms": {query.field: values}}
    if isinstance(query, Range):
        bounds = {"gte": query.min, "lte": query.max}
        return {"range": {query.field: {name: value for name, value in bounds.items() if value is not None}}} if bounds else {}
    if isinstance(query, Everything):
        return {"match_all": {}}
    return translate(query)


def _bool(query: Bool) -> dict[str, Any]:
    minimum = query.minimum or int(bool(query.should) and not (query.must or query.filter or query.must_not))
    parts: dict[str, Any] = {}
    if query.must:
        parts["must"] = [translate(q) for q in query.must]
    if query.should:
        parts["should"] = [translate(q) for q in query.should]
    if query.filter or not (query.must or minimum):
        parts["filter"] = [condition(q) for q in query.filter] or [{"match_all": {}}]
    if query.must_not:
        parts["must_not"] = [condition(q) for q in query.must_not]
    if minimum:
        parts["minimum_should_match"] = minimum  # an integer: percentages are rounded down here, and otherwise elsewhere
    if query.boost != 1.0:
        parts["boost"] = query.boost
    return {"bool": parts}


# ---- writing -------------------------------------------------------------------------------------------------------------------


class ElasticWriter:
    """Writes one tier of one generation."""

    def __init__(self, indexes: Indexes, generation: int) -> None:
        """Raises ElasticError."""
        self._writer = indexes.writer(generation, MAPPING)

    def add(self, product: TierDocument) -> None:
        self._writer.add(product.product_no, fields(product))

    def finish(self) -> None:
        """Raises ElasticError, also when not all products are there."""
        self._writer.finish()


def fields(product: TierDocument) -> dict[str, Any]:
    """A product as Elasticsearch holds it; what is empty is left out."""
    found: dict[str, Any] = {
        TEXT: product.text,
        CATEGORY: product.category_ids,
        PRICE: product.price_cents,
        CREATED: product.created_ms,
        POPULARITY: product.popularity,
        TIER: product.tier,
        ATTRIBUTE: [keyword(value.name, value.value) for value in product.attributes],
        VALUE: {f"a{value.number}": value.value for value in product.attributes},
    }
    if product.brand:
        found |= {BRAND: fold(product.brand), BRAND_NAME: product.brand}
    return found
