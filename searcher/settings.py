"""Settings of the searcher: AISLE_SEARCHER_*."""

from typing import Annotated

from services.elastic import ADDRESS
from services.settings import ServiceSettings, setting


class SearcherSettings(ServiceSettings, frozen=True, kw_only=True):
    port: Annotated[int, setting("port to listen on; 0 takes a free one", ge=0, le=65535)] = 8002
    high_url: Annotated[str, setting("Elasticsearch cluster of the high tier; empty: the embedded index", pattern=ADDRESS)] = ""
    medium_url: Annotated[str, setting("Elasticsearch cluster of the medium tier; empty: the embedded index", pattern=ADDRESS)] = ""
    low_url: Annotated[str, setting("Elasticsearch cluster of the low tier; empty: the embedded index", pattern=ADDRESS)] = ""
    high_replicas: Annotated[int, setting("copies of the high tier's index on further nodes of its cluster", "copies", ge=0)] = 0
    medium_replicas: Annotated[int, setting("the same of the medium tier", "copies", ge=0)] = 0
    low_replicas: Annotated[int, setting("the same of the low tier", "copies", ge=0)] = 0
    skip_high: Annotated[
        bool, setting("the medium tier is asked to leave out what the high tier gave; else that is dropped after it came (nested tiers)")
    ] = True
    refresh_s: Annotated[float, setting("how often the current generation is looked for", "s", gt=0)] = 1.0
