"""What is asked in a load: shares as they were wished, probes whose right answer is known, filters that a product passes."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.asks import KINDS, Ask, Known, Mix, Pool, Product, as_of, breaks, misspelt, mixed, probes

WORDS = ("kettle", "lantern", "scooter", "hammock", "blender")
PRODUCTS = [
    Product(f"{w} {n}", 100 + n, n % 3, f"Brand{n % 4}", (n % 2, 10 + n % 4), ("red", "blue")[n % 2]) for n in range(40) for w in WORDS
]
KNOWN = Known([(f"low{n}", f"low title {n}") for n in range(60)], [(f"new{n}", f"new title {n}") for n in range(30)], PRODUCTS)


def plain(number: int) -> Ask:
    """Every fourth shopper is nobody, every fifth misspells."""
    word, user = WORDS[number % 5], f"u{number % 40}" if number % 4 else None
    return Ask(word[::-1], user, right=word) if number % 5 == 0 else Ask(word, user)


def shares(mix: Mix, known: Known = KNOWN) -> dict[str, float]:
    kinds = Counter(ask.kind for ask in mixed(plain, known, mix, 4000, seed=1))
    return {kind: kinds[kind] / 4000 for kind in kinds}


def test_misspelt_rare_and_empty_queries_are_as_many_as_wished() -> None:
    found = shares(Mix(misspelt=0.3, rare=0.1, empty=0.05))
    assert found == {
        "misspelt": pytest.approx(0.3, abs=0.03),
        "rare": pytest.approx(0.1, abs=0.02),
        "empty": pytest.approx(0.05, abs=0.015),
        "plain": pytest.approx(0.55, abs=0.03),
    }


def test_a_wished_share_of_misspellings_takes_the_place_of_the_shoppers_own() -> None:
    asks = mixed(plain, KNOWN, Mix(misspelt=0.0, rare=0.0, empty=0.0), 100, seed=1)
    assert {ask.query for ask in asks} == set(WORDS)
    theirs = mixed(plain, KNOWN, Mix(rare=0.0, empty=0.0), 100, seed=1)
    assert sum(ask.right is not None for ask in theirs) == 20


def test_a_shop_without_a_low_tier_has_no_rare_queries_and_no_more_misspelt_ones() -> None:
    found = shares(Mix(misspelt=0.2, rare=0.5, empty=0.0), Known([], [], []))
    assert found == {"misspelt": pytest.approx(0.2, abs=0.03), "plain": pytest.approx(0.8, abs=0.03)}


@given(st.text("abcl ", max_size=20), st.integers(0, 99))
def test_a_misspelling_has_the_letters_of_its_query_in_another_order(query: str, seed: int) -> None:
    wrong = misspelt(query, random.Random(seed))
    assert sorted(wrong.replace(" ", "")) == sorted(query.replace(" ", ""))
    if any(w[at] != w[at + 1] for w in query.split() for at in range(1, len(w) - 1)):
        assert wrong.split() != query.split()


def test_the_same_seed_asks_the_same_and_another_one_something_else() -> None:
    assert mixed(plain, KNOWN, Mix(rare=0.5), 50, 1) == mixed(plain, KNOWN, Mix(rare=0.5), 50, 1)
    assert mixed(plain, KNOWN, Mix(rare=0.5), 50, 1) != mixed(plain, KNOWN, Mix(rare=0.5), 50, 2)
    assert probes(plain, KNOWN, 1) == probes(plain, KNOWN, 1)


def test_probes_are_of_every_kind_and_numbered() -> None:
    found = probes(plain, KNOWN, seed=1)
    assert {ask.kind for ask in found} == {"title", "user", "nobody", "stranger", "filtered"}
    assert [ask.probe for ask in found] == list(range(len(found)))
    assert {ask.wanted for ask in found if ask.kind == "title"} <= {id_ for id_, _ in (*KNOWN.low, *KNOWN.new)}
    filtered = [ask.filters for ask in found if ask.filters]
    for name in ("brand", "category", "price_cents", "attributes"):
        assert any(getattr(filters, name) for filters in filtered), name
    assert {bool(ask.query) for ask in found if ask.filters} == {True, False}


@given(st.sampled_from(PRODUCTS), st.integers(0, KINDS - 1), st.integers(0, 10_000))
def test_a_product_passes_the_filters_that_are_made_of_it(product: Product, kind: int, other_price: int) -> None:
    assert breaks(product, as_of(product, kind, other_price)) is None


def test_a_product_of_which_little_is_known_is_filtered_by_price() -> None:
    for kind in range(KINDS):
        filters = as_of(Product("bare", 100, 0), kind, 200)
        assert (filters.price_cents, filters.brand, filters.category, filters.attributes) == (filters.price_cents, None, None, None)
        assert filters.price_cents


def test_chains_begin_with_a_probe_as_often_as_wished_and_evenly() -> None:
    pool = Pool(mixed(plain, KNOWN, Mix(), 100, 1), probes(plain, KNOWN, 1), 0.15)
    numbers = [chain for chain in range(2000) if pool.probe(chain)]
    assert len(numbers) == 300
    assert {b - a for a, b in itertools.pairwise(numbers)} <= {6, 7}
    assert pool.ask(numbers[0], 0).probe >= 0
    assert pool.ask(numbers[0], 1).probe == -1, "what is asked after it is the load's own"
    assert pool.ask(numbers[0], 1).user_id == pool.ask(numbers[0], 0).user_id
