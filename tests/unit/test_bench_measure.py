"""What the bench concludes from CPU times."""

import os
from pathlib import Path

import pytest

from services.shop import Shop, ShopInfo
from tests.bench import costs
from tests.bench.measure import Series, Verdict, cpu_seconds, per_search_ms
from tests.bench.real import Traffic, between
from tests.bench.workload import copy_home


def test_cpu_times_become_milliseconds_a_search_per_process() -> None:
    assert per_search_ms({"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 2.5}, 100) == {"a": pytest.approx(10), "b": pytest.approx(5)}


def test_cpu_time_of_this_process_only_grows() -> None:
    before = cpu_seconds({"me": os.getpid()})["me"]
    sum(range(1_000_000))
    assert cpu_seconds({"me": os.getpid()})["me"] >= before > 0


def test_one_slow_round_does_not_move_the_median() -> None:
    series = Series([{"a": 1.0, "b": 1.0}, {"a": 1.2, "b": 1.0}, {"a": 9.0, "b": 9.0}])
    assert series.median == pytest.approx(2.2)
    assert series.median_of("a") == pytest.approx(1.2)


@pytest.mark.parametrize(("system", "ok"), [(5.9, True), (6.1, False)])
def test_the_system_may_cost_twice_the_hops_above_its_floor(system: float, ok: bool) -> None:
    verdict = Verdict(system=system, floor=2.0, hops=2.0)
    assert verdict.ok is ok
    assert ("NOT OK" in str(verdict)) is not ok


def test_the_page_of_costs_has_calls_bytes_and_connections_and_what_each_kind_of_call_costs() -> None:
    series = {name: Series([{"a": cost}]) for name, cost in (("system", 5.0), ("floor", 3.0), ("hops", 2.0))}
    traffic = {"high": Traffic(calls=150, bytes=150_000, opened=2)}
    tables = [*costs.traffic_table(traffic, traffic, 100), *costs.calls_table({"graph": (0.4, 0.3)})]
    page = costs.page(series, Verdict(5.0, 3.0, 2.0), ["3 products"], tables)
    assert "| high | 1.50 | 1.50 | 1,000 | 2 |" in page
    assert f"| {costs.KINDS['graph'][1]} | 0.40 | 0.30 |" in page
    assert "| **all** | **5.00** | **3.00** |" in page


def test_what_clusters_counted_between_two_looks() -> None:
    assert between({"high": Traffic(5, 50, 1)}, {"high": Traffic(8, 90, 1)}) == {"high": Traffic(3, 40, 0)}


def test_a_copy_of_a_home_is_written_to_without_the_original_noticing(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    shop = Shop(home / "shops" / "demo")
    shop.write_info(ShopInfo(name="demo"))
    for name in ("log/events.sqlite", "generations/1/part", "generations/CURRENT", "world/truth"):
        (shop.root / name).parent.mkdir(parents=True, exist_ok=True)
        (shop.root / name).write_text("original")
    copy_home(home, "demo", copy)
    copied = copy / "shops" / "demo"
    for name in ("log/events.sqlite", "generations/CURRENT"):
        (copied / name).write_text("changed")
        assert (shop.root / name).read_text() == "original"
    assert (copied / "generations/1/part").read_text() == "original"
    assert not (copied / "world").exists()
