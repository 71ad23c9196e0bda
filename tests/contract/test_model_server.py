"""The model server, our client of it, and the official client and server of the protocol that both speak."""

import contextlib
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from deploy.local import model_server
from deploy.local.model_server import Running
from deploy.local.model_versions import ModelVersions
from offline.graphs import onnx_graphs
from services.artifacts import Manifest, Served, Versions
from services.contracts import Category, Strategy
from services.errors import ConfigurationError, DeadlineExceeded, Overloaded, Unavailable, VersionGone
from services.features import FEATURE_SCHEMA, FEATURES
from services.models.port import ASSETS, VECTOR_SIZE, Events, Model, ReleaseFacts
from services.models.protos import make_protos, serving_pb2
from services.models.tfserving import Connection
from services.timing import Deadline
from tests import local_servers
from tests.model_weights import VALUES, random_weights

ROOT = Path(__file__).resolve().parents[2]
F, D = len(FEATURES), VECTOR_SIZE
QUERY = [Category(1, "one", 0.7)]
EVENTS = Events(np.array([[1, 3, 5, 0], [2, 4, 0, 0]], np.int32), np.array([1, 2], np.int32), np.array([0.0, 1.5], np.float32))
OFFICIAL = [sys.executable, str(ROOT / "tests" / "tfserving_official.py")]


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


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "releases")


@contextlib.contextmanager
def serving(versions: Versions, poll_s: float = 0.02) -> Iterator[tuple[Running, Connection]]:
    server = Running(ModelVersions(versions.root), poll_s=poll_s)
    server.start()
    connection = Connection(f"127.0.0.1:{server.grpc_port}")
    try:
        yield server, connection
    finally:
        connection.close()
        server.stop()


def load(connection: Connection, versions: Versions, manifest: Manifest) -> Model:
    return connection.load(versions.folder(manifest.version), manifest)


def until(true: Any, limit_s: float = 10.0) -> None:
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


# ---- versions ----------------------------------------------------------------------------------------------------------------------


def test_new_releases_are_swapped_in_without_a_failed_call(versions: Versions) -> None:
    first = publish(versions)
    with serving(versions) as (_, connection):
        model, failed, ended = load(connection, versions, first), [], threading.Event()

        def call() -> None:
            while not ended.is_set():
                try:
                    model.preference(EVENTS, QUERY)
                except Exception as error:
                    failed.append(error)

        callers = [threading.Thread(target=call) for _ in range(3)]
        for caller in callers:
            caller.start()
        second = publish(versions, seed=1)
        until(lambda: is_served(connection, 2))
        other = load(connection, versions, second)
        ended.set()
        for caller in callers:
            caller.join()
        assert failed == []
        assert np.abs(other.preference(EVENTS, QUERY).vector - model.preference(EVENTS, QUERY).vector).max() > 1e-3


def test_a_service_takes_a_release_over_when_the_server_has_it_and_fails_no_call(versions: Versions) -> None:
    """Published and pointed to at once; the server looks later, the service all the time: what it serves is the order of these."""
    publish(versions)
    versions.activate(1)
    with serving(versions, poll_s=0.3) as (_, connection):
        until(lambda: is_served(connection, 1))
        served = Served(versions, connection.load)
        served.refresh()
        seen: list[tuple[int, bool]] = []
        publish(versions, seed=1)
        versions.activate(2)
        give_up = time.monotonic() + 10
        refused = 0
        while served.current != 2:
            assert time.monotonic() < give_up
            try:
                served.refresh()
            except ConfigurationError as error:  # a background job of a service logs it and tries again
                assert "release 2 is not served by the model server" in str(error)
                refused += 1
            current, model = served.get()
            model.preference(EVENTS, QUERY)
            seen.append((current, is_served(connection, 2)))
        assert refused > 0
        assert seen[0] == (1, False)
        assert seen[-1] == (2, True)
        assert all(available for current, available in seen if current == 2)
        served.get(1)[1].preference(EVENTS, QUERY)  # the one before is served on, for who began with it


