"""The product store in Elasticsearch: index `products-N` of a shop. The JSON of summaries and products is stored as it is and never parsed there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from planner.products.port import Summary
from planner.products.sqlite import Row
from services.elastic import PING_LIMIT_S, SEARCH_LIMIT_S, Cluster, ElasticError, Indexes
from services.errors import Unavailable
from services.timing import last_resort

_STORED = {"type": "keyword", "index": False, "doc_values": False, "store": True}
MAPPING: dict[str, dict[str, Any]] = {
    "product_id": {"type": "keyword", "doc_values": False, "store": True},
    "summary": _STORED,
    "product": _STORED,
}
_HITS = "_search?filter_path=hits.hits.fields"
_DOCUMENTS = "_mget?filter_path=docs._id,docs.fields"
MAX_IDS = 1_000
"""Products asked for in one call."""


class ElasticProducts:
    """One generation's index. The cluster belongs to who made it."""

    def __init__(self, cluster: Cluster, index: str) -> None:
        self._cluster, self._index = cluster, index

    def summaries(self, product_nos: Sequence[int]) -> dict[int, Summary]:
        found: dict[int, Summary] = {}
        for numbers in _parts(product_nos):
            asked = {"docs": [{"_id": str(n), "stored_fields": ["product_id", "summary"], "_source": False} for n in numbers]}
            for document in self._ask(_DOCUMENTS, asked).get("docs", ()):
                if fields := document.get("fields"):
                    found[int(document["_id"])] = Summary(fields["product_id"][0], fields["summary"][0].encode())
        return found

    def numbers(self, product_ids: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for ids in _parts(product_ids):
            body = {
                "query": {"constant_score": {"filter": {"terms": {"product_id": list(ids)}}}},
                "size": len(ids),
                "track_total_hits": False,
                "stored_fields": ["product_id"],
                "docvalue_fields": ["product_no"],
            }
            for fields in self._hits(body):
                found[fields["product_id"][0]] = fields["product_no"][0]
        return found

    def product(self, product_id: str) -> bytes | None:
        query = {"constant_score": {"filter": {"term": {"product_id": product_id}}}}
        for fields in self._hits({"query": query, "size": 1, "track_total_hits": False, "stored_fields": ["product"]}):
            json: str = fields["product"][0]
            return json.encode()
        return None

    def ping(self) -> None:
        self._ask(_HITS, {"size": 0, "query": {"match_all": {}}}, PING_LIMIT_S)

    def close(self) -> None: ...

    def _hits(self, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        return (hit["fields"] for hit in self._ask(_HITS, body).get("hits", {}).get("hits", ()))

    def _ask(self, what: str, body: Mapping[str, Any], limit_s: float = SEARCH_LIMIT_S) -> Any:
        try:
            with last_resort():  # nobody else has the products
                return self._cluster.search(f"/{self._index}/{what}", body, limit_s=limit_s)
        except ElasticError as error:
            raise Unavailable(f"the product store cannot be read: {error}") from error


class ProductWriter:
    """Fills the index of one generation."""

    def __init__(self, indexes: Indexes, generation: int) -> None:
        """Raises ElasticError."""
        self._writer = indexes.writer(generation, MAPPING)

    def passing(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The same rows (product_no, product_id, summary, product), written on their way. Raises ElasticError."""
        for number, product_id, summary, product in rows:
            self._writer.add(number, {"product_id": product_id, "summary": summary.decode(), "product": product.decode()})
            yield number, product_id, summary, product

    def finish(self) -> int:
        return self._writer.finish()


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + MAX_IDS] for start in range(0, len(values), MAX_IDS))
