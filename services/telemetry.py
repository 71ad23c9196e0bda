"""The one table of metrics, and the metrics of one process. Names follow Prometheus' conventions: base units, `_total`; labels are bounded
(route templates, stages, reasons). Which service it was is the scraper's label `service`.

The numbers are kept in plain dicts, at half the time of prometheus_client's own metrics; it renders them.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

OBJECTIVE_S = 0.25
"""A good answer of a search did not fail and took at most so long; a bound of the buckets below."""
TIMES_S = (
    *(0.00005, 0.0001, 0.00015, 0.00025, 0.0004, 0.0006),  # stages of a search are shorter than a millisecond
    *(0.001, 0.0015, 0.0025, 0.004, 0.006, 0.01, 0.015, 0.025, 0.04, 0.06),
    *(0.1, 0.15, OBJECTIVE_S, 0.4, 0.6, 1.0, 2.5),
)
ROWS = (1, 2, 5, 10, 20, 50, 100, 150, 200, 500, 1000)
POSITIONS = (1, 2, 3, 5, 10, 20, 50, 100)


class Row(NamedTuple):
    """One metric: what it counts, by which labels; a histogram's bounds."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = TIMES_S


METRICS: dict[str, Row] = {
    # requests, in every service
    "aisle_requests_total": Row("counter", "Requests answered, by route template and status", ("route", "status")),
    "aisle_request_seconds": Row("histogram", "Time from arrival to answer", ("route",)),
    "aisle_objective_total": Row("counter", "Answers that were good, slow (over 0.25 s) or failed (5xx)", ("route", "outcome")),
    "aisle_stage_seconds": Row("histogram", "Time of one stage of a request, in this service", ("stage",)),
    "aisle_queue_seconds": Row("histogram", "Time that requests waited for a place, of those that had to"),
    "aisle_waiting": Row("gauge", "Requests that wait for a place now"),
    "aisle_in_flight": Row("gauge", "Requests worked on now"),
    "aisle_refused_total": Row("counter", "Requests refused before any work, by why", ("reason",)),
    "aisle_degraded_total": Row("counter", "Answers in which something was left out, by what", ("reason",)),
    "aisle_errors_total": Row("counter", "Failures that a request or a background job survived, by where", ("where",)),
    "aisle_breaker_open": Row("gauge", "1 while calls to a dependency are refused because it fails", ("dependency",)),
    "aisle_retries_total": Row("counter", "Calls repeated after a broken connection", ("dependency",)),
    "aisle_dropped_total": Row("counter", "Things given up because a bounded queue was full, by queue", ("queue",)),
    "aisle_version": Row("gauge", "Version that is served now", ("artifact",)),
    # searches
    "aisle_pages_total": Row("counter", "Pages of results served, by whether there was anything on them", ("result",)),
    "aisle_tier_searches_total": Row("counter", "Tier searches, by tier and mode (strict, relaxed)", ("tier", "mode")),
    "aisle_tier_hits_total": Row("counter", "Candidates that tiers gave, by tier and mode", ("tier", "mode")),
    "aisle_model_batch_rows": Row("histogram", "Rows of one inference: candidates to rank, behaviours to encode", ("call",), ROWS),
    "aisle_path_searches_total": Row("counter", "Searches whose waterfall was looked at (one in sixteen); the other paths' divisor"),
    "aisle_path_seconds_total": Row("counter", "Time of a stage of those searches, in whichever service", ("stage",)),
    "aisle_path_start_seconds_total": Row("counter", "When the stage began after the search's arrival", ("stage",)),
    "aisle_path_stages_total": Row("counter", "How often the stage ran in those searches", ("stage",)),
    "aisle_path_critical_seconds_total": Row("counter", "What the stage adds to the length of those searches", ("stage", "ai")),
    # events
    "aisle_events_total": Row("counter", "Events, by what became of them", ("outcome",)),
    "aisle_click_position": Row("histogram", "Position of clicked products, from 1", (), POSITIONS),
    "aisle_log_offset": Row("gauge", "Position in the event log: written, projected", ("position",)),
    "aisle_graph_lag": Row("gauge", "Records of the event log that the user graph did not have when it was last brought up to date"),
    # engines and load, as deploy/engine_metrics.py reads them from their status pages
    "aisle_engine_up": Row("gauge", "1 when the engine answered the last look", ("engine",)),
    "aisle_engine_status": Row("gauge", "Health that the engine reports: 0 green, 1 yellow, 2 red", ("engine",)),
    "aisle_engine_nodes": Row("gauge", "Nodes of the engine's cluster", ("engine",)),
    "aisle_engine_heap_bytes": Row("gauge", "Java heap in use, all nodes", ("engine",)),
    "aisle_engine_heap_limit_bytes": Row("gauge", "Java heap at most, all nodes", ("engine",)),
    "aisle_engine_documents": Row("gauge", "Documents, or nodes of a graph", ("engine",)),
    "aisle_engine_relationships": Row("gauge", "Relationships of a graph", ("engine",)),
    "aisle_engine_store_bytes": Row("gauge", "Disk that the documents take", ("engine",)),
    "aisle_engine_queries_total": Row("counter", "Queries that the engine executed on its shards", ("engine",)),
    "aisle_engine_query_seconds_total": Row("counter", "Time that they took", ("engine",)),
    "aisle_engine_rejected_total": Row("counter", "Queries that it refused because its queue was full", ("engine",)),
    "aisle_engine_version": Row("gauge", "Newest version of the model that is available", ("engine",)),
    "aisle_load_users": Row("gauge", "Users or places of the load generator"),
    "aisle_load_requests_total": Row("counter", "Requests that the load generator sent", ("kind",)),
    "aisle_load_failures_total": Row("counter", "Requests that failed or were answered wrongly, as it sees it", ("kind",)),
    "aisle_load_median_seconds": Row("gauge", "Median time as the load generator sees it, of the last seconds"),
    "aisle_load_p95_seconds": Row("gauge", "95th percentile as the load generator sees it, of the last seconds"),
}

