"""What a shop lacks, what would be started, and what is refused."""

import os
import socket
import sys
from pathlib import Path

import msgspec
import pytest

from deploy import layout, setup, shops
from deploy.preflight import check_disk, check_port, check_workers, existing_shops, require_shop
from deploy.processes import describe_exit, identify
from deploy.running import check_versions
from deploy.setup import Have, Step
from deploy.shops import metric, previous
from deploy.state import Identity, RunState, StateFile
from deploy.status import Usage, duration, total, versions
from services.artifacts import Versions
from services.errors import ConfigurationError
from services.shop import Shop, ShopInfo

DEMO = Shop(Path("/nowhere/shops/demo"))
OTHER = Shop(Path("/nowhere/shops/electronics"))
ALL = Have(world=True, history=True, logs=True, generation=True, release=True)


def names(shop: Shop, have: Have) -> list[str]:
    return [step.name for step in setup.steps_to_serve(shop, have)]


def test_a_demo_shop_that_does_not_exist_is_made_in_four_steps() -> None:
    assert names(DEMO, Have()) == ["world", "history", "build", "train"]


@pytest.mark.parametrize(
    ("have", "missing"),
    [
        (Have(world=True), ["history", "build", "train"]),
        (Have(world=True, logs=True), ["history", "build", "train"]),  # a history that was interrupted goes on
        (Have(world=True, history=True, logs=True), ["build", "train"]),
        (Have(world=True, history=True, logs=True, generation=True), ["train"]),
        (ALL, []),
    ],
)
def test_what_is_made_is_not_made_again(have: Have, missing: list[str]) -> None:
    assert names(DEMO, have) == missing


def test_an_imported_shop_without_logs_gets_a_baseline_release() -> None:
    assert names(OTHER, Have()) == ["build", "baseline"]


def test_an_imported_shop_with_logs_is_trained() -> None:
    assert names(OTHER, Have(logs=True, generation=True)) == ["train"]


def test_a_shop_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert setup.look(Shop(tmp_path / "shops" / "demo")) == Have()


# ---- layout ----


def specs(tmp_path: Path, environment: dict[str, str], **wishes: object) -> dict[str, layout.Spec]:
    return {s.name: s for s in layout.specs(layout.Wishes("demo", tmp_path, **wishes), tmp_path, environment)}  # type: ignore[arg-type]


def test_the_api_has_the_port_asked_for_and_the_others_the_three_after_it(tmp_path: Path) -> None:
    found = specs(tmp_path, {}, port=9100)
    assert [found[n].port for n in ("planner", "recommender", "searcher", "ranker")] == [9100, 9101, 9102, 9103]


def test_a_services_own_variable_goes_before_the_flag_and_the_planner_is_told(tmp_path: Path) -> None:
    found = specs(tmp_path, {"AISLE_RANKER_PORT": "9999"})
    assert found["ranker"].port == 9999
    assert found["planner"].environment["AISLE_PLANNER_RANKER_URL"] == "http://127.0.0.1:9999"


def test_port_zero_is_a_free_port_which_everybody_is_told(tmp_path: Path) -> None:
    found = specs(tmp_path, {}, port=0)
    assert len({s.port for s in found.values()}) == len(found)
    assert found["planner"].environment["AISLE_PLANNER_SEARCHER_URL"] == found["searcher"].address
    assert found["searcher"].environment["AISLE_SEARCHER_PORT"] == str(found["searcher"].port)


def test_locust_is_left_out_on_request(tmp_path: Path) -> None:
    assert "locust" not in specs(tmp_path, {}, locust=False)


@pytest.mark.parametrize("value", ["http", "-1", "70000", ""])
def test_a_port_that_is_none_is_refused_by_name(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigurationError, match="AISLE_SEARCHER_PORT"):
        specs(tmp_path, {"AISLE_SEARCHER_PORT": value})


def test_children_find_this_code_and_this_home(tmp_path: Path) -> None:
    environment = layout.child_environment(tmp_path, {"PYTHONPATH": "/else", "PATH": "/bin"})
    assert environment["AISLE_HOME"] == str(tmp_path)
    assert environment["PYTHONPATH"] == f"{layout.PROJECT}:/else"
    assert environment["PATH"] == "/bin"


# ---- what is refused ----


def test_a_taken_port_is_named_with_who_has_it_and_how_to_choose_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as error:
            check_port("ranker", "127.0.0.1", port, "AISLE_RANKER_PORT")
    assert f"port {port} (ranker)" in str(error.value)
    assert f"pid {os.getpid()}" in str(error.value)
    assert "AISLE_RANKER_PORT" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_free_port_is_fine() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    check_port("ranker", "127.0.0.1", port, "AISLE_RANKER_PORT")


