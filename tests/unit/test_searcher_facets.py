"""Facets: names to questions, counts to answers."""

import pyarrow as pa
import pytest

from searcher.facets import MAX_FACET_VALUES, FacetFields, merge
from searcher.index.port import Buckets, Counts, Values
from services.catalogue import CATEGORIES_SCHEMA, Categories
from services.contracts import FacetCount
from services.errors import InvalidRequest

FIELDS = FacetFields({"color": 0, "t-shirt size": 1}, (0, 1000, 5000))


def test_known_names_are_asked_for() -> None:
    questions = FIELDS.questions(["brand", "category", "price_cents", "Color"])
    assert questions == {
        "brand": Values("brand"),
        "category": Values("category_id"),
        "price_cents": Buckets("price_cents", (0, 1000, 5000)),
        "Color": Values("attribute.a0"),
    }


@pytest.mark.parametrize(("name", "meant"), [("colour", "color"), ("prize_cents", "price_cents"), ("Brands", "brand"), ("zeppelin", None)])
def test_a_name_that_no_product_has_is_refused_with_those_that_there_are(name: str, meant: str | None) -> None:
    with pytest.raises(InvalidRequest, match=f"did you mean '{meant}'" if meant else f"no product has an attribute '{name}'$") as refused:
        FIELDS.questions(["brand", name])
    assert (refused.value.field, refused.value.accepted) == ("facets", "brand, category, price_cents, color, t-shirt size")


def test_a_refusal_does_not_name_hundreds() -> None:
    with pytest.raises(InvalidRequest) as refused:
        FacetFields({f"a{n}": n for n in range(500)}, ()).questions(["nothing"])
    assert (refused.value.accepted or "").endswith("a19 and 480 more attributes")


def test_a_category_has_its_path_for_people() -> None:
    tree = [{"category_id": 1, "name": "Home", "parent_id": -1}, {"category_id": 7, "name": "Lamps", "parent_id": 1}]
    categories = Categories(pa.Table.from_pylist(tree, schema=CATEGORIES_SCHEMA))
    answer = merge({"category": Values("category_id")}, [Counts(3, [{"1": 3, "7": 2}])], categories)
    assert answer["category"] == [FacetCount("1", 3, "Home"), FacetCount("7", 2, "Home > Lamps")]


def test_the_tiers_counts_are_added_and_the_most_frequent_come_first() -> None:
    counts = [Counts(5, [{"b": 2, "a": 3}]), Counts(4, [{"c": 3, "b": 1}])]
    answer = merge({"brand": Values("brand")}, counts)
    assert answer == {"brand": [FacetCount("a", 3), FacetCount("b", 3), FacetCount("c", 3)]}


def test_price_ranges_are_inclusive_cheapest_first_and_the_last_is_open() -> None:
    counts = [Counts(6, [{"2": 1, "0": 2}]), Counts(1, [{"1": 4, "0": 1}])]
    answer = merge(FIELDS.questions(["price_cents"]), counts)
    assert answer["price_cents"] == [FacetCount("0-999", 3), FacetCount("1000-4999", 4), FacetCount("5000-", 1)]


def test_a_facet_keeps_the_values_with_most_products() -> None:
    counts = [Counts(0, [{str(n): n + 1 for n in range(MAX_FACET_VALUES + 50)}])]
    values = merge({"brand": Values("brand")}, counts)["brand"]
    assert (len(values), values[0].count, values[-1].count) == (MAX_FACET_VALUES, MAX_FACET_VALUES + 50, 51)
