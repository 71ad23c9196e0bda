"""The searcher's part of a generation on disk: `generations/N/searcher/` with a folder per tier, `suggestions.parquet`, `searcher.json`."""

from pathlib import Path

import msgspec

from services.errors import ConfigurationError
from services.shop import write_atomically
from services.text import ANALYZER_VERSION

FOLDER = "searcher"


class PartInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`searcher.json`, written last: what the part holds."""

    analyzer_version: str = ANALYZER_VERSION
    engine: str = "tantivy"
    nested: bool = True
    products: dict[str, int]  # tier -> how many its index holds
    attributes: list[str]  # folded names; the place of a name is the number of its facet field
    price_edges: list[int]  # lower edges of the price ranges, cents
    suggestions: int

    def save(self, folder: Path) -> None:
        write_atomically(folder / "searcher.json", msgspec.json.format(msgspec.json.encode(self), indent=2))


def read(folder: Path) -> PartInfo:
    """Raises ConfigurationError when the part is not there, or was built for another analyser."""
    try:
        info = msgspec.json.decode((folder / "searcher.json").read_bytes(), type=PartInfo)
    except FileNotFoundError:
        raise ConfigurationError(f"{folder} has no searcher.json: the searcher's part was not built; run `aisle build`") from None
    if info.analyzer_version != ANALYZER_VERSION:
        raise ConfigurationError(
            f"{folder} was built with analyser {info.analyzer_version}, this code has {ANALYZER_VERSION}: run `aisle build`"
        )
    return info
