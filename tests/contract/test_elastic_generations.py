"""Generations as Elasticsearch indexes: complete or not there, one shop's only, removed after a grace time. And what is asked of `ranking-N`."""

import socket
import time
import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from ranker import weights
from ranker.weights_elastic import MAPPING, RankingIndex
from searcher.engines import Tiers
from searcher.index.elastic import ElasticTier, ElasticWriter
from searcher.query import Term
from searcher.settings import SearcherSettings
from services.contracts import Category
from services.contracts import Term as QueryTerm
from services.elastic import Cluster, ElasticError, Indexes, indexes
from services.errors import ConfigurationError
from services.settings import load
from services.shop import ShopInfo
from services.timing import Deadline
from tests.searcher_tiers import document

SETTING = "AISLE_SEARCHER_HIGH_URL"
FIELDS = {"name": {"type": "keyword"}}


def shop(created_ms: int = 1, name: str = "") -> ShopInfo:
    return ShopInfo(name=name or f"shop{uuid.uuid4().hex}", created_ms=created_ms)


@pytest.fixture
def made(elasticsearch_url: str) -> Iterator[Indexes]:
    made = indexes(elasticsearch_url, SETTING, shop(), "high")
    yield made
    made.cluster.close()


def names(count: int) -> list[tuple[int, dict[str, str]]]:
    return [(n, {"name": f"n{n}"}) for n in range(count)]


def test_a_generation_is_there_when_all_of_it_is(made: Indexes) -> None:
    assert made.write(1, FIELDS, names(20)) == 20
    assert made.open(1, SETTING) == made.name(1)
    assert made.count(made.name(1)) == 20


def test_an_interrupted_build_is_not_served_leaves_the_served_one_alone_and_is_made_anew(made: Indexes) -> None:
    made.write(1, FIELDS, names(5))

    def dies() -> Iterator[tuple[int, dict[str, str]]]:
        yield from names(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.write(2, FIELDS, dies())
    with pytest.raises(ConfigurationError, match=f"{SETTING}.*no complete index.*aisle build"):
        made.open(2, SETTING)
    assert made.open(1, SETTING) == made.name(1)
    assert made.write(2, FIELDS, names(7)) == 7
    assert made.open(2, SETTING) == made.name(2)


def test_an_index_without_its_last_step_is_not_there(made: Indexes) -> None:
    writer = made.writer(1, FIELDS)
    writer.add(0, {"name": "a"})
    writer._flush()
    with pytest.raises(ConfigurationError, match="no complete index"):
        made.open(1, SETTING)


def test_documents_that_are_refused_are_said(made: Indexes) -> None:
    with pytest.raises(ElasticError, match="refused a document"):
        made.write(1, {"name": {"type": "long"}}, [(0, {"name": "no number"})])


def test_another_shop_of_the_same_name_is_neither_overwritten_nor_served_nor_removed(made: Indexes) -> None:
    made.write(1, FIELDS, names(2))
    other = indexes(made.cluster.url, SETTING, shop(2, made.shop), "high")
    with pytest.raises(ElasticError, match="belongs to another shop"):
        other.write(1, FIELDS, names(1))
    with pytest.raises(ConfigurationError, match="another shop's"):
        other.open(1, SETTING)
    assert other.prune([], grace_s=0) == []
    assert made.open(1, SETTING) == made.name(1)
    other.cluster.close()


def test_a_tier_has_the_replicas_of_its_setting_and_no_other_tier_has(elasticsearch_url: str) -> None:
    environment = {f"AISLE_SEARCHER_{tier}_URL": elasticsearch_url for tier in ("HIGH", "MEDIUM")}
    tiers = Tiers(load(SearcherSettings, "AISLE_SEARCHER_", {**environment, "AISLE_SEARCHER_HIGH_REPLICAS": "2"}), shop())
    copies = []
    for made in tiers.elastic.values():
        made.write(1, FIELDS, names(3))
        (about,) = made.cluster.call("GET", f"/{made.name(1)}/_settings").values()
        copies.append((made.what, about["settings"]["index"]["number_of_replicas"]))
    assert copies == [("high", "2"), ("medium", "0")]
    assert tiers.elastic["high"].open(1, SETTING) == tiers.elastic["high"].name(1)
    tiers.close()


def test_old_generations_go_after_the_grace_time_and_not_before(made: Indexes) -> None:
    for generation in (1, 2, 3):
        made.write(generation, FIELDS, names(1))
    assert made.prune([2, 3], grace_s=600) == []
    assert made.prune([2, 3], grace_s=0) == [made.name(1)]
    assert [made.open(generation, SETTING) for generation in (2, 3)] == [made.name(2), made.name(3)]


@pytest.mark.parametrize(
    ("url", "said"), [("http://127.0.0.1:1", "cannot be reached"), ("http://127.0.0.1", "is no address|cannot be reached")]
)
def test_a_cluster_that_is_not_there_stops_the_start_with_the_name_of_the_setting(url: str, said: str) -> None:
    settings = load(SearcherSettings, "AISLE_SEARCHER_", {SETTING: url})
    with pytest.raises(ConfigurationError, match=f"{SETTING}.*({said})"):
        Tiers(settings, shop()).elastic["high"].open(1, SETTING)


def test_a_setting_that_is_no_address_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match=f"{SETTING}='elasticsearch'"):
        load(SearcherSettings, "AISLE_SEARCHER_", {SETTING: "elasticsearch"})


