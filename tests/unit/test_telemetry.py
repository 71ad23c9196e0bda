"""The metrics of one process: what Prometheus reads of them."""

import itertools
import re
import threading

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.paths import ONE_IN, Paths
from services.telemetry import METRICS, OBJECTIVE_S, TIMES_S, Telemetry


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return telemetry.registry.get_sample_value(name, labels)


def test_names_follow_the_conventions_of_prometheus() -> None:
    for name, row in METRICS.items():
        assert re.fullmatch(r"aisle_[a-z0-9_]+", name)
        assert name.endswith("_total") == (row.kind == "counter"), name
        assert not re.search(r"_(ms|millis|percent|mb|kb)(_|$)", name), f"{name}: base units only"
        assert row.help and not row.help.endswith(".")


def test_no_label_can_hold_what_a_user_typed_or_is() -> None:
    bounded = {"route", "status", "outcome", "stage", "reason", "where", "dependency", "queue", "artifact", "result", "tier", "mode"}
    assert {label for row in METRICS.values() for label in row.labels} == bounded | {"call", "ai", "position", "engine", "kind"}


def test_bounds_tell_stages_shorter_than_a_millisecond_apart_and_hold_the_objective() -> None:
    assert sum(bound < 0.001 for bound in TIMES_S) >= 6
    assert OBJECTIVE_S in TIMES_S
    assert list(TIMES_S) == sorted(set(TIMES_S))
    assert max(after / before for before, after in itertools.pairwise(TIMES_S)) <= 2.5


def test_counters_add_up_and_exist_before_they_count() -> None:
    telemetry = Telemetry()
    telemetry.count("aisle_degraded_total", "ranking", amount=0)
    assert value(telemetry, "aisle_degraded_total", reason="ranking") == 0
    telemetry.count("aisle_degraded_total", "ranking")
    telemetry.count("aisle_degraded_total", "ranking", amount=2)
    assert value(telemetry, "aisle_degraded_total", reason="ranking") == 3
    assert value(telemetry, "aisle_degraded_total", reason="analysis") is None


def test_a_histogram_is_cumulated_and_its_bounds_are_inclusive() -> None:
    telemetry = Telemetry()
    for seconds in (0.00005, 0.00006, 0.3, 99.0):
        telemetry.observe("aisle_stage_seconds", seconds, "spell")
    read = {bound: value(telemetry, "aisle_stage_seconds_bucket", stage="spell", le=bound) for bound in ("5e-05", "0.0001", "0.4", "+Inf")}
    assert read == {"5e-05": 1, "0.0001": 2, "0.4": 3, "+Inf": 4}
    assert value(telemetry, "aisle_stage_seconds_sum", stage="spell") == pytest.approx(99.30011)
    assert value(telemetry, "aisle_stage_seconds_count", stage="spell") == 4


def test_a_watched_gauge_is_asked_for_when_it_is_read() -> None:
    telemetry, waiting = Telemetry(), [1.0]
    telemetry.watch("aisle_waiting", lambda: waiting[0])
    waiting[0] = 7.0
    assert value(telemetry, "aisle_waiting") == 7


def test_a_name_or_labels_that_are_not_in_the_table_are_mistakes() -> None:
    telemetry = Telemetry()
    with pytest.raises(KeyError):
        telemetry.count("aisle_surprises_total")
    with pytest.raises(KeyError):
        telemetry.observe("aisle_requests_total", 1.0, "/search", "200")
    with pytest.raises(ValueError, match="labels"):
        telemetry.count("aisle_requests_total", "/search")
    with pytest.raises(ValueError, match="labels"):
        telemetry.observe("aisle_request_seconds", 1.0)


def test_what_is_rendered_is_read_by_prometheus_own_parser() -> None:
    telemetry = Telemetry()
    telemetry.count("aisle_requests_total", "/search", "200")
    telemetry.observe("aisle_request_seconds", 0.01, "/search")
    telemetry.set("aisle_version", 3, "release")
    families = {f.name: f.type for f in text_string_to_metric_families(telemetry.render().decode())}
    ours = {name: kind for name, kind in families.items() if name.startswith("aisle_")}
    assert ours == {"aisle_requests": "counter", "aisle_request_seconds": "histogram", "aisle_version": "gauge"}
    assert {"process_cpu_seconds", "process_resident_memory_bytes"} <= families.keys()


def test_threads_lose_no_count() -> None:
    telemetry = Telemetry()

    def work() -> None:
        for _ in range(5000):
            telemetry.count("aisle_retries_total", "ranker")
            telemetry.observe("aisle_queue_seconds", 0.001)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(telemetry, "aisle_retries_total", dependency="ranker") == 20_000
    assert value(telemetry, "aisle_queue_seconds_count") == 20_000


def test_the_average_search_is_measured_in_one_of_sixteen_beginning_with_the_first() -> None:
    telemetry = Telemetry()
    paths = Paths(telemetry)
    for _ in range(ONE_IN + 1):
        paths.add([("rank", 4.0, 1.0), ("rank.net", 1.0, 1.0), ("rank.inference", 3.0, 1.5)], 0.006)
    assert value(telemetry, "aisle_path_searches_total") == 2
    assert value(telemetry, "aisle_path_seconds_total", stage="rank") == pytest.approx(0.008)
    assert value(telemetry, "aisle_path_start_seconds_total", stage="rank") == pytest.approx(0.002)
    shares = {
        stage: value(telemetry, "aisle_path_critical_seconds_total", stage=stage, ai=ai)
        for stage, ai in (("rank.inference", "yes"), ("rank.net", "no"), ("other", "no"))
    }
    assert shares == {"rank.inference": pytest.approx(0.006), "rank.net": pytest.approx(0.002), "other": pytest.approx(0.004)}
