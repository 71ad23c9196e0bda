"""What every product store has to do; each adapter is made of the same products by one entry of ADAPTERS."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from planner.products.cache import CachedProducts
from planner.products.elastic import ElasticProducts, ProductWriter
from planner.products.port import ProductStore, Summary
from planner.products.sqlite import Row, SqliteProducts, write
from services.elastic import indexes
from services.errors import Unavailable
from services.shop import ShopInfo

PRODUCTS: list[Row] = [(n, f"sku/{n} ü", b'{"title":"T%d"}' % n, b'{"product_id":"sku/%d"}' % n) for n in (0, 3, 4, 70_000)]


Ask = Callable[[str], str]
"""Gives the URL that a fixture of tests/conftest.py has."""


def open_sqlite(tmp_path: Path, ask: Ask) -> ProductStore:
    assert write(tmp_path / "planner" / "products.sqlite", iter(PRODUCTS)) == len(PRODUCTS)
    return SqliteProducts(tmp_path / "planner" / "products.sqlite")


def open_cached(tmp_path: Path, ask: Ask) -> ProductStore:
    return CachedProducts(open_sqlite(tmp_path, ask), limit=2)


def open_elastic(tmp_path: Path, ask: Ask) -> ProductStore:
    made = indexes(ask("elasticsearch_url"), "AISLE_PLANNER_PRODUCTS_URL", ShopInfo(name="contract"), "products")
    writer = ProductWriter(made, 1)
    assert list(writer.passing(PRODUCTS)) == PRODUCTS
    assert writer.finish() == len(PRODUCTS)
    return OwnCluster(made.cluster, made.open(1, "AISLE_PLANNER_PRODUCTS_URL"))


class OwnCluster(ElasticProducts):
    """A store whose cluster nobody else uses."""

    def close(self) -> None:
        self._cluster.close()


ADAPTERS: dict[str, Callable[[Path, Ask], ProductStore]] = {
    "sqlite": open_sqlite,
    "sqlite, cached": open_cached,
    "elasticsearch": open_elastic,
}


@pytest.fixture(params=ADAPTERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProductStore]:
    opened = ADAPTERS[request.param](tmp_path, request.getfixturevalue)
    yield opened
    opened.close()


def test_summaries_are_the_bytes_that_were_stored(store: ProductStore) -> None:
    assert store.summaries([70_000, 3]) == {
        3: Summary("sku/3 ü", b'{"title":"T3"}'),
        70_000: Summary("sku/70000 ü", b'{"title":"T70000"}'),
    }


def test_products_that_are_not_in_the_generation_are_left_out(store: ProductStore) -> None:
    assert list(store.summaries([1, 3, 2**32 - 1])) == [3]
    assert store.numbers(["sku/4 ü", "nothing", "x\x00y"]) == {"sku/4 ü": 4}
    assert store.product("nothing") is None


def test_asking_for_nothing_gives_nothing(store: ProductStore) -> None:
    assert (store.summaries([]), store.numbers([])) == ({}, {})


def test_more_products_than_one_statement_takes_are_all_found(store: ProductStore) -> None:
    assert set(store.summaries(list(range(1500)))) == {0, 3, 4}


def test_a_product_is_found_by_the_id_of_the_shop(store: ProductStore) -> None:
    found = store.product("sku/4 ü")
    assert found is not None
    assert msgspec.json.decode(found) == {"product_id": "sku/4"}


def test_it_is_read_from_many_threads(store: ProductStore) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(store.summaries([0, 3, 4])))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3] * 6


def test_the_cache_has_what_was_read_last_and_no_more_than_its_limit(tmp_path: Path) -> None:
    store = CachedProducts(open_sqlite(tmp_path, str), limit=2)
    assert store.ready([3]) is None
    read = store.summaries([0, 3])
    assert store.ready([3, 0]) == read
    store.summaries([4])
    assert store.ready([0]) is None
    assert store.ready([3, 4]) is not None
    assert store.ready([]) == {}


def test_a_store_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="product store"):
        SqliteProducts(tmp_path / "nothing.sqlite")


def test_building_again_replaces_what_an_interrupted_build_left(tmp_path: Path) -> None:
    (tmp_path / "products.sqlite").write_bytes(b"half a file")
    assert write(tmp_path / "products.sqlite", PRODUCTS[:1]) == 1
