"""Random weights of the network that releases have, without training and without TensorFlow."""

import numpy as np

from offline import sizes
from services.features import FEATURES
from services.models.port import VECTOR_SIZE

VALUES = ["<unknown>", "brand:acme", "brand:zenith", "category:1", "category:2", "color:red"]


def random_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """By name, as `offline.graphs.onnx_graphs` takes them."""
    features, d = len(FEATURES), VECTOR_SIZE
    random, u, p, s, h = np.random.default_rng(seed), sizes.UNITS, sizes.PROPERTY_SIZE, sizes.STATE_SIZE, sizes.HIDDEN
    shapes = {
        "vectors": (len(VALUES), d), "kinds": (5, sizes.KIND_SIZE), "kernel": (d + p + u, 4 * u), "kernel_bias": (4 * u,),
        "attend_state": (s, sizes.ATTENTION), "attend_query": (d, sizes.ATTENTION), "attend_user": (s, sizes.ATTENTION),
        "attend_score": (sizes.ATTENTION, 1), "hidden": (2 * s + d, h), "hidden_bias": (h,), "vector": (h, d), "about": (), "evidence": (),
        "scale": (features,), "rank_global": (features,), "rank_personal": (d, features), "rank_features": (features, h), "rank_user": (d, h), "rank_bias": (h,), "rank_out": (h, 1),
    }  # fmt: skip
    weights = {name: np.asarray(random.standard_normal(shape) * 0.3, np.float32) for name, shape in shapes.items()}
    weights["vectors"][0] = 0
    return weights
