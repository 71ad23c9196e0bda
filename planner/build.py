"""`python -m planner.build SHOP_ROOT GENERATION`: the product store of one generation, from its catalogue."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from planner.products.elastic import ProductWriter
from planner.products.engine import STORE, Stores
from planner.products.sqlite import Row, write
from planner.products.summary import product_json, summary_json
from planner.settings import PlannerSettings
from services.artifacts import Versions
from services.catalogue import Catalogue
from services.elastic import ElasticError, Indexes
from services.errors import ConfigurationError
from services.settings import load
from services.shop import Shop

USAGE = "usage: python -m planner.build SHOP_ROOT GENERATION [--engines-only]"


def build(shop: Shop, generation: int, engine: Indexes | None = None) -> int:
    """Write the product store of a generation, and its index where an engine is set; returns the number of products. Raises ConfigurationError
    when there is no catalogue, ElasticError."""
    catalogue, folder = _catalogue(shop, generation)
    rows = _rows(catalogue, shop.info().currency)
    if engine is None:
        return write(folder / STORE, rows)
    index = ProductWriter(engine, generation)
    count = write(folder / STORE, index.passing(rows))
    index.finish()
    return count


def fill(shop: Shop, generation: int, engine: Indexes) -> int:
    """Copy the products of a generation that is built already to the engine that is to serve it. Raises as `build`."""
    catalogue, _ = _catalogue(shop, generation)
    index = ProductWriter(engine, generation)
    count = sum(1 for _ in index.passing(_rows(catalogue, shop.info().currency)))
    index.finish()
    return count


def _catalogue(shop: Shop, generation: int) -> tuple[Catalogue, Path]:
    folder = Versions(shop.generations).folder(generation)
    try:
        return Catalogue(folder), folder
    except FileNotFoundError as error:
        raise ConfigurationError(f"generation {generation} of shop {shop.name!r} has no catalogue ({error})") from None


def _rows(catalogue: Catalogue, currency: str) -> Iterator[Row]:
    for product in catalogue.products():
        summary = summary_json(product, catalogue.categories, currency)
        yield product.product_no, product.product_id, summary, product_json(product, catalogue.categories, currency)


def main(arguments: list[str]) -> int:
    engines_only = arguments[2:] == ["--engines-only"]
    if len(arguments) != 2 + engines_only or not arguments[1].isdigit():
        sys.stderr.write(f"{USAGE}\n")
        return 2
    started, shop, generation = time.perf_counter(), Shop(Path(arguments[0])), int(arguments[1])
    try:
        url = load(PlannerSettings, "AISLE_PLANNER_", os.environ).products_url
        engine = Stores(url, shop.info()).elastic
        count = 0
        if not engines_only:
            count = build(shop, generation, engine)
        elif engine is not None:
            count = fill(shop, generation, engine)
        if engine is not None:
            engine.prune([*Versions(shop.generations).complete(), generation])
    except (ConfigurationError, ElasticError) as error:
        sys.stderr.write(f"planner.build: {error}\n")
        return 2
    where = ", in Elasticsearch too" if engine else ""
    sys.stdout.write(f"product store of {count:,} products{where} in {time.perf_counter() - started:.1f} s\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
