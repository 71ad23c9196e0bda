"""Which shoppers a shop has."""

import random
from collections.abc import Callable
from pathlib import Path

from loadgen.shoppers import Habits, Shopper, TitleShopper, Wanted
from services.artifacts import Versions
from services.catalogue import Catalogue
from services.errors import ConfigurationError
from services.shop import Shop

USERS_WITHOUT_WORLD = 500


def shoppers(root: Path, habits: Habits, seed: int) -> Callable[[int], Shopper]:
    """Makes the n-th shopper of the shop at `root`; everything that they share is read once, here."""
    shop = Shop(root)
    shop.info()
    generation = Versions(shop.generations).current()
    if generation is None:
        raise ConfigurationError(
            f"shop {shop.name!r} has no generation yet: run `aisle up --shop {shop.name}` or `aisle build --shop {shop.name}`"
        )
    table = Catalogue(Versions(shop.generations).folder(generation)).table
    rows = zip(table["product_id"].to_pylist(), table["title"].to_pylist(), strict=True)
    products = [Wanted(product_id, title) for product_id, title in rows if title.strip()]
    return lambda number: TitleShopper(products, USERS_WITHOUT_WORLD, habits, random.Random(f"{seed}:{number}"))
