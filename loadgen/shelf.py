"""What a shop's generations really hold, read from their files: the judge of what answers claim."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from loadgen.asks import Known, Product
from services.artifacts import Versions
from services.catalogue import COLOR, TIERS, Categories
from services.errors import ConfigurationError
from services.shop import Shop

LOW = len(TIERS) - 1
FILES = ("catalogue.parquet", "categories.parquet", "popularity.parquet")
COLUMNS = ["product_no", "product_id", "title", "price_cents", "brand", "category_id", "attributes"]

Generation = Mapping[str, Product]
"""Product id -> what it is."""


@dataclass(slots=True)
class Shelf:
    """Generations as they are needed; `None` for one that does not exist."""

    root: Path | None = None
    generations: dict[int, Generation | None] = field(default_factory=dict)
    _held: dict[int, list[BinaryIO]] = field(default_factory=dict)

    def hold(self, number: int) -> None:
        """Open the files of a generation: a load that goes on over many builds can then read them at its end, though they were removed."""
        if self.root and number not in self.generations and number not in self._held:
            self._held[number] = _open(self.root, number)

    def generation(self, number: int) -> Generation | None:
        if number not in self.generations:
            self.hold(number)
            self.generations[number] = _read(self._held.pop(number, []))
        return self.generations[number]


def _open(root: Path, number: int) -> list[BinaryIO]:
    """Its FILES (the last is missing in a shop without logs); [] when there is no such generation."""
    versions = Versions(Shop(root).generations)
    if number not in versions.complete():
        return []
    paths = [versions.folder(number) / name for name in FILES]
    return [open(path, "rb") for path in paths if path.is_file()]  # `_read` closes them


def _read(files: list[BinaryIO]) -> Generation | None:
    if not files:
        return None
    table = pq.read_table(files[0], columns=COLUMNS)
    categories = Categories(pq.read_table(files[1]))
    tiers = _tiers(pq.read_table(files[2], columns=["product_no", "tier"])) if len(files) > 2 else {}
    for file in files:
        file.close()
    lines = {category: tuple(categories.ancestors(category)) for category in [-1, *categories]}
    numbers, ids, titles, prices, brands, own = (table[c].to_pylist() for c in COLUMNS[:-1])
    colors = pc.map_lookup(table["attributes"], pa.scalar(COLOR), "first").to_pylist()
    return {
        id_: Product(title, price, tiers.get(no, LOW), brand, lines.get(category, ()), color or "")
        for no, id_, title, price, brand, category, color in zip(numbers, ids, titles, prices, brands, own, colors, strict=True)
    }


def _tiers(table: pa.Table) -> dict[int, int]:
    return dict(zip(table["product_no"].to_pylist(), table["tier"].to_pylist(), strict=True))


def current(root: Path) -> int | None:
    """The generation that a shop serves."""
    return Versions(Shop(root).generations).current()


def known(root: Path, limit: int = 20_000) -> tuple[Shelf, Known]:
    """The shelf of a shop, and of its current generation what probes are made of. Raises ConfigurationError for a shop without one."""
    versions = Versions(Shop(root).generations)
    generation = current(root)
    if generation is None:
        raise ConfigurationError(f"shop {root.name!r} has no generation yet: `aisle up --shop {root.name}` or `aisle build` makes one")
    shelf = Shelf(root)
    products = shelf.generation(generation) or {}
    before = max((n for n in versions.complete() if n < generation), default=None)
    old = (shelf.generation(before) or {}) if before is not None else {}
    titles: dict[str, int] = {}
    for product in products.values():
        titles[product.title] = titles.get(product.title, 0) + 1
    unique = [(id_, p) for id_, p in products.items() if p.title.strip() and titles[p.title] == 1]
    tiers = {p.tier for p in products.values()}
    low = [(id_, p.title) for id_, p in unique if p.tier == LOW and len(tiers) > 1]
    new = [(id_, p.title) for id_, p in unique if old and (id_ not in old or old[id_].title != p.title)]
    return shelf, Known(low[:limit], new[:limit], list(products.values())[:limit])
