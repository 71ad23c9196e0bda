"""Fitting the two networks. Both learn from the clicks of a page as a choice among what it showed (listwise softmax).

An item is chosen because it is liked or because it stands where people look: the loss adds a term per position, which is not exported. Pages
whose order was randomised tell the two apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from offline.dataset import Dataset, Items
from offline.network import Preference, Rank, Tensor
from offline.progress import Clock, Say
from offline.records import Array
from services.features import ITEM_FEATURES

MAX_POSITION = 200
PREFERENCE_BATCH, RANK_BATCH, INFER_BATCH = 128, 64, 512
NEUTRAL_SHARE = 0.15
"""Share of the rows of which ranking is shown no user, so that it is also at its best without one."""
VALUE_TASK = 0.1
"""Weight of the second task, naming the properties of what was clicked among all values."""
PREFERENCE_EPOCHS, RANK_EPOCHS = 4, 12
PREFERENCE_PAGES, RANK_PAGES = 40_000, 20_000
"""The newest pages that each learns from: bounds the time that training takes, whatever the log's length."""
FLOATS, INTS = tf.float32, tf.int32


def spec(kind: Any, dimensions: int, name: str | None = None) -> Any:
    return tf.TensorSpec([None] * dimensions, kind, name)


ASKED = [spec(INTS, 3), spec(INTS, 2), spec(FLOATS, 2), spec(INTS, 2), spec(FLOATS, 2)]
"""Properties, kinds and gaps of the histories, categories and probabilities of the queries."""


@dataclass(frozen=True, slots=True)
class Queries:
    """Predicted categories of every page as vocabulary values: values int32[n, 3], probabilities float32[n, 3]."""

    values: Array
    probabilities: Array


def queries(data: Dataset, vocabulary: list[str]) -> Queries:
    known = {value: number for number, value in enumerate(vocabulary)}
    ids, place = np.unique(data.log.pages.categories, return_inverse=True)
    table = np.array([known.get(f"category:{category}", 0) for category in ids], np.int32)
    return Queries(table[place].reshape(data.log.pages.categories.shape), data.log.pages.probabilities)


# ---- preference ------------------------------------------------------------------------------------------------------------------


def fit_preference(
    net: Preference, data: Dataset, columns: Array, asked: Queries, seed: int, report: Say, epochs: int = PREFERENCE_EPOCHS
) -> None:
    """Train in place on the clicked pages of part 0 whose users have a history. columns int32[size, P] of `features.Binding`."""
    pages = data.clicked(data.pages(0))
    pages = pages[data.lengths(pages) > 0][-PREFERENCE_PAGES:]
    step = _preference_step(net, epochs * _batches(pages, PREFERENCE_BATCH))
    for epoch in range(epochs):
        clock, losses = Clock(), []
        for batch in _shuffled(pages, data.lengths(pages), PREFERENCE_BATCH, seed + epoch):
            items = data.items(batch)
            history = data.histories(batch, columns)
            losses.append(
                step(*history, asked.values[batch], asked.probabilities[batch], *_shown(data, items), _columns(data, items, columns))
            )
        report(f"preference: epoch {epoch + 1}/{epochs}, {len(pages):,} pages, loss {_mean(losses):.4f}, {clock.seconds:.1f} s")


def _preference_step(net: Preference, steps: int) -> Any:
    help_ = {
        "base": tf.Variable(np.zeros((len(ITEM_FEATURES), 1), np.float32)),  # what any user would click: not the user's preference
        "position": tf.Variable(np.zeros(MAX_POSITION + 1, np.float32)),
        "value": tf.Variable(np.zeros(int(net.variables["embeddings"].shape[0]), np.float32)),
    }
    variables = [*net.variables.values(), *help_.values()]
    optimizer = _optimizer(4e-3, steps, variables)

    def step(properties: Tensor, kinds: Tensor, gaps: Tensor, categories: Tensor, probabilities: Tensor,
             features: Tensor, positions: Tensor, gains: Tensor, shown: Tensor) -> Tensor:  # fmt: skip
        with tf.GradientTape() as tape:
            vectors = net.property_vectors()
            states = net.encode(vectors, properties, kinds, gaps)
            scores = tf.matmul(net.vector(vectors, states, categories, probabilities), vectors, transpose_b=True)
            liked = tf.reduce_sum(tf.gather(scores, shown, batch_dims=1), axis=2)
            logits = liked + tf.einsum("bnf,fk->bn", features, help_["base"]) + tf.gather(help_["position"], positions)
            loss = _listwise(logits, positions, gains) + VALUE_TASK * _named(scores + help_["value"], shown, gains, net.groups)
            total = loss + 1e-3 * tf.nn.l2_loss(net.variables["embeddings"])
        optimizer.apply(tape.gradient(total, variables), variables)
        return loss

    return tf.function(step, input_signature=[*ASKED, spec(FLOATS, 3), spec(INTS, 2), spec(FLOATS, 2), spec(INTS, 3)])


def _named(scores: Tensor, shown: Tensor, gains: Tensor, groups: list[tuple[int, int]]) -> Tensor:
    """Cross entropy of the clicked items' values, each among all values of its property."""
    parts = [scores[:, :1]] + [tf.nn.log_softmax(scores[:, first:last]) for first, last in groups]
    each = tf.gather(tf.concat(parts, axis=1), shown, batch_dims=1) * tf.cast(shown > 0, FLOATS)
    return -tf.reduce_sum(tf.reduce_sum(each, axis=2) * gains) / tf.reduce_sum(gains)


