"""What the planner can be told: AISLE_PLANNER_ + the field's name in capitals."""

from typing import Annotated

from services.elastic import ADDRESS
from services.settings import ServiceSettings, setting


class PlannerSettings(ServiceSettings, frozen=True, kw_only=True):
    port: Annotated[int, setting("port to listen on; 0 takes a free one", ge=0, le=65535)] = 8000
    recommender_url: Annotated[str, setting("where the recommender listens", pattern="^https?://")] = "http://127.0.0.1:8001"
    searcher_url: Annotated[str, setting("where the searcher listens", pattern="^https?://")] = "http://127.0.0.1:8002"
    ranker_url: Annotated[str, setting("where the ranker listens", pattern="^https?://")] = "http://127.0.0.1:8003"
    products_url: Annotated[str, setting("Elasticsearch cluster of the product store; empty: the embedded one", pattern=ADDRESS)] = ""
    candidates: Annotated[int, setting("candidates that retrieval looks for and pages go up to", "products", ge=10, le=1000)] = 200
    project_wait_ms: Annotated[int, setting("how long /events waits for the user graph before it answers", "ms", ge=0, le=1000)] = 50
    page_queue: Annotated[int, setting("records of served pages that may wait for the event log", "records", ge=1)] = 5000
    pending_users: Annotated[int, setting("users whose events may wait for the user graph", "users", ge=1)] = 10_000
    pending_events: Annotated[int, setting("events of one user that may wait for the user graph", "events", ge=1, le=200)] = 100
    cached_summaries: Annotated[int, setting("product summaries kept in memory, about 700 bytes each", "products", ge=0)] = 20_000
    retention_days: Annotated[int, setting("events and pages older than this leave log and user graph; 0 keeps them", "days", ge=0)] = 0
    poll_s: Annotated[float, setting("how often the planner looks for a new generation", "s", gt=0)] = 1.0
    experiments: Annotated[str, setting('running experiments as JSON, {"name": ["arm", "arm"]}')] = ""
    experiment_salt: Annotated[str, setting("changes who is in which arm")] = "aisle"
    workers: Annotated[int, setting("processes; the embedded event log has one writer, so one", ge=1)] = 1
