"""`python -m planner.build SHOP_ROOT GENERATION`: the product store of one generation, from its catalogue."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from planner.products.sqlite import Row, write
from planner.products.summary import product_json, summary_json
from services.artifacts import Versions
from services.catalogue import Catalogue
from services.errors import ConfigurationError
from services.shop import Shop

STORE = Path("planner") / "products.sqlite"
"""Where the store lies in a generation's folder."""


def build(shop: Shop, generation: int) -> int:
    """Write the product store of a generation; returns the number of products. Raises ConfigurationError when there is no catalogue."""
    folder = Versions(shop.generations).folder(generation)
    try:
        catalogue = Catalogue(folder)
    except FileNotFoundError as error:
        raise ConfigurationError(f"generation {generation} of shop {shop.name!r} has no catalogue ({error})") from None
    return write(folder / STORE, _rows(catalogue, shop.info().currency))


def _rows(catalogue: Catalogue, currency: str) -> Iterator[Row]:
    for product in catalogue.products():
        summary = summary_json(product, catalogue.categories, currency)
        yield product.product_no, product.product_id, summary, product_json(product, catalogue.categories, currency)


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or not arguments[1].isdigit():
        sys.stderr.write("usage: python -m planner.build SHOP_ROOT GENERATION\n")
        return 2
    started = time.perf_counter()
    try:
        count = build(Shop(Path(arguments[0])), int(arguments[1]))
    except ConfigurationError as error:
        sys.stderr.write(f"planner.build: {error}\n")
        return 2
    sys.stdout.write(f"product store of {count:,} products in {time.perf_counter() - started:.1f} s\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