def test_too_little_disk_is_said_before_anything_is_made(tmp_path: Path) -> None:
    check_disk(tmp_path / "not" / "yet" / "there", needed=1)
    with pytest.raises(ConfigurationError, match="AISLE_HOME"):
        check_disk(tmp_path, needed=2**62)


def test_more_than_one_worker_is_refused_with_the_reason() -> None:
    check_workers(1, {})
    with pytest.raises(ConfigurationError, match="embedded engines"):
        check_workers(2, {})
    with pytest.raises(ConfigurationError, match="WEB_CONCURRENCY"):
        check_workers(1, {"WEB_CONCURRENCY": "4"})


def test_an_unknown_shop_names_those_that_exist(tmp_path: Path) -> None:
    for name in ("demo", "electronics"):
        Shop(tmp_path / "shops" / name).write_info(ShopInfo(name=name))
    assert existing_shops(tmp_path) == ["demo", "electronics"]
    assert require_shop("demo", tmp_path).root == tmp_path / "shops" / "demo"
    with pytest.raises(ConfigurationError, match="demo, electronics"):
        require_shop("electronic", tmp_path)


def shop_with_versions(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path / "shops" / "demo")
    shop.write_info(ShopInfo(name="demo"))
    for made in (Versions(shop.generations), Versions(shop.releases)):
        number, folder = made.begin()
        (folder / "part").write_text("x")
        made.publish(number, {})
        made.activate(number)
    return shop


def test_a_complete_shop_can_start(tmp_path: Path) -> None:
    check_versions(shop_with_versions(tmp_path))


def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    shop = shop_with_versions(tmp_path)
    (shop.generations / "1" / "part").unlink()
    with pytest.raises(ConfigurationError, match=r"part is missing: run `aisle build`"):
        check_versions(shop)


def test_a_pointer_to_nothing_is_said(tmp_path: Path) -> None:
    shop = shop_with_versions(tmp_path)
    (shop.releases / "1" / "manifest.json").unlink()
    with pytest.raises(ConfigurationError, match="names version 1, which is not there"):
        check_versions(shop)


def test_what_is_built_while_a_shop_runs_on_engines_is_built_for_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AISLE_HOME", str(tmp_path))
    me = identify(os.getpid())
    assert me
    run = RunState(supervisor=me, shop="demo", phase="running", since_ms=1, engine_settings={"AISLE_SEARCHER_HIGH_URL": "http://high:9200"})
    StateFile(tmp_path).write(run)

    def told(shop: str) -> str:
        tell = "import os; print(os.environ.get('AISLE_SEARCHER_HIGH_URL'))"
        shops.run(Shop(tmp_path / "shops" / shop), [Step("tell", "tell", [sys.executable, "-c", tell])])
        return (StateFile(tmp_path).logs / "setup-tell.log").read_text().strip()

    assert told("demo") == "http://high:9200"
    assert told("other") == "None"
    StateFile(tmp_path).write(msgspec.structs.replace(run, supervisor=Identity(me.pid, 1.0)))  # it ran once, and left its state behind
    assert told("demo") == "None"


# ---- small decisions ----


def test_rollback_goes_to_the_release_before_the_current_one() -> None:
    assert previous([1, 2, 5], 5) == 2
    assert previous([1, 2, 5], 2) == 1
    with pytest.raises(ConfigurationError, match="no release before 1"):
        previous([1, 2], 1)


def test_a_metric_of_a_release_reads_as_a_comparison_with_its_interval() -> None:
    compared = {"network": 0.6342, "baseline": 0.6082, "low": 0.0161, "high": 0.0351, "pages": 3201}
    assert metric("click AUC vs popularity", compared) == "click AUC vs popularity: 0.634 against 0.608, difference +0.026 [+0.016, +0.035]"
    assert metric("loss", 0.123456) == "loss: 0.1235"


def test_versions_are_read_from_the_details_of_readiness() -> None:
    both = {"generation": {"ok": True, "detail": {"current": 3, "served": [2, 3]}}, "release": {"ok": True, "detail": {"current": 2}}}
    assert versions({"checks": both}) == ("3", "2")
    assert versions({"checks": {"products": {"ok": True, "detail": {"current": 4}}, "log": {"ok": True, "detail": None}}}) == ("4", "")
    assert versions({}) == ("", "")


def test_memory_in_all_counts_shared_pages_once_where_the_system_says_so() -> None:
    assert total({1: Usage(0, 10, 4), 2: Usage(0, 10, None)}) == 14


def test_exits_are_described() -> None:
    assert describe_exit(2) == "exit code 2"
    assert describe_exit(-9) == "signal SIGKILL"


def test_durations_read_well() -> None:
    import time

    now_ms = int(time.time() * 1000)
    assert duration(now_ms - 5_000) == "5 s"
    assert duration(now_ms - 3 * 60_000) == "3 min"
    assert duration(now_ms - 2 * 3_600_000 - 60_000) == "2 h 1 min"
