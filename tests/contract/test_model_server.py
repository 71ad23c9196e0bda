"""The model server and our client of it."""

import http.client
import json
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from deploy.local import model_server
from deploy.local.model_server import Running
from services.artifacts import Manifest, Served, Versions
from services.errors import ConfigurationError, DeadlineExceeded, Unavailable, VersionGone
from services.features import FEATURES
from services.models.port import ASSETS, VECTOR_SIZE, Events, Model, ReleaseFacts
from services.models.protos import serving_pb2
from services.models.tfserving import Connection
from services.timing import Deadline
from tests.model_serving import EVENTS, QUERY, is_served, load, publish, serving, until

F, D = len(FEATURES), VECTOR_SIZE


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "releases")


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
    with serving(versions, poll_s=3600) as (server, connection):
        until(lambda: is_served(connection, 1))
        served = Served(versions, connection.load)
        served.refresh()
        seen: list[tuple[int, bool]] = []
        publish(versions, seed=1)
        versions.activate(2)
        give_up = time.monotonic() + 60
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
            if refused == 3:
                server.versions.scan()
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
        patient, hasty = Connection(server.url, limit_ms=60_000), Connection(server.url, limit_ms=400)
        model = load(patient, versions, manifest)
        until(lambda: answers(load(hasty, versions, manifest)))
        limited = load(hasty, versions, manifest)
        expected = model.preference(EVENTS, QUERY).vector
        server.pause()
        assert 50 <= took_ms(lambda: Deadline(50).run(model.preference, EVENTS, QUERY)) < 30_000, "not the connection's own minute"
        assert 400 <= took_ms(lambda: Deadline(60_000).run(limited.preference, EVENTS, QUERY)) < 30_000, "not the deadline's minute"
        with pytest.raises(DeadlineExceeded):
            Deadline(0).run(model.preference, EVENTS, QUERY)
        server.resume()
        np.testing.assert_array_equal(model.preference(EVENTS, QUERY).vector, expected)
        patient.close()
        hasty.close()


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
        until(lambda: answers(model))
    connection.close()


def answers(model: Model) -> bool:
    try:
        model.preference(EVENTS, QUERY)
    except (Unavailable, DeadlineExceeded):
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
