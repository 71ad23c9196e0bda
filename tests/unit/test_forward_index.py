"""The forward index keeps what the catalogue says, through files and gaps."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from services import forward
from services.contracts import Term
from services.forward import ASKED, BRAND, CATEGORY, DESCRIPTION, TITLE
from tests.forward_shop import index_of, popular, product


def part_of(index: forward.ForwardIndex, term: str, product_no: int) -> int:
    number = index.vocabulary[term]
    span = slice(index.posting_starts[number], index.posting_starts[number + 1])
    row = np.searchsorted(index.posting_rows[span], product_no)
    assert index.posting_rows[span][row] == product_no
    return int(index.posting_fields[span][row])


def test_a_term_knows_the_parts_of_the_product_it_occurs_in(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0, "the red sofa", brand="Red", category_id=7, description="a sofa in red leather")])
    assert part_of(index, "red", 0) == TITLE | ASKED | BRAND | DESCRIPTION
    assert part_of(index, "furnitur", 0) == CATEGORY
    assert part_of(index, "the", 0) == TITLE  # no query of this title would ask for it


def test_numbers_that_do_not_exist_are_not_present(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(1), product(4)])
    assert index.present.tolist() == [False, True, False, False, True]
    assert (index.documents, index.size) == (2, 5)


def test_lengths_count_repetitions_and_the_average_is_of_products_that_exist(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0, "go go go"), product(2, "go")])
    assert index.doc_len.tolist() == [3, 0, 1]
    assert index.average_length == 2


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    catalogue = [product(0, "wh-1000xm4", brand="Sony", category_id=3, attributes={"color": "Black"}), product(3, "sofa", category_id=7)]
    index = index_of(tmp_path, catalogue, [popular(0, 10, 3, 1, 0.5, 0), popular(3)])
    forward.save(index, tmp_path)
    loaded = forward.load(tmp_path)
    for field in fields(index):
        np.testing.assert_array_equal(getattr(loaded, field.name), getattr(index, field.name))


def test_an_index_without_products_can_be_saved_loaded_and_searched(tmp_path: Path) -> None:
    forward.save(index_of(tmp_path, [], []), tmp_path)
    loaded = forward.load(tmp_path)
    assert (loaded.size, loaded.documents) == (0, 0)
    assert forward.GlobalBm25(loaded).search([Term("sofa")], 10)[0].tolist() == []


def test_a_category_has_its_ancestors_and_an_unknown_one_none(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0, category_id=3)])
    assert index.ancestors(3) == [1, 2, 3]
    assert [index.ancestors(c) for c in (-1, 5, 99)] == [[], [], []]


def test_properties_are_named_folded_and_missing_ones_are_minus_one(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0, brand="ÉCLAIR", category_id=3, attributes={"color": "Dark Red"}), product(1)])
    names = [[index.property_values[i] if i >= 0 else None for i in row] for row in index.property_ids.tolist()]
    assert names == [["category:3", "brand:eclair", "price_level:4", "color:dark red"], [None, None, "price_level:4", None]]


def test_popularity_at_another_time_leaves_the_index_as_it_is(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0), product(1)], [popular(0, 10, 3), popular(1)])
    later = forward.with_popularity(index, np.array([[20, 5, 0, 0, 1], [np.nan, -1, 0, 0, 0]], np.float32))
    assert later.popularity.tolist() == [[20, 5, 0, 0, 1], [0, 0, 0, 0, 0]]
    assert later.averages.clicks == 2.5
    assert (index.popularity[0, 1], index.averages.clicks) == (3, 1.5)


def test_popularity_of_products_that_left_the_catalogue_is_ignored(tmp_path: Path) -> None:
    index = index_of(tmp_path, [product(0)], [popular(0, tier=1), popular(9, 5)])
    assert index.tier.tolist() == [1]
