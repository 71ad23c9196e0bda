"""The same thing written together or apart is the same thing: units, model numbers, words that the catalogue joins."""

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender import compounds
from recommender.spelling import catalogue_words
from services.catalogue import CATEGORIES_SCHEMA, Categories, Product
from services.contracts import Term
from services.text import query_terms

NOWHERE = Categories(pa.Table.from_pylist([], schema=CATEGORIES_SCHEMA))


def product(number: int, title: str, **attributes: str) -> Product:
    return Product(number, str(number), title, "Acme", -1, "", 0, "", 0, attributes)


SHOP = [
    product(0, "LED bulb 10 W"),
    product(1, "LED bulb 12W"),
    product(2, "Canon DC52C camcorder"),
    product(3, "Canon DC 53 C camcorder"),
    product(4, "Acme smartwatch black"),
    product(5, "Acme smartwatch white"),
    product(6, "smart watch band"),
    product(7, "Acme mousepad"),
    product(8, "Other mousepad"),
    *(product(9 + n, "mouse pad") for n in range(3)),
    product(12, "tool kit"),
    product(20, "mirror", resolution="1440 x 900 pixels"),
]
COUNTS = catalogue_words(SHOP, NOWHERE, None)
WRITTEN = compounds.build(SHOP, NOWHERE, COUNTS, "en")


def stand_ins(query: str) -> dict[str, list[list[str]]]:
    asked = query_terms(query, "en")
    terms = [Term(term.text) for term in asked]
    return {term.text: term.synonyms for term in compounds.stand_ins(terms, asked, WRITTEN, COUNTS, "en")}


@pytest.mark.parametrize(
    ("query", "term", "other_way"),
    [
        ("bulb 10w", "10w", ["10", "w"]),
        ("bulb 12 w", "12", ["12w"]),
        ("bulb 12 w", "w", ["12w"]),
        ("dc 52 c", "52", ["dc52c"]),
        ("dc52 c", "dc52", ["dc52c"]),
        ("dc53c", "dc53c", ["dc", "53", "c"]),
        ("mousepad", "mousepad", ["mous", "pad"]),
        ("smart watch", "smart", ["smartwatch"]),
        ("toolkit", "toolkit", ["tool", "kit"]),  # no product writes it so, but the language does
    ],
)
def test_what_is_written_otherwise_stands_in(query: str, term: str, other_way: list[str]) -> None:
    assert other_way in stand_ins(query)[term]


def test_the_rare_way_to_write_does_not_stand_in_for_the_usual_one() -> None:
    assert stand_ins("mouse pad") == {"mous": [], "pad": []}


def test_neighbours_that_are_no_word_of_the_catalogue_stay_apart() -> None:
    assert stand_ins("bulb camcorder 99 w") == {"bulb": [], "camcord": [], "99": [], "w": []}


def test_a_resolution_is_no_model_number() -> None:
    assert "1440x900pixels" not in WRITTEN.apart


def test_synonyms_that_are_there_are_kept_and_come_first() -> None:
    asked = query_terms("smart watch", "en")
    found = compounds.stand_ins([Term("smart", [["clever"]]), Term("watch")], asked, WRITTEN, COUNTS, "en")
    assert found[0].synonyms == [["clever"], ["smartwatch"]]


@given(st.text(alphabet="abw 019-.", max_size=60))
def test_terms_stay_the_same_and_in_order(query: str) -> None:
    asked = query_terms(query, "en")
    found = compounds.stand_ins([Term(term.text) for term in asked], asked, WRITTEN, COUNTS, "en")
    assert [term.text for term in found] == [term.text for term in asked]
    assert all([term.text] not in term.synonyms for term in found)


def test_no_catalogue_has_nothing_to_join() -> None:
    assert compounds.build([], NOWHERE, Counter(), "en") == compounds.Compounds()
