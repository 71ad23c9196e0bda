"""What a maker of catalogues leaves for `offline.build`: ids first (append-only), then the staged tables, swapped as one folder."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA, IDS_SCHEMA
from services.errors import ConfigurationError
from services.shop import Shop

STAGED = "staged"
LOCK = ".lock"
_LEFTOVERS = (f".{STAGED}.*", ".world.*", ".old.*")


def numbers_for(shop: Shop, product_ids: Sequence[str]) -> tuple[list[int], pa.Table]:
    """The `product_no` of each id, and the id table with the new ones appended (not yet written). Known ids keep their number."""
    table = _read_ids(shop.ids_file)
    known: dict[str, int] = dict(zip(table["product_id"].to_pylist(), table["product_no"].to_pylist(), strict=True))
    first = max(known.values(), default=-1) + 1
    fresh = [i for i in dict.fromkeys(product_ids) if i not in known]
    known.update(zip(fresh, range(first, first + len(fresh)), strict=True))
    added = pa.table({"product_id": fresh, "product_no": range(first, first + len(fresh))}, schema=IDS_SCHEMA)
    return [known[i] for i in product_ids], pa.concat_tables([table, added]).combine_chunks()


def stage(shop: Shop, ids: pa.Table, catalogue: pa.Table, categories: pa.Table) -> None:
    """Put the tables where `offline.build` looks for a new catalogue. A kill leaves the old folder, the new one, or none: never half of one."""
    shop.root.mkdir(parents=True, exist_ok=True)
    write_table(shop.ids_file, ids)
    folder = shop.root / f".{STAGED}.{os.getpid()}"
    folder.mkdir()
    write_table(folder / "catalogue.parquet", catalogue.cast(CATALOGUE_SCHEMA))
    write_table(folder / "categories.parquet", categories.cast(CATEGORIES_SCHEMA))
    replace_folder(folder, shop.root / STAGED)


def sweep(shop: Shop) -> None:
    """Remove what an interrupted run of a maker left behind; one maker works on a shop at a time."""
    for pattern in _LEFTOVERS:
        for leftover in shop.root.glob(pattern):
            shutil.rmtree(leftover)


def replace_folder(new: Path, target: Path) -> None:
    """`new` becomes `target`; a folder that was there is removed."""
    if target.exists():
        old = target.with_name(f".old.{target.name}.{os.getpid()}")
        os.replace(target, old)
        os.replace(new, target)
        shutil.rmtree(old)
    else:
        os.replace(new, target)


def write_table(path: Path, table: pa.Table) -> None:
    """Parquet, complete or absent; the same table gives the same bytes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


@contextmanager
def writing(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A Parquet file that is written piece by piece; complete or absent."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            yield writer
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


@contextmanager
def alone(shop: Shop) -> Iterator[None]:
    """One maker works on a shop at a time. Raises ConfigurationError when another does; a killed one's claim ends with it."""
    shop.root.mkdir(parents=True, exist_ok=True)
    with open(shop.root / LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"another process makes shop {shop.name!r}, or imports into it; wait until it is done") from None
        yield


def _read_ids(path: Path) -> pa.Table:
    if not path.is_file():
        return IDS_SCHEMA.empty_table()
    try:
        return pq.read_table(path, schema=IDS_SCHEMA)
    except pa.ArrowInvalid as error:
        raise ConfigurationError(
            f"{path.name} of the shop cannot be read ({error}); restore it from a backup: product numbers must not change"
        ) from None
