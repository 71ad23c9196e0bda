"""Facets: names to questions, counts to answers."""

from searcher.facets import MAX_FACET_VALUES, FacetFields, merge
from searcher.index.port import Buckets, Counts, Values
from services.contracts import FacetCount

FIELDS = FacetFields({"color": 0, "t-shirt size": 1}, (0, 1000, 5000))


def test_known_names_are_asked_for_and_unknown_ones_give_an_empty_list() -> None:
    questions = FIELDS.questions(["brand", "category", "price_cents", "Color", "nothing"])
    assert questions == {
        "brand": Values("brand"),
        "category": Values("category_id"),
        "price_cents": Buckets("price_cents", (0, 1000, 5000)),
        "Color": Values("attribute.a0"),
    }
    assert merge(["nothing"], {}, []) == {"nothing": []}


def test_the_tiers_counts_are_added_and_the_most_frequent_come_first() -> None:
    counts = [Counts(5, [{"b": 2, "a": 3}]), Counts(4, [{"c": 3, "b": 1}])]
    answer = merge(["brand"], {"brand": Values("brand")}, counts)
    assert answer == {"brand": [FacetCount("a", 3), FacetCount("b", 3), FacetCount("c", 3)]}


def test_price_ranges_are_inclusive_cheapest_first_and_the_last_is_open() -> None:
    counts = [Counts(6, [{"2": 1, "0": 2}]), Counts(1, [{"1": 4, "0": 1}])]
    answer = merge(["price_cents"], FIELDS.questions(["price_cents"]), counts)
    assert answer["price_cents"] == [FacetCount("0-999", 3), FacetCount("1000-4999", 4), FacetCount("5000-", 1)]


def test_a_facet_keeps_the_values_with_most_products() -> None:
    counts = [Counts(0, [{str(n): n + 1 for n in range(MAX_FACET_VALUES + 50)}])]
    values = merge(["brand"], {"brand": Values("brand")}, counts)["brand"]
    assert (len(values), values[0].count, values[-1].count) == (MAX_FACET_VALUES, MAX_FACET_VALUES + 50, 51)
