"""Settings of the searcher: AISLE_SEARCHER_*."""

from typing import Annotated

from services.settings import ServiceSettings, setting


class SearcherSettings(ServiceSettings, frozen=True, kw_only=True):
    port: Annotated[int, setting("port to listen on; 0 takes a free one", ge=0, le=65535)] = 8002
    skip_high: Annotated[
        bool, setting("the medium tier is asked to leave out what the high tier gave; else that is dropped after it came (nested tiers)")
    ] = True
    refresh_s: Annotated[float, setting("how often the current generation is looked for", "s", gt=0)] = 1.0
