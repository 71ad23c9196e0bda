"""An explanation adds up to the score, and is exact where the score is linear."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ranker.explanation import REST, explain, neutral, shares
from services.features import FEATURES, ITEM_FEATURES

F = len(FEATURES)
WEIGHTS = np.linspace(-1, 2, F).astype(np.float32)


def linear(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return features @ WEIGHTS


def entangled(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(np.tanh(features @ WEIGHTS) * features[:, 0], np.float32)


def some_features(rows: int = 5) -> npt.NDArray[np.float32]:
    return np.random.default_rng(3).normal(size=(rows, F)).astype(np.float32)


def test_of_a_linear_score_each_share_is_the_weight_times_the_distance_from_neutral() -> None:
    features = some_features()
    values = neutral(features)
    parts = shares(linear, features[:2], values)
    np.testing.assert_allclose(parts[:, :F], WEIGHTS * (features[:2] - values), atol=1e-4)
    np.testing.assert_allclose(parts[:, F], np.full(2, WEIGHTS @ values), atol=1e-4)


@given(arrays(np.float32, (3, F), elements=st.floats(-3, 3, width=32)))
def test_shares_add_up_to_the_score_of_any_network(features: npt.NDArray[np.float32]) -> None:
    np.testing.assert_allclose(shares(entangled, features, neutral(features)).sum(axis=1), entangled(features), atol=1e-3)


def test_neutral_is_the_candidates_mean_for_items_and_nothing_for_users() -> None:
    values = neutral(some_features())
    assert values[: len(ITEM_FEATURES)] == pytest.approx(some_features()[:, : len(ITEM_FEATURES)].mean(axis=0))
    assert values[len(ITEM_FEATURES) :].tolist() == [0.0] * (F - len(ITEM_FEATURES))


def test_items_of_the_page_are_explained_by_name_in_their_order() -> None:
    features = some_features()
    first, second = explain(linear, features, np.array([3, 1]))
    assert list(first["features"]) == list(FEATURES)
    assert first["features"]["bm25"] == pytest.approx(float(features[3, 0]), abs=1e-6)
    assert second["features"]["bm25"] == pytest.approx(float(features[1, 0]), abs=1e-6)
    assert sum(first["shares"].values()) == pytest.approx(float(linear(features)[3]), abs=1e-3)


def test_every_feature_has_a_share_be_it_nothing() -> None:
    def only_bm25(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return features[:, 0]

    explained: list[dict[str, Any]] = explain(only_bm25, some_features(), np.array([0]))
    assert list(explained[0]["shares"]) == [*FEATURES, REST]
    assert {name for name, share in explained[0]["shares"].items() if share} == {"bm25", REST}


def test_an_empty_page_has_no_explanations() -> None:
    assert explain(linear, some_features(), np.array([], np.intp)) == []
