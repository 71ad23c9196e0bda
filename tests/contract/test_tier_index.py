"""What every TierIndex does, whichever engine is behind it."""

import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from searcher.index.elastic import ElasticTier, ElasticWriter
from searcher.index.port import AttributeValue, Buckets, TierDocument, TierIndex, TierUnavailable, Values
from searcher.index.tantivy import TantivyTier, TantivyWriter
from searcher.query import (
    ATTRIBUTE,
    BRAND,
    CATEGORY,
    CREATED,
    PRICE,
    TIER,
    Best,
    Bool,
    Constant,
    Everything,
    OneOf,
    Order,
    Query,
    Range,
    Term,
)
from services.elastic import indexes
from services.shop import ShopInfo
from tests.searcher_tiers import MemoryTier, document

Opened = Callable[[list[TierDocument]], TierIndex]


ENGINES = ("tantivy", "tantivy in segments", "memory", "elasticsearch")


def make(engine: str, folder: Path, documents: list[TierDocument], request: pytest.FixtureRequest) -> TierIndex:
    if engine == "memory":
        return MemoryTier("high", documents)
    if engine == "elasticsearch":
        url = request.getfixturevalue("elasticsearch_url")
        made = indexes(url, "AISLE_SEARCHER_HIGH_URL", ShopInfo(name=f"tier{uuid.uuid4().hex}"), "high")
        request.addfinalizer(made.cluster.close)
        written = ElasticWriter(made, 1)
        for each in documents:
            written.add(each)
        written.finish()
        return ElasticTier("high", made.cluster, made.open(1, "AISLE_SEARCHER_HIGH_URL"))
    writer = TantivyWriter(folder / "high", memory_bytes=20_000_000)
    for number, each in enumerate(documents):
        writer.add(each)
        if "segments" in engine and number in (0, 1, 700):
            writer.flush()
    writer.finish()
    return TantivyTier("high", folder / "high")


@pytest.fixture(params=ENGINES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    return lambda documents: make(request.param, tmp_path, documents, request)


@pytest.fixture(params=ENGINES, scope="module")
def tier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TierIndex:
    """A tier of `shelf()`, which no test changes."""
    return make(request.param, tmp_path_factory.mktemp("shelf"), shelf(), request)


def shelf() -> list[TierDocument]:
    return [
        document(0, "red shoe run shoe", price_cents=500, brand="Acme", category_ids=[1, 10]),
        document(2, "blue shoe", price_cents=300, brand="ACME", category_ids=[1, 11], tier=1),
        document(3, "red hat wool", price_cents=300, brand="Öko", category_ids=[2], tier=1),
        document(7, "green coat", price_cents=12_345_678_901, brand="", category_ids=[], attributes=[]),
    ]


def found(tier: TierIndex, query: Query) -> list[int]:
    return sorted(tier.search(query, 10).product_no.tolist())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Term("shoe"), [0, 2]),
        (Term("sho"), []),
        (Everything(), [0, 2, 3, 7]),
        (Bool(must=(Term("red"), Term("shoe"))), [0]),
        (Bool(should=(Term("red"), Term("coat"))), [0, 3, 7]),
        (Bool(should=(Term("red"), Term("shoe"), Term("wool")), minimum=2), [0, 3]),
        (Bool(should=(Term("red"), Term("shoe"), Term("wool")), minimum=3), []),
        (Bool(must=(Term("red"),), should=(Term("wool"),)), [0, 3]),
        (Bool(must=(Term("red"),), must_not=(Term("wool"),)), [0]),
        (Bool(must_not=(OneOf(TIER, (1,)),)), [0, 7]),
        (Bool(filter=(OneOf(CATEGORY, (1, 2)), Range(PRICE, 300, 400))), [2, 3]),
        (Bool(must=(Term("red"),), filter=(Range(PRICE, None, 400),)), [3]),
        (Range(PRICE, 501, None), [7]),
        (Range(PRICE), [0, 2, 3, 7]),
        (OneOf(BRAND, ("acme",)), [0, 2]),
        (OneOf(BRAND, ("acme", "oko")), [0, 2, 3]),
        (OneOf(CATEGORY, (1,)), [0, 2]),
        (OneOf(ATTRIBUTE, ("color=red",)), [0]),
        (OneOf(ATTRIBUTE, ("color=sky-blue", "color=2024-01-05t00:00:00z")), [2, 3]),
        (Best((Term("hat", 0.7), Bool(must=(Term("green"), Term("coat")), boost=0.7))), [3, 7]),
        (Constant(Term("blue"), 2.0), [2]),
    ],
)
def test_a_query_finds_what_its_words_say(tier: TierIndex, query: Query, expected: list[int]) -> None:
    assert found(tier, query) == expected


