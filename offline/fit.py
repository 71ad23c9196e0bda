"""From examples to the files of a release, with TensorFlow. Imported only once there is something to learn from: the import takes seconds."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from offline import dataset, export, learn
from offline.dataset import Dataset
from offline.evaluate import page_features
from offline.network import Preference, Rank
from offline.progress import Clock, Say
from offline.records import Array
from services.errors import ConfigurationError
from services.features import BM25, FEATURES, ITEM_FEATURES, Binding
from services.forward import ForwardIndex
from services.models.port import ReleaseFacts


@dataclass(frozen=True, slots=True)
class Fitted:
    """Both networks and what their numbers are called."""

    vocabulary: list[str]
    preference: Preference
    rank: Rank


def fit(data: Dataset, index: ForwardIndex, seed: int, report: Say) -> Fitted:
    """Preference on the first part; ranking on the second, with the features that preference gives for users it has not been fitted on."""
    tf.keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    values = dataset.vocabulary(data, index.property_ids, index.property_values)
    preference = Preference(values, seed)
    columns = Binding(index, values, preference.property_vectors().numpy()).columns
    asked = learn.queries(data, values)
    learn.fit_preference(preference, data, columns, asked, seed, report)
    binding = Binding(index, values, preference.property_vectors().numpy())
    clock, pages = Clock(), data.clicked(data.pages(1))[-learn.RANK_PAGES :]
    vectors = learn.user_vectors(preference, data, pages, binding.columns, asked)
    features = _features(data, pages, binding, vectors)
    rank = Rank(len(FEATURES), BM25, _scale(data, pages, features), seed)
    report(f"rank: features of {len(pages):,} pages, {clock.seconds:.1f} s")
    learn.fit_rank(rank, data, pages, features, vectors, seed, report)
    return Fitted(values, preference, rank)


def _features(data: Dataset, pages: Array, binding: Binding, vectors: Array) -> Array:
    """float32[N, F] with the rows of these pages' items filled."""
    indptr = data.log.pages.indptr
    out = np.zeros((int(indptr[-1]), len(FEATURES)), np.float32)
    liked = vectors @ binding.property_vectors.T
    for row, page in enumerate(pages):
        items = slice(indptr[page], indptr[page + 1])
        out[items] = page_features(data, items, binding, liked[row], vectors[row])
    return out


def _scale(data: Dataset, pages: Array, features: Array) -> Array:
    """float32[F]: 1 for item features, which come scaled; the user's are brought to a standard deviation of 1 around their neutral 0.

    0 for an item feature that never varied in training (category probabilities, before there was a category model): nothing was learned
    about it, and what was drawn for its weights would be noise once it varies.
    """
    items = data.items(pages)
    rows = items.take(features)[items.real]
    item, user = rows[:, : len(ITEM_FEATURES)], rows[:, len(ITEM_FEATURES) :]
    spread = np.sqrt((user[np.any(user != 0, axis=1)] ** 2).mean(axis=0)) if np.any(user) else np.ones(user.shape[1])
    return np.concatenate([np.ptp(item, axis=0) > 0, 1.0 / np.maximum(spread, 1e-3)]).astype(np.float32)


def write(fitted: Fitted, folder: Path, facts: ReleaseFacts) -> float:
    """Write the release's files; returns how far SavedModel and ONNX differ. Raises ConfigurationError when that is too far."""
    export.write(folder, fitted.preference, fitted.rank, fitted.vocabulary)
    difference = export.disagreement(folder, facts)
    if not difference <= export.TOLERANCE:
        raise ConfigurationError(f"the exported graphs differ by {difference:.2e} (allowed {export.TOLERANCE:.0e}): nothing was shipped")
    return difference
