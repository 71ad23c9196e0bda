"""The neutral query tree: what is asked of a tier index, in no engine's language. Each adapter translates it.

Fields: `text` (the one searched field, scored by BM25), `brand` and `attribute` (folded keywords, see `keyword`), `category_id` (leaf
and every category above it), `price_cents`, `created_ms`, `popularity`, `tier` (a product's own tier as an index of TIERS).
"""

from typing import TypeAlias

from msgspec import Struct

from services.text import fold

TEXT, BRAND, ATTRIBUTE, CATEGORY, PRICE, CREATED, POPULARITY, TIER = (
    "text",
    "brand",
    "attribute",
    "category_id",
    "price_cents",
    "created_ms",
    "popularity",
    "tier",
)


class Term(Struct, frozen=True):
    """A term of the text field; scores BM25 times `boost`."""

    value: str
    boost: float = 1.0


class OneOf(Struct, frozen=True):
    """A keyword or integer field has one of these values; a condition, without a score of its own."""

    field: str
    values: tuple[str, ...] | tuple[int, ...]


class Range(Struct, frozen=True):
    """A number within inclusive bounds; None is open. A condition, without a score of its own."""

    field: str
    min: int | None = None
    max: int | None = None


class Best(Struct, frozen=True):
    """At least one matches; scores as the best of them."""

    of: tuple["Query", ...]


class Constant(Struct, frozen=True):
    """Matches as `query` does and scores `score`."""

    query: "Query"
    score: float


class Bool(Struct, frozen=True):
    """Every `must` and `filter` matches, no `must_not`, at least `minimum` of `should` (one when there is nothing else to match).

    Scores the sum over `must` and matching `should`, times `boost`; `filter` adds nothing.
    """

    must: tuple["Query", ...] = ()
    should: tuple["Query", ...] = ()
    filter: tuple["Query", ...] = ()
    must_not: tuple["Query", ...] = ()
    minimum: int = 0
    boost: float = 1.0


class Everything(Struct, frozen=True):
    """Matches every product; no score."""


Query: TypeAlias = Term | OneOf | Range | Best | Constant | Bool | Everything


class Order(Struct, frozen=True):
    """A sort by a number field; ties by ascending product_no."""

    field: str
    descending: bool


def keyword(name: str, value: str) -> str:
    """The folded `name=value` under which a product's attribute is filtered."""
    return f"{fold(name)}={fold(value)}"


def outside_tier(query: Query, tier: int) -> Query:
    """The same query without the products whose own tier this is."""
    condition = OneOf(TIER, (tier,))
    if isinstance(query, Bool) and query.boost == 1.0 and not (query.minimum or query.must_not) and (query.must or query.filter):
        return Bool(query.must, query.should, query.filter, (condition,))
    return Bool(must=(query,), must_not=(condition,))
