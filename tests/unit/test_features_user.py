"""What features say about a product and a user."""

from pathlib import Path

import numpy as np
import pytest

from services.features import USER_FEATURES, Binding, user_features
from services.forward import ForwardIndex
from tests.forward_shop import index_of, product

VOCABULARY = ["<unknown>", "brand:acme", "color:red", "category:3"]
VECTORS = np.array([[9, 9], [1, 0], [0, 2], [3, 1]], np.float32)


@pytest.fixture
def index(tmp_path: Path) -> ForwardIndex:
    return index_of(tmp_path, [product(0, brand="Acme", category_id=3, attributes={"color": "red"}), product(1, brand="Other"), product(3)])


def features(index: ForwardIndex, numbers: list[int], scores: list[float], vector: list[float]) -> list[dict[str, float]]:
    binding = Binding(index, VOCABULARY, VECTORS)
    made = user_features(binding, np.array(numbers, np.uint32), np.array(scores, np.float32), np.array(vector, np.float32))
    return [dict(zip(USER_FEATURES, row, strict=True)) for row in made.tolist()]


def test_each_property_of_a_product_has_the_users_score_of_its_value(index: ForwardIndex) -> None:
    (known,) = features(index, [0], [0, 1, 2, 3], [0, 0])
    assert known == {"pref_category": 3, "pref_brand": 1, "pref_price_level": 0, "pref_color": 2, "affinity": 0}


def test_what_the_release_does_not_know_is_neutral_whatever_its_unknown_value_scores(index: ForwardIndex) -> None:
    assert features(index, [1, 2, 99], [50, 1, 2, 3], [1, 1]) == [dict.fromkeys(USER_FEATURES, 0.0)] * 3


def test_affinity_is_the_user_vector_times_the_item_vector(index: ForwardIndex) -> None:
    binding = Binding(index, VOCABULARY, VECTORS)
    assert binding.item_vectors.tolist() == [[pytest.approx(4 / 3), 1], [0, 0], [0, 0], [0, 0]]
    vector = np.array([0.5, -2], np.float32)
    made = user_features(binding, np.arange(4, dtype=np.uint32), np.zeros(4, np.float32), vector)
    assert made[:, -1].tolist() == pytest.approx((binding.item_vectors @ vector).tolist())


def test_what_is_not_finite_is_neutral(index: ForwardIndex) -> None:
    assert features(index, [0], [0, np.nan, np.inf, 1], [0, 0])[0] == {**dict.fromkeys(USER_FEATURES, 0.0), "pref_category": 1}


def test_no_candidates_and_no_products_are_no_rows(index: ForwardIndex, tmp_path: Path) -> None:
    assert features(index, [], [0, 0, 0, 0], [0, 0]) == []
    assert features(index_of(tmp_path / "empty", []), [0], [0, 1, 2, 3], [1, 1]) == [dict.fromkeys(USER_FEATURES, 0.0)]
