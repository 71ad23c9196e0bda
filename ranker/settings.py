"""Settings of the ranker: AISLE_RANKER_*."""

from typing import Annotated

from services.elastic import ADDRESS as ELASTIC
from services.models.engine import ADDRESS
from services.settings import ServiceSettings, setting


class RankerSettings(ServiceSettings, frozen=True, kw_only=True):
    port: Annotated[int, setting("port to listen on; 0 takes a free one", ge=0, le=65535)] = 8003
    ranking_url: Annotated[
        str, setting("Elasticsearch cluster of the ranking index, for strategy weights; empty: none", pattern=ELASTIC)
    ] = ""
    models_url: Annotated[str, setting("server with TensorFlow Serving's gRPC, host:port; empty: in this process", pattern=ADDRESS)] = ""
    strategy: Annotated[
        str,
        setting(
            "how requests that name no strategy are ranked; empty: as the release says", pattern="^(|network|weights|popularity|bm25)$"
        ),
    ] = ""
    refresh_s: Annotated[float, setting("how often the current generation and release are looked for", "s", gt=0)] = 1.0
