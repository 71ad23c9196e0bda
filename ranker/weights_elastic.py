"""The ranking index in Elasticsearch, `ranking-N` of a shop: what strategy `weights` asks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ranker.weights import POPULARITY, PROPERTIES, TEXT
from services.catalogue import Catalogue, searched_text
from services.elastic import FLAT, PING_LIMIT_S, SEARCH_LIMIT_S, Cluster, ElasticError, Indexes
from services.errors import Unavailable
from services.forward import ForwardIndex
from services.shop import ShopInfo
from services.text import index_terms

SETTING = "AISLE_RANKER_RANKING_URL"
MAPPING: dict[str, dict[str, Any]] = {
    TEXT: {"type": "text", "analyzer": "whitespace", "index_options": "freqs"},
    PROPERTIES: {"type": "keyword", "doc_values": False},
    POPULARITY: {"type": "double", **FLAT},
}
_SEARCH = "_search?filter_path=timed_out,_shards.failed,hits.hits._score,hits.hits.fields"


class RankingIndex:
    """One generation's index. The cluster belongs to who made it."""

    def __init__(self, cluster: Cluster, index: str) -> None:
        self._cluster, self._index = cluster, index

    def scores(self, query: Mapping[str, Any], numbers: npt.NDArray[np.uint32]) -> npt.NDArray[np.float32]:
        """float32[n] of the products that the query is about; 0 for one that is not there. Raises Unavailable."""
        body = {
            "query": query,
            "size": len(numbers),
            "track_total_hits": False,
            "stored_fields": "_none_",
            "docvalue_fields": ["product_no"],
        }
        hits = self._ask(body).get("hits", {}).get("hits", ())
        found = {hit["fields"]["product_no"][0]: hit["_score"] for hit in hits}
        return np.array([found.get(number, 0.0) for number in numbers.tolist()], np.float32)

    def ping(self) -> None:
        self._ask({"size": 0}, PING_LIMIT_S)

    def _ask(self, body: Mapping[str, Any], limit_s: float = SEARCH_LIMIT_S) -> Any:
        try:
            answer = self._cluster.search(f"/{self._index}/{_SEARCH}", body, limit_s=limit_s)
        except ElasticError as error:
            raise Unavailable(f"the ranking index cannot be read: {error}") from error
        if answer.get("timed_out") or answer["_shards"]["failed"]:
            raise Unavailable(f"the ranking index: {self._cluster.url} answered in part only")
        return answer


def write(indexes: Indexes, generation: int, catalogue: Catalogue, info: ShopInfo, forward: ForwardIndex) -> int:
    """Make the index of one generation; returns how many products it holds. Raises ElasticError."""
    writer = indexes.writer(generation, MAPPING)
    score = forward.popularity[:, -1]
    for product in catalogue.products():
        texts = searched_text(product, catalogue.categories, info.searchable_attributes)
        ids = forward.property_ids[product.product_no].tolist()
        fields = {
            TEXT: " ".join(term for text in texts.values() for term in index_terms(text, info.language)),
            PROPERTIES: [*(forward.property_values[i] for i in ids if i >= 0), *_ancestors(catalogue, product.category_id)],
            POPULARITY: max(0.0, float(score[product.product_no])),
        }
        writer.add(product.product_no, fields)
    return writer.finish()


def _ancestors(catalogue: Catalogue, category_id: int) -> Sequence[str]:
    return [f"category:{number}" for number in catalogue.categories.ancestors(category_id)[:-1]]
