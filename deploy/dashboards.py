"""Grafana's dashboards, written as code: `python -m deploy.dashboards` makes deploy/grafana/dashboards/ anew. A test holds them to the table of
metrics and runs every query against a Prometheus."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "grafana" / "dashboards"
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
W = "$__rate_interval"
SEARCH = 'service="planner", route="/search"'
WIDTH = 24


@dataclass(frozen=True)
class Query:
    """PromQL, and how a series is called in the legend."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """`kind` is a Grafana panel type; sizes in grid units (24 wide)."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    help: str = ""
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dashboard:
    uid: str
    title: str
    panels: tuple[Panel, ...]


def quantiles(metric: str, matchers: str, by: str = "") -> tuple[Query, ...]:
    """p50, p90 and p99 of a histogram."""
    group = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return tuple(
        Query(f"histogram_quantile({q}, sum by ({group}) (rate({metric}_bucket{{{matchers}}}[{W}])))", f"{legend}p{q * 100:.0f}")
        for q in (0.5, 0.9, 0.99)
    )


def share(part: str, whole: str) -> str:
    return f"sum(rate({part}[{W}])) / (sum(rate({whole}[{W}])) > 0)"


def per_search(metric: str, by: str) -> str:
    """Mean of a counter of sampled searches, per search."""
    return f"sum by ({by}) (rate({metric}[{W}])) / on () group_left () (sum(rate(aisle_path_searches_total[{W}])) > 0)"


def stat(title: str, expr: str, unit: str = "short", help_: str = "", **more: Any) -> Panel:
    return Panel(title, (Query(expr),), unit, "stat", 4, 4, help_, more)


STACKED = {"fieldConfig": {"custom": {"stacking": {"mode": "normal"}, "fillOpacity": 40}}}
TABLE_NOW = {"instant": True}

OVERVIEW = Dashboard(
    "overview",
    "AIsle: overview",
    (
        stat("searches a second", f"sum(rate(aisle_requests_total{{{SEARCH}}}[{W}]))", "reqps"),
        stat("p50", quantiles("aisle_request_seconds", SEARCH)[0].expr, "s"),
        stat("p99", quantiles("aisle_request_seconds", SEARCH)[2].expr, "s"),
        stat(
            "good answers",
            share(f'aisle_objective_total{{{SEARCH}, outcome="good"}}', f"aisle_objective_total{{{SEARCH}}}"),
            "percentunit",
            "Did not fail and took at most 0.25 s; the objective is 99 %",
        ),
        stat("services that answer", 'sum(up{service=~"planner|recommender|searcher|ranker"})'),
        stat("alerts firing", 'count(ALERTS{alertstate="firing"}) or vector(0)'),
        Panel("requests", (Query(f"sum by (route) (rate(aisle_requests_total{{service='planner'}}[{W}]))", "{{route}}"),), "reqps"),
        Panel("time of a search", quantiles("aisle_request_seconds", SEARCH), "s", help="From arrival at the planner to the answer"),
        Panel(
            "outcome of searches",
            (Query(f"sum by (outcome) (rate(aisle_objective_total{{{SEARCH}}}[{W}]))", "{{outcome}}"),),
            "reqps",
            more=STACKED,
        ),
        Panel(
            "answers that lack something",
            (Query(f"sum by (reason) (rate(aisle_degraded_total{{service='planner'}}[{W}]))", "{{reason}}"),),
            "reqps",
        ),
        Panel("errors survived", (Query(f"sum by (service, where) (rate(aisle_errors_total[{W}]))", "{{service}} {{where}}"),), "reqps"),
        Panel("refused", (Query(f"sum by (service, reason) (rate(aisle_refused_total[{W}]))", "{{service}} {{reason}}"),), "reqps"),
        Panel(
            "quality as shoppers show it",
            (
                Query(
                    share('aisle_events_total{service="planner", outcome="click"}', f"aisle_requests_total{{{SEARCH}}}"), "clicks per page"
                ),
                Query(share('aisle_pages_total{result="empty"}', "aisle_pages_total"), "pages with nothing"),
                Query(share('aisle_click_position_bucket{le="3.0"}', "aisle_click_position_count"), "clicks on the first three"),
            ),
            "percentunit",
        ),
        Panel("CPU", (Query(f"sum by (service) (rate(process_cpu_seconds_total[{W}]))", "{{service}}"),), "percentunit", more=STACKED),
        Panel("memory", (Query("sum by (service) (process_resident_memory_bytes)", "{{service}}"),), "bytes", more=STACKED),
    ),
)