def test_two_versions_are_kept(versions: Versions) -> None:
    manifests = [publish(versions, seed=seed) for seed in range(2)]
    with serving(versions) as (_, connection):
        oldest = load(connection, versions, manifests[0])
        publish(versions, seed=2)
        until(lambda: is_served(connection, 3))
        with pytest.raises(VersionGone, match=r"version 1 is not served; served are \[2, 3\]"):
            oldest.preference(EVENTS, QUERY)
        with pytest.raises(VersionGone, match=r"release 1 is not served .* served are \[2, 3\]"):
            oldest.ping()


def test_the_current_release_is_kept_when_it_is_an_older_one(versions: Versions) -> None:
    first = publish(versions)
    versions.activate(1)
    for seed in (1, 2):
        publish(versions, seed=seed)
    with serving(versions) as (_, connection):
        assert load(connection, versions, first).preference(EVENTS, QUERY).vector.any()
        assert [is_served(connection, version) for version in (1, 2, 3)] == [True, True, True]


def test_baselines_need_no_server(versions: Versions) -> None:
    network, baseline = publish(versions), publish(versions, strategy="bm25")
    with serving(versions) as (_, connection):
        assert load(connection, versions, network).strategy == "network"
        assert not is_served(connection, 2)
    nobody = Connection("127.0.0.1:1")
    features = np.random.default_rng(0).standard_normal((3, F)).astype(np.float32)
    ranked = load(nobody, versions, baseline).rank(features, np.zeros(F, np.float32), np.zeros(D, np.float32))
    np.testing.assert_array_equal(ranked, features[:, FEATURES.index("bm25")])


def test_a_broken_release_leaves_the_served_ones_alone_and_is_told(versions: Versions, caplog: pytest.LogCaptureFixture) -> None:
    first, second = publish(versions), publish(versions)
    with serving(versions) as (server, connection):
        number, folder = versions.begin()
        (folder / ASSETS).mkdir()
        (folder / ASSETS / "preference.onnx").write_bytes(b"no graph")
        versions.publish(number, msgspec.structs.asdict(ReleaseFacts(
            strategy="network", features=[], feature_schema="", code_version="", reason="",
        )))  # fmt: skip
        until(lambda: rest(server, "GET", "/v1/models/aisle/versions/3")[0] == 200)
        _, answer = rest(server, "GET", "/v1/models/aisle/versions/3")
        assert answer["model_version_status"][0]["state"] == "END"
        assert answer["model_version_status"][0]["status"]["error_code"] == "UNKNOWN"
        for manifest in (first, second):
            load(connection, versions, manifest).preference(EVENTS, QUERY)
    assert len([r for r in caplog.records if "release 3 cannot be loaded" in r.message]) == 1


def test_it_starts_before_there_is_a_release(versions: Versions) -> None:
    with serving(versions) as (_, connection):
        manifest = publish(versions)
        until(lambda: _loads(connection, versions, manifest))


def _loads(connection: Connection, versions: Versions, manifest: Manifest) -> bool:
    try:
        load(connection, versions, manifest)
    except ConfigurationError as error:
        assert "\n" not in str(error)
        return False
    return True


def test_inputs_that_no_release_takes_are_refused_with_the_reason(versions: Versions) -> None:
    manifest = publish(versions)
    with serving(versions) as (_, connection):
        model = load(connection, versions, manifest)
        zeros = np.zeros(F, np.float32), np.zeros(D, np.float32)
        with pytest.raises(
            Unavailable, match=rf"refused a call \(INVALID_ARGUMENT\): input features has shape \[1, 2, 3\], expected \[-1, -1, {F}\]"
        ):
            model.rank(np.zeros((2, 3), np.float32), *zeros)
        with pytest.raises(Unavailable, match="input features is float64, expected float32"):
            model.rank(np.zeros((2, F)), *zeros)  # type: ignore[arg-type]
        unknown = Events(np.full((1, 4), 10_000, np.int32), np.ones(1, np.int32), np.zeros(1, np.float32))
        with pytest.raises(Unavailable, match=r"INVALID_ARGUMENT.*out of data bounds"):
            model.preference(unknown, QUERY)


