"""`python -m ranker.build SHOP_ROOT GENERATION`: the ranker's part of a generation, the forward index, from catalogue and popularity."""

import argparse
import logging
import os
import shutil
import sys
import time
from pathlib import Path

from ranker.settings import RankerSettings
from ranker.weights_elastic import SETTING
from ranker.weights_elastic import write as write_ranking
from services.artifacts import Versions
from services.catalogue import Catalogue
from services.elastic import ElasticError, Indexes, indexes
from services.errors import ConfigurationError
from services.forward import ForwardIndex, build, load, save
from services.settings import load as load_settings
from services.shop import Shop

FOLDER = "ranker"
log = logging.getLogger("aisle.ranker.build")


def build_part(shop: Shop, generation: int) -> ForwardIndex:
    """Build (again) generations/N/ranker: written beside it and renamed when complete, so that no half of one is ever found there.

    Raises ConfigurationError for a generation without catalogue or popularity, OSError when the disk is full.
    """
    folder = shop.generations / str(generation)
    if not (folder / "catalogue.parquet").is_file():
        raise ConfigurationError(f"generation {generation} of shop {shop.name!r} has no catalogue.parquet; run `aisle build`")
    catalogue = Catalogue(folder)
    if catalogue.popularity is None:
        raise ConfigurationError(f"generation {generation} of shop {shop.name!r} has no popularity.parquet; run `aisle build`")
    part, beside = folder / FOLDER, folder / f"{FOLDER}.building"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    save(build(catalogue, shop.info()), beside)
    written = load(beside)
    if written.documents != len(catalogue):
        raise RuntimeError(f"the forward index holds {written.documents} products, the catalogue {len(catalogue)}")
    shutil.rmtree(part, ignore_errors=True)
    beside.rename(part)
    return written


def _write_ranking(engine: Indexes, shop: Shop, generation: int, index: ForwardIndex) -> None:
    """What strategy `weights` asks. Raises ElasticError."""
    written = write_ranking(engine, generation, Catalogue(shop.generations / str(generation)), shop.info(), index)
    engine.prune([*Versions(shop.generations).complete(), generation])
    engine.cluster.close()
    log.info("ranker: %s products in the ranking index", f"{written:,}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m ranker.build", description=__doc__)
    parser.add_argument("shop_root", type=Path)
    parser.add_argument("generation", type=int)
    parser.add_argument("--engines-only", action="store_true", help="the generation is built: copy it to the ranking index of the settings")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    started, shop = time.monotonic(), Shop(given.shop_root)
    try:
        url = load_settings(RankerSettings, "AISLE_RANKER_", os.environ).ranking_url
        index = load(shop.generations / str(given.generation) / FOLDER) if given.engines_only else build_part(shop, given.generation)
        if url:
            _write_ranking(indexes(url, SETTING, shop.info(), "ranking"), shop, given.generation, index)
    except (ConfigurationError, ElasticError, OSError) as error:
        log.error("ranker: %s", error)
        return 2
    terms, seconds = len(index.vocabulary), time.monotonic() - started
    log.info(
        "ranker: %s products, %s terms, %s postings in %.1f s",
        f"{index.documents:,}",
        f"{terms:,}",
        f"{len(index.posting_rows):,}",
        seconds,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