STAGES = Dashboard(
    "stages",
    "AIsle: latency by stage",
    (
        Panel(
            "the average search",
            (
                Query(
                    "sum by (stage) (increase(aisle_path_start_seconds_total[5m])) / (sum by (stage) (increase(aisle_path_stages_total[5m])) > 0)",
                    "{{stage}} begins",
                ),
                Query(
                    "sum by (stage) (increase(aisle_path_seconds_total[5m])) / (sum by (stage) (increase(aisle_path_stages_total[5m])) > 0)",
                    "{{stage}} takes",
                ),
            ),
            "s",
            "barchart",
            WIDTH,
            12,
            "A waterfall: where each stage begins after arrival (transparent) and how long it takes, of the searches that have it",
            {
                "instant": True,
                "options": {"orientation": "horizontal", "stacking": "normal", "xField": "stage"},
                "transformations": [{"id": "joinByField", "options": {"byField": "stage", "mode": "outer"}}],
                "overrides": [
                    {"matcher": {"id": "byFrameRefID", "options": "A"}, "properties": [{"id": "custom.fillOpacity", "value": 0}]}
                ],
            },
        ),
        Panel(
            "searches by time",
            (Query(f"sum by (le) (rate(aisle_request_seconds_bucket{{{SEARCH}}}[{W}]))", "{{le}}"),),
            "s",
            "heatmap",
            12,
            more={"format": "heatmap"},
        ),
        Panel(
            "share of the critical path",
            (
                Query(
                    f"sum by (stage) (rate(aisle_path_critical_seconds_total[{W}])) / on () group_left () (sum(rate(aisle_path_critical_seconds_total[{W}])) > 0)",
                    "{{stage}}",
                ),
            ),
            "percentunit",
            width=12,
            help="What each stage adds to the length of a search; overlapping work counts once",
            more=STACKED,
        ),
        Panel(
            "learned stages against all others",
            (Query(per_search("aisle_path_critical_seconds_total", "ai"), "learned: {{ai}}"),),
            "s",
            help="Of the critical path, per search",
            more=STACKED,
        ),
        *(
            Panel(f"stages of the {service}, p99", (quantiles("aisle_stage_seconds", f'service="{service}"', "stage")[2],), "s")
            for service in ("planner", "recommender", "searcher", "ranker")
        ),
        Panel(
            "requests inside, p99", (Query(quantiles("aisle_request_seconds", 'service!="planner"', "route")[2].expr, "{{route}}"),), "s"
        ),
        Panel("in flight", (Query("sum by (service) (aisle_in_flight)", "{{service}}"),)),
        Panel("waiting for a place", (Query("sum by (service) (aisle_waiting)", "{{service}}"),)),
    ),
)

ENGINES = Dashboard(
    "engines",
    "AIsle: engines",
    (
        stat("engines that answer", "sum(aisle_engine_up)"),
        Panel("health", (Query("aisle_engine_status", "{{engine}}"),), kind="stat", height=4, help="0 green, 1 yellow, 2 red"),
        Panel("nodes", (Query("aisle_engine_nodes", "{{engine}}"),), kind="stat", width=12, height=4),
        Panel("tier searches", (Query(f"sum by (tier, mode) (rate(aisle_tier_searches_total[{W}]))", "{{tier}} {{mode}}"),), "reqps"),
        Panel(
            "candidates of a search, by tier",
            (
                Query(
                    f'sum by (tier, mode) (rate(aisle_tier_hits_total[{W}])) / on () group_left () (sum(rate(aisle_requests_total{{service="searcher", route="/retrieve"}}[{W}])) > 0)',
                    "{{tier}} {{mode}}",
                ),
            ),
            more=STACKED,
        ),
        Panel(
            "queries in the engine",
            (Query(f"sum by (engine) (rate(aisle_engine_queries_total[{W}]))", "{{engine}}"),),
            "reqps",
        ),
        Panel(
            "time of a query in the engine",
            (
                Query(
                    f"sum by (engine) (rate(aisle_engine_query_seconds_total[{W}])) / (sum by (engine) (rate(aisle_engine_queries_total[{W}])) > 0)",
                    "{{engine}}",
                ),
            ),
            "s",
        ),
        Panel("heap in use", (Query("aisle_engine_heap_bytes / aisle_engine_heap_limit_bytes", "{{engine}}"),), "percentunit"),
        Panel(
            "documents", (Query("aisle_engine_documents", "{{engine}}"), Query("aisle_engine_relationships", "{{engine}} relationships"))
        ),
        Panel("disk", (Query("aisle_engine_store_bytes", "{{engine}}"),), "bytes"),
        Panel("queries refused", (Query(f"sum by (engine) (rate(aisle_engine_rejected_total[{W}]))", "{{engine}}"),), "reqps"),
        Panel("breakers open", (Query("max by (service, dependency) (aisle_breaker_open)", "{{service}} to {{dependency}}"),)),
        Panel(
            "calls repeated",
            (Query(f"sum by (service, dependency) (rate(aisle_retries_total[{W}]))", "{{service}} to {{dependency}}"),),
            "reqps",
        ),
    ),
)