# ---- a server of its own, and what happens to it --------------------------------------------------------------------------------------


def test_a_paused_server_costs_the_deadline_and_no_more(versions: Versions, tmp_path: Path) -> None:
    manifest = publish(versions)
    with model_server.start(versions.root, data_dir=tmp_path / "server") as server:
        connection = Connection(server.url, limit_ms=400)
        model = load(connection, versions, manifest)
        expected = model.preference(EVENTS, QUERY).vector
        server.pause()
        assert 50 <= took_ms(lambda: Deadline(50).run(model.preference, EVENTS, QUERY)) < 300
        assert 400 <= took_ms(lambda: model.preference(EVENTS, QUERY)) < 800
        with pytest.raises(DeadlineExceeded):
            Deadline(0).run(model.preference, EVENTS, QUERY)
        server.resume()
        np.testing.assert_array_equal(model.preference(EVENTS, QUERY).vector, expected)
        connection.close()


def took_ms(call: Any) -> float:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        call()
    return (time.monotonic() - began) * 1000


def test_it_is_whole_again_soon_after_the_servers_return(versions: Versions, tmp_path: Path) -> None:
    manifest = publish(versions)
    server = model_server.start(versions.root, data_dir=tmp_path / "server")
    connection = Connection(server.url)
    model = load(connection, versions, manifest)
    server.kill()
    with pytest.raises(Unavailable, match=f"the model server at {server.url} cannot be reached"):
        model.preference(EVENTS, QUERY)
    with model_server.start(versions.root, data_dir=tmp_path / "server", grpc_port=int(server.url.split(":")[1])):
        until(lambda: _answers(model), limit_s=5)
    connection.close()


def _answers(model: Model) -> bool:
    try:
        model.preference(EVENTS, QUERY)
    except Unavailable:
        return False
    return True


def test_a_server_that_is_not_there_stops_the_start_with_one_line(versions: Versions) -> None:
    manifest = publish(versions)
    with pytest.raises(ConfigurationError, match=r"^release 1 cannot be served: the model server at 127.0.0.1:1 cannot be reached$"):
        load(Connection("127.0.0.1:1"), versions, manifest)


def test_a_taken_port_stops_the_servers_start_with_one_line(versions: Versions, tmp_path: Path) -> None:
    with (
        serving(versions) as (server, _),
        pytest.raises(ConfigurationError, match=rf"ports {server.grpc_port} \(gRPC\) and 0 \(REST\) cannot both be opened"),
    ):
        model_server.start(versions.root, data_dir=tmp_path / "server", grpc_port=server.grpc_port)


def test_its_log_says_what_it_is_not(versions: Versions, tmp_path: Path) -> None:
    with model_server.start(versions.root, data_dir=tmp_path) as server:
        assert "it is not TensorFlow Serving" in server.log_file.read_text()


# ---- REST ----------------------------------------------------------------------------------------------------------------------------


def rest(server: Running, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=10)
    connection.request(method, path, None if body is None else body if isinstance(body, bytes) else json.dumps(body))
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


ROW = {
    "properties": EVENTS.properties.tolist(), "kinds": EVENTS.kinds.tolist(), "gaps": EVENTS.gaps.tolist(),
    "categories": [3, 0, 0], "probabilities": [0.7, 0.0, 0.0],
}  # fmt: skip