Labels = tuple[str, ...]


class Histogram:
    """Counts per bucket (not cumulated) and their sum."""

    __slots__ = ("counts", "sum")

    def __init__(self, bounds: int) -> None:
        self.counts, self.sum = [0] * (bounds + 1), 0.0


class Telemetry:
    """The metrics of one process, in a registry of its own. A name that is not in the table is a programming error (KeyError), and so is a
    wrong number of labels (ValueError)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._lock = threading.Lock()
        self._numbers: dict[str, dict[Labels, float]] = {name: {} for name, row in METRICS.items() if row.kind != "histogram"}
        self._histograms: dict[str, dict[Labels, Histogram]] = {name: {} for name, row in METRICS.items() if row.kind == "histogram"}
        self._watched: dict[str, Callable[[], float]] = {}
        self.registry.register(self)

    def count(self, name: str, *labels: str, amount: float = 1) -> None:
        """Amount 0 makes the counter exist, so that its first increase is seen as one."""
        numbers = self._numbers[name]
        with self._lock:
            numbers[labels] = (numbers[labels] if labels in numbers else _checked(name, labels)) + amount

    def observe(self, name: str, value: float, *labels: str) -> None:
        found = self._histograms[name].get(labels)
        if found is None:
            _checked(name, labels)
            found = self._histograms[name].setdefault(labels, Histogram(len(METRICS[name].bounds)))
        row = bisect_left(METRICS[name].bounds, value)
        with self._lock:
            found.counts[row] += 1
            found.sum += value

    def set(self, name: str, value: float, *labels: str) -> None:
        numbers = self._numbers[name]
        if labels not in numbers:
            _checked(name, labels)
        with self._lock:
            numbers[labels] = value

    def watch(self, name: str, value: Callable[[], float]) -> None:
        """A gauge without labels that is asked for when it is read, and costs nothing before."""
        _checked(name, ())
        self._watched[name] = value

    def render(self) -> bytes:
        return generate_latest(self.registry)

    def collect(self) -> Iterable[Metric]:
        """What prometheus_client renders; a metric that has no number yet is left out."""
        for name, value in self._watched.items():
            self.set(name, value())
        with self._lock:
            numbers = {name: dict(of_name) for name, of_name in self._numbers.items() if of_name}
            histograms = {
                name: {labels: (list(h.counts), h.sum) for labels, h in of_name.items()}
                for name, of_name in self._histograms.items()
                if of_name
            }
        for name, of_name in numbers.items():
            yield _plain(name, of_name)
        for name, with_buckets in histograms.items():
            yield _buckets(name, with_buckets)


def _checked(name: str, labels: Labels) -> float:
    if len(labels) != len(METRICS[name].labels):
        raise ValueError(f"{name} has the labels {METRICS[name].labels}, not {labels}")
    return 0.0


def _plain(name: str, numbers: dict[Labels, float]) -> Metric:
    row = METRICS[name]
    kind = CounterMetricFamily if row.kind == "counter" else GaugeMetricFamily
    family = kind(name, row.help, labels=row.labels)
    for labels, value in numbers.items():
        family.add_metric(labels, value)
    return family


def _buckets(name: str, histograms: dict[Labels, tuple[list[int], float]]) -> Metric:
    row = METRICS[name]
    family = HistogramMetricFamily(name, row.help, labels=row.labels)
    for labels, (counts, sum_) in histograms.items():
        total, cumulated = 0, []
        for bound, count in zip((*map(repr, map(float, row.bounds)), "+Inf"), counts, strict=True):
            total += count
            cumulated.append((bound, float(total)))
        family.add_metric(labels, cumulated, sum_)
    return family
