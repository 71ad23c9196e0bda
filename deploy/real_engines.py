"""Real engines for `aisle up --engines real`: four Elasticsearch clusters, Neo4j and the model server as local processes, with fresh data.

Which engine a service uses is a matter of its settings alone (AISLE_SEARCHER_HIGH_URL, ...): this starts what they shall name, and names it. An
engine whose setting is given already is not started.
"""

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from deploy import setup
from deploy.console import Terminal
from deploy.local import elasticsearch, model_server, neo4j
from deploy.local.server import Server
from deploy.local.toolchain import Toolchain
from deploy.processes import identify, is_alive
from deploy.state import RunState, ServiceState, StateFile
from services.artifacts import Versions
from services.shop import Shop

TIERS = ("high", "medium", "low")
GRAPH, MODELS = "AISLE_RECOMMENDER_GRAPH_URL", "AISLE_RECOMMENDER_MODELS_URL"
SETTINGS: dict[str, tuple[str, ...]] = {
    **{f"elasticsearch-{tier}": (f"AISLE_SEARCHER_{tier.upper()}_URL",) for tier in TIERS},
    "elasticsearch-products": ("AISLE_PLANNER_PRODUCTS_URL", "AISLE_RANKER_RANKING_URL"),
    "neo4j": (GRAPH,),
    "model-server": (MODELS,),
}
"""Engine -> the settings that name it. The ranker's own network stays in its process (0.03 ms there, 0.5 and a hop on a server), so that a model
server that fails costs preferences and nothing else; AISLE_RANKER_MODELS_URL moves it."""
FILLED = ("searcher", "planner", "ranker")
"""Owners of what is in Elasticsearch; the user graph is filled from the log by the recommender itself."""
START_LIMIT_S = 600.0
"""Six servers start at once, maybe on a machine that is busy."""
READY_LIMIT_S = 600.0
"""The user graph of a long history takes its time."""

Start = Callable[[Path, Toolchain], Server]


@dataclass(frozen=True, slots=True)
class Engines:
    """What runs, and the settings that name it (those that were given included)."""

    servers: Mapping[str, Server]
    settings: Mapping[str, str]

    def states(self) -> list[ServiceState]:
        now_ms = int(time.time() * 1000)
        return [
            ServiceState(
                name=name,
                address=s.url,
                ready_url="",
                log_file=str(s.log_file),
                process=identify(s.pid),
                condition="ready",
                since_ms=now_ms,
            )
            for name, s in self.servers.items()
        ]


@contextlib.contextmanager
def running(shop: Shop, folder: Path, environment: Mapping[str, str], terminal: Terminal) -> Iterator[Engines]:
    """The engines that no setting of the environment names yet, ready, their data below `folder`; stopped, and their data removed, at the end.

    To be entered in the main thread. Raises ConfigurationError in one line: no Java, no Maven for the first download, ...
    """
    toolchain = require_toolchain(environment)
    missing = {name: start for name, start in _starts(shop).items() if name in _missing(environment)}
    _remove(folder)
    for product in _products(environment):
        product.install(toolchain, terminal.say)
    began, pool = time.monotonic(), ThreadPoolExecutor(len(missing) or 1, "engine")  # its threads live as long as what they started
    try:
        terminal.head(f"starting {', '.join(missing) or 'no engine: all are given by settings'}")
        servers = _all_started({name: pool.submit(start, folder / name, toolchain) for name, start in missing.items()})
        terminal.say(f"  ready in {time.monotonic() - began:.1f} s")
        try:
            given = {s: environment[s] for settings in SETTINGS.values() for s in settings if environment.get(s)}
            yield Engines(servers, {s: servers[name].url for name in servers for s in SETTINGS[name]} | given)
        finally:
            _stop(servers.values())
    finally:
        pool.shutdown()
        _remove(folder)


def require_toolchain(environment: Mapping[str, str]) -> Toolchain:
    """What the engines that are to be started need of this machine. Raises ConfigurationError: no Java, no Maven for a first download."""
    toolchain, products = Toolchain(environment), _products(environment)
    if products:
        _ = toolchain.java
    if any(not (toolchain.cache / product.NAME).is_dir() for product in products):
        _ = toolchain.maven
    return toolchain


def fill(shop: Shop, environment: Mapping[str, str], logs: Path, terminal: Terminal, note: setup.Note) -> None:
    """Copy the current generation into the engines that the environment names. Raises ConfigurationError."""
    generation = Versions(shop.generations).current()
    steps = [
        setup.module(f"fill-{owner}", f"generation {generation} of the {owner} into its engines", f"{owner}.build", str(shop.root), str(generation), "--engines-only")
        for owner in FILLED
    ]  # fmt: skip
    setup.run_steps(steps, environment, logs, terminal, note)


def of_running(state: StateFile, shop: Shop) -> dict[str, str]:
    """Settings of the engines that this shop runs on now: what builds a generation now has to fill them too. {} when it runs on none."""
    run = state.read()
    return dict(run.engine_settings) if run and run.shop == shop.name and is_alive(run.supervisor) else {}


def note(run: RunState, engines: Engines) -> None:
    run.engines, run.engine_settings = engines.states(), dict(engines.settings)


def _missing(environment: Mapping[str, str]) -> set[str]:
    """Engines that no setting names."""
    return {name for name, settings in SETTINGS.items() if not all(environment.get(s) for s in settings)}


def _products(environment: Mapping[str, str]) -> list[ModuleType]:
    """Those of deploy.local that have to be downloaded and need Java."""
    missing = _missing(environment)
    return [module for start, module in (("elasticsearch", elasticsearch), ("neo4j", neo4j)) if any(n.startswith(start) for n in missing)]


def _starts(shop: Shop) -> dict[str, Start]:
    starts: dict[str, Start] = {name: _cluster(name) for name in SETTINGS if name.startswith("elasticsearch")}
    starts["neo4j"] = lambda folder, toolchain: neo4j.start(folder, toolchain=toolchain, limit_s=START_LIMIT_S)
    starts["model-server"] = lambda folder, toolchain: model_server.start(shop.releases, data_dir=folder)
    return starts


def _cluster(name: str) -> Start:
    return lambda folder, toolchain: elasticsearch.start(folder, cluster_name=name, toolchain=toolchain, limit_s=START_LIMIT_S)


def _all_started(starting: Mapping[str, "Future[Server]"]) -> dict[str, Server]:
    """All of them; when one fails, or we are interrupted, those that did start (also later) are stopped."""
    try:
        return {name: future.result() for name, future in starting.items()}
    except BaseException:
        for future in starting.values():
            future.add_done_callback(_stop_result)
        raise


def _stop_result(future: "Future[Server]") -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().stop()


def _stop(servers: Iterable[Server]) -> None:
    threads = [threading.Thread(target=server.stop) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
