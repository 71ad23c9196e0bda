"""Training for real (TensorFlow), on a log whose right answer is planted; about 15 seconds in all, once per run."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from offline.train import Outcome, train
from services.artifacts import Manifest, Versions
from services.contracts import Category
from services.errors import ConfigurationError
from services.eventlog.sqlite import SqliteWriter
from services.features import FEATURE_SCHEMA, FEATURES
from services.models.onnx import load
from services.models.port import ASSETS, KIND_IDS, Events, Model, facts_of
from services.shop import Shop, ShopInfo
from tests import planted

PAGES = 1_600


def shop_with_log(root: Path, pages: int, preference: float) -> Shop:
    shop = planted.shop(root)
    writer = SqliteWriter(shop.log_file)
    writer.append(planted.history(pages, users=60, preference=preference)).result(timeout=60)
    writer.close()
    return shop


@dataclass(frozen=True)
class Trained:
    shop: Shop
    outcome: Outcome
    said: list[str]
    manifest: Manifest
    model: Model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    shop, said = shop_with_log(tmp_path_factory.mktemp("planted"), PAGES, 1.0), []
    outcome, versions = train(shop, said.append), Versions(shop.releases)
    manifest = versions.manifest(1)
    model = load(versions.folder(1), manifest)
    yield Trained(shop, outcome, said, manifest, model)
    model.close()


def bought(model: Model, brand: str, times: int) -> Events:
    properties = np.zeros((times, 4), np.int32)
    properties[:, 1] = model.vocabulary.index(f"brand:{brand}")
    return Events(properties, np.full(times, KIND_IDS["purchase"], np.int32), np.full(times, 5.0, np.float32))


@pytest.mark.parametrize(("liked", "other"), [("acme", "zenith"), ("zenith", "acme")])
def test_who_bought_a_brand_is_said_to_like_it(trained: Trained, liked: str, other: str) -> None:
    model, query = trained.model, [Category(1, "", 0.9)]
    scores = model.preference(bought(model, liked, 5), query).scores
    assert scores[model.vocabulary.index(f"brand:{liked}")] > 0.3
    assert scores[model.vocabulary.index(f"brand:{liked}")] > scores[model.vocabulary.index(f"brand:{other}")] + 0.3


def test_more_behaviours_are_more_certain(trained: Trained) -> None:
    lengths = [np.linalg.norm(trained.model.preference(bought(trained.model, "acme", n), []).vector) for n in (1, 3, 20)]
    assert lengths == sorted(lengths)


def test_the_liked_brand_ranks_first_and_without_a_user_nothing_does(trained: Trained) -> None:
    model = trained.model
    preferences = model.preference(bought(model, "acme", 8), [])
    features = np.zeros((2, len(FEATURES)), np.float32)
    features[0, FEATURES.index("pref_brand")] = preferences.scores[model.vocabulary.index("brand:acme")]
    features[1, FEATURES.index("pref_brand")] = preferences.scores[model.vocabulary.index("brand:zenith")]
    liked, other = model.rank(features, preferences.weights, preferences.vector)
    assert liked > other
    nobody = model.preference(bought(model, "acme", 0), [])
    neutral = model.rank(np.zeros((2, len(FEATURES)), np.float32), nobody.weights, nobody.vector)
    assert neutral[0] == neutral[1]


def test_it_passes_its_gate_and_says_so(trained: Trained) -> None:
    clicks, ranking, randomised, _, personal = trained.outcome.comparisons
    assert trained.outcome.facts.strategy == "network"
    assert min(clicks.low, ranking.low, randomised.low, personal.low) > 0.1
    assert "release 1 is current: strategy network" in trained.said[-1]


def test_the_manifest_says_what_it_was_made_of(trained: Trained) -> None:
    facts = facts_of(trained.manifest)
    assert (facts.strategy, facts.pages, facts.users, facts.generation) == ("network", PAGES, 60, 1)
    assert facts.feature_schema == FEATURE_SCHEMA
    assert facts.watermark["0"] == facts.pages + facts.behaviours
    assert facts.first_ms == planted.START_MS
    assert facts.vocabulary == len(trained.model.vocabulary)
    assert set(facts.metrics) == {"click AUC vs popularity", "nDCG@10 vs bm25", "nDCG@10, randomised pages, vs bm25",
                                  "nDCG@10 vs popularity", "nDCG@10 vs itself without a user"}  # fmt: skip


def test_the_folder_is_laid_out_for_tensorflow_serving(trained: Trained) -> None:
    files = set(trained.manifest.files)
    assert {"saved_model.pb", "variables/variables.index"} <= files
    assert {
        f"{ASSETS}/{name}"
        for name in ("encode.onnx", "head.onnx", "preference.onnx", "rank.onnx", "vocabulary.json", "property_vectors.npy")
    } <= files


def test_savedmodel_and_onnx_agree(trained: Trained) -> None:
    from offline.export import TOLERANCE, disagreement

    folder = Versions(trained.shop.releases).folder(1)
    assert disagreement(folder, trained.model.facts, seed=7) < TOLERANCE


def test_the_savedmodel_gives_its_padding_no_say_and_the_unknown_user_zeros(trained: Trained) -> None:
    import tensorflow as tf

    signatures = tf.saved_model.load(str(Versions(trained.shop.releases).folder(1))).signatures
    assert set(signatures) == {"preference", "encode", "rank"}
    one = bought(trained.model, "acme", 1)
    padded = [np.pad(a, [(0, 6), *[(0, 0)] * (a.ndim - 1)]) for a in (one.properties, one.kinds, one.gaps)]
    batch = [np.stack([a, np.zeros_like(a)]) for a in padded]
    names = ("properties", "kinds", "gaps", "categories", "probabilities")
    answer = signatures["preference"](
        **dict(zip(names, map(tf.constant, [*batch, np.zeros((2, 3), np.int32), np.zeros((2, 3), np.float32)]), strict=True))
    )
    np.testing.assert_allclose(answer["vector"][0], trained.model.preference(one, []).vector, atol=1e-5)
    for name in ("scores", "weights", "vector"):
        assert not answer[name].numpy()[1].any()


def test_without_a_preference_there_is_nothing_to_gain_and_a_baseline_ships(tmp_path: Path) -> None:
    said: list[str] = []
    shop = shop_with_log(tmp_path, PAGES, 0.0)
    outcome, versions = train(shop, said.append), Versions(shop.releases)
    clicks, ranking, *_, personal = outcome.comparisons
    assert min(clicks.low, ranking.low) <= 0
    assert personal.low < 0.01
    assert outcome.facts.strategy in ("bm25", "popularity")
    assert said[-1].startswith("THE NETWORK WAS NOT SHIPPED: release 1 is current with strategy")
    assert load(versions.folder(1), versions.manifest(1)).strategy == outcome.facts.strategy
    assert not [p for p in shop.releases.iterdir() if p.name.startswith(".training")]


def test_the_same_log_and_seed_give_the_same_release_and_the_served_one_is_compared(trained: Trained) -> None:
    again = train(trained.shop, trained.said.append)
    assert again.comparisons[-1].other == "release 1"
    assert abs(again.comparisons[-1].difference) < 0.005
    assert again.comparisons[0].network == pytest.approx(trained.outcome.comparisons[0].network, abs=0.005)


def test_a_log_too_small_to_learn_from_gives_bm25_without_tensorflow(tmp_path: Path) -> None:
    said: list[str] = []
    outcome = train(shop_with_log(tmp_path, 100, 1.0), said.append)
    assert (outcome.release, outcome.facts.strategy, outcome.facts.score_feature) == (1, "bm25", "bm25")
    assert "too few pages with a click to learn from" in said[-1]


def test_a_log_in_which_nothing_new_was_chosen_does_not_put_a_baseline_in_the_place_of_a_network(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("offline.train.MIN_CLICKED", (1, 1, PAGES))  # the newest pages were looked at by robots, say
    before, said = Versions(trained.shop.releases).current(), list[str]()
    outcome = train(trained.shop, said.append)
    assert outcome.release is None
    assert Versions(trained.shop.releases).current() == before
    assert said[-1].startswith("NOTHING WAS SHIPPED: too few pages with a click to learn from: to judge ")
    assert said[-1].endswith("the served network stays")


def test_a_shop_without_a_generation_is_told_what_to_run(tmp_path: Path) -> None:
    empty = Shop(tmp_path / "empty")
    empty.write_info(ShopInfo(name="empty"))
    with pytest.raises(ConfigurationError, match="has no generation: run `aisle build` first"):
        train(empty)


def test_a_feature_that_never_varied_in_training_has_no_say(trained: Trained) -> None:
    features = np.zeros((2, len(FEATURES)), np.float32)
    features[1, FEATURES.index("category_probability")] = 1.0  # the planted log has no category predictions
    neutral = trained.model.preference(bought(trained.model, "acme", 0), [])
    one, other = trained.model.rank(features, neutral.weights, neutral.vector)
    assert one == other
