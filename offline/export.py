"""Writing a trained network: one SavedModel with three signatures (TF Serving's layout), the same graphs as ONNX, and proof that they agree.

The SavedModel works on batches of users; the ONNX graphs on one user, as the service that holds them asks for one at a time.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import tensorflow as tf

from offline.graphs import onnx_graphs
from offline.learn import ASKED, FLOATS, spec
from offline.network import Preference, Rank, Tensor
from services.contracts import Category
from services.features import PROPERTIES
from services.models.onnx import OnnxModel
from services.models.port import ASSETS, MAX_STEPS, Events, ReleaseFacts

TOLERANCE = 1e-5


def write(folder: Path, preference: Preference, rank: Rank, vocabulary: list[str]) -> None:
    """Fill a release's folder: saved_model.pb, variables/, assets.extra/."""
    assets = folder / ASSETS
    save_tensorflow(folder, preference, rank)
    assets.mkdir(parents=True, exist_ok=True)
    vectors = preference.property_vectors().numpy()
    weights = {
        name: value.numpy() for name, value in (*preference.variables.items(), *((f"rank_{n}", v) for n, v in rank.variables.items()))
    }
    weights |= {"vectors": vectors, "kernel": preference.gates().numpy(), "scale": rank.scale}
    for name, graph in onnx_graphs(weights).items():
        onnx.save(graph, str(assets / f"{name}.onnx"))
    (assets / "vocabulary.json").write_bytes(msgspec.json.encode(vocabulary))
    np.save(assets / "property_vectors.npy", vectors)


# ---- TensorFlow --------------------------------------------------------------------------------------------------------------------


def save_tensorflow(folder: Path, preference: Preference, rank: Rank) -> None:
    module = tf.Module()
    module.variables_ = [*preference.variables.values(), *rank.variables.values()]
    module.vectors = tf.Variable(preference.property_vectors(), trainable=False)

    def encode(properties: Tensor, kinds: Tensor, gaps: Tensor) -> dict[str, Tensor]:
        return {"states": preference.encode(module.vectors, properties, kinds, gaps)}

    def prefer(properties: Tensor, kinds: Tensor, gaps: Tensor, categories: Tensor, probabilities: Tensor) -> dict[str, Tensor]:
        states = preference.encode(module.vectors, properties, kinds, gaps)
        vector = preference.vector(module.vectors, states, categories, probabilities)
        return {"scores": tf.matmul(vector, module.vectors, transpose_b=True), "weights": rank.weights(vector), "vector": vector}

    def score(features: Tensor, weights: Tensor, vector: Tensor) -> dict[str, Tensor]:
        return {"scores": rank.score(features, weights, vector)}

    names = ("properties", "kinds", "gaps", "categories", "probabilities")
    asked = [tf.TensorSpec(given.shape, given.dtype, name) for given, name in zip(ASKED, names, strict=True)]
    ranked = [spec(FLOATS, 3, "features"), spec(FLOATS, 2, "weights"), spec(FLOATS, 2, "vector")]
    signatures = {
        "encode": tf.function(encode, input_signature=asked[:3]),
        "preference": tf.function(prefer, input_signature=asked),
        "rank": tf.function(score, input_signature=ranked),
    }
    tf.saved_model.save(module, str(folder), signatures=signatures)


# ---- agreement -----------------------------------------------------------------------------------------------------------------------


def disagreement(folder: Path, facts: ReleaseFacts, seed: int = 0) -> float:
    """Largest difference between the SavedModel and the ONNX graphs of a written release, relative to values over 1."""
    served = OnnxModel(folder / ASSETS, 0, facts)
    signatures = tf.saved_model.load(str(folder)).signatures
    random = np.random.default_rng(seed)
    names = [value for value in served.vocabulary if value.startswith("category:")]
    worst = 0.0
    for steps in (0, 1, 7, MAX_STEPS):
        events = _random_events(random, steps, len(served.vocabulary))
        categories = [Category(int(random.choice(names).split(":")[1]), "", 0.6)] if names else []
        worst = max(worst, _difference(served, signatures, events, categories, random))
    return worst


def _difference(served: OnnxModel, signatures: Any, events: Events, categories: list[Category], random: np.random.Generator) -> float:
    padding = MAX_STEPS + 3 - len(events)  # a server's batch pads, the ONNX caller does not
    given = {
        "properties": tf.constant(np.pad(events.properties, ((0, padding), (0, 0)))[None]),
        "kinds": tf.constant(np.pad(events.kinds, (0, padding))[None]),
        "gaps": tf.constant(np.pad(events.gaps, (0, padding))[None]),
    }
    query = {name: tf.constant(value[None]) for name, value in served.query(categories).items()}
    theirs, states = signatures["preference"](**given, **query), signatures["encode"](**given)["states"][0, : len(events)]
    encoded = served.encode(events)
    pairs = [(encoded, states)]
    for ours in (served.preference(events, categories), served.preference(encoded, categories)):
        pairs += [(getattr(ours, name), theirs[name][0]) for name in ("scores", "weights", "vector")]
    features = random.standard_normal((20, len(served.facts.features))).astype(np.float32)
    ranked = signatures["rank"](features=tf.constant(features[None]), weights=theirs["weights"], vector=theirs["vector"])["scores"][0]
    pairs.append((served.rank(features, theirs["weights"][0].numpy(), theirs["vector"][0].numpy()), ranked))
    return max(float((np.abs(a - b) / np.maximum(np.abs(b), 1.0)).max(initial=0)) for a, b in ((x, np.asarray(y)) for x, y in pairs))


def _random_events(random: np.random.Generator, steps: int, values: int) -> Events:
    return Events(
        random.integers(0, values, (steps, len(PROPERTIES))).astype(np.int32),
        random.integers(1, 5, steps).astype(np.int32),
        random.exponential(5.0, steps).astype(np.float32),
    )
