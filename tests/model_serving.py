"""A model server with releases, and a connection to it."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from deploy.local.model_server import Running
from deploy.local.model_versions import ModelVersions
from offline.graphs import onnx_graphs
from services.artifacts import Manifest, Versions
from services.contracts import Category, Strategy
from services.errors import VersionGone
from services.features import FEATURE_SCHEMA, FEATURES
from services.models.port import ASSETS, Events, Model, ReleaseFacts
from services.models.tfserving import Connection
from tests.model_weights import VALUES, random_weights

QUERY = [Category(1, "one", 0.7)]
EVENTS = Events(np.array([[1, 3, 5, 0], [2, 4, 0, 0]], np.int32), np.array([1, 2], np.int32), np.array([0.0, 1.5], np.float32))


def publish(versions: Versions, *, strategy: Strategy = "network", seed: int = 0) -> Manifest:
    """A new release, not yet the current one."""
    number, folder = versions.begin()
    if strategy == "network":
        (folder / ASSETS).mkdir()
        weights = random_weights(seed)
        for name, graph in onnx_graphs(weights).items():
            (folder / ASSETS / f"{name}.onnx").write_bytes(graph.SerializeToString())
        (folder / ASSETS / "vocabulary.json").write_bytes(msgspec.json.encode(VALUES))
        np.save(folder / ASSETS / "property_vectors.npy", weights["vectors"])
    facts = ReleaseFacts(
        strategy=strategy, score_feature="bm25", features=list(FEATURES), feature_schema=FEATURE_SCHEMA, code_version="test", reason="test"
    )
    return versions.publish(number, msgspec.structs.asdict(facts))


@contextlib.contextmanager
def serving(versions: Versions, poll_s: float = 0.02) -> Iterator[tuple[Running, Connection]]:
    server = Running(ModelVersions(versions.root), poll_s=poll_s)
    server.start()
    connection = Connection(f"127.0.0.1:{server.grpc_port}", limit_ms=30_000)  # nothing here is about how long a call takes
    try:
        yield server, connection
    finally:
        connection.close()
        server.stop()


def load(connection: Connection, versions: Versions, manifest: Manifest) -> Model:
    return connection.load(versions.folder(manifest.version), manifest)


def until(true: Any, limit_s: float = 60.0) -> None:
    give_up = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < give_up, "it never happened"
        time.sleep(0.01)


def is_served(connection: Connection, version: int) -> bool:
    try:
        connection.check(version)
    except VersionGone:
        return False
    return True
