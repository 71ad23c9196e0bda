"""Counting values: both engines speak Elasticsearch's aggregations, over the same fields. Pure."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from searcher.index.port import Buckets, Values
from searcher.query import ATTRIBUTE, BRAND

BRAND_NAME, VALUE = "brand_name", "value"
"""Fields that are only counted: values as people see them; `value` has one field below it for each attribute name."""
MAX_VALUES = 60_000
"""Distinct values of one facet that are counted (the limit of buckets in a request is 65,000 in Tantivy, 65,536 in Elasticsearch)."""


def aggregation(wanted: Values | Buckets, **terms: int) -> dict[str, Any]:
    """`terms`: what the engine needs besides `size` to count every value exactly."""
    if isinstance(wanted, Values):
        field = BRAND_NAME if wanted.field == BRAND else wanted.field.replace(f"{ATTRIBUTE}.", f"{VALUE}.")
        return {"terms": {"field": field, "size": MAX_VALUES, **terms}}
    edges = wanted.edges
    ranges = [{"from": low, "to": high, "key": str(i)} for i, (low, high) in enumerate(pairwise(edges))]
    return {"range": {"field": wanted.field, "ranges": [*ranges, {"from": edges[-1], "key": str(len(edges) - 1)}]}}


def counted(buckets: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    return {str(bucket["key"]): int(bucket["doc_count"]) for bucket in buckets if bucket["doc_count"]}