def test_rest_predicts_in_rows_and_columns(versions: Versions) -> None:
    manifest = publish(versions)
    with serving(versions) as (server, connection):
        expected = load(connection, versions, manifest).preference(EVENTS, QUERY).vector
        rows = {"signature_name": "preference", "instances": [ROW, ROW]}
        columns = {"signature_name": "preference", "inputs": {name: [value] for name, value in ROW.items()}}
        _, by_row = rest(server, "POST", "/v1/models/aisle:predict", rows)
        _, by_column = rest(server, "POST", "/v1/models/aisle/versions/1:predict", columns)
    assert len(by_row["predictions"]) == 2
    np.testing.assert_allclose(by_row["predictions"][1]["vector"], expected, atol=1e-6)
    np.testing.assert_allclose(by_column["outputs"]["vector"][0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("GET", "/", None, 404, "Malformed request: GET /"),
        ("GET", "/v1/models/other", None, 404, "there is no model 'other'; the model is called 'aisle'"),
        ("GET", "/v1/models/aisle/versions/9", None, 404, "version 9 of aisle is not known"),
        ("GET", "/v1/models/aisle:predict", None, 404, "Malformed request: GET /v1/models/aisle:predict"),
        ("POST", "/v1/models/aisle:predict", b"{", 400, "the body is not JSON"),
        ("POST", "/v1/models/aisle:predict", {}, 400, "the body is an object with `inputs` or `instances`"),
        ("POST", "/v1/models/aisle:predict", {"inputs": {}}, 400, "has no signature 'serving_default'; there are preference, encode, rank"),
        ("POST", "/v1/models/aisle:predict", {"signature_name": "encode", "inputs": {}}, 400, "takes the inputs gaps, kinds, properties"),
        (
            "POST",
            "/v1/models/aisle:predict",
            {"signature_name": "encode", "inputs": {"kinds": "x"}},
            400,
            "an input is no array of numbers",
        ),
        ("POST", "/v1/models/aisle:predict", {"signature_name": "encode", "instances": [1]}, 400, "instances are a list of objects"),
    ],
)
def test_rest_says_what_is_wrong(versions: Versions, method: str, path: str, body: Any, status: int, said: str) -> None:
    publish(versions)
    with serving(versions) as (server, _):
        got, answer = rest(server, method, path, body)
    assert (got, said in answer["error"]) == (status, True), answer


@pytest.mark.parametrize("steps", [0, 1])
def test_a_user_without_behaviours_is_neutral_on_the_server_too(versions: Versions, steps: int) -> None:
    publish(versions)
    nothing = {
        "properties": np.zeros((2, steps, 4), np.int32), "kinds": np.zeros((2, steps), np.int32), "gaps": np.zeros((2, steps), np.float32),
    }  # fmt: skip
    query = {"categories": np.full((2, 3), 3, np.int32), "probabilities": np.full((2, 3), 0.5, np.float32)}
    with serving(versions) as (_, connection):
        found = connection.predict(serving_pb2.ModelSpec(name="aisle", signature_name="preference"), nothing | query)
        states = connection.predict(serving_pb2.ModelSpec(name="aisle", signature_name="encode"), nothing)["states"]
    assert found["vector"].shape == (2, D)
    assert not found["vector"].any()
    assert states.shape[:2] == (2, steps)
    assert not states.any()


# ---- the official definitions, both ways ---------------------------------------------------------------------------------------------


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
        connection = Connection(f"127.0.0.1:{process.stdout.readline().strip()}")
        model = load(connection, versions, manifest)
        found = Deadline(2_000).run(model.preference, EVENTS, QUERY)
        # categories, gaps, kinds, probabilities, properties: their sums and ranks as the official code reads them
        np.testing.assert_allclose(found.scores, [3, 1.5, 3, 0.7, 15], rtol=1e-6)
        np.testing.assert_array_equal(found.weights, [2, 2, 2, 2, 3])
        assert found.vector[0] == 1  # the pinned version
        assert 0 < found.vector[1] < 1.5  # the seconds that the server knew it had: gRPC rounds them up a little
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
