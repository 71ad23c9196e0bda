"""A release on a server that speaks TensorFlow Serving's protocol (gRPC), the official one or `deploy/local/model_server.py`.

The release's folder is read here too: its vocabulary, property vectors and facts. The server executes the network, and nothing else.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import msgspec
import numpy as np
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import Int64Value

from services.artifacts import Manifest
from services.contracts import Category, Strategy
from services.errors import AisleError, ConfigurationError, DeadlineExceeded, Overloaded, Unavailable, VersionGone
from services.forward import PROPERTIES
from services.models.baseline import Baseline
from services.models.port import ASSETS, F32, Events, Model, Preferences, ReleaseFacts, facts_of, inputs_of, neutral, query_of
from services.models.protos.serving_pb2 import (
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelSpec,
    ModelVersionStatus,
    PredictRequest,
    PredictResponse,
)  # fmt: skip
from services.models.tfserving_wire import GET_MODEL_STATUS, MODEL_NAME, PREDICT, Array, to_array, to_tensor
from services.timing import current_deadline
from services.warm import Warmth

LIMIT_MS = 1_000.0
"""What a call gets when the request that it works for has more."""
WARM_ROWS, QUICK_S = 200, 0.03
_CHANNEL = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1_000),  # whole again soon after the server's return
    ("grpc.keepalive_time_ms", 30_000),  # a server that vanished without a word is found out between two searches
    ("grpc.keepalive_timeout_ms", 2_000),
]


class Connection:
    """One kept connection to a model server, `host:port`; used by all releases of a process, from any thread. Opens on first use."""

    def __init__(self, target: str, *, name: str = MODEL_NAME, limit_ms: float = LIMIT_MS) -> None:
        self.target, self.name, self._limit_ms = target, name, limit_ms
        self._warmths = tuple(Warmth(f"{signature} on the model server", QUICK_S) for signature in ("preference", "rank"))
        self._channel = grpc.insecure_channel(target, options=_CHANNEL)
        self._predict = self._channel.unary_unary(PREDICT, PredictRequest.SerializeToString, PredictResponse.FromString)
        self._status = self._channel.unary_unary(
            GET_MODEL_STATUS, GetModelStatusRequest.SerializeToString, GetModelStatusResponse.FromString
        )

    def load(self, folder: Path, manifest: Manifest) -> Model:
        """The release in this folder, executed by the server. Raises ConfigurationError when a file is missing or unreadable, or when the
        server cannot be reached or does not serve this release."""
        try:
            facts = facts_of(manifest)
            match facts.strategy:
                case "network":
                    model = ServedModel(self, folder / ASSETS, manifest.version, facts)
                case "popularity" | "bm25":
                    return Baseline(manifest.version, facts)
                case other:
                    raise ConfigurationError(f"release {manifest.version} has strategy {other}, which this code cannot serve")
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            raise ConfigurationError(f"release {manifest.version} cannot be loaded ({error}): train again with `aisle train`") from error
        try:
            model.ping()
        except AisleError as error:
            raise ConfigurationError(f"release {manifest.version} cannot be served: {error.detail}") from error
        if isinstance(model, ServedModel):
            model.warm_up(*self._warmths)
        return model

    def predict(self, spec: ModelSpec, inputs: dict[str, Array]) -> dict[str, Array]:
        """Outputs by name. Raises DeadlineExceeded, VersionGone, Overloaded, Unavailable."""
        request = PredictRequest(model_spec=spec, inputs={name: to_tensor(value) for name, value in inputs.items()})
        answer = self._call(self._predict, request)
        try:
            return {name: to_array(tensor) for name, tensor in answer.outputs.items()}
        except (ValueError, DecodeError) as error:
            raise Unavailable(f"the model server at {self.target} answers what is no tensor of ours: {error}") from error

    def check(self, version: int) -> None:
        """Raises VersionGone when the server does not serve this version (yet, or any more), Unavailable when it cannot be reached."""
        answer = self._call(self._status, GetModelStatusRequest(model_spec=ModelSpec(name=self.name)))
        available = [v.version for v in answer.model_version_status if v.state == ModelVersionStatus.AVAILABLE]
        if version not in available:
            raise VersionGone(
                f"release {version} is not served by the model server at {self.target}; served are {sorted(available)}", field="release"
            )

    def close(self) -> None:
        self._channel.close()

    def _call(self, method: Any, request: Any) -> Any:
        deadline = current_deadline()
        left_ms = self._limit_ms if deadline is None else min(self._limit_ms, deadline.remaining_ms())
        if left_ms <= 0:
            raise DeadlineExceeded("the deadline passed before the model server was asked")
        try:
            return method(request, timeout=left_ms / 1000)
        except grpc.RpcError as error:
            raise self._meaning(error, left_ms) from error

    def _meaning(self, error: Any, left_ms: float) -> AisleError:
        said = f"the model server at {self.target}"
        match error.code():
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return DeadlineExceeded(f"{said} did not answer within {left_ms:.0f} ms")
            case grpc.StatusCode.NOT_FOUND:
                return VersionGone(f"{said}: {error.details()}", field="release")
            case grpc.StatusCode.RESOURCE_EXHAUSTED:
                return Overloaded(f"{said} is overloaded: {error.details()}")
            case grpc.StatusCode.UNAVAILABLE:
                return Unavailable(f"{said} cannot be reached")
            case code:
                return Unavailable(f"{said} refused a call ({code.name}): {error.details()}")


class ServedModel:
    """Strategy `network`, executed by a server.

    The server keeps no states, and to send states would be ten times the bytes of what they are made of. So a "state" is the behaviour itself
    (properties, kind, gap): `encode` costs nothing, and `preference` is one call of the signature of that name.
    """

    strategy: Strategy = "network"

    def __init__(self, connection: Connection, folder: Path, version: int, facts: ReleaseFacts) -> None:
        self.version, self.facts = version, facts
        self.vocabulary: list[str] = msgspec.json.decode((folder / "vocabulary.json").read_bytes(), type=list[str])
        self.property_vectors: F32 = np.load(folder / "property_vectors.npy")
        self._connection = connection
        self._values = {value: number for number, value in enumerate(self.vocabulary)}
        self._nothing = neutral(len(self.vocabulary), len(facts.features), self.property_vectors.shape[1])
        pinned = Int64Value(value=version)
        self._preference = ModelSpec(name=connection.name, version=pinned, signature_name="preference")
        self._rank = ModelSpec(name=connection.name, version=pinned, signature_name="rank")

    def encode(self, events: Events) -> F32:
        return np.concatenate([events.properties, events.kinds[:, None], events.gaps[:, None]], axis=1, dtype=np.float32)

    def preference(self, behaviour: Events | F32, categories: Sequence[Category]) -> Preferences:
        if not len(behaviour):
            return self._nothing
        events = behaviour if isinstance(behaviour, Events) else _decode(behaviour)
        inputs = inputs_of(events) | query_of(self._values, categories)
        found = self._connection.predict(self._preference, {name: value[None] for name, value in inputs.items()})
        return Preferences(found["scores"][0], found["weights"][0], found["vector"][0])

    def rank(self, features: F32, weights: F32, vector: F32) -> F32:
        inputs = {"features": features[None], "weights": weights[None], "vector": vector[None]}
        scores: F32 = self._connection.predict(self._rank, inputs)["scores"][0]
        return scores

    def ping(self) -> None:
        self._connection.check(self.version)

    def warm_up(self, preference: Warmth, rank: Warmth) -> None:
        """A server prepares a signature when it is first called."""
        step = Events(np.zeros((1, len(PROPERTIES)), np.int32), np.zeros(1, np.int32), np.zeros(1, np.float32))
        features = np.zeros((WARM_ROWS, len(self.facts.features)), np.float32)
        preference.bring(lambda _: self.preference(step, []))
        rank.bring(lambda _: self.rank(features, self._nothing.weights, self._nothing.vector))

    def close(self) -> None: ...  # the connection belongs to the process


def _decode(states: F32) -> Events:
    """Vocabularies are far below 2^24, up to where float32 holds every integer."""
    return Events(states[:, :-2].astype(np.int32), states[:, -2].astype(np.int32), np.ascontiguousarray(states[:, -1]))
