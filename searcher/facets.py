"""Facets: from names in a request to what is counted, and from the tiers' counts to the answer. Pure.

A facet is counted over all products that match with every filter applied, also the one on its own field. `category` counts a product
in its leaf and in every category above it. `price_cents` has ranges "min-max" in cents, inclusive, the last one "min-".
Any other name is an attribute.
"""

import difflib
from collections.abc import Mapping, Sequence
from itertools import pairwise

from msgspec import Struct

from searcher.index.port import Buckets, Counts, Values
from searcher.query import ATTRIBUTE, BRAND, CATEGORY, PRICE
from services.catalogue import Categories
from services.contracts import FacetCount
from services.errors import InvalidRequest
from services.text import fold

FIELDS = ("brand", "category", "price_cents")
MAX_FACET_VALUES = 200
"""Values of one facet in an answer: those with most products."""
MAX_NAMED = 20
"""Attributes that a refusal names."""


class FacetFields(Struct, frozen=True):
    """What this generation can count: number of each attribute name (folded), lower edges of the price ranges in cents."""

    attributes: Mapping[str, int]
    price_edges: tuple[int, ...]

    def questions(self, names: Sequence[str]) -> dict[str, Values | Buckets]:
        """What to count for each name. Raises InvalidRequest for one that no product has, and says which there are."""
        return {name: self._question(name) for name in names}

    def _question(self, name: str) -> Values | Buckets:
        if name == "brand":
            return Values(BRAND)
        if name == "category":
            return Values(CATEGORY)
        if name == "price_cents":
            return Buckets(PRICE, self.price_edges)
        number = self.attributes.get(fold(name))
        if number is None:
            raise InvalidRequest(f"no product has an attribute {name!r}{self._hint(name)}", field="facets", accepted=self._accepted())
        return Values(f"{ATTRIBUTE}.a{number}")

    def _hint(self, name: str) -> str:
        close = difflib.get_close_matches(fold(name), [*FIELDS, *self.attributes], 1)
        return f"; did you mean {close[0]!r}?" if close else ""

    def _accepted(self) -> str:
        attributes = [name for name in self.attributes if name not in FIELDS]
        more = len(attributes) - MAX_NAMED
        return f"{', '.join([*FIELDS, *attributes[:MAX_NAMED]])}{f' and {more} more attributes' if more > 0 else ''}"


def merge(
    questions: Mapping[str, Values | Buckets], counts: Sequence[Counts], categories: Categories | None = None
) -> dict[str, list[FacetCount]]:
    """The answer to every question, most products first (price ranges: cheapest first); the counts come from disjoint sets of products."""
    answer: dict[str, list[FacetCount]] = {}
    for column, (name, question) in enumerate(questions.items()):
        summed: dict[str, int] = {}
        for part in counts:
            for value, products in part.values[column].items():
                summed[value] = summed.get(value, 0) + products
        answer[name] = _ranges(question, summed) if isinstance(question, Buckets) else _values(summed)
        if name == "category" and categories is not None:
            answer[name] = [FacetCount(f.value, f.count, " > ".join(categories.path(int(f.value))) or None) for f in answer[name]]
    return answer


def _values(counts: Mapping[str, int]) -> list[FacetCount]:
    best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [FacetCount(value, products) for value, products in best[:MAX_FACET_VALUES]]


def _ranges(question: Buckets, counts: Mapping[str, int]) -> list[FacetCount]:
    names = [*(f"{low}-{high - 1}" for low, high in pairwise(question.edges)), f"{question.edges[-1]}-"]
    return [FacetCount(name, counts[str(i)]) for i, name in enumerate(names) if str(i) in counts]
