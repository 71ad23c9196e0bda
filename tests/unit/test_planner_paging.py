"""Pages never repeat a product, together show every candidate, and end with a clear word."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.paging import check_page, last_page, split
from services.errors import InvalidRequest


@settings(deadline=None)
@given(st.integers(0, 200), st.integers(1, 30), st.randoms(use_true_random=False))
def test_pages_over_a_cursor_show_every_candidate_once_however_the_ranking_changes(n: int, size: int, random: Random) -> None:
    left, shown = np.arange(n) + 1000, []  # product_nos that the cursor carries
    while len(left):
        order = list(range(len(left)))
        random.shuffle(order)  # every page is ranked anew
        rows, rest = split(np.array(order, np.uint16), 0, size)
        assert len(rows) == min(size, len(left))
        shown += left[rows].tolist()
        left = left[rest]
    assert sorted(shown) == list(range(1000, 1000 + n))


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 30), st.data())
def test_a_page_by_number_and_the_cursor_after_it_go_on_from_the_same_ranking(n: int, size: int, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(n))), np.uint16)
    first = size * (data.draw(st.integers(1, last_page(n, size))) - 1)
    rows, rest = split(order, first, size)
    assert rows.tolist() == order[first : first + size].tolist()
    assert set(rest.tolist()) == set(order[first + size :].tolist())
    assert rest.tolist() == sorted(rest.tolist())


def test_a_page_past_the_candidates_names_the_last_one() -> None:
    with pytest.raises(InvalidRequest, match="the last page is 3") as raised:
        check_page(4, 10, 25)
    assert raised.value.field == "page"
    check_page(3, 10, 25)


def test_page_one_of_nothing_is_a_page() -> None:
    check_page(1, 10, 0)
    with pytest.raises(InvalidRequest, match="last page is 1"):
        check_page(2, 10, 0)
