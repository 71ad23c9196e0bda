"""Locust's web page shows our figures too, by its own points of extension: a tab with tables, and the report as text under /stages."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, request

from loadgen.run import Run

TAB = "aisle"
RULES = "aisle-rules"
WHERE = "aisle-where"


def extend(web_ui: Any, run: Callable[[], Run | None], text: Callable[[], str], refused: Callable[[Mapping[str, str]], str | None]) -> None:
    """Add tab, tables and /stages to Locust's web page; `run` gives the last one that ended, `refused` says why settings make no load."""
    blueprint = Blueprint("aisle", "aisle")

    @blueprint.route("/stages")
    def stages() -> Response:
        return Response(text(), content_type="text/plain; charset=utf-8")

    @web_ui.app.before_request  # type: ignore[untyped-decorator]  # Flask's
    def check() -> Response | None:
        if request.path == "/swarm" and request.method == "POST" and (why := refused(request.form)):
            return Response(web_ui.app.json.dumps({"success": False, "message": why}), content_type="application/json")
        return None

    @web_ui.app.after_request  # type: ignore[untyped-decorator]  # Flask's
    def add(response: Response) -> Response:
        if request.path == "/stats/requests" and response.is_json:
            response.set_data(web_ui.app.json.dumps({**(response.get_json() or {}), "extended_stats": statistics(run())}))
        return response

    web_ui.app.register_blueprint(blueprint)
    web_ui.template_args.update(
        {
            "extended_tabs": [
                {"title": "AIsle", "key": TAB},
                {"title": "AIsle: rules", "key": RULES},
                {"title": "AIsle: time", "key": WHERE},
            ],
            "extended_tables": [
                {"key": TAB, "structure": _columns("requests", "count", "per s", "p50", "p99", "p99, 95 %", "service p99", "failed")},
                {"key": RULES, "structure": _columns("rule", "state", "value", "threshold", "advice")},
                {"key": WHERE, "structure": _columns("part", "mean", "p90", "p99", "critical path", "the report")},
            ],
            "extended_csv_files": [{"href": "/stages", "title": "AIsle's report as text"}],
        }
    )


def _columns(*titles: str) -> list[dict[str, str]]:
    return [{"key": key(title), "title": title} for title in titles]


def key(title: str) -> str:
    """As the page looks for it: Locust's front end makes camel case of what has underscores."""
    return "".join(c for c in title.title() if c.isalnum())[:1].lower() + "".join(c for c in title.title() if c.isalnum())[1:]


def statistics(run: Run | None) -> list[dict[str, Any]]:
    """Rows of the tables; empty until a load has ended."""
    if run is None:
        return [{"key": k, "data": []} for k in (TAB, RULES, WHERE)]
    rows = [
        _row(
            requests=r.kind,
            count=r.count,
            perS=r.per_second,
            p50=r.latency.p50_ms,
            p99=r.latency.p99_ms,
            p9995=" - ".join(f"{ms:,.1f}" for ms in r.p99_interval_ms) if r.p99_interval_ms else "too few",
            serviceP99=r.service.p99_ms,
            failed=r.failed,
        )
        for r in [*run.requests, run.total]
    ]
    rules = [_row(rule="verdict", state=run.verdict, value="", threshold="", advice="")]
    rules += [_row(rule=f.rule, state=f.state, value=f.value, threshold=f.threshold, advice=f.advice) for f in run.findings]
    where = [
        _row(
            part=w.part,
            mean=w.times.mean_ms,
            p90=w.times.p90_ms,
            p99=w.times.p99_ms,
            criticalPath=f"{w.critical_share:.1%}",
            theReport=w.paper,
        )
        for w in run.where
    ]
    return [{"key": TAB, "data": rows}, {"key": RULES, "data": rules}, {"key": WHERE, "data": where}]


def _row(**values: Any) -> dict[str, Any]:
    return values
