"""What a release would have scored on pages of the log: through the port, exactly as services call it, with its own features of the user."""

from collections.abc import Iterator

import numpy as np

from offline.dataset import Dataset
from offline.records import Array
from services.contracts import Category
from services.features import ITEM_FEATURES, PROPERTIES, Binding, matches_first, user_features
from services.models.port import Events, Model, Preferences

CHUNK = 1_000
NOBODY = Events(np.zeros((0, len(PROPERTIES)), np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))


def item_rows(data: Dataset, pages: Array) -> tuple[Array, Array]:
    """Rows of the pages' items, page by page, and the indptr into them."""
    indptr = data.log.pages.indptr
    lengths = indptr[pages + 1] - indptr[pages]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return np.arange(ends[-1]) + np.repeat(indptr[pages] - ends[:-1], lengths), ends


def scores(model: Model, binding: Binding, data: Dataset, pages: Array, *, known: bool = True) -> Array:
    """float64 per item of the pages, page by page, as the ranker would order them; with `known` False as if nothing were known of their users."""
    indptr, out = data.log.pages.indptr, []
    for page, preferences in _preferences(model, binding, data, pages, known):
        items = slice(indptr[page], indptr[page + 1])
        features = page_features(data, items, binding, preferences.scores, preferences.vector)
        out.append(matches_first(model.rank(features, preferences.weights, preferences.vector), features))
    return np.concatenate([np.zeros(0), *out])


def page_features(data: Dataset, items: slice, binding: Binding, liked: Array, vector: Array) -> Array:
    """float32[n, F]: the items' features as served, and those of the user by this release (the logged ones are by whatever was served)."""
    log = data.log.pages
    user = user_features(binding, log.product_no[items].astype(np.uint32), liked, vector)
    return np.hstack([log.features[items, : len(ITEM_FEATURES)], user])


def _preferences(model: Model, binding: Binding, data: Dataset, pages: Array, known: bool) -> Iterator[tuple[int, Preferences]]:
    log = data.log.pages
    for start in range(0, len(pages), CHUNK):
        chunk = pages[start : start + CHUNK]
        histories = data.histories(chunk, binding.columns)
        for row, page in enumerate(chunk):
            asked = zip(log.categories[page].tolist(), log.probabilities[page].tolist(), strict=True)
            categories = [Category(id_, "", probability) for id_, probability in asked if id_ >= 0]
            yield int(page), model.preference(histories.events(row) if known else NOBODY, categories)
