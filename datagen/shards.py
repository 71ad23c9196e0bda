"""The catalogue of a world in shards: any range of products is made alone, with the same rows as in the whole.

`python -m datagen shard FOLDER --number K --of N` makes one shard, so that an indexed job or a cluster can make a large catalogue side by
side. Memory is that of `SLICE` products, whatever the size of the catalogue.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datagen import products, staging
from datagen.copywriting import Copywriter
from datagen.products import Products, product_id
from datagen.progress import Say, silent, working
from datagen.settings import WorldSettings
from datagen.words import Vocabulary, vocabulary
from services.catalogue import CATALOGUE_SCHEMA
from services.errors import ConfigurationError

SLICE = 10_000
"""Products made at a time."""
CATALOGUE, TRUTH, WHICH = "catalogue", "products", "shard"


def shard(total: int, number: int, of: int) -> range:
    """The ids of the `number`-th of `of` shards, which differ by one at most in size."""
    return range(total * number // of, total * (number + 1) // of)


def slices(ids: range, size: int = SLICE) -> Iterator[range]:
    for first in range(ids.start, ids.stop, size):
        yield range(first, min(first + size, ids.stop))


def paths(folder: Path, number: int) -> tuple[Path, Path]:
    """Of one shard: catalogue rows, and the columns they were written from, which are part of the truth."""
    return folder / CATALOGUE / f"{number:05d}.parquet", folder / TRUTH / f"{number:05d}.parquet"


def write(folder: Path, settings: WorldSettings, number: int, of: int, say: Say = silent) -> bool:
    """Make one shard; False when it is there already. Both files are complete or absent, the second one is written last and says which shard
    of which world it is. Raises ConfigurationError when that is another one."""
    rows, truth = paths(folder, number)
    which = f"{number} of {of} of world {settings.hash()}"
    if rows.is_file() and truth.is_file():
        if (found := _which(truth)) != which:
            raise ConfigurationError(f"{truth} is shard {found}, not {which}: use another folder, or remove this one")
        return False
    for path in (rows, truth):
        path.parent.mkdir(parents=True, exist_ok=True)
    words, ids = vocabulary(), shard(settings.products, number, of)
    schema = products.make(settings, words, np.arange(0)).table().schema.with_metadata({WHICH: which})
    with (
        working(say, f"products of shard {number + 1} of {of}") as tell,
        staging.writing(truth, schema) as columns,
        staging.writing(rows, CATALOGUE_SCHEMA) as catalogue,
    ):
        for part in slices(ids):
            table, items = catalogue_rows(settings, words, part)
            catalogue.write_table(table)
            columns.write_table(items.table())
            tell(f"{part.stop - ids.start:,} of {len(ids):,}")
    return True


def _which(truth: Path) -> str:
    try:
        said: bytes = (pq.read_schema(truth).metadata or {}).get(WHICH.encode(), b"unknown")
    except pa.ArrowInvalid as error:
        raise ConfigurationError(f"{truth} is damaged ({error}); remove it, and the same command makes it again") from None
    return said.decode()


def read(folder: Path, of: int) -> tuple[pa.Table, Products]:
    """All shards: the catalogue, and the columns that it was written from."""
    pairs = [paths(folder, number) for number in range(of)]
    catalogue = pa.concat_tables([pq.read_table(rows, schema=CATALOGUE_SCHEMA) for rows, _ in pairs])
    return catalogue, Products.from_table(pa.concat_tables([pq.read_table(truth) for _, truth in pairs]).combine_chunks())


def catalogue_rows(settings: WorldSettings, words: Vocabulary, ids: range) -> tuple[pa.Table, Products]:
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
