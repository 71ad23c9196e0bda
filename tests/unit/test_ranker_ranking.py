"""The order of candidates by each strategy."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ranker.pairs import Pair
from ranker.ranking import check_candidates, items, missing_products, ordered, personalise, preferences_of, score, strategy_of
from services.artifacts import Manifest
from services.contracts import Candidates, Term
from services.errors import InvalidRequest
from services.features import FEATURES, Binding
from services.models.port import Preferences
from tests.forward_shop import NOW_MS, Row, candidates, facts, index_of, popular, product, terms
from tests.ranker_model import LinearModel

SCORES = arrays(np.float32, st.integers(0, 50), elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0]))


PRODUCTS = (
    product(0, "old sofa", price_cents=300, brand="Acme"),
    product(1, "old red sofa", price_cents=100, brand="Globex"),
    product(2, "amp", price_cents=900),
)
POPULAR = (popular(0, score=1), popular(1, score=2), popular(2, score=9))


def pair_of(tmp_path: Path, strategy: str = "network", products: Sequence[Row] = PRODUCTS, popularity: Sequence[Row] = POPULAR) -> Pair:
    index = index_of(tmp_path, [*products], [*popularity])
    manifest = Manifest(version=5, analyzer_version="1", created_ms=0, files={}, facts=_raw(strategy))
    model = LinearModel(manifest)
    return Pair(3, index, 5, model, Binding(index, model.vocabulary, model.property_vectors))


def _raw(strategy: str) -> dict[str, msgspec.Raw]:
    return {k: msgspec.Raw(msgspec.json.encode(v)) for k, v in msgspec.structs.asdict(facts(strategy)).items()}


def order(pair: Pair, strategy: str, found: Candidates, query: list[Term], user: Preferences | None = None) -> list[int]:
    user = user or preferences_of(pair, None, None, None)
    features = items(pair, query, [], found, NOW_MS)
    personalise(features, pair, found, user)
    return list(ordered(score(strategy, pair, features, user), missing_products(pair, found)).order)


def test_the_network_orders_by_its_score(tmp_path: Path) -> None:
    assert order(pair_of(tmp_path), "network", candidates([0, 1, 2]), terms("sofa")) == [2, 0, 1]


def test_the_network_never_puts_a_partial_match_before_a_full_one(tmp_path: Path) -> None:
    found = msgspec.structs.replace(candidates([0, 1, 2]), strict=bytes([1, 1, 0]))
    assert order(pair_of(tmp_path), "network", found, terms("sofa")) == [0, 1, 2]


def test_what_the_user_likes_changes_the_order(tmp_path: Path) -> None:
    pair = pair_of(tmp_path)
    weights = np.array([{"price": -1.0, "pref_brand": 1.0}.get(name, 0.0) for name in FEATURES], np.float32)
    user = Preferences(np.array([0, 1, 2], np.float32), weights, np.zeros(2, np.float32))
    assert order(pair, "network", candidates([0, 1, 2]), terms("sofa"), user) == [1, 0, 2]


def test_baselines_put_strict_matches_first_then_their_feature(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, "bm25")
    found = candidates([2, 0, 1], strict=[0, 1, 1])
    assert order(pair, "popularity", found, terms("sofa")) == [2, 1, 0]
    assert order(pair, "bm25", found, terms("sofa")) == [1, 2, 0]
    assert order(pair, "bm25", candidates([2, 0, 1], strict=[1, 0, 0]), terms("sofa")) == [0, 1, 2]


@pytest.mark.parametrize("strategy", ["bm25", "popularity"])
@pytest.mark.parametrize("query", [("sofa", "sleeper"), ("sleeper", "sofa")])
def test_a_title_typed_out_comes_first_whatever_the_rest_is_worth(strategy: str, query: tuple[str, str], tmp_path: Path) -> None:
    titles = ["sleeper sofa sleeper bed", "the sofa sleeper", "sleeper sofa cover"]
    much = [popular(0, 900, 500, 100, 9.0), popular(1), popular(2, 900, 500, 100, 8.0)]
    pair = pair_of(tmp_path, strategy, [product(i, title) for i, title in enumerate(titles)], much)
    assert order(pair, strategy, candidates([0, 1, 2]), terms(*query))[0] == 1  # a stop word is no other word
    assert order(pair, strategy, candidates([0, 1, 2], strict=[1, 0, 1]), terms(*query))[2] == 1  # no full match, as retrieval has it


def test_a_title_that_is_a_part_of_the_query_is_not_what_was_asked_for(tmp_path: Path) -> None:
    products = [product(0, "sofa", attributes={"color": "red"}), product(1, "red sofa bed")]
    pair = pair_of(tmp_path, "popularity", products, [popular(0), popular(1, 900, 500, 100, 9.0)])
    assert order(pair, "popularity", candidates([0, 1]), terms("red", "sofa")) == [1, 0]


@given(SCORES)
def test_ties_stay_in_retrieval_order_and_scores_never_rise(scores: np.ndarray) -> None:
    ranked = ordered(scores, np.zeros(len(scores), np.bool_))
    assert ranked.order.tolist() == sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    assert ranked.scores.tolist() == sorted(scores.tolist(), reverse=True)


@given(SCORES, st.data())
def test_products_that_the_generation_lost_come_last(scores: np.ndarray, data: st.DataObject) -> None:
    missing = data.draw(arrays(np.bool_, len(scores)))
    ranked = ordered(scores, missing)
    assert missing[ranked.order].tolist() == sorted(missing.tolist())
    assert ranked.scores.tolist() == sorted(ranked.scores.tolist(), reverse=True)


def test_a_release_without_a_network_cannot_rank_by_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"release 5 \(bm25\) cannot rank by strategy 'network'") as error:
        strategy_of("network", pair_of(tmp_path, "bm25"))
    assert error.value.accepted == "popularity, bm25"
    assert strategy_of(None, pair_of(tmp_path, "bm25")) == "bm25"


def test_a_strategy_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="lightgbm"):
        strategy_of("lightgbm", pair_of(tmp_path))


def test_preferences_of_another_release_are_refused_by_name(tmp_path: Path) -> None:
    pair = pair_of(tmp_path)
    for name, data in (("scores", bytes(8)), ("weights", bytes(4)), ("vector", bytes(3))):
        with pytest.raises(InvalidRequest) as error:
            preferences_of(pair, **{"scores": None, "weights": None, "vector": None, name: data})
        assert error.value.field == name


def test_candidates_of_unequal_length_or_too_many_are_refused() -> None:
    whole = candidates([1, 2])
    for broken in (
        Candidates(whole.product_no[:5], whole.score, whole.tier, whole.strict),
        Candidates(whole.product_no, whole.score[:4], whole.tier, whole.strict),
        Candidates(whole.product_no, whole.score, whole.tier[:1], whole.strict),
        candidates([0] * 65_536),
    ):
        with pytest.raises(InvalidRequest):
            check_candidates(broken)
    check_candidates(whole)
    check_candidates(candidates([]))