MODELS = Dashboard(
    "models",
    "AIsle: models and data",
    (
        Panel("release served", (Query('aisle_version{artifact="release"}', "{{service}}"),), kind="stat", height=4),
        Panel("generation served", (Query('aisle_version{artifact="generation"}', "{{service}}"),), kind="stat", height=4),
        Panel("release that the model server has", (Query("aisle_engine_version", "{{engine}}"),), kind="stat", height=4),
        Panel("versions over time", (Query("max by (artifact) (aisle_version)", "{{artifact}}"),)),
        Panel(
            "user graph behind the log",
            (
                Query(
                    'max(aisle_log_offset{service="recommender", position="written"}) - max(aisle_log_offset{service="recommender", position="projected"})',
                    "records",
                ),
                Query("max(aisle_graph_lag)", "when last brought up to date"),
            ),
        ),
        Panel("event log", (Query("max by (position) (aisle_log_offset)", "{{position}}"),)),
        Panel("events", (Query(f"sum by (outcome) (rate(aisle_events_total[{W}]))", "{{outcome}}"),), "reqps"),
        Panel("records dropped", (Query(f"sum by (queue) (rate(aisle_dropped_total[{W}]))", "{{queue}}"),), "reqps"),
        Panel("rows of an inference", quantiles("aisle_model_batch_rows", "", "call")),
        Panel(
            "time of the models",
            (
                Query(
                    f'histogram_quantile(0.99, sum by (le, service, stage) (rate(aisle_stage_seconds_bucket{{stage=~"inference|encode|categories"}}[{W}])))',
                    "{{service}} {{stage}} p99",
                ),
            ),
            "s",
        ),
        Panel("clicked positions", quantiles("aisle_click_position", "")),
    ),
)

LOAD = Dashboard(
    "load",
    "AIsle: load",
    (
        Panel(
            "rate, as both sides see it",
            (
                Query(f"sum(rate(aisle_load_requests_total[{W}]))", "load generator, all requests"),
                Query(f'sum(rate(aisle_requests_total{{service="planner"}}[{W}]))', "planner, all requests"),
            ),
            "reqps",
            width=12,
        ),
        Panel(
            "median, as both sides see it",
            (
                Query("aisle_load_median_seconds", "load generator"),
                Query(quantiles("aisle_request_seconds", 'service="planner"')[0].expr, "planner"),
            ),
            "s",
            width=12,
        ),
        Panel("users", (Query("aisle_load_users"),)),
        Panel("requests by kind", (Query(f"sum by (kind) (rate(aisle_load_requests_total[{W}]))", "{{kind}}"),), "reqps"),
        Panel("failures", (Query(f"sum by (kind) (rate(aisle_load_failures_total[{W}]))", "{{kind}}"),), "reqps"),
        Panel("95th percentile of the load generator", (Query("aisle_load_p95_seconds"),), "s"),
        Panel("CPU of all services", (Query(f"sum(rate(process_cpu_seconds_total[{W}]))"),), "percentunit"),
        Panel(
            "CPU time of a search",
            (
                Query(
                    f'sum(rate(process_cpu_seconds_total{{service=~"planner|recommender|searcher|ranker"}}[{W}])) / (sum(rate(aisle_requests_total{{{SEARCH}}}[{W}])) > 0)'
                ),
            ),
            "s",
            help="Of the four services, events and all; not of the engines",
        ),
    ),
)

DASHBOARDS = (OVERVIEW, STAGES, ENGINES, MODELS, LOAD)


def queries() -> Iterator[tuple[str, str, str]]:
    """Dashboard, panel and PromQL of everything that is shown."""
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                yield dashboard.uid, panel.title, query.expr


def rendered(dashboard: Dashboard) -> str:
    """As Grafana reads it."""
    body = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["aisle"],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["aisle"], "title": "AIsle", "asDropdown": False, "keepTime": True}],
        "panels": _placed(dashboard.panels),
    }
    return json.dumps(body, indent=1) + "\n"


def _placed(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    placed, x, y, row = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y, row = 0, y + row, 0
        placed.append(_panel(number, panel, x, y))
        x, row = x + panel.width, max(row, panel.height)
    return placed


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    more = dict(panel.more)
    instant, form = more.pop("instant", panel.kind == "stat"), more.pop("format", None)
    defaults = {"unit": panel.unit, "min": 0, **more.pop("fieldConfig", {})}
    target = {"datasource": DATASOURCE, "instant": instant, "range": not instant}
    targets = [
        {**target, "refId": chr(ord("A") + n), "expr": query.expr, "legendFormat": query.legend or "__auto"}
        | ({"format": "table"} if instant and panel.kind == "barchart" else {"format": form} if form else {})
        for n, query in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": defaults, "overrides": more.pop("overrides", [])},
        "targets": targets,
        **more,
    }


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid}.json").write_text(rendered(dashboard))
    return 0


if __name__ == "__main__":
    sys.exit(main())
