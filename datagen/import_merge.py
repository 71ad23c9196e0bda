"""Updates: a catalogue with products added, changed and removed. Nothing is changed in place: the result is staged as a whole."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from datagen.import_readers import READERS, format_of, opened, reader_for
from datagen.staging import STAGED
from services.artifacts import Versions
from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA
from services.errors import ConfigurationError
from services.shop import Shop

ID_FIELDS = ("product_id", "id", "sku", "doc_id")
MAX_UNKNOWN = 1_000
"""Unknown ids to delete that the report names."""


@dataclass(frozen=True, slots=True)
class Tables:
    """A catalogue (CATALOGUE_SCHEMA) and its categories (CATEGORIES_SCHEMA)."""

    catalogue: pa.Table
    categories: pa.Table


class Counted(Protocol):
    """What a merge says of itself."""

    kept: int
    updated: int
    deleted: int
    delete_unknown: list[str]
    products: int


def current(shop: Shop) -> Tables:
    """The catalogue that the next generation would have: the staged one, else that of the current generation. Raises ConfigurationError
    when there is none to update."""
    version = Versions(shop.generations).current()
    folders = [shop.root / STAGED, *([shop.generations / str(version)] if version is not None else [])]
    for folder in folders:
        if (folder / "catalogue.parquet").is_file():
            return Tables(
                pq.read_table(folder / "catalogue.parquet", schema=CATALOGUE_SCHEMA),
                pq.read_table(folder / "categories.parquet", schema=CATEGORIES_SCHEMA),
            )
    raise ConfigurationError(f"shop {shop.name!r} has no catalogue to update: import a whole one first (without --upsert and --delete)")


def merged(before: Tables | None, fresh: Tables | None, doomed: Collection[str], counted: Counted) -> Tables:
    """`before` with the products of `fresh` in place of those of the same id, without the `doomed` ids (a product that is fresh and doomed
    is gone). Raises ConfigurationError when nothing would be left."""
    parts = []
    gone = pa.array(sorted(doomed), pa.string())
    present: set[str] = set()
    if before is not None:
        rows = before.catalogue
        if fresh is not None:
            replaced = pc.is_in(rows["product_id"], value_set=fresh.catalogue["product_id"].combine_chunks())
            counted.updated = int(pc.sum(replaced).as_py() or 0)
            rows = rows.filter(pc.invert(replaced))
        parts.append((rows, True))
    if fresh is not None:
        parts.append((fresh.catalogue, False))
    tables = []
    for rows, is_kept in parts:
        dropped = pc.is_in(rows["product_id"], value_set=gone)
        present.update(rows["product_id"].filter(dropped).to_pylist())
        left = rows.filter(pc.invert(dropped))
        counted.kept += left.num_rows if is_kept else 0
        tables.append(left)
    counted.deleted = len(present)
    counted.delete_unknown = sorted(set(doomed) - present)[:MAX_UNKNOWN]
    catalogue = pa.concat_tables(tables)
    counted.products = catalogue.num_rows
    if not catalogue.num_rows:
        raise ConfigurationError("no product would be left: a shop needs at least one")
    return Tables(catalogue, _categories([t for t in (before, fresh) if t is not None], catalogue))


def ids_to_delete(path: Path) -> frozenset[str]:
    """One id a line, or a feed with a field product_id, id, sku or doc_id. Raises ConfigurationError when there is none in it."""
    suffix = format_of(path)
    if suffix in READERS and suffix != ".txt":
        found = frozenset(_of_rows(path))
    else:
        with opened(path) as (file, place):
            lines = []
            for number, line in enumerate(file, 1):
                place.line = number
                try:
                    lines.append(line.decode("utf-8-sig").strip())
                except UnicodeDecodeError:
                    raise ConfigurationError(f"{path.name} line {number} is not UTF-8") from None
        found = frozenset(line for line in lines if line)
    if not found:
        raise ConfigurationError(f"{path.name} has no ids to delete")
    return found


def _of_rows(path: Path) -> list[str]:
    ids = []
    for line, row in reader_for(path)(path):
        if isinstance(row, str):
            raise ConfigurationError(f"{path.name} line {line}: {row}")
        value = next((row[name] for name in ID_FIELDS if row.get(name) is not None), None)
        if value is None:
            raise ConfigurationError(f"{path.name} line {line} has no field {' or '.join(ID_FIELDS)}")
        ids.append(str(value).strip())
    return ids


def _categories(tables: list[Tables], catalogue: pa.Table) -> pa.Table:
    """The categories that products are in, and those above them."""
    rows = {row["category_id"]: row for t in tables for row in t.categories.to_pylist()}
    wanted: dict[int, None] = {}
    for leaf in sorted(pc.unique(catalogue["category_id"]).to_pylist()):
        while leaf in rows and leaf not in wanted:
            wanted[leaf] = None
            leaf = rows[leaf]["parent_id"]
    return pa.Table.from_pylist([rows[category] for category in sorted(wanted)], schema=CATEGORIES_SCHEMA)
