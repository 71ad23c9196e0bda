"""The network of a release, in TensorFlow: what is known of a user (preference) and what follows for a page (rank).

Preference is DUPN's (arXiv 1805.10727): behaviours through an LSTM whose gates, and not its candidate, see the behaviour's properties (kind
and gap; figure 4 there); attention over the states by the query's categories and by the user's whole history; several tasks on one user
vector. Three things are ours: attention also pools what the behaviours were about (not only LSTM states), so that a brand bought is a brand liked
from the first example on; the vector grows with the number of behaviours, n / (n + k), so that it starts at neutral; and it scores property
values by dot products with their own, centred, embeddings, so that 0 is neutral.

Sizes as in services/models/port.py, b users in a batch, E = D: embeddings share the user vector's space.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from offline.dataset import groups
from offline.sizes import ATTENTION, GAP_SCALE, HIDDEN, KIND_SIZE, PROPERTY_SIZE, STATE_SIZE, UNITS
from services.contracts import EVENT_KINDS
from services.models.port import VECTOR_SIZE

Tensor = Any
"""TensorFlow ships no types; this says what is meant."""


class Preference:
    """Behaviours and query -> user vector [b, D] and scores [b, A]."""

    def __init__(self, values: list[str], seed: int) -> None:
        draw = _Draw(seed)
        self.groups = groups(values)
        size = len(values)
        self.variables = {
            "embeddings": draw("embeddings", size, VECTOR_SIZE, scale=0.5 / np.sqrt(VECTOR_SIZE)),
            "kinds": draw("kinds", len(EVENT_KINDS) + 1, KIND_SIZE, scale=0.3),
            "kernel": draw("kernel", VECTOR_SIZE + PROPERTY_SIZE + UNITS, 4 * UNITS),
            "kernel_bias": tf.Variable(np.repeat([0, 1, 0, 0], UNITS).astype(np.float32), name="kernel_bias"),  # forget gate open
            "attend_state": draw("attend_state", STATE_SIZE, ATTENTION),
            "attend_query": draw("attend_query", VECTOR_SIZE, ATTENTION),
            "attend_user": draw("attend_user", STATE_SIZE, ATTENTION),
            "attend_score": draw("attend_score", ATTENTION, 1, scale=0.1),
            "hidden": draw("hidden", 2 * STATE_SIZE + VECTOR_SIZE, HIDDEN),
            "hidden_bias": tf.Variable(np.zeros(HIDDEN, np.float32), name="hidden_bias"),
            "vector": draw("vector", HIDDEN, VECTOR_SIZE, scale=0.05),
            "about": tf.Variable(np.float32(1.0), name="about"),
            "evidence": tf.Variable(np.float32(1.0), name="evidence"),  # log k
        }

    def property_vectors(self) -> Tensor:
        """[A, D], of each property centred at 0; that of the unknown value is 0."""
        table = self.variables["embeddings"]
        parts = [table[first:last] - tf.reduce_mean(table[first:last], axis=0) for first, last in self.groups]
        return tf.concat([tf.zeros([1, VECTOR_SIZE]), *parts], axis=0)

    def gates(self) -> Tensor:
        """The LSTM's kernel [E + properties + UNITS, 4 UNITS] in the order input, forget, candidate, output: the candidate does not see
        properties."""
        mask = np.ones((VECTOR_SIZE + PROPERTY_SIZE + UNITS, 4 * UNITS), np.float32)
        mask[VECTOR_SIZE : VECTOR_SIZE + PROPERTY_SIZE, 2 * UNITS : 3 * UNITS] = 0
        return self.variables["kernel"] * mask

    def encode(self, vectors: Tensor, properties: Tensor, kinds: Tensor, gaps: Tensor) -> Tensor:
        """States [b, T, H]; rows of padding are zeros."""
        about = tf.reduce_sum(tf.gather(vectors, properties), axis=2)
        detail = tf.concat([tf.gather(self.variables["kinds"], kinds), gaps[..., None] * GAP_SCALE], axis=2)
        steps = self._lstm(tf.concat([about, detail], axis=2))
        real = tf.cast(kinds > 0, tf.float32)[..., None]
        return tf.concat([steps, about, detail, tf.ones_like(real)], axis=2) * real

    def _lstm(self, inputs: Tensor) -> Tensor:
        """The fused CPU kernel; padding is at the end, so it changes no real state."""
        inputs = tf.transpose(inputs, [1, 0, 2])
        shape, nothing = tf.shape(inputs), tf.zeros([UNITS])
        start = tf.zeros([shape[1], UNITS])
        steps = tf.raw_ops.BlockLSTMV2(
            seq_len_max=tf.cast(shape[0], tf.int64), x=inputs, cs_prev=start, h_prev=start, w=self.gates(), b=self.variables["kernel_bias"],
            wci=nothing, wcf=nothing, wco=nothing, cell_clip=0.0, use_peephole=False,
        )  # fmt: skip
        return tf.transpose(steps.h, [1, 0, 2])

    def vector(self, vectors: Tensor, states: Tensor, categories: Tensor, probabilities: Tensor) -> Tensor:
        """User vector [b, D] for a query of categories int32[b, 3] (vocabulary values) with probabilities [b, 3]; no behaviours: zeros."""
        v = self.variables
        query = tf.reduce_sum(tf.gather(vectors, categories) * probabilities[..., None], axis=1)
        real = states[..., -1]
        count = tf.reduce_sum(real, axis=1, keepdims=True)
        user = tf.reduce_sum(states, axis=1) / tf.maximum(count, 1.0)
        asked = tf.matmul(query, v["attend_query"]) + tf.matmul(user, v["attend_user"])
        heard = tf.tanh(tf.einsum("bth,ha->bta", states, v["attend_state"]) + asked[:, None])
        logits = tf.einsum("bta,ak->bt", heard, v["attend_score"]) - 1e9 * (1.0 - real)
        context = tf.einsum("bt,bth->bh", tf.nn.softmax(logits), states)
        hidden = tf.tanh(tf.matmul(tf.concat([context, user, query], axis=1), v["hidden"]) + v["hidden_bias"])
        liked = v["about"] * context[:, UNITS : UNITS + VECTOR_SIZE] + tf.matmul(hidden, v["vector"])
        return liked * count / (count + tf.exp(v["evidence"]))


class Rank:
    """Features, ranking weights and user vector -> scores; and the user vector's ranking weights."""

    def __init__(self, features: int, bm25: int, scale: np.ndarray, seed: int) -> None:
        draw = _Draw(seed)
        first = np.zeros(features, np.float32)
        first[bm25] = 1.0
        self.scale = scale.astype(np.float32)
        self.variables = {
            "global": tf.Variable(first, name="global"),
            "personal": draw("personal", VECTOR_SIZE, features, scale=0.01),
            "features": draw("features", features, HIDDEN),
            "user": draw("user", VECTOR_SIZE, HIDDEN),
            "bias": tf.Variable(np.zeros(HIDDEN, np.float32), name="bias"),
            "out": draw("out", HIDDEN, 1, scale=0.05),
        }

    def weights(self, vector: Tensor) -> Tensor:
        """[b, F], zero for a zero vector."""
        return tf.matmul(vector, self.variables["personal"])

    def score(self, features: Tensor, weights: Tensor, vector: Tensor) -> Tensor:
        """[b, n] of features [b, n, F], weights [b, F], vector [b, D]."""
        v = self.variables
        scaled = features * self.scale
        linear = tf.einsum("bnf,bf->bn", scaled, v["global"] + weights)
        hidden = tf.nn.relu(tf.einsum("bnf,fh->bnh", scaled, v["features"]) + (tf.matmul(vector, v["user"]) + v["bias"])[:, None])
        return linear + tf.einsum("bnh,hk->bn", hidden, v["out"])


class _Draw:
    """Initial weights that depend on the seed and the variable's name alone."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __call__(self, name: str, rows: int, columns: int, scale: float | None = None) -> Any:
        random = np.random.default_rng([self._seed, *name.encode()])
        spread = scale if scale is not None else np.sqrt(2.0 / (rows + columns))
        return tf.Variable((random.standard_normal((rows, columns)) * spread).astype(np.float32), name=name)
