"""What every model does, whatever its strategy."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from deploy.local.model_server import Running
from deploy.local.model_versions import ModelVersions
from offline.graphs import onnx_graphs
from services.artifacts import Versions
from services.contracts import Category, Strategy
from services.errors import ConfigurationError
from services.features import FEATURE_SCHEMA, FEATURES, PROPERTIES
from services.models.onnx import load
from services.models.port import ASSETS, MAX_STEPS, VECTOR_SIZE, Events, Model, ReleaseFacts, events_of
from services.models.tfserving import Connection
from tests.model_weights import VALUES, random_weights

F, D = len(FEATURES), VECTOR_SIZE
QUERY = [Category(1, "one", 0.7), Category(99, "not in the vocabulary", 0.3)]


def facts(strategy: Strategy, score_feature: str = "") -> ReleaseFacts:
    return ReleaseFacts(
        strategy=strategy,
        score_feature=score_feature,
        features=list(FEATURES),
        feature_schema=FEATURE_SCHEMA,
        code_version="test",
        reason="test",
    )


def network(folder: Path) -> None:
    assets = folder / ASSETS
    assets.mkdir()
    weights = random_weights()
    for name, graph in onnx_graphs(weights).items():
        onnx.save(graph, str(assets / f"{name}.onnx"))
    (assets / "vocabulary.json").write_bytes(msgspec.json.encode(VALUES))
    np.save(assets / "property_vectors.npy", weights["vectors"])


@pytest.fixture(params=["network", "popularity", "bm25", "network on a model server"])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Model]:
    versions = Versions(tmp_path / "releases")
    number, folder = versions.begin()
    strategy, _, served = request.param.partition(" on ")
    if strategy == "network":
        network(folder)
    given = facts(strategy, {"popularity": "popularity_score", "bm25": "bm25"}.get(strategy, ""))
    manifest = versions.publish(number, msgspec.structs.asdict(given))
    if served:
        with serving(versions.root) as connection:
            yield connection.load(folder, manifest)
        return
    loaded = load(folder, manifest)
    yield loaded
    loaded.close()


@contextlib.contextmanager
def serving(releases: Path) -> Iterator[Connection]:
    """A connection to a model server in this process."""
    server = Running(ModelVersions(releases))
    server.start()
    connection = Connection(f"127.0.0.1:{server.grpc_port}")
    yield connection
    connection.close()
    server.stop()


def events(steps: int, seed: int = 0) -> Events:
    random = np.random.default_rng(seed)
    return Events(
        random.integers(0, len(VALUES), (steps, len(PROPERTIES))).astype(np.int32), random.integers(1, 5, steps).astype(np.int32),
        random.exponential(3.0, steps).astype(np.float32),
    )  # fmt: skip


def test_it_says_what_it_is(model: Model) -> None:
    assert model.version == 1
    assert model.strategy == model.facts.strategy
    assert model.vocabulary[0] == "<unknown>"
    assert model.property_vectors.shape == (len(model.vocabulary), D)
    assert not model.property_vectors[0].any()
    model.ping()


@pytest.mark.parametrize("steps", [0, 1, 7, MAX_STEPS])
def test_preferences_have_their_shapes(model: Model, steps: int) -> None:
    found = model.preference(events(steps), QUERY)
    assert [(a.shape, a.dtype) for a in (found.scores, found.weights, found.vector)] == [
        ((len(model.vocabulary),), np.float32), ((F,), np.float32), ((D,), np.float32),
    ]  # fmt: skip
    assert all(np.isfinite(a).all() for a in (found.scores, found.weights, found.vector))


def test_a_user_without_behaviours_is_neutral(model: Model) -> None:
    for behaviour in (events(0), model.encode(events(0))):
        found = model.preference(behaviour, QUERY)
        assert not found.scores.any()
        assert not found.weights.any()
        assert not found.vector.any()


@pytest.mark.parametrize("categories", [[], QUERY, [Category(i, "", 0.2) for i in range(5)]])
def test_cached_states_give_what_events_give(model: Model, categories: list[Category]) -> None:
    whole, cached = (model.preference(b, categories) for b in (events(9), model.encode(events(9))))
    for name in ("scores", "weights", "vector"):
        np.testing.assert_allclose(getattr(cached, name), getattr(whole, name), atol=1e-6)


def test_the_unknown_value_is_neutral(model: Model) -> None:
    assert model.preference(events(20), QUERY).scores[0] == 0


@pytest.mark.parametrize("n", [1, 200])
def test_rank_scores_every_candidate(model: Model, n: int) -> None:
    features = np.random.default_rng(1).standard_normal((n, F)).astype(np.float32)
    found = model.preference(events(5), QUERY)
    scores = model.rank(features, found.weights, found.vector)
    assert (scores.shape, scores.dtype) == ((n,), np.float32)
    assert np.isfinite(scores).all()


def test_rank_scores_a_candidate_alike_wherever_it_stands(model: Model) -> None:
    features = np.random.default_rng(2).standard_normal((50, F)).astype(np.float32)
    found = model.preference(events(5), QUERY)
    forward, backward = model.rank(features, found.weights, found.vector), model.rank(features[::-1].copy(), found.weights, found.vector)
    np.testing.assert_allclose(forward, backward[::-1], atol=1e-5)


def test_it_may_be_called_from_several_threads(model: Model) -> None:
    expected, wrong = model.preference(events(30, 1), QUERY).vector, []

    def call() -> None:
        for _ in range(50):
            if np.abs(model.preference(events(30, 1), QUERY).vector - expected).max() > 1e-6:
                wrong.append(1)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---- what only some do -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strategy", "column"), [("bm25", "bm25"), ("popularity", "popularity_score")])
def test_a_baseline_ranks_by_its_column_unchanged(tmp_path: Path, strategy: Strategy, column: str) -> None:
    versions = Versions(tmp_path)
    number, folder = versions.begin()
    model = load(folder, versions.publish(number, msgspec.structs.asdict(facts(strategy, column))))
    features = np.random.default_rng(1).standard_normal((20, F)).astype(np.float32)
    np.testing.assert_array_equal(
        model.rank(features, np.zeros(F, np.float32), np.zeros(D, np.float32)), features[:, FEATURES.index(column)]
    )


def test_a_network_hears_behaviours_and_query(tmp_path: Path) -> None:
    versions = Versions(tmp_path)
    number, folder = versions.begin()
    network(folder)
    model = load(folder, versions.publish(number, msgspec.structs.asdict(facts("network"))))
    vectors = [model.preference(events(5, seed), query).vector for seed, query in ((1, QUERY), (2, QUERY), (1, []))]
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-4


@pytest.mark.parametrize("broken", ["nothing", "vocabulary.json", "rank.onnx", "cut"])
def test_a_release_that_is_not_whole_does_not_start(tmp_path: Path, broken: str) -> None:
    versions = Versions(tmp_path)
    number, folder = versions.begin()
    if broken != "nothing":
        network(folder)
    if broken == "cut":
        (folder / ASSETS / "head.onnx").write_bytes((folder / ASSETS / "head.onnx").read_bytes()[:100])
    elif broken != "nothing":
        (folder / ASSETS / broken).unlink()
    manifest = versions.publish(number, msgspec.structs.asdict(facts("network")))
    with pytest.raises(ConfigurationError, match=r"release 1 cannot be loaded .* `aisle train`"):
        load(folder, manifest)


def test_a_manifest_of_something_else_is_no_release(tmp_path: Path) -> None:
    versions = Versions(tmp_path)
    number, folder = versions.begin()
    with pytest.raises(ConfigurationError, match="release 1 cannot be loaded"):
        load(folder, versions.publish(number, {"products": 3}))


def test_a_baseline_of_an_unknown_feature_does_not_start(tmp_path: Path) -> None:
    versions = Versions(tmp_path)
    number, folder = versions.begin()
    with pytest.raises(ConfigurationError, match="score feature 'luck' is not one of bm25"):
        load(folder, versions.publish(number, msgspec.structs.asdict(facts("bm25", "luck"))))


def test_events_are_the_newest_with_their_gaps() -> None:
    columns = np.arange(240, dtype=np.int32).reshape(60, 4)
    ts_ms = np.arange(60, dtype=np.int64) * 1_000
    made = events_of(columns, np.arange(60), np.full(60, 2), ts_ms)
    assert len(made) == MAX_STEPS
    assert made.properties[-1].tolist() == [236, 237, 238, 239]
    np.testing.assert_allclose(made.gaps, np.log(2), rtol=1e-6)
    assert events_of(columns, np.arange(2), np.full(2, 1), ts_ms[:2]).gaps[0] == 0
