"""`python -m searcher.build SHOP_ROOT GENERATION`: the searcher's part of a generation, tiers and suggestions, from catalogue and popularity."""

import argparse
import logging
import os
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from searcher.engines import Tiers
from searcher.index.elastic import ElasticWriter
from searcher.index.port import AttributeValue, TierDocument
from searcher.index.tantivy import TantivyTier, TantivyWriter
from searcher.part import FOLDER, PartInfo
from searcher.part import read as read_part
from searcher.settings import SearcherSettings
from searcher.suggest import save
from searcher.suggestions import SuggestionBuilder
from services.artifacts import Versions
from services.catalogue import TIERS, Catalogue, Product, searched_text
from services.elastic import ElasticError, Indexes
from services.errors import ConfigurationError
from services.settings import load
from services.shop import Shop, ShopInfo
from services.text import fold, index_terms

MAX_VALUE_CHARS = 200
"""Longer attribute values are searched, but no filter and no facet: nobody chooses among paragraphs."""
WRITER_MEMORY_BYTES = 200_000_000
PRICE_RANGES = 7
_ROUND = (10, 15, 20, 30, 50, 70)
PROGRESS_S = 2.0
NEWEST = 1e-9
"""What being the newest adds to a product's popularity where tiers are sorted by it: it decides between products equally popular, and so
everything in a shop without logs."""
log = logging.getLogger("aisle.searcher.build")


class Displayed:
    """One way to write each value that is the same when folded: the most frequent one. So a facet's count is what its filter finds."""

    def __init__(self, catalogue: Catalogue) -> None:
        brands: dict[str, Counter[str]] = defaultdict(Counter)
        values: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for product in catalogue.products():
            brands[fold(product.brand)][product.brand] += 1
            for name, value in product.attributes.items():
                if 0 < len(value) <= MAX_VALUE_CHARS:
                    values[fold(name), fold(value)][value] += 1
        self._brands = {folded: _most_frequent(ways) for folded, ways in brands.items()}
        self._values = {folded: _most_frequent(ways) for folded, ways in values.items()}
        self.names = sorted({name for name, _ in self._values})
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def brand(self, brand: str) -> str:
        return self._brands[fold(brand)]

    def attributes(self, product: Product) -> list[AttributeValue]:
        """The filterable attributes, each once; names that fold alike keep their first value."""
        found: dict[str, AttributeValue] = {}
        for name, value in product.attributes.items():
            folded = fold(name)
            if 0 < len(value) <= MAX_VALUE_CHARS:
                found.setdefault(folded, AttributeValue(self._numbers[folded], folded, self._values[folded, fold(value)]))
        return list(found.values())


class Documents:
    """Products as tiers hold them, with the popularity of the generation."""

    def __init__(self, catalogue: Catalogue, info: ShopInfo) -> None:
        self._categories, self._info = catalogue.categories, info
        self._score, self._tier = _popularity(catalogue)
        self._sorted_by = self._score + NEWEST * _newness(catalogue, len(self._score))
        self.displayed = Displayed(catalogue)

    def tier(self, product_no: int) -> int:
        return int(self._tier[product_no])

    def popularity(self, product_no: int) -> float:
        return float(self._score[product_no])

    def document(self, product: Product) -> TierDocument:
        texts = searched_text(product, self._categories, self._info.searchable_attributes)
        return TierDocument(
            product_no=product.product_no,
            text=" ".join(term for text in texts.values() for term in index_terms(text, self._info.language)),
            brand=self.displayed.brand(product.brand),
            category_ids=self._categories.ancestors(product.category_id),
            price_cents=product.price_cents,
            created_ms=product.created_ms,
            popularity=float(self._sorted_by[product.product_no]),
            tier=self.tier(product.product_no),
            attributes=self.displayed.attributes(product),
        )


class Writer(Protocol):
    """Fills one tier in one engine."""

    def add(self, product: TierDocument) -> None: ...
    def finish(self) -> None: ...


def build(shop: Shop, generation: int, *, nested: bool = True, engines: Mapping[str, Indexes] | None = None) -> PartInfo:
    """Build (again) the part in generations/N/searcher, and the indexes of tiers that have an engine of their own. Raises ConfigurationError
    for a generation without popularity, RuntimeError when what was read back is not what was written, ElasticError."""
    engines = engines or {}
    catalogue, folder = _catalogue(shop, generation)
    part = folder / FOLDER
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    documents = Documents(catalogue, shop.info())
    suggestions = SuggestionBuilder(catalogue.categories, shop.info().language)
    writers: dict[str, list[Writer]] = {name: [TantivyWriter(part / name, memory_bytes=WRITER_MEMORY_BYTES)] for name in TIERS}
    for name, made in engines.items():
        writers[name].append(ElasticWriter(made, generation))
    products = _write_tiers(catalogue, documents, suggestions, writers, nested)
    entries = suggestions.entries()
    save(entries, part / "suggestions.parquet")
    info = PartInfo(
        nested=nested,
        products=products,
        attributes=documents.displayed.names,
        price_edges=price_edges(catalogue.table["price_cents"].to_numpy()),
        suggestions=len(entries),
    )
    _verify(part, info)
    info.save(part)
    return info


