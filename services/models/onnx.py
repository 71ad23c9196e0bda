"""A release in the calling process, by ONNX Runtime: one thread, no spinning (a service's own threads are the parallelism)."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from services.artifacts import Manifest
from services.contracts import Category, Strategy
from services.errors import ConfigurationError
from services.models.baseline import Baseline
from services.models.port import ASSETS, F32, Events, Model, Preferences, ReleaseFacts, facts_of, inputs_of, neutral, query_of

UNREADABLE = tuple(
    getattr(ort_errors, name) for name in ("NoSuchFile", "InvalidProtobuf", "InvalidGraph", "NoModel", "NotImplemented", "Fail")
)


def load(folder: Path, manifest: Manifest) -> Model:
    """The release in this folder. Raises ConfigurationError when a file is missing or unreadable."""
    try:
        facts = facts_of(manifest)
        match facts.strategy:
            case "network":
                return OnnxModel(folder / ASSETS, manifest.version, facts)
            case "popularity" | "bm25":
                return Baseline(manifest.version, facts)
            case other:
                raise ConfigurationError(f"release {manifest.version} has strategy {other}, which this code cannot serve")
    except (OSError, ValueError, msgspec.MsgspecError, *UNREADABLE) as error:
        raise ConfigurationError(f"release {manifest.version} cannot be loaded ({error}): train again with `aisle train`") from error


class OnnxModel:
    """Strategy `network`: `assets.extra/` has the graphs encode.onnx, head.onnx, preference.onnx and rank.onnx."""

    strategy: Strategy = "network"

    def __init__(self, folder: Path, version: int, facts: ReleaseFacts) -> None:
        self.version, self.facts = version, facts
        self.vocabulary: list[str] = msgspec.json.decode((folder / "vocabulary.json").read_bytes(), type=list[str])
        self.property_vectors: F32 = np.load(folder / "property_vectors.npy")
        self._values = {value: number for number, value in enumerate(self.vocabulary)}
        self._encode, self._head = session(folder / "encode.onnx"), session(folder / "head.onnx")
        self._preference, self._rank = session(folder / "preference.onnx"), session(folder / "rank.onnx")
        self._state_size = int(self._encode.get_outputs()[0].shape[-1])
        self._nothing = neutral(len(self.vocabulary), len(facts.features), self.property_vectors.shape[1])

    def encode(self, events: Events) -> F32:
        if not len(events):
            return np.zeros((0, self._state_size), np.float32)
        return self._encode.run(None, inputs_of(events))[0]  # type: ignore[no-any-return]

    def preference(self, behaviour: Events | F32, categories: Sequence[Category]) -> Preferences:
        if not len(behaviour):
            return self._nothing
        query = self.query(categories)
        if isinstance(behaviour, Events):
            return Preferences(*self._preference.run(None, query | inputs_of(behaviour)))
        return Preferences(*self._head.run(None, query | {"states": behaviour}))

    def rank(self, features: F32, weights: F32, vector: F32) -> F32:
        return self._rank.run(None, {"features": features, "weights": weights, "vector": vector})[0]  # type: ignore[no-any-return]

    def ping(self) -> None:
        self.rank(np.zeros((1, len(self.facts.features)), np.float32), self._nothing.weights, self._nothing.vector)

    def close(self) -> None:
        del self._encode, self._head, self._preference, self._rank

    def query(self, categories: Sequence[Category]) -> dict[str, np.ndarray]:
        """The graphs' inputs for a query: its categories as values of the vocabulary int32[3], and their probabilities float32[3]."""
        return query_of(self._values, categories)


def session(path: Path) -> ort.InferenceSession:
    """One graph, ready to run in the calling thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
