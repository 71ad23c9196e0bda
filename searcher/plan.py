"""From a request to the queries of the tier walk (DESIGN.md section 2, "The retrieval query, literally"). Pure."""

from msgspec import Struct

from searcher.query import (
    ATTRIBUTE,
    BRAND,
    CATEGORY,
    CREATED,
    POPULARITY,
    PRICE,
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
from services.contracts import Category, Filters, RetrieveRequest, Sort
from services.contracts import Term as QueryTerm
from services.text import fold

CATEGORY_BOOST = 2.0
SYNONYM_BOOST = 0.7
ORDERS: dict[Sort, Order] = {
    "price_asc": Order(PRICE, False),
    "price_desc": Order(PRICE, True),
    "newest": Order(CREATED, True),
}
BROWSE_ORDER = Order(POPULARITY, True)


class Level(Struct, frozen=True):
    """One strictness of the walk. Each level's matches include those of the level before it."""

    name: str
    strict: bool
    query: Query


def levels(request: RetrieveRequest) -> list[Level]:
    """Strict, at least 60 % of the terms, any term; levels that would ask for the same are left out. No terms: one level, everything."""
    filters = conditions(request.filters)
    clauses = tuple(clause(term) for term in request.terms)
    if not clauses:
        return [Level("strict", True, Bool(filter=filters) if filters else Everything())]
    boosts = tuple(category_boost(c) for c in request.categories if c.probability > 0)
    found = [Level("strict", True, Bool(must=clauses, should=boosts, filter=filters))]
    if floor(len(clauses)) < len(clauses):
        found.append(Level("floor", False, _relaxed(clauses, floor(len(clauses)), boosts, filters)))
    if len(clauses) > 1:
        found.append(Level("any", False, _relaxed(clauses, 1, boosts, filters)))
    return found


def order(request: RetrieveRequest) -> Order | None:
    """The order of the answer; None: by score."""
    if request.sort != "relevance":
        return ORDERS[request.sort]
    return None if request.terms else BROWSE_ORDER


def floor(terms: int) -> int:
    """60 % of the terms, rounded up: an integer, since engines round percentages differently."""
    return (3 * terms + 4) // 5


def clause(term: QueryTerm) -> Query:
    """The term or one of its synonyms, whichever scores best; a synonym of several terms needs all of them."""
    own = Term(term.text)
    if not term.synonyms:
        return own
    return Best((own, *(_synonym(words) for words in term.synonyms if words)))


def category_boost(category: Category) -> Query:
    return Constant(OneOf(CATEGORY, (category.id,)), CATEGORY_BOOST * category.probability)


def conditions(filters: Filters | None) -> tuple[Query, ...]:
    """All of them have to hold; within one, any of its values. Brands and attributes compare folded."""
    if filters is None:
        return ()
    found: list[Query] = []
    if filters.brand is not None:
        found.append(OneOf(BRAND, tuple(fold(brand) for brand in filters.brand)))
    if filters.category is not None:
        found.append(OneOf(CATEGORY, tuple(filters.category)))
    if filters.price_cents is not None:
        found.append(Range(PRICE, filters.price_cents.min, filters.price_cents.max))
    for name, values in (filters.attributes or {}).items():
        found.append(OneOf(ATTRIBUTE, tuple(keyword(name, value) for value in values)))
    return tuple(found)


def _synonym(words: list[str]) -> Query:
    if len(words) == 1:
        return Term(words[0], SYNONYM_BOOST)
    return Bool(must=tuple(Term(word) for word in words), boost=SYNONYM_BOOST)


def _relaxed(clauses: tuple[Query, ...], minimum: int, boosts: tuple[Query, ...], filters: tuple[Query, ...]) -> Query:
    terms = Bool(should=clauses, minimum=minimum)
    return Bool(must=(terms,), should=boosts, filter=filters) if boosts or filters else terms