def fill(shop: Shop, generation: int, engines: Mapping[str, Indexes]) -> dict[str, int]:
    """Copy the tiers of a generation that is built already to the engines that are to serve it; products by tier. Raises as `build`."""
    catalogue, folder = _catalogue(shop, generation)
    info = shop.info()
    writers: dict[str, list[Writer]] = {name: [] for name in TIERS}
    for name, made in engines.items():
        writers[name].append(ElasticWriter(made, generation))
    nested = read_part(folder / FOLDER).nested
    return _write_tiers(catalogue, Documents(catalogue, info), SuggestionBuilder(catalogue.categories, info.language), writers, nested)


def _catalogue(shop: Shop, generation: int) -> tuple[Catalogue, Path]:
    folder = shop.generations / str(generation)
    if not (folder / "catalogue.parquet").is_file():
        raise ConfigurationError(f"generation {generation} of shop {shop.name!r} has no catalogue.parquet; run `aisle build`")
    return Catalogue(folder), folder


def price_edges(price_cents: npt.NDArray[np.int64]) -> list[int]:
    """Lower edges of at most PRICE_RANGES ranges that hold about equally many products, with round edges (_ROUND times a power of ten)."""
    if not len(price_cents):
        return [0]
    series = np.array([m * 10**e for e in range(1, 12) for m in _ROUND])
    cuts = np.quantile(price_cents, np.arange(1, PRICE_RANGES) / PRICE_RANGES)
    edges = series[np.argmin(np.abs(np.log(series)[None, :] - np.log(np.maximum(cuts, 1))[:, None]), axis=1)]
    return [0, *sorted({int(e) for e in edges})]


def members(tier: int, nested: bool) -> list[str]:
    """The indexes that hold a product of this tier."""
    return ["high", "medium"] if nested and tier == 0 else [TIERS[tier]]


def _write_tiers(
    catalogue: Catalogue, documents: Documents, suggestions: SuggestionBuilder, writers: Mapping[str, Sequence[Writer]], nested: bool
) -> dict[str, int]:
    products = dict.fromkeys(TIERS, 0)
    said = time.monotonic()
    for done, product in enumerate(catalogue.products(), 1):
        document = documents.document(product)
        for name in members(document.tier, nested):
            for writer in writers[name]:
                writer.add(document)
            products[name] += 1
        suggestions.add(product, max(documents.popularity(product.product_no), 1e-6))
        if time.monotonic() - said > PROGRESS_S:
            said = time.monotonic()
            log.info("indexed %s of %s products", f"{done:,}", f"{len(catalogue):,}")
    for writer in chain.from_iterable(writers.values()):
        writer.finish()
    return products


def _popularity(catalogue: Catalogue) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Score and tier by product_no."""
    if catalogue.popularity is None:
        raise ConfigurationError("the generation has no popularity.parquet, so its tiers are not known; run `aisle build`")
    numbers = catalogue.popularity["product_no"].to_numpy()
    missing = np.setdiff1d(catalogue.table["product_no"].to_numpy(), numbers)
    if len(missing):
        raise ConfigurationError(f"popularity.parquet does not know {len(missing)} products of the catalogue; run `aisle build`")
    size = int(numbers.max()) + 1 if len(numbers) else 0
    score, tier = np.zeros(size, np.float32), np.zeros(size, np.uint8)
    score[numbers] = catalogue.popularity["score"].to_numpy()
    tier[numbers] = catalogue.popularity["tier"].to_numpy()
    return score, tier


def _newness(catalogue: Catalogue, size: int) -> npt.NDArray[np.float64]:
    """Place in the order of creation by product_no, 0 the oldest ... 1 the newest; the same for products of one moment."""
    moments, place = np.unique(catalogue.table["created_ms"].to_numpy(), return_inverse=True)
    newness = np.zeros(size)
    newness[catalogue.table["product_no"].to_numpy()] = place / max(len(moments) - 1, 1)
    return newness


def _verify(part: Path, info: PartInfo) -> None:
    for name, written in info.products.items():
        index = TantivyTier(name, part / name)
        if (held := index.ping()) != written:
            raise RuntimeError(f"tier {name} holds {held} products, {written} were written; is the disk full?")
        index.close()


def _most_frequent(ways: "Counter[str]") -> str:
    return min(ways.items(), key=lambda item: (-item[1], item[0]))[0]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m searcher.build", description=__doc__)
    parser.add_argument("shop_root", type=Path)
    parser.add_argument("generation", type=int)
    parser.add_argument("--disjoint", action="store_true", help="medium does not hold the high tier too")
    parser.add_argument(
        "--engines-only", action="store_true", help="the generation is built: copy its tiers to the engines of the settings"
    )
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    started, shop = time.monotonic(), Shop(given.shop_root)
    try:
        engines = Tiers(load(SearcherSettings, "AISLE_SEARCHER_", os.environ), shop.info()).elastic
        if given.engines_only:
            products = fill(shop, given.generation, engines)
        else:
            products = build(shop, given.generation, nested=not given.disjoint, engines=engines).products
        for made in engines.values():
            made.prune([*Versions(shop.generations).complete(), given.generation])
    except (ConfigurationError, ElasticError, OSError) as error:
        log.error("searcher: %s", error)
        return 2
    where = f", {', '.join(engines)} in Elasticsearch too" if engines else ""
    log.info("searcher: tiers %s%s in %.1f s", products, where, time.monotonic() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
