"""Which processes a running shop consists of: names, ports, variables. The one place that knows them."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.preflight import free_port
from services.errors import ConfigurationError

CALIBRATION = "calibration.json"
"""Beside the loads: what the generator does alone."""
PROJECT = Path(__file__).resolve().parent.parent
BACKENDS = ("recommender", "searcher", "ranker")
SERVICES = ("planner", *BACKENDS)
DEFAULT_PORT = 8000
DEFAULT_LOCUST_PORT = 8089


@dataclass(frozen=True, slots=True)
class Spec:
    """One process to start: `ready_path` answers 200 once it can serve."""

    name: str
    argv: list[str]
    host: str
    port: int
    log_file: Path
    environment: dict[str, str] = field(default_factory=dict)
    ready_path: str = "/readyz"
    how_to_change_port: str = ""

    @property
    def address(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def ready_url(self) -> str:
        return self.address + self.ready_path


@dataclass(frozen=True, slots=True)
class Wishes:
    """What `aisle up` was asked for."""

    shop: str
    home: Path
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    locust_port: int = DEFAULT_LOCUST_PORT
    locust: bool = True
    engines: str = "embedded"


def child_environment(home: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """What every child gets: this home, this code, unbuffered output, TensorFlow without its banner."""
    path = [str(PROJECT), *filter(None, [environment.get("PYTHONPATH")])]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "0"}
    return {**quiet, **environment, "AISLE_HOME": str(home), "PYTHONPATH": ":".join(path), "PYTHONUNBUFFERED": "1"}


def specs(wishes: Wishes, logs: Path, environment: Mapping[str, str]) -> list[Spec]:
    """The processes of the shop. A service's own variable (AISLE_RANKER_PORT, ...) goes before the flag; port 0 takes a free one."""
    bare = {name: _service(name, number, wishes, logs, environment) for number, name in enumerate(SERVICES)}
    urls = {f"AISLE_PLANNER_{name.upper()}_URL": bare[name].address for name in BACKENDS}
    bare["planner"].environment.update({k: v for k, v in urls.items() if k not in environment})
    everything = [bare[name] for name in SERVICES]
    if wishes.locust:
        everything.append(_locust(wishes, logs, bare["planner"].address, environment))
    return everything


def _service(name: str, number: int, wishes: Wishes, logs: Path, environment: Mapping[str, str]) -> Spec:
    prefix = f"AISLE_{name.upper()}_"
    host = environment.get(f"{prefix}HOST", wishes.host)
    port = _port(environment, f"{prefix}PORT", wishes.port + number if wishes.port else 0, host)
    own = {f"{prefix}HOST": host, f"{prefix}PORT": str(port), f"{prefix}SHOP": wishes.shop}
    how = f"--port (now {wishes.port}; the API takes it, the other services the three after it) or {prefix}PORT"
    return Spec(name, [sys.executable, "-m", name], host, port, logs / f"{name}.log", own, how_to_change_port=how)


def _locust(wishes: Wishes, logs: Path, api: str, environment: Mapping[str, str]) -> Spec:
    port = _port(environment, "AISLE_LOCUST_PORT", wishes.locust_port, wishes.host)
    shop_root = wishes.home / "shops" / wishes.shop
    argv = [sys.executable, "-m", "locust", "-f", str(PROJECT / "loadgen" / "locustfile.py"), "--host", api, "--shop-root", str(shop_root)]
    loads = wishes.home / "run" / "loads"
    argv += ["--results", str(loads), "--calibration", str(loads / CALIBRATION)]
    argv += ["--web-host", wishes.host, "--web-port", str(port), "--users", "20", "--spawn-rate", "10", "--loglevel", "WARNING"]
    how = "--locust-port or AISLE_LOCUST_PORT, or leave it out with --no-locust"
    return Spec("locust", argv, wishes.host, port, logs / "locust.log", ready_path="/", how_to_change_port=how)


def _port(environment: Mapping[str, str], variable: str, default: int, host: str) -> int:
    given = environment.get(variable, str(default))
    if not given.isdecimal() or int(given) > 65535:
        raise ConfigurationError(f"{variable}={given!r}: a port is a number from 0 to 65535")
    return int(given) or free_port(host)
