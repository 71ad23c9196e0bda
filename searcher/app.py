"""The searcher's composition root."""

from collections.abc import Callable, Sequence
from pathlib import Path

from searcher.engines import Tiers
from searcher.index.port import TierIndex
from searcher.part import FOLDER
from searcher.retrieve import QUICK_S, Part, open_part, warm_up
from searcher.routes import Routes
from searcher.settings import SearcherSettings
from services.app import Service
from services.artifacts import Manifest, Served, Versions
from services.shop import home as default_home
from services.shop import open_shop
from services.warm import Warmth

OpenTiers = Callable[[Path], Sequence[TierIndex]]
"""Opens the tiers of a part, in the order of TIERS."""


def create(settings: SearcherSettings, home: Path | None = None, open_tiers: OpenTiers | None = None) -> Service:
    """The service over the shop's current generation and the one before. Raises ConfigurationError when the shop, its generation or an
    engine of the settings is not usable; a shop without any generation starts, and is ready once there is one."""
    shop = open_shop(settings.shop, home or default_home())
    tiers = Tiers(settings, shop.info())
    open_part_tiers = open_tiers or tiers.open
    service = Service("searcher", settings, description="Tiers, facets and suggestions of one shop")

    warmth = Warmth("tiers", QUICK_S)

    def load(folder: Path, manifest: Manifest) -> Part:
        part = folder / FOLDER
        opened = open_part(part, open_part_tiers(part), skip_high=settings.skip_high, ask_all=tiers.ask_all)
        if tiers.elastic:
            warm_up(opened, shop.info().language, warmth)
        return opened

    served = Served(Versions(shop.generations), load, under="searcher/")

    def refresh() -> None:
        if (version := served.refresh()) is not None:
            service.telemetry.set("aisle_version", version, "generation")

    refresh()
    service.on_stop(tiers.close)
    service.background("refresh", refresh, settings.refresh_s)
    Routes(service, served)
    return service
