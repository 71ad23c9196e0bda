"""The measures are what their definitions say, computed here by hand."""

from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.measures import means, per_query

GRADES = {"q": {"A": 3, "B": 1, "C": 0}, "none": {"A": 0}}


def test_ndcg_has_the_gain_two_to_the_grade() -> None:
    found = per_query(GRADES, {"q": ["B", "x", "A"]}, 10)
    ideal = 7 + 1 / log2(3)
    assert found["nDCG@10"]["q"] == pytest.approx((1 + 7 / log2(4)) / ideal)
    assert found["condensed nDCG@10"]["q"] == pytest.approx((1 + 7 / log2(3)) / ideal)


def test_the_other_measures() -> None:
    found = per_query(GRADES, {"q": ["x", "A", "C"], "none": ["A", "y"]}, 2)
    assert found["judged@2"] == {"q": 0.5, "none": 0.5}
    assert found["MRR"] == {"q": 0.5}
    assert found["recall@200"] == {"q": 0.5}


def test_queries_without_a_good_product_have_no_ndcg_and_a_query_without_answer_has_zero() -> None:
    found = per_query(GRADES, {}, 10)
    assert found["nDCG@10"] == {"q": 0.0}
    assert found["judged@10"]["q"] == 0.0
    assert means(found)["MRR"] == 0.0
    assert means(per_query({"none": {"A": 0}}, {}, 10))["nDCG@10"] is None


def test_a_product_that_is_answered_twice_counts_once() -> None:
    assert per_query(GRADES, {"q": ["A", "A", "B"]}, 10)["nDCG@10"]["q"] == pytest.approx(1.0)


def test_grades_of_a_hundred_are_gains_themselves() -> None:
    found = per_query({"q": {"A": 100, "B": 50}}, {"q": ["B", "A"]}, 10)
    assert found["nDCG@10"]["q"] == pytest.approx((50 + 100 / log2(3)) / (100 + 50 / log2(3)))


@given(st.permutations(["A", "B", "C", "x", "y"]), st.integers(1, 10))
def test_values_lie_between_zero_and_one(order: list[str], k: int) -> None:
    values = [v for by_query in per_query(GRADES, {"q": order}, k).values() for v in by_query.values()]
    assert all(0 <= v <= 1 + 1e-9 for v in values)
    assert np.isfinite(values).all()