@pytest.mark.parametrize("text", ['red"', "red OR shoe", "title:red", "*", "re?d", "(", "\\", "a\x00b", "", "🛒", "red AND (", "\u202ered"])
def test_syntax_characters_are_just_characters(tier: TierIndex, text: str) -> None:
    assert found(tier, Term(text)) == []
    assert found(tier, OneOf(BRAND, (text,))) == []
    assert found(tier, OneOf(ATTRIBUTE, (text, "color=red"))) == [0]


def test_scores_are_bm25_of_the_tier(tier: TierIndex) -> None:
    query = Bool(must=(Best((Term("red"), Term("shoe", 0.7))),), should=(Constant(OneOf(CATEGORY, (1,)), 0.5),), filter=(Range(PRICE, 0),))
    expected = MemoryTier("high", shelf()).search(query, 10)
    actual = tier.search(query, 10)
    assert actual.product_no.tolist() == expected.product_no.tolist()
    np.testing.assert_allclose(actual.key, expected.key, rtol=1e-5)


def test_a_condition_adds_no_score(tier: TierIndex) -> None:
    plain = tier.search(Term("shoe"), 10)
    filtered = tier.search(Bool(must=(Term("shoe"),), filter=(OneOf(BRAND, ("acme",)), Range(PRICE, 0))), 10)
    assert filtered.product_no.tolist() == plain.product_no.tolist()
    np.testing.assert_allclose(filtered.key, plain.key, rtol=1e-6)


@pytest.mark.parametrize(
    ("order", "expected", "keys"),
    [
        (Order(PRICE, False), [2, 3, 0, 7], [300, 300, 500, 12_345_678_901]),
        (Order(PRICE, True), [7, 0, 2, 3], [12_345_678_901, 500, 300, 300]),
        (Order(CREATED, True), [7, 3, 2, 0], [7, 3, 2, 0]),
    ],
)
def test_a_sort_is_by_value_and_then_by_number(tier: TierIndex, order: Order, expected: list[int], keys: list[float]) -> None:
    hits = tier.search(Everything(), 10, order=order)
    assert hits.product_no.tolist() == expected
    assert hits.key.tolist() == keys


def test_equal_scores_come_in_the_order_of_product_numbers(opened: Opened) -> None:
    tier = opened([document(n, "same words") for n in (1, 4, 5, 9)])
    assert tier.search(Term("same"), 4).product_no.tolist() == [1, 4, 5, 9]


def test_no_more_come_than_are_wanted_and_all_are_counted(tier: TierIndex) -> None:
    hits = tier.search(Term("red"), 1, count=True)
    assert (len(hits.product_no), len(hits.key), hits.total) == (1, 1, 2)
    assert hits.product_no.dtype == np.uint32


def test_facets_count_every_match(tier: TierIndex) -> None:
    counts = tier.facets(
        OneOf(TIER, (0, 1)),
        [Values(BRAND), Values(CATEGORY), Values("attribute.a0"), Buckets(PRICE, (0, 400, 501)), Values("attribute.a9")],
    )
    assert counts.total == 4
    assert counts.values == [
        {"Acme": 1, "ACME": 1, "Öko": 1},
        {"1": 2, "10": 1, "11": 1, "2": 1},
        {"Red": 1, "Sky-Blue": 1, "2024-01-05T00:00:00Z": 1},
        {"0": 2, "1": 1, "2": 1},
        {},
    ]


def test_facets_of_no_match_are_empty(tier: TierIndex) -> None:
    counts = tier.facets(Term("nowhere"), [Values(BRAND), Buckets(PRICE, (0, 10))])
    assert (counts.total, counts.values) == (0, [{}, {}])


def test_many_products_are_all_there(opened: Opened) -> None:
    documents = [document(n * 3, f"item w{n % 7}", price_cents=n, attributes=[AttributeValue(0, "size", str(n % 5))]) for n in range(2000)]
    tier = opened(documents)
    assert tier.ping() == 2000
    assert tier.search(Everything(), 5000).product_no.tolist() == [n * 3 for n in range(2000)]
    assert tier.facets(Everything(), [Values("attribute.a0")]).values == [{str(n): 400 for n in range(5)}]


def test_an_empty_tier_answers_with_nothing(opened: Opened) -> None:
    tier = opened([])
    assert tier.ping() == 0
    assert len(tier.search(Term("red"), 10, count=True).product_no) == 0
    assert tier.facets(Everything(), [Values(BRAND)]).total == 0


def test_a_closed_tier_is_unavailable(opened: Opened) -> None:
    tier = opened(shelf())
    tier.close()
    for ask in (lambda: tier.search(Everything(), 1), lambda: tier.facets(Everything(), []), tier.ping):
        with pytest.raises(TierUnavailable, match="high"):
            ask()


def test_a_damaged_index_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(TierUnavailable, match="cannot be opened"):
        TantivyTier("high", tmp_path)