def test_a_search_takes_no_longer_than_a_part_of_the_time_that_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
        cluster = Cluster(f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.perf_counter()
        with pytest.raises(ElasticError, match="is late"):
            Deadline(1000).run(cluster.search, "/x/_search", {})
        assert 0.2 < time.perf_counter() - started < 0.9
        cluster.close()


def test_searches_share_a_connection_and_an_answer_has_numbers_and_scores_and_nothing_else(made: Indexes) -> None:
    writer = ElasticWriter(made, 1)
    for number in range(3):
        writer.add(document(number, "red shoe"))
    writer.finish()
    tier = ElasticTier("high", made.cluster, made.open(1, SETTING))

    def counted() -> tuple[int, int, int]:
        """Searches answered, bytes of the answers, connections opened, as Elasticsearch has them."""
        (node,) = made.cluster.call("GET", "/_nodes/stats/http")["nodes"].values()
        answers = node["http"]["routes"].get("/{index}/_search", {}).get("responses", {"count": 0, "total_size_in_bytes": 0})
        return answers["count"], answers["total_size_in_bytes"], node["http"]["total_opened"]

    before = counted()
    for _ in range(20):
        assert tier.search(Term("shoe"), 10).product_no.tolist() == [0, 1, 2]
    calls, size, opened = np.subtract(counted(), before).tolist()
    assert (calls, opened) == (20, 0)
    bare = '{"timed_out":false,"_shards":{"failed":0},"hits":{"hits":[]}}' + 3 * '{"_score":0.12345678,"fields":{"product_no":[0]}},'
    assert size / calls == pytest.approx(len(bare), abs=12)


# ---- strategy weights ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ranking(elasticsearch_url: str) -> Iterator[RankingIndex]:
    made = indexes(elasticsearch_url, "AISLE_RANKER_RANKING_URL", shop(), "ranking")
    products = [
        ("red shoe", ["brand:acme", "category:1"], 0.0),
        ("red shoe", ["brand:zenith", "category:1"], 0.0),
        ("hat", ["brand:acme"], 5.0),
    ]
    made.write(1, MAPPING, [(n, {"text": t, "properties": p, "popularity": s}) for n, (t, p, s) in enumerate(products)])
    yield RankingIndex(made.cluster, made.open(1, "AISLE_RANKER_RANKING_URL"))
    made.cluster.close()


def scored(
    ranking: RankingIndex, liked: list[tuple[str, float]], numbers: list[int], categories: list[Category] | None = None
) -> list[float]:
    question = weights.query([QueryTerm("shoe", [["sneaker"]]), QueryTerm("red")], categories or [], numbers, liked)
    found: list[float] = ranking.scores(question, np.array(numbers, np.uint32)).tolist()
    return found


def test_preferences_are_added_to_relevance_and_popularity(ranking: RankingIndex) -> None:
    plain = scored(ranking, [], [0, 1, 2])
    assert plain[0] == plain[1] > 0
    assert plain[2] == pytest.approx(np.log1p(5.0) * weights.POPULARITY_WEIGHT, rel=1e-5)
    liked = scored(ranking, [("brand:zenith", 0.5)], [0, 1, 2])
    assert liked[0] == pytest.approx(plain[0])
    assert liked[1] - plain[1] == pytest.approx(0.5 * weights.PREFERENCE_WEIGHT, rel=1e-5)


def test_only_candidates_are_scored_and_those_that_are_gone_have_nothing(ranking: RankingIndex) -> None:
    assert scored(ranking, [], [1, 77])[1] == 0.0


def test_a_predicted_category_adds_its_probability(ranking: RankingIndex) -> None:
    gained = np.subtract(scored(ranking, [], [0], [Category(1, "shoes", 0.5)]), scored(ranking, [], [0]))
    assert gained.tolist() == pytest.approx([weights.CATEGORY_BOOST * 0.5], rel=1e-5)


def test_only_what_is_liked_becomes_a_function_the_strongest_first() -> None:
    columns = np.array([[1, 2], [0, 3]], np.int32)
    found = weights.preferences(["?", "a", "b", "c", "d"], columns, np.array([9.0, 0.2, -1.0, 0.7, 3.0], np.float32))
    assert found == [("c", pytest.approx(0.7)), ("a", pytest.approx(0.2))]
