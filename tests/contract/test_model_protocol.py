"""The protocol of the model server against its official definitions, client and server, both ways."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.local.model_server import Running
from deploy.local.model_versions import ModelVersions
from services.artifacts import Versions
from services.contracts import Category
from services.errors import Overloaded, VersionGone
from services.features import FEATURES
from services.models.port import VECTOR_SIZE, Events
from services.models.protos import make_protos, serving_pb2
from services.models.tfserving import Connection
from services.timing import Deadline
from tests import local_servers
from tests.model_serving import EVENTS, QUERY, is_served, load, publish, serving, until

ROOT = Path(__file__).resolve().parents[2]
F, D = len(FEATURES), VECTOR_SIZE
OFFICIAL = [sys.executable, str(ROOT / "tests" / "tfserving_official.py")]


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "releases")


@pytest.fixture
def official() -> None:
    local_servers.module("tensorflow_serving", "pip install --no-deps --require-hashes -r requirements/wire.lock")


@pytest.mark.usefixtures("official")
def test_the_official_client_and_our_server(versions: Versions) -> None:
    manifest = publish(versions)
    publish(versions, seed=1)
    with serving(versions) as (_, connection):
        told = json.loads(run([*OFFICIAL, "client", connection.target]))
        assert told["status"] == [[2, "AVAILABLE", 0], [1, "AVAILABLE", 0]]
        assert (told["version"], told["signature"], told["reload"]) == (2, "preference", 0)
        assert told["gone"] == ["NOT_FOUND", "version 99 is not served; served are [1, 2]"]
        assert told["unpacked"]
        assert set(told["signatures"]) == {"preference", "encode", "rank"}
        assert told["signatures"]["encode"] == {
            "inputs": {"properties": ["int32", [-1, -1, 4]], "kinds": ["int32", [-1, -1]], "gaps": ["float32", [-1, -1]]},
            "outputs": ["states"],
            "method": "tensorflow/serving/predict",
        }
        until(lambda: not is_served(connection, 2))  # the official client asked for version 1 alone
        assert is_served(connection, manifest.version)
    ours = Running(ModelVersions(versions.root))
    ours.start()
    connection = Connection(f"127.0.0.1:{ours.grpc_port}")
    found = load(connection, versions, versions.manifest(2)).preference(EVENTS, [Category(1, "", 0.7), Category(99, "", 0.3)])
    for name in ("scores", "weights", "vector"):
        np.testing.assert_allclose(told["outputs"][name][0], getattr(found, name), atol=1e-6)
    connection.close()
    ours.stop()


@pytest.mark.usefixtures("official")
def test_our_client_and_a_server_of_the_official_stubs(versions: Versions) -> None:
    manifest = publish(versions)
    process = subprocess.Popen([*OFFICIAL, "server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        connection = Connection(f"127.0.0.1:{process.stdout.readline().strip()}", limit_ms=60_000)
        model = load(connection, versions, manifest)
        found = Deadline(20_000).run(model.preference, EVENTS, QUERY)
        # categories, gaps, kinds, probabilities, properties: their sums and ranks as the official code reads them
        np.testing.assert_allclose(found.scores, [3, 1.5, 3, 0.7, 15], rtol=1e-6)
        np.testing.assert_array_equal(found.weights, [2, 2, 2, 2, 3])
        assert found.vector[0] == 1  # the pinned version
        assert 0 < found.vector[1] < 21  # the seconds that the server knew it had: gRPC rounds them up a little
        features = np.random.default_rng(0).standard_normal((200, F)).astype(np.float32)
        scores = model.rank(features, np.zeros(F, np.float32), np.zeros(D, np.float32))
        np.testing.assert_allclose(scores, features.sum(axis=1), rtol=1e-4, atol=1e-5)
        with pytest.raises(Overloaded, match="too many"):
            model.preference(Events(EVENTS.properties[:1], np.array([4], np.int32), EVENTS.gaps[:1]), QUERY)
        with pytest.raises(VersionGone):
            connection.check(2)  # it is loading, says the server
        connection.close()
    finally:
        process.stdin.close()
        process.wait(30)


@pytest.mark.usefixtures("official")
def test_our_messages_are_the_official_ones() -> None:
    official = json.loads(run([*OFFICIAL, "fields"]))
    elsewhere = {"ServableVersionPolicy": "FileSystemStoragePathSourceConfig.ServableVersionPolicy"}
    compared = 0
    for message, fields in _fields(serving_pb2.DESCRIPTOR.message_types_by_name.values(), ""):
        outer, dot, rest_ = message.partition(".")
        theirs = official[elsewhere.get(outer, outer) + dot + rest_]
        for name, (number, kind, repeated) in fields.items():
            expected = [number, 5 if (message, name) == ("StatusProto", "error_code") else kind, repeated]
            given = [theirs[name][0], 5 if (message, name) == ("StatusProto", "error_code") else theirs[name][1], theirs[name][2]]
            assert given == expected, f"{message}.{name}"
            compared += 1
    assert compared > 60


def _fields(descriptors: Any, prefix: str) -> Iterator[tuple[str, dict[str, tuple[int, int, bool]]]]:
    for descriptor in descriptors:
        yield prefix + descriptor.name, {f.name: (f.number, f.type, f.is_repeated) for f in descriptor.fields}
        yield from _fields(descriptor.nested_types, f"{prefix}{descriptor.name}.")


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


def test_the_committed_code_is_what_the_protos_make(tmp_path: Path) -> None:
    local_servers.module("grpc_tools", "pip install the development requirements")
    make_protos.make(tmp_path)
    for name in ("serving_pb2.py", "serving_pb2.pyi"):
        path = Path("services/models/protos") / name
        assert (tmp_path / path).read_text() == (ROOT / path).read_text(), f"run `python -m services.models.protos.make_protos` ({name})"
