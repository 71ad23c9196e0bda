"""Dashboards and alert rules cannot drift from the table of metrics."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.dashboards import DASHBOARDS, FOLDER, queries, rendered
from deploy.layout import PROJECT
from services.telemetry import METRICS

PROMETHEUS = PROJECT / "deploy" / "prometheus"
RULES = (PROMETHEUS / "rules.yml").read_text()
EXPRESSIONS = [expr for _, _, expr in queries()] + re.findall(r"expr: '?(.*?)'?$", RULES, re.MULTILINE)
ADDED = {"service", "le", "instance", "job"}
"""Labels that come from the scrape or from histograms."""


def metrics(expr: str) -> set[str]:
    """The names of our metrics in it, a histogram's series by the name of the histogram."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\baisle_\w+", expr)}


def test_every_metric_that_is_shown_or_alarmed_on_is_in_the_table() -> None:
    used = set().union(*map(metrics, EXPRESSIONS))
    assert used <= METRICS.keys()


def test_every_metric_of_the_table_is_shown_or_alarmed_on() -> None:
    used = set().union(*map(metrics, EXPRESSIONS))
    hidden = {"aisle_queue_seconds"}  # of those that waited only: for a look by hand
    assert METRICS.keys() - used == hidden


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_labels_are_those_of_the_metrics(expr: str) -> None:
    known = ADDED.union(*(METRICS[name].labels for name in metrics(expr)))
    in_matchers = {m for body in re.findall(r"\{([^}]*)\}", expr) for m in re.findall(r"(\w+)\s*(?:=~|!=|=)", body)}
    grouped = {label.strip() for body in re.findall(r"\bby \(([^)]*)\)", expr) for label in body.split(",")}
    assert in_matchers | grouped <= known | ({"alertstate"} if "ALERTS" in expr else set())


def test_the_files_are_what_the_code_makes() -> None:
    assert {p.name: p.read_text() for p in FOLDER.glob("*.json")} == {f"{d.uid}.json": rendered(d) for d in DASHBOARDS}, (
        "run `python -m deploy.dashboards`"
    )


def test_panels_have_distinct_titles_and_fit_the_grid() -> None:
    for dashboard in DASHBOARDS:
        titles = [panel.title for panel in dashboard.panels]
        assert len(titles) == len(set(titles))
        assert all(panel.width <= 24 and panel.queries for panel in dashboard.panels)


def test_every_alert_has_its_page_in_the_manual() -> None:
    manual = (PROJECT / "docs" / "operate.md").read_text()
    alerts = re.findall(r"- alert: (\w+)", RULES)
    assert len(alerts) >= 8
    assert [a for a in alerts if f"### {a}" not in manual] == []


def promtool(*argv: str, folder: Path = PROMETHEUS) -> None:
    if shutil.which("promtool") is None:
        assert not os.environ.get("CI"), "CI has to have promtool (Debian: apt-get install prometheus)"
        pytest.skip("RULES ARE NOT TESTED: promtool is missing (Debian: apt-get install prometheus)")
    done = subprocess.run(["promtool", *argv], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_configuration_and_rules() -> None:
    promtool("check", "config", "prometheus.yml")


def test_every_alert_fires_when_it_should_and_else_is_silent() -> None:
    promtool("test", "rules", "rules_test.yml")


def test_every_alert_is_tested_both_ways() -> None:
    tested = (PROMETHEUS / "rules_test.yml").read_text()
    for alert in re.findall(r"- alert: (\w+)", RULES):
        silent = re.search(rf"alertname: {alert}, exp_alerts: \[\]", tested)
        fires = re.search(rf"alertname: {alert}\n\s+exp_alerts:(?! \[\])", tested)
        assert silent and fires, alert
