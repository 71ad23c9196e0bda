"""The network of a release as ONNX graphs for one user, written node by node from its weights (`offline.network` has the same in TensorFlow;
tf2onnx does not work with Keras 3). `offline.export` proves that the two agree."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from offline.records import Array
from offline.sizes import GAP_SCALE, STATE_SIZE, UNITS
from services.features import PROPERTIES
from services.models.port import QUERY_CATEGORIES, VECTOR_SIZE

OPSET, IR_VERSION = 17, 9
Given = dict[str, tuple[Any, list[Any]]]
"""Inputs of a graph: type and shape by name."""


class _Graph:
    """Nodes and constants as they are called for; every call returns the name of its output."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def weight(self, name: str) -> str:
        return self.constant(self._weights[name], f"weights.{name}")

    def constant(self, value: Any, name: str = "", kind: Any = np.float32) -> str:
        name = name or f"constant_{len(self._constants)}"
        self._constants[name] = numpy_helper.from_array(np.array(value, kind, order="C"), name)
        return name

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [f"{kind.lower()}_{len(self._nodes)}" + (f"_{i}" if i else "") for i in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0]

    def name(self, value: str, output: str) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [output]))

    def finish(self, name: str, inputs: Given, outputs: dict[str, list[Any]]) -> Any:
        given = [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in inputs.items()]
        made = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in outputs.items()]
        graph = helper.make_graph(self._nodes, name, given, made, list(self._constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="aisle")
        onnx.checker.check_model(model, full_check=True)
        return model


def onnx_graphs(weights: dict[str, Array]) -> dict[str, Any]:
    """encode, head, preference (both) and rank, from the networks' weights by name."""
    values, features = len(weights["vectors"]), len(weights["scale"])
    events: Given = {
        "properties": (TensorProto.INT32, ["T", len(PROPERTIES)]), "kinds": (TensorProto.INT32, ["T"]), "gaps": (TensorProto.FLOAT, ["T"]),
    }  # fmt: skip
    query: Given = {"categories": (TensorProto.INT32, [QUERY_CATEGORIES]), "probabilities": (TensorProto.FLOAT, [QUERY_CATEGORIES])}
    states: Given = {"states": (TensorProto.FLOAT, ["T", STATE_SIZE])}
    heads = {"scores": [values], "weights": [features], "vector": [VECTOR_SIZE]}
    ranked: Given = {
        "features": (TensorProto.FLOAT, ["n", features]), "weights": (TensorProto.FLOAT, [features]), "vector": (TensorProto.FLOAT, [VECTOR_SIZE]),
    }  # fmt: skip
    encode, head, both, rank = (_Graph(weights) for _ in range(4))
    encode.name(_encode(encode), "states")
    _head(head, "states")
    _head(both, _encode(both))
    _rank(rank)
    return {
        "encode": encode.finish("encode", events, {"states": ["T", STATE_SIZE]}),
        "head": head.finish("head", states | query, heads),
        "preference": both.finish("preference", events | query, heads),
        "rank": rank.finish("rank", ranked, {"scores": ["n"]}),
    }


def _encode(g: _Graph) -> str:
    about = g.op("ReduceSum", g.op("Gather", g.weight("vectors"), "properties"), g.constant([1], kind=np.int64), keepdims=0)
    one = g.constant([1], kind=np.int64)
    gaps = g.op("Unsqueeze", g.op("Mul", "gaps", g.constant(GAP_SCALE)), one)
    detail = g.op("Concat", g.op("Gather", g.weight("kinds"), "kinds"), gaps, axis=1)
    steps = g.op("Unsqueeze", g.op("Concat", about, detail, axis=1), one)
    hidden = g.op("Reshape", _lstm(g, steps), g.constant([-1, UNITS], kind=np.int64))
    real = g.op("Unsqueeze", g.op("Cast", g.op("Greater", "kinds", g.constant(0, kind=np.int32)), to=TensorProto.FLOAT), one)
    return g.op("Mul", g.op("Concat", hidden, about, detail, real, axis=1), real)


def _lstm(g: _Graph, steps: str) -> str:
    """TensorFlow has the gates as columns in the order input, forget, candidate, output; ONNX as rows: input, output, forget, candidate."""
    kernel, bias = g._weights["kernel"], g._weights["kernel_bias"]
    order = np.concatenate([np.arange(UNITS) + UNITS * gate for gate in (0, 3, 1, 2)])
    inputs = len(kernel) - UNITS
    return g.op(
        "LSTM", steps, g.constant(kernel[:inputs, order].T[None]), g.constant(kernel[inputs:, order].T[None]),
        g.constant(np.concatenate([bias[order], np.zeros(4 * UNITS)])[None]), hidden_size=UNITS,
    )  # fmt: skip


def _head(g: _Graph, states: str) -> None:
    first, all_, vectors = g.constant([0], kind=np.int64), g.constant([-1], kind=np.int64), g.weight("vectors")
    query = g.op("MatMul", "probabilities", g.op("Gather", vectors, "categories"))
    real = g.op("Reshape", g.op("Gather", states, g.constant(STATE_SIZE - 1, kind=np.int64), axis=1), all_)
    count = g.op("ReduceSum", real, first, keepdims=1)
    user = g.op("Div", g.op("ReduceSum", states, first, keepdims=0), g.op("Max", count, g.constant([1.0])))
    asked = g.op("Add", g.op("MatMul", query, g.weight("attend_query")), g.op("MatMul", user, g.weight("attend_user")))
    heard = g.op("Tanh", g.op("Add", g.op("MatMul", states, g.weight("attend_state")), asked))
    logits = g.op("MatMul", heard, g.constant(g._weights["attend_score"][:, 0]))
    padded = g.op("Mul", g.op("Sub", real, g.constant(1.0)), g.constant(1e9))
    context = g.op("MatMul", g.op("Softmax", g.op("Add", logits, padded), axis=0), states)
    hidden = g.op("MatMul", g.op("Concat", context, user, query, axis=0), g.weight("hidden"))
    hidden = g.op("Tanh", g.op("Add", hidden, g.weight("hidden_bias")))
    about = np.zeros((STATE_SIZE, VECTOR_SIZE))
    about[UNITS : UNITS + VECTOR_SIZE] = np.eye(VECTOR_SIZE) * g._weights["about"]
    liked = g.op("Add", g.op("MatMul", context, g.constant(about)), g.op("MatMul", hidden, g.weight("vector")))
    share = g.op("Div", count, g.op("Add", count, g.constant([np.exp(g._weights["evidence"])])))
    vector = g.op("Mul", liked, share)
    g.name(g.op("MatMul", vector, g.constant(g._weights["vectors"].T)), "scores")  # a row times a matrix: 100 times a matrix times a column
    g.name(g.op("MatMul", vector, g.weight("rank_personal")), "weights")
    g.name(vector, "vector")


def _rank(g: _Graph) -> None:
    """On transposed features, so that all products have a row on the left (see `scores` above)."""
    scale, row = g._weights["scale"], g.constant([0], kind=np.int64)
    features = g.op("Transpose", "features", perm=[1, 0])
    linear = g.op("MatMul", g.op("Mul", g.op("Add", g.weight("rank_global"), "weights"), g.weight("scale")), features)
    user = g.op("Add", g.op("MatMul", "vector", g.weight("rank_user")), g.weight("rank_bias"))
    hidden = g.op("MatMul", g.constant((g._weights["rank_features"] * scale[:, None]).T), features)
    hidden = g.op("Relu", g.op("Add", hidden, g.op("Unsqueeze", user, g.constant([1], kind=np.int64))))
    deep = g.op("Squeeze", g.op("MatMul", g.constant(g._weights["rank_out"].T), hidden), row)
    g.name(g.op("Add", linear, deep), "scores")