def user_vectors(net: Preference, data: Dataset, pages: Array, columns: Array, asked: Queries) -> Array:
    """float32[len(pages), D], from what each page's user had done before it."""
    vectors = net.property_vectors()

    def infer(properties: Tensor, kinds: Tensor, gaps: Tensor, categories: Tensor, probabilities: Tensor) -> Tensor:
        return net.vector(vectors, net.encode(vectors, properties, kinds, gaps), categories, probabilities)

    infer_batch = tf.function(infer, input_signature=ASKED)
    out = np.zeros((len(pages), vectors.shape[1]), np.float32)
    by_length = np.argsort(data.lengths(pages), kind="stable")
    for start in range(0, len(pages), INFER_BATCH):
        rows = by_length[start : start + INFER_BATCH]
        batch = pages[rows]
        out[rows] = infer_batch(*data.histories(batch, columns), asked.values[batch], asked.probabilities[batch]).numpy()
    return out


# ---- rank --------------------------------------------------------------------------------------------------------------------------


def fit_rank(
    net: Rank, data: Dataset, pages: Array, features: Array, vectors: Array, seed: int, report: Say, epochs: int = RANK_EPOCHS
) -> None:
    """Train in place on clicked pages of part 1: features float32[N, F] of all items (rows of other pages are not read), vectors
    float32[len(pages), D] of these pages' users."""
    user_block = np.arange(features.shape[1]) >= len(ITEM_FEATURES)
    step = _rank_step(net, epochs * _batches(pages, RANK_BATCH))
    random = np.random.default_rng(seed)
    for epoch in range(epochs):
        clock, losses = Clock(), []
        for rows in _shuffled(np.arange(len(pages)), np.zeros(len(pages), int), RANK_BATCH, seed + epoch):
            known = random.random(len(rows)) >= NEUTRAL_SHARE
            items = data.items(pages[rows])
            seen = items.take(features) * np.where(user_block, known[:, None], True)[:, None].astype(np.float32)
            _, positions, gains = _shown(data, items)
            losses.append(step(seen, vectors[rows] * known[:, None].astype(np.float32), positions, gains))
        if (epoch + 1) % 4 == 0:
            report(f"rank: epoch {epoch + 1}/{epochs}, {len(pages):,} pages, loss {_mean(losses):.4f}, {clock.seconds:.1f} s")


def _rank_step(net: Rank, steps: int) -> Any:
    position = tf.Variable(np.zeros(MAX_POSITION + 1, np.float32))
    variables = [*net.variables.values(), position]
    optimizer = _optimizer(5e-3, steps, variables)

    def step(features: Tensor, vector: Tensor, positions: Tensor, gains: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            logits = net.score(features, net.weights(vector), vector) + tf.gather(position, positions)
            loss = _listwise(logits, positions, gains)
            total = loss + sum(3e-3 * tf.nn.l2_loss(net.variables[name]) for name in ("personal", "features", "user", "out"))
        optimizer.apply(tape.gradient(total, variables), variables)
        return loss

    return tf.function(step, input_signature=[spec(FLOATS, 3), spec(FLOATS, 2), spec(INTS, 2), spec(FLOATS, 2)])


# ---- both --------------------------------------------------------------------------------------------------------------------------


def _listwise(logits: Tensor, positions: Tensor, gains: Tensor) -> Tensor:
    """Mean cross entropy of the gains (click < cart < purchase) against the softmax of a page's items; padding has position 0."""
    chosen = tf.nn.log_softmax(tf.where(positions > 0, logits, -1e9))
    return -tf.reduce_mean(tf.reduce_sum(chosen * gains, axis=1) / tf.reduce_sum(gains, axis=1))


def _shown(data: Dataset, items: Items) -> tuple[Array, Array, Array]:
    pages = data.log.pages
    features = (
        items.take(pages.features[:, : len(ITEM_FEATURES)]) if pages.features.shape[1] else np.zeros((*items.rows.shape, 0), np.float32)
    )
    return features, np.minimum(items.take(pages.position), MAX_POSITION), items.take(data.gain)


def _columns(data: Dataset, items: Items, columns: Array) -> Array:
    product_no = items.take(data.log.pages.product_no)
    known = items.real & (product_no < len(columns))
    return np.where(known[..., None], columns[np.minimum(product_no, len(columns) - 1)], 0).astype(np.int32)


def _shuffled(pages: Array, lengths: Array, size: int, seed: int) -> Iterator[Array]:
    """Batches of about equal length (little padding), in random order."""
    random = np.random.default_rng(seed)
    order = np.lexsort((random.random(len(pages)), lengths))
    for batch in random.permutation(_batches(pages, size)):
        yield pages[order[batch * size : (batch + 1) * size]]


def _batches(pages: Array, size: int) -> int:
    return -(-len(pages) // size)


def _optimizer(rate: float, steps: int, variables: list[Any]) -> Any:
    optimizer = tf.keras.optimizers.Adam(tf.keras.optimizers.schedules.CosineDecay(rate, max(1, steps)), global_clipnorm=5.0)
    optimizer.build(variables)
    return optimizer


def _mean(losses: list[Any]) -> float:
    return float(np.mean([loss.numpy() for loss in losses])) if losses else 0.0
