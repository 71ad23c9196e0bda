"""Making a world: catalogue, users, intents, history, written to the shop's folder and swapped in when all of it is there."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from datagen import history, intents, products, staging, users
from datagen.copywriting import SEARCHABLE, Copywriter
from datagen.policy import Policy
from datagen.products import Products, product_id
from datagen.progress import Progress, Say, silent
from datagen.settings import WorldSettings, to_toml
from datagen.users import Users
from datagen.words import Vocabulary, vocabulary
from datagen.world import INTENTS_FILE, PRODUCTS_FILE, QUERIES_FILE, SETTINGS_FILE, USERS_FILE, World, open_folder
from services import forward
from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA, Catalogue
from services.errors import ConfigurationError
from services.shop import Shop, ShopInfo

SHARD = 25_000
"""Products or users made at a time: bounds the memory, changes nothing else."""
DAYS_PER_FILE = 10
HISTORY, WORK = "history", "work"
HASH_FILE = "hash"


def world(shop: Shop, settings: WorldSettings, *, say: Say = silent, processes: int = 2) -> bool:
    """Make the world of these settings in a shop; False when it is there already.

    Raises ConfigurationError for a shop that is an import or another world. A kill leaves nothing that a reader takes for a world:
    the next run starts again.
    """
    if _is_there(shop, settings):
        return False
    shop.root.mkdir(parents=True, exist_ok=True)
    staging.sweep(shop)
    folder = shop.root / f".world.{os.getpid()}"
    folder.mkdir()
    words = vocabulary()
    catalogue, items = _catalogue(settings, words, say)
    ids = _ids(shop, catalogue)
    made = World(settings, words, items, _users(settings, say), intents.make(settings, items))
    _write_truth(folder, made)
    _write_history(folder, made, catalogue, _info(shop, settings), say, processes)
    shop.write_info(_info(shop, settings))
    staging.stage(shop, ids, catalogue, categories_table(words))
    (folder / HASH_FILE).write_text(settings.hash() + "\n")
    staging.replace_folder(folder, shop.world)
    return True


def _is_there(shop: Shop, settings: WorldSettings) -> bool:
    marker = shop.world / HASH_FILE
    if marker.is_file():
        if (found := marker.read_text().strip()) == settings.hash():
            return True
        raise ConfigurationError(
            f"shop {shop.name!r} is world {found}, the settings are of world {settings.hash()}; remove {shop.root} or use another shop"
        )
    if shop.info_file.is_file() and not shop.world.exists() and (shop.root / "import-report.json").exists():
        raise ConfigurationError(f"shop {shop.name!r} is an imported catalogue; make the world in another shop")
    return False


def _info(shop: Shop, settings: WorldSettings) -> ShopInfo:
    return ShopInfo(name=shop.name, language="en", currency="USD", created_ms=settings.start_ms, searchable_attributes=SEARCHABLE)


def _ids(shop: Shop, catalogue: pa.Table) -> pa.Table:
    numbers, ids = staging.numbers_for(shop, catalogue["product_id"].to_pylist())
    if numbers != list(range(len(numbers))):
        raise ConfigurationError(f"shop {shop.name!r} has products of another source; make the world in a new shop")
    return ids


def _users(settings: WorldSettings, say: Say) -> Users:
    progress = Progress(say, "users made", settings.users)
    tables = []
    for ids in shards(settings.users):
        tables.append(users.make(settings, np.arange(ids.start, ids.stop)).table())
        progress.at(ids.stop)
    progress.done(settings.users)
    return Users.from_table(pa.concat_tables(tables).combine_chunks())


def _write_truth(folder: Path, made: World) -> None:
    (folder / SETTINGS_FILE).write_text(to_toml(made.settings), encoding="utf-8")
    for name, table in ((PRODUCTS_FILE, made.items.table()), (USERS_FILE, made.users.table()), (INTENTS_FILE, made.intents.table())):
        staging.write_table(folder / name, table)


# ---- history -------------------------------------------------------------------------------------------------------------------


def _write_history(folder: Path, made: World, catalogue: pa.Table, info: ShopInfo, say: Say, processes: int) -> None:
    """`history/00000.parquet` and on, DAYS_PER_FILE days each, and the truth about the queries beside it."""
    work = folder / WORK
    work.mkdir()
    staging.write_table(work / "catalogue.parquet", catalogue)
    staging.write_table(work / "categories.parquet", categories_table(made.words))
    say("indexing the products for the logging policy")
    (work / "index").mkdir()
    forward.save(forward.build(Catalogue(work), info), work / "index")
    (folder / HISTORY).mkdir()
    records: list[pa.Table] = []
    queries: list[pa.Table] = []
    for number, (day, asked) in enumerate(history.days(open_chronicler, folder, made, say, processes), 1):
        records.append(day)
        queries.append(asked)
        if number % DAYS_PER_FILE == 0 or number == made.settings.days:
            staging.write_table(folder / HISTORY / f"{(number - 1) // DAYS_PER_FILE:05d}.parquet", pa.concat_tables(records))
            records.clear()
    staging.write_table(folder / QUERIES_FILE, pa.concat_tables(queries))
    shutil.rmtree(work)


def open_chronicler(folder: Path) -> history.Chronicler:
    """What a process needs to write days, from the files of a world in the making."""
    made = open_folder(folder)
    return history.Chronicler(made, Policy(forward.load(folder / WORK / "index"), made.settings.popularity_weight))


# ---- catalogue -----------------------------------------------------------------------------------------------------------------


def shards(total: int, shard: int = SHARD) -> Iterator[range]:
    for first in range(0, total, shard):
        yield range(first, min(first + shard, total))


def catalogue_shard(settings: WorldSettings, words: Vocabulary, ids: range) -> tuple[pa.Table, Products]:
    """Rows of the catalogue table, and the columns they were written from."""
    items = products.make(settings, words, np.arange(ids.start, ids.stop))
    writer = Copywriter(settings, words, items, ids.start)
    written = [writer.write(row) for row in range(len(items))]
    columns = {
        "product_no": np.arange(ids.start, ids.stop, dtype=np.uint32),
        "product_id": [product_id(i) for i in ids],
        "title": [title for title, _, _ in written],
        "brand": [writer.brand(row) for row in range(len(items))],
        "category_id": items.category + np.int32(words.category_id(0)),
        "description": [description for _, description, _ in written],
        "price_cents": items.price_cents,
        "image_link": [f"https://images.example/{product_id(i)}.jpg" for i in ids],
        "created_ms": items.created_ms,
        "attributes": [list(attributes.items()) for _, _, attributes in written],
    }
    return pa.table({name: pa.array(columns[name], CATALOGUE_SCHEMA.field(name).type) for name in CATALOGUE_SCHEMA.names}), items


def categories_table(words: Vocabulary) -> pa.Table:
    departments = [{"category_id": i, "name": name, "parent_id": -1} for i, name in enumerate(words.departments)]
    leaves = [{"category_id": words.category_id(i), "name": leaf.name, "parent_id": leaf.department} for i, leaf in enumerate(words.leaves)]
    return pa.Table.from_pylist([*departments, *leaves], schema=CATEGORIES_SCHEMA)


def _catalogue(settings: WorldSettings, words: Vocabulary, say: Say) -> tuple[pa.Table, Products]:
    progress = Progress(say, "products made", settings.products)
    tables, parts = [], []
    for ids in shards(settings.products):
        table, items = catalogue_shard(settings, words, ids)
        tables.append(table)
        parts.append(items.table())
        progress.at(ids.stop)
    progress.done(settings.products)
    return pa.concat_tables(tables).combine_chunks(), Products.from_table(pa.concat_tables(parts).combine_chunks())
