"""Why an item stands where it stands: how much of its score each feature is."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.features import FEATURES, ITEM_FEATURES
from services.forward import ForwardIndex

Floats = npt.NDArray[np.float32]
Scorer = Callable[[Floats], npt.NDArray[np.floating]]

REST = "rest"
DIGITS = 6


def neutral(features: Floats) -> Floats:
    """float32[F]: a feature without news. The candidates' mean for what is known of items, zero for what is known of the user."""
    values = np.zeros(len(FEATURES), np.float32)
    if len(features):
        values[: len(ITEM_FEATURES)] = features[:, : len(ITEM_FEATURES)].mean(axis=0)
    return values


def shares(score: Scorer, page: Floats, values: Floats) -> Floats:
    """float32[count, F + 1]: what the score of each row of `page` float32[count, F] loses when one feature is set to its neutral value.

    For whatever is linear in the features this is exact: weight x (feature - neutral). Of a network it is the usual leave-one-out
    difference, in which features that only work together are counted several times or not at all; the last column is the rest, so that
    each row adds up to its score.
    """
    count, size = page.shape
    varied = np.repeat(page, size, axis=0).reshape(count, size, size)
    each = np.arange(size)
    varied[:, each, each] = values
    whole = np.asarray(score(page), np.float32)
    lost = whole[:, None] - np.asarray(score(varied.reshape(-1, size)), np.float32).reshape(count, size)
    return np.hstack((lost, (whole - lost.sum(axis=1))[:, None]))


def preferences(index: ForwardIndex, vocabulary: Sequence[str], scores: Floats, product_no: int) -> dict[str, float]:
    """The user's score of each property of the product that the release knows; nothing for nobody."""
    if product_no >= index.size or not scores.any():
        return {}
    numbers = {value: number for number, value in enumerate(vocabulary) if number}
    values = [index.property_values[i] for i in index.property_ids[product_no].tolist() if i >= 0]
    return {value: round(float(scores[numbers[value]]), DIGITS) for value in values if value in numbers}


def explain(score: Scorer, features: Floats, page_rows: npt.NDArray[np.intp]) -> list[dict[str, Any]]:
    """Per item of the page: `features` and `shares` by name, and the rest."""
    page = np.ascontiguousarray(features[page_rows])
    if not len(page):
        return []
    parts = shares(score, page, neutral(features))
    names = (*FEATURES, REST)
    return [
        {
            "features": {name: round(value, DIGITS) for name, value in zip(FEATURES, row, strict=True)},
            "shares": {name: round(value, DIGITS) for name, value in zip(names, part, strict=True)},
        }
        for row, part in zip(page.tolist(), parts.tolist(), strict=True)
    ]
