"""What the recommender can be told: AISLE_RECOMMENDER_* variables."""

from typing import Annotated

from services.models.engine import ADDRESS
from services.settings import ServiceSettings, setting

GRAPH_ADDRESS = r"^((bolt|neo4j)(\+s|\+ssc)?://.+)?$"


class RecommenderSettings(ServiceSettings, frozen=True, kw_only=True):
    port: Annotated[int, setting("port to listen on; 0 takes a free one", ge=0, le=65535)] = 8001
    graph_url: Annotated[
        str, setting("Neo4j server of the user graph, bolt://[user:password@]host:port; empty: the embedded graph", pattern=GRAPH_ADDRESS)
    ] = ""
    models_url: Annotated[str, setting("server with TensorFlow Serving's gRPC, host:port; empty: in this process", pattern=ADDRESS)] = ""
    graph_readers: Annotated[int, setting("connections that read the user graph at once", ge=1, le=32)] = 4
    cached_profiles: Annotated[int, setting("users whose recent behaviours and encoded states are kept in memory", "users", ge=1)] = 5_000
    projection_ms: Annotated[int, setting("pause between two looks at the event log", "ms", ge=10)] = 200
    refresh_ms: Annotated[int, setting("pause between two looks for a new generation or release", "ms", ge=100)] = 1_000
