"""The port of one tier's index: what the walk and the facets need of an engine."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from searcher.query import Order, Query


class TierUnavailable(Exception):
    """This tier cannot answer now; adapters raise it for whatever their engine raises."""


class Values(Struct, frozen=True):
    """Count the products of each value of a field: `brand`, `category_id` or `attribute.a<number>` (see AttributeValue)."""

    field: str


class Buckets(Struct, frozen=True):
    """Count the products between neighbouring edges: [edges[i], edges[i+1]), the last one open. `edges` ascending, edges[0] the least."""

    field: str
    edges: tuple[int, ...]


class Hits(Struct, frozen=True):
    """n products in the order asked for: product_no uint32[n], key float64[n] (the score, or the value that was sorted by); `total`: how
    many match, or None when that was not asked for."""

    product_no: npt.NDArray[np.uint32]
    key: npt.NDArray[np.float64]
    total: int | None = None


class Counts(Struct, frozen=True):
    """`values`, parallel to what was asked: value (bucket: its number as text) -> products; values without products are left out."""

    total: int
    values: list[dict[str, int]]


class AttributeValue(Struct, frozen=True):
    """An attribute as filters compare it (folded name and value) and as facets show it; `number` is the name's place in the part's list."""

    number: int
    name: str
    value: str


class TierDocument(Struct, frozen=True):
    """One product as a tier holds it."""

    product_no: int
    text: str  # terms of the one searched field, joined by spaces
    brand: str  # "" for none
    category_ids: list[int]  # leaf and all above it
    price_cents: int
    created_ms: int
    popularity: float
    tier: int
    attributes: list[AttributeValue]


class TierIndex(Protocol):
    """One tier of one generation. Every method but `close` raises TierUnavailable when the engine does not do its work."""

    @property
    def name(self) -> str:
        """The tier, one of TIERS."""

    def search(self, query: Query, wanted: int, *, order: Order | None = None, count: bool = False) -> Hits:
        """At most `wanted` (>= 1) products, best score first or in `order`; ties by ascending product_no."""

    def facets(self, query: Query, wanted: Sequence[Values | Buckets]) -> Counts:
        """Exact counts over all products that match."""

    def ping(self) -> int:
        """How many products the tier holds."""

    def close(self) -> None: ...
