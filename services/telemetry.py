"""The one table of metrics. Names follow Prometheus' conventions; labels are bounded (services, route templates, stages, reasons)."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

METRICS: dict[str, tuple[Callable[..., Any], str, tuple[str, ...]]] = {
    "aisle_requests_total": (Counter, "Requests answered, by route template and status", ("route", "status")),
    "aisle_request_seconds": (Histogram, "Time from arrival to answer", ("route",)),
    "aisle_stage_seconds": (Histogram, "Time of one stage of a request, in this service", ("stage",)),
    "aisle_queue_seconds": (Histogram, "Time a request waited for a place", ()),
    "aisle_in_flight": (Gauge, "Requests worked on now", ()),
    "aisle_degraded_total": (Counter, "Answers in which something was left out, by what", ("reason",)),
    "aisle_errors_total": (Counter, "Failures that a request or a background job survived, by where", ("where",)),
    "aisle_breaker_open": (Gauge, "1 while calls to a dependency are refused because it fails", ("dependency",)),
    "aisle_retries_total": (Counter, "Calls repeated after a broken connection", ("dependency",)),
    "aisle_dropped_total": (Counter, "Things given up because a bounded queue was full, by queue", ("queue",)),
    "aisle_version": (Gauge, "Version that is served now", ("artifact",)),
    "aisle_tier_searches_total": (Counter, "Tier searches, by tier and mode (strict, relaxed)", ("tier", "mode")),
    "aisle_events_total": (Counter, "Events, by what became of them", ("outcome",)),
    "aisle_log_offset": (Gauge, "Position in the event log: written, projected", ("position",)),
}


class Telemetry:
    """The metrics of one process, in a registry of its own. A name that is not in the table is a programming error (KeyError)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._metrics = {
            name: kind(name, help_, labels, registry=self.registry, **({"buckets": BUCKETS_S} if kind is Histogram else {}))
            for name, (kind, help_, labels) in METRICS.items()
        }
        self._children: dict[tuple[str, ...], Any] = {}

    def _child(self, name: str, labels: tuple[str, ...]) -> Any:
        key = (name, *labels)
        child = self._children.get(key)
        if child is None:
            metric = self._metrics[name]
            child = self._children[key] = metric.labels(*labels) if labels else metric
        return child

    def count(self, name: str, *labels: str, amount: float = 1) -> None:
        self._child(name, labels).inc(amount)

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        self._child(name, labels).observe(seconds)

    def set(self, name: str, value: float, *labels: str) -> None:
        self._child(name, labels).set(value)

    def render(self) -> bytes:
        return generate_latest(self.registry)
