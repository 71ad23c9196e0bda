"""The catalogue of one generation as files: what every builder reads. Written by `datagen` (worlds) and `datagen.importer` (real shops)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CATALOGUE_SCHEMA = pa.schema(
    [
        ("product_no", pa.uint32()),  # dense, never reused; rows are sorted by it
        ("product_id", pa.string()),  # the shop's own
        ("title", pa.string()),
        ("brand", pa.string()),  # "" when unknown
        ("category_id", pa.int32()),  # leaf; -1 when the catalogue has no categories
        ("description", pa.string()),
        ("price_cents", pa.int64()),
        ("image_link", pa.string()),
        ("created_ms", pa.int64()),
        ("attributes", pa.map_(pa.string(), pa.string())),  # names as in the Google Merchant feed / schema.org: color, size, material, ...
    ]
)
CATEGORIES_SCHEMA = pa.schema([("category_id", pa.int32()), ("name", pa.string()), ("parent_id", pa.int32())])  # parent -1: a department
POPULARITY_SCHEMA = pa.schema(
    [
        ("product_no", pa.uint32()),
        ("impressions", pa.float32()),
        ("clicks", pa.float32()),
        ("carts", pa.float32()),
        ("purchases", pa.float32()),
        ("score", pa.float32()),  # clicks and purchases with shrinkage: what tiers are cut by
        ("tier", pa.uint8()),  # TIERS index
    ]
)
IDS_SCHEMA = pa.schema([("product_id", pa.string()), ("product_no", pa.uint32())])

TIERS = ("high", "medium", "low")
"""Popularity tiers. A product's `tier` is the smallest it is in: `medium` as an index also holds `high` (nested tiers)."""

COLOR = "color"
PRICE_LEVELS = 5


@dataclass(frozen=True, slots=True)
class Product:
    product_no: int
    product_id: str
    title: str
    brand: str
    category_id: int
    description: str
    price_cents: int
    image_link: str
    created_ms: int
    attributes: dict[str, str]


class Categories:
    """The category tree. `path(id)` is its names from the department down; `ancestors(id)` its ids, itself included."""

    def __init__(self, table: pa.Table) -> None:
        self._names: dict[int, str] = dict(zip(table["category_id"].to_pylist(), table["name"].to_pylist(), strict=True))
        self._parents: dict[int, int] = dict(zip(table["category_id"].to_pylist(), table["parent_id"].to_pylist(), strict=True))

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[int]:
        return iter(self._names)

    def name(self, category_id: int) -> str:
        return self._names.get(category_id, "")

    def ancestors(self, category_id: int) -> list[int]:
        """Ids from the department down to the category itself; [] for -1."""
        line: list[int] = []
        while category_id in self._names:
            line.insert(0, category_id)
            category_id = self._parents[category_id]
        return line

    def path(self, category_id: int) -> list[str]:
        return [self._names[c] for c in self.ancestors(category_id)]


class Catalogue:
    """The catalogue of one generation folder (`catalogue.parquet`, `categories.parquet`, `popularity.parquet`)."""

    def __init__(self, folder: Path) -> None:
        self.table: pa.Table = pq.read_table(folder / "catalogue.parquet", schema=CATALOGUE_SCHEMA)
        self.categories = Categories(pq.read_table(folder / "categories.parquet", schema=CATEGORIES_SCHEMA))
        popularity = folder / "popularity.parquet"
        self.popularity: pa.Table | None = pq.read_table(popularity, schema=POPULARITY_SCHEMA) if popularity.is_file() else None

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def products(self, batch: int = 10_000) -> Iterator[Product]:
        for chunk in self.table.to_batches(max_chunksize=batch):
            for row in chunk.to_pylist():
                yield Product(**{**row, "attributes": dict(row["attributes"] or ())})


def searched_text(product: Product, categories: Categories, searchable: list[str] | None) -> dict[str, str]:
    """The texts of the one searched field, by part: title, brand, category, attributes, description. `searchable` None: every attribute."""
    attributes = [v for k, v in product.attributes.items() if searchable is None or k in searchable]
    return {
        "title": product.title,
        "brand": product.brand,
        "category": " ".join(categories.path(product.category_id)),
        "attributes": " ".join(attributes),
        "description": product.description,
    }


def price_levels(price_cents: np.ndarray, category_ids: np.ndarray) -> np.ndarray:
    """uint8[n]: the fifth of its own category's prices that each price falls in (0 cheapest ... 4 dearest); shapes: two arrays of n."""
    levels = np.zeros(len(price_cents), np.uint8)
    for category in np.unique(category_ids):
        rows = np.flatnonzero(category_ids == category)
        cuts = np.quantile(price_cents[rows], np.arange(1, PRICE_LEVELS) / PRICE_LEVELS)
        levels[rows] = np.searchsorted(cuts, price_cents[rows], side="right")
    return levels
