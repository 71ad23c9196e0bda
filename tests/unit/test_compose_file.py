"""What docker-compose.yml promises, read from the file itself."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.layout import PROJECT

FILE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
DEFAULT = {name: s for name, s in SERVICES.items() if not s.get("profiles")}
OURS = {name: s for name, s in SERVICES.items() if s["image"].startswith("aisle-")}
MB_OF = {"m": 1, "g": 1024}
IMAGES = {line.split()[0]: set(line.split()[1:]) for line in (PROJECT / "deploy" / "images.txt").read_text().splitlines()}


def megabytes(limit: str) -> int:
    return int(limit[:-1]) * MB_OF[limit[-1]]


def test_memory_limits_of_the_default_profile_add_up_to_at_most_8_gb() -> None:
    assert sum(megabytes(s["mem_limit"]) for s in DEFAULT.values()) <= 8 * 1024


def test_every_service_has_a_memory_limit_and_a_pinned_image() -> None:
    for name, service in SERVICES.items():
        assert "mem_limit" in service, name
        assert name in OURS or re.search(r":v?\d+\.\d+", service["image"]), f"{name}: {service['image']}"


def test_only_planner_locust_prometheus_and_grafana_are_published_and_only_to_this_host() -> None:
    published = {name: s["ports"] for name, s in DEFAULT.items() if s.get("ports")}
    assert published.keys() == {"gateway", "locust", "prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for s in SERVICES.values() for port in s.get("ports", []))


def test_jaeger_comes_with_its_profile_only_and_is_reached_by_the_services() -> None:
    jaeger = SERVICES["jaeger"]
    assert jaeger["profiles"] == ["traces"]
    assert (jaeger["environment"]["COLLECTOR_OTLP_ENABLED"], "services" in jaeger["networks"]) == ("true", True)
    for name in ("planner", "searcher", "ranker", "recommender"):
        assert SERVICES[name]["environment"]["AISLE_OTLP_ENDPOINT"] == "${OTLP_ENDPOINT:-}"
        assert "services" in SERVICES[name]["networks"]


def test_engines_are_on_the_internal_network_only() -> None:
    assert FILE["networks"]["engines"]["internal"] is True
    for name in ("tier-high", "tier-medium", "tier-low", "products", "graph", "models"):
        assert SERVICES[name]["networks"] == ["engines"], name


def test_our_containers_are_read_only_and_may_nothing() -> None:
    assert len(OURS) == 8
    for name, service in OURS.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name


def test_a_service_waits_until_what_it_needs_is_healthy_or_done() -> None:
    for name in ("searcher", "ranker", "recommender", "planner"):
        assert SERVICES["gateway"]["depends_on"][name] == {"condition": "service_healthy"}, name
    for name in ("searcher", "ranker", "recommender", "planner", "models"):
        assert SERVICES[name]["depends_on"]["prepare"] == {"condition": "service_completed_successfully"}, name
    for tier in ("tier-high", "tier-medium", "tier-low", "products", "graph"):
        assert SERVICES["prepare"]["depends_on"][tier] == {"condition": "service_healthy"}
        assert "healthcheck" in SERVICES[tier]


def test_everything_that_keeps_running_has_a_health_check() -> None:
    assert [name for name, s in DEFAULT.items() if "healthcheck" not in s] == ["prepare"]


def test_java_heaps_are_256_mb() -> None:
    for tier in ("tier-high", "tier-medium", "tier-low", "products"):
        assert SERVICES[tier]["environment"]["ES_JAVA_OPTS"] == "-Xms256m -Xmx256m"
    assert SERVICES["graph"]["environment"]["NEO4J_server_memory_heap_max__size"] == "256m"


def test_elasticsearch_writes_on_a_disk_that_is_nearly_full() -> None:
    clusters = [s for s in SERVICES.values() if "elasticsearch" in s["image"]]
    assert len(clusters) == 4
    assert all(c["environment"]["cluster.routing.allocation.disk.threshold_enabled"] == "false" for c in clusters)


def test_every_variable_has_its_documented_default() -> None:
    text = "".join((PROJECT / name).read_text() for name in ("docker-compose.yml", "docker-compose.report.yml"))
    used = dict(re.findall(r"(?<!\$)\$\{(\w+):-([^}]*)\}", text))
    documented = dict(re.findall(r"^(\w+)=(.*)$", (PROJECT / ".env.example").read_text(), re.MULTILINE))
    assert not re.search(r"(?<!\$)\$\{\w+\}", text), "a variable without a default"
    assert {k: v for k, v in used.items() if k != "JAEGER_PORT"} == documented


@pytest.mark.parametrize("image", sorted(IMAGES))
def test_an_image_has_every_package_that_its_code_imports(image: str) -> None:
    for package in IMAGES[image]:
        assert imported_of_ours(package) <= IMAGES[image], package


@pytest.mark.parametrize("image", sorted(IMAGES.keys() - {"job"}))  # the job runs modules that it does not import
def test_an_image_has_no_package_that_its_service_does_not_import(image: str) -> None:
    assert IMAGES[image] - {image} == imported_of_ours(image) - {image} | {"services"}


def imported_of_ours(package: str) -> set[str]:
    ours = {"services", "planner", "recommender", "searcher", "ranker", "datagen", "offline", "loadgen", "evaluation", "deploy"}
    return {name for file in (PROJECT / package).rglob("*.py") for name in top_level_imports(file)} & ours


def top_level_imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("image", sorted(IMAGES))
def test_the_pins_of_an_image_are_those_of_the_processes(image: str) -> None:
    """And the common layer of all images is a part of each."""
    assert pins("deploy").items() <= pins(image).items() <= pins("aisle").items()


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (PROJECT / "requirements" / f"{lock}.lock").read_text(), re.MULTILINE))


@pytest.mark.parametrize("image", sorted(IMAGES))
def test_every_image_has_its_lock_and_none_has_tools_of_development(image: str) -> None:
    installed = pins(image).keys()
    assert {"msgspec", "numpy"} <= installed
    assert not installed & {"mypy", "ruff", "hypothesis", "grpcio-tools"}  # Locust brings pytest
    assert "tensorflow-cpu" not in installed or image == "job"
