"""Which engine each tier has: chosen by settings alone."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import TypeVar

from searcher.index.elastic import ElasticTier
from searcher.index.port import TierIndex, TierUnavailable
from searcher.index.tantivy import TantivyTier
from searcher.settings import SearcherSettings
from searcher.walk import AskAll, in_turn
from services.catalogue import TIERS
from services.elastic import Indexes, indexes
from services.errors import ConfigurationError
from services.shop import ShopInfo

R = TypeVar("R")
V = TypeVar("V")
THREADS = 16
"""Two for each thread that serves requests: of three questions, one is asked by the thread itself."""


class AtOnce:
    """Questions to servers, asked at once: while one is waited for, the others are under way. The deadline of the thread counts for all."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "tiers")  # starts no thread before it is needed

    def __call__(self, question: Callable[[V], R], values: Sequence[V]) -> list[R]:
        beside = [self._pool.submit(copy_context().run, question, value) for value in values[1:]]
        return [question(values[0]), *(answer.result() for answer in beside)]

    def close(self) -> None:
        self._pool.shutdown()


class Tiers:
    """Opens the tiers of generations; connections are made once and kept. Raises ConfigurationError for a setting that is no address."""

    def __init__(self, settings: SearcherSettings, info: ShopInfo) -> None:
        urls = {name: getattr(settings, f"{name}_url") for name in TIERS}
        self.elastic: dict[str, Indexes] = {
            name: indexes(url, setting_of(name), info, name, getattr(settings, f"{name}_replicas")) for name, url in urls.items() if url
        }
        self._at_once = AtOnce() if self.elastic else None
        self.ask_all: AskAll = self._at_once or in_turn

    def open(self, part: Path) -> Sequence[TierIndex]:
        """The tiers of generations/N/searcher. Raises ConfigurationError when one cannot be opened: a generation is served whole or not at all."""
        return [self._open(name, part) for name in TIERS]

    def close(self) -> None:
        if self._at_once:
            self._at_once.close()
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
