"""What a shop's generations really hold, read from their files: the judge of what answers claim."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq

from loadgen.asks import Known
from services.artifacts import Versions
from services.catalogue import TIERS, Catalogue
from services.errors import ConfigurationError
from services.shop import Shop

LOW = len(TIERS) - 1


@dataclass(frozen=True, slots=True)
class Product:
    title: str
    price_cents: int
    tier: int  # index into catalogue.TIERS


Generation = Mapping[str, Product]
"""Product id -> what it is."""


@dataclass(slots=True)
class Shelf:
    """Generations as they are needed; `None` for one that does not exist (any more)."""

    root: Path | None = None
    generations: dict[int, Generation | None] = field(default_factory=dict)

    def generation(self, number: int) -> Generation | None:
        if number not in self.generations:
            self.generations[number] = _read(self.root, number) if self.root else None
        return self.generations[number]


def _read(root: Path, number: int) -> Generation | None:
    versions = Versions(Shop(root).generations)
    if number not in versions.complete():
        return None
    folder = versions.folder(number)
    table = Catalogue(folder).table
    columns = (table[c].to_pylist() for c in ("product_no", "product_id", "title", "price_cents"))
    tiers = _tiers(folder / "popularity.parquet")
    return {id_: Product(title, price, tiers.get(no, LOW)) for no, id_, title, price in zip(*columns, strict=True)}


def _tiers(file: Path) -> dict[int, int]:
    if not file.is_file():
        return {}
    table = pq.read_table(file, columns=["product_no", "tier"])
    return dict(zip(table["product_no"].to_pylist(), table["tier"].to_pylist(), strict=True))


def known(root: Path, limit: int = 20_000) -> tuple[Shelf, Known]:
    """The shelf of a shop, and of its current generation what probes are made of. Raises ConfigurationError for a shop without one."""
    versions = Versions(Shop(root).generations)
    current = versions.current()
    if current is None:
        raise ConfigurationError(f"shop {root.name!r} has no generation yet: `aisle up --shop {root.name}` or `aisle build` makes one")
    shelf = Shelf(root)
    products = shelf.generation(current) or {}
    before = max((n for n in versions.complete() if n < current), default=None)
    old = (shelf.generation(before) or {}) if before is not None else {}
    titles: dict[str, int] = {}
    for product in products.values():
        titles[product.title] = titles.get(product.title, 0) + 1
    unique = [(id_, p) for id_, p in products.items() if p.title.strip() and titles[p.title] == 1]
    tiers = {p.tier for p in products.values()}
    low = [(id_, p.title) for id_, p in unique if p.tier == LOW and len(tiers) > 1]
    new = [(id_, p.title) for id_, p in unique if old and (id_ not in old or old[id_].title != p.title)]
    return shelf, Known(low[:limit], new[:limit], [p.price_cents for p in products.values()][:limit])
