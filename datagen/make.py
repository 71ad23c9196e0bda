"""Making a world: catalogue, users, intents, history, written beside the shop's world and swapped in when all of it is there.

Every step leaves files that are complete or absent in `.making`; a run that was killed goes on with the first one that is missing.
"""

import os
import shutil
from concurrent.futures import as_completed
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from datagen import history, intents, shards, staging, users
from datagen.copywriting import SEARCHABLE
from datagen.history import HISTORY
from datagen.policy import Policy
from datagen.progress import Say, silent, working
from datagen.sessions import Chronicler
from datagen.settings import WorldSettings, to_toml
from datagen.users import Users
from datagen.words import Vocabulary, vocabulary
from datagen.workers import workers
from datagen.world import INTENTS_FILE, PRODUCTS_FILE, QUERIES_FILE, SETTINGS_FILE, USERS_FILE, World, open_folder
from services import forward
from services.catalogue import CATEGORIES_SCHEMA, Catalogue
from services.errors import ConfigurationError
from services.features import FEATURE_SCHEMA
from services.shop import Shop, ShopInfo

PRODUCTS_A_SHARD = 25_000
USERS_AT_A_TIME = 10_000
MAKING, WORK = ".making", "work"
HASH_FILE = "hash"


def world(shop: Shop, settings: WorldSettings, *, say: Say = silent, processes: int = 2) -> bool:
    """Make the world of these settings in a shop; False when it is there already.

    Raises ConfigurationError for a shop that is an import or another world, or whose history has features of another version. What a
    killed run left is taken over when it is of the same world.
    """
    if _is_there(shop, settings):
        return False
    with staging.alone(shop):
        staging.sweep(shop)
        folder = _making(shop, settings)
        catalogue, made = _world(folder, settings, say, processes)
        ids = _ids(shop, catalogue)
        _index(folder / WORK, catalogue, made.words, _info(shop, settings), say)
        history.write(open_chronicler, folder, made, say, processes)
        history.gather_queries(folder, made, folder / QUERIES_FILE)
        shop.write_info(_info(shop, settings))
        staging.stage(shop, ids, catalogue, categories_table(made.words))
        for name in (WORK, shards.CATALOGUE, shards.TRUTH, history.ASKED):
            shutil.rmtree(folder / name)
        (folder / history.COUNTS).unlink()
        staging.replace_folder(folder, shop.world)
    return True


def identity(settings: WorldSettings) -> str:
    """What a made world is known by: its settings, and the version of the features in its history."""
    return f"{settings.hash()} features {FEATURE_SCHEMA}"


def _is_there(shop: Shop, settings: WorldSettings) -> bool:
    marker = shop.world / HASH_FILE
    if marker.is_file():
        if (found := marker.read_text().strip()) == identity(settings):
            return True
        if found.split()[:1] == [settings.hash()]:
            raise ConfigurationError(
                f"the history of shop {shop.name!r} has features of another version, which training cannot use: remove {shop.root} "
                "and make it again, or use another shop"
            )
        raise ConfigurationError(
            f"shop {shop.name!r} is world {found.split()[0]}, the settings are of world {settings.hash()}; remove {shop.root} or use another shop"
        )
    if shop.info_file.is_file() and not shop.world.exists() and (shop.root / "import-report.json").exists():
        raise ConfigurationError(f"shop {shop.name!r} is an imported catalogue; make the world in another shop")
    return False


def _making(shop: Shop, settings: WorldSettings) -> Path:
    """The folder in which this world is being made; one of another world is removed."""
    folder = shop.root / MAKING
    marker = folder / HASH_FILE
    if folder.exists() and not (marker.is_file() and marker.read_text().strip() == identity(settings)):
        shutil.rmtree(folder)
    if not folder.exists():
        new = folder.with_name(f"{MAKING}.{os.getpid()}")
        new.mkdir()
        (new / HASH_FILE).write_text(identity(settings) + "\n")
        os.replace(new, folder)
    return folder


def _info(shop: Shop, settings: WorldSettings) -> ShopInfo:
    return ShopInfo(name=shop.name, language="en", currency="USD", created_ms=settings.start_ms, searchable_attributes=SEARCHABLE)


def _ids(shop: Shop, catalogue: pa.Table) -> pa.Table:
    numbers, ids = staging.numbers_for(shop, catalogue["product_id"].to_pylist())
    if numbers != list(range(len(numbers))):
        raise ConfigurationError(f"shop {shop.name!r} has products of another source; make the world in a new shop")
    return ids


# ---- catalogue, users, intents -------------------------------------------------------------------------------------------------


def _world(folder: Path, settings: WorldSettings, say: Say, processes: int) -> tuple[pa.Table, World]:
    """Everything but the history; the truth's files are written."""
    of = -(-settings.products // PRODUCTS_A_SHARD)
    with working(say, f"{settings.products:,} products") as tell:
        _shards(folder, settings, of, processes, tell)
        catalogue, items = shards.read(folder, of)
    with working(say, f"{settings.users:,} users"):
        tables = [users.make(settings, np.arange(i.start, i.stop)).table() for i in shards.slices(range(settings.users), USERS_AT_A_TIME)]
        people = Users.from_table(pa.concat_tables(tables).combine_chunks())
    made = World(settings, vocabulary(), items, people, intents.make(settings, items))
    (folder / SETTINGS_FILE).write_text(to_toml(settings), encoding="utf-8")
    for name, table in ((PRODUCTS_FILE, made.items.table()), (USERS_FILE, people.table()), (INTENTS_FILE, made.intents.table())):
        staging.write_table(folder / name, table)
    return catalogue, made


def _shards(folder: Path, settings: WorldSettings, of: int, processes: int, tell: Say) -> None:
    make = partial(_shard, folder, settings, of)
    if processes == 1 or of == 1:
        for number in range(of):
            make(number)
        return
    with workers(min(processes, of)) as pool:
        for done, shard in enumerate(as_completed([pool.submit(make, number) for number in range(of)]), 1):
            shard.result()
            tell(f"{done} of {of} shards")


def _shard(folder: Path, settings: WorldSettings, of: int, number: int) -> None:
    shards.write(folder, settings, number, of)


def categories_table(words: Vocabulary) -> pa.Table:
    departments = [{"category_id": i, "name": name, "parent_id": -1} for i, name in enumerate(words.departments)]
    leaves = [{"category_id": words.category_id(i), "name": leaf.name, "parent_id": leaf.department} for i, leaf in enumerate(words.leaves)]
    return pa.Table.from_pylist([*departments, *leaves], schema=CATEGORIES_SCHEMA)


# ---- the logging policy --------------------------------------------------------------------------------------------------------


def _index(work: Path, catalogue: pa.Table, words: Vocabulary, info: ShopInfo, say: Say) -> None:
    """`work/index`: the forward index that the logging policy searches."""
    if (work / "index").exists():
        return
    shutil.rmtree(work, ignore_errors=True)
    (work / "index.new").mkdir(parents=True)
    with working(say, "indexing the products for the logging policy"):
        staging.write_table(work / "catalogue.parquet", catalogue)
        staging.write_table(work / "categories.parquet", categories_table(words))
        forward.save(forward.build(Catalogue(work), info), work / "index.new")
    os.replace(work / "index.new", work / "index")


def open_chronicler(folder: Path) -> Chronicler:
    """What a process needs to write days, from the files of a world in the making."""
    made = open_folder(folder)
    return Chronicler(made, Policy(forward.load(folder / WORK / "index"), made.settings.popularity_weight))


__all__ = ["HISTORY", "categories_table", "identity", "open_chronicler", "world"]
