"""Which engine each tier has: chosen by settings alone."""

from collections.abc import Sequence
from pathlib import Path

from searcher.index.elastic import ElasticTier
from searcher.index.port import TierIndex, TierUnavailable
from searcher.index.tantivy import TantivyTier
from searcher.settings import SearcherSettings
from services.catalogue import TIERS
from services.elastic import Indexes, indexes
from services.errors import ConfigurationError
from services.shop import ShopInfo


class Tiers:
    """Opens the tiers of generations; connections are made once and kept. Raises ConfigurationError for a setting that is no address."""

    def __init__(self, settings: SearcherSettings, info: ShopInfo) -> None:
        urls = {name: getattr(settings, f"{name}_url") for name in TIERS}
        self.elastic: dict[str, Indexes] = {name: indexes(url, setting_of(name), info, name) for name, url in urls.items() if url}

    def open(self, part: Path) -> Sequence[TierIndex]:
        """The tiers of generations/N/searcher. Raises ConfigurationError when one cannot be opened: a generation is served whole or not at all."""
        return [self._open(name, part) for name in TIERS]

    def close(self) -> None:
        for made in self.elastic.values():
            made.cluster.close()

    def _open(self, name: str, part: Path) -> TierIndex:
        match self.elastic.get(name):
            case None:
                return open_tantivy(name, part)
            case made:
                return ElasticTier(name, made.cluster, made.open(int(part.parent.name), setting_of(name)))


def setting_of(tier: str) -> str:
    return f"AISLE_SEARCHER_{tier.upper()}_URL"


def open_embedded(part: Path) -> list[TierIndex]:
    """All tiers in this process, whatever the settings say."""
    return [open_tantivy(name, part) for name in TIERS]


def open_tantivy(name: str, part: Path) -> TierIndex:
    try:
        return TantivyTier(name, part / name)
    except TierUnavailable as error:
        raise ConfigurationError(f"{error}; run `aisle build`") from error
