"""Which shoppers a shop has."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from datagen.world import open_world
from loadgen.asks import Ask
from loadgen.shoppers import Habits, Shopper, TitleShopper, Visit, Wanted
from loadgen.worldly import WorldShopper
from services.artifacts import Versions
from services.catalogue import Catalogue
from services.errors import ConfigurationError
from services.shop import Shop

USERS_WITHOUT_WORLD = 500
Cast = Callable[[int], Shopper]
"""Makes the n-th shopper."""


def shoppers(root: Path, habits: Habits, seed: int) -> Cast:
    """The shoppers of the shop at `root`; what they share is read once, here. Raises ConfigurationError for a shop that cannot be searched."""
    shop = Shop(root)
    shop.info()
    return _of_world(root, seed) if shop.world.is_dir() else _of_titles(shop, habits, seed)


def plain(cast: Cast) -> Callable[[int], Ask]:
    """The query of shopper n, each time the first of a new one."""

    def ask(number: int) -> Ask:
        return ask_of(cast(number % 2**32).visit())

    return ask


def ask_of(visit: Visit) -> Ask:
    return Ask(visit.query, visit.user_id, intent=visit.intent, right=visit.right if visit.right != visit.query else None)


def _of_world(root: Path, seed: int) -> Cast:
    world = open_world(root)
    return lambda number: WorldShopper(world, np.random.default_rng([seed, number]))


def _of_titles(shop: Shop, habits: Habits, seed: int) -> Cast:
    generation = Versions(shop.generations).current()
    if generation is None:
        raise ConfigurationError(
            f"shop {shop.name!r} has no generation yet: run `aisle up --shop {shop.name}` or `aisle build --shop {shop.name}`"
        )
    table = Catalogue(Versions(shop.generations).folder(generation)).table
    rows = zip(table["product_id"].to_pylist(), table["title"].to_pylist(), strict=True)
    products = [Wanted(product_id, title) for product_id, title in rows if title.strip()]
    return lambda number: TitleShopper(products, USERS_WITHOUT_WORLD, habits, random.Random(f"{seed}:{number}"))
