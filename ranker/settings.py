"""Settings of the ranker: AISLE_RANKER_*."""

from typing import Annotated

from services.settings import ServiceSettings, setting


class RankerSettings(ServiceSettings, frozen=True, kw_only=True):
    port: Annotated[int, setting("port to listen on; 0 takes a free one", ge=0, le=65535)] = 8003
    refresh_s: Annotated[float, setting("how often the current generation and release are looked for", "s", gt=0)] = 1.0
