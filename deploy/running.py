"""Commands about running processes: up, down, status, logs."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from deploy import layout, real_engines, setup
from deploy.console import Terminal, columns
from deploy.preflight import NEEDED_BYTES, SERVING_BYTES, RunLock, check_disk, check_not_running, check_port, check_workers, require_shop
from deploy.processes import GRACE_S, identify, is_alive, members, stop
from deploy.state import Identity, RunState, StateFile
from deploy.status import show
from deploy.supervisor import READY_LIMIT_S, Supervisor, last_lines
from services import children
from services.artifacts import Versions
from services.errors import ConfigurationError
from services.shop import Shop, home, open_shop

NOT_RUNNING = 3
"""Exit code of `aisle status` when nothing runs (the LSB's code for `program is not running`)."""
LAST_WORDS = "puts it under load."
DETACHED_LIMIT_S = 1800.0


@click.command()
@click.option(
    "--shop", default=setup.DEMO, envvar="AISLE_SHOP", show_default=True, help="Which shop to serve; `demo` is made when it does not exist."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that everything listens on.")
@click.option(
    "--port",
    default=layout.DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65532),
    help="Port of the API; recommender, searcher and ranker take the three after it. 0: free ones.",
)
@click.option(
    "--locust-port", default=layout.DEFAULT_LOCUST_PORT, show_default=True, type=click.IntRange(0, 65535), help="Port of Locust's web page."
)
@click.option("--locust/--no-locust", default=True, show_default=True, help="Whether to start Locust's web page.")
@click.option("--restart/--no-restart", default=True, show_default=True, help="Whether a service that dies is restarted (once).")
@click.option("--workers", default=1, show_default=True, help="Processes per service; embedded engines allow one.")
@click.option(
    "--engines",
    default="embedded",
    envvar="AISLE_ENGINES",
    show_default=True,
    type=click.Choice(["embedded", "real"]),
    help="real: Elasticsearch, Neo4j and the model server, as local processes with fresh data (needs Java 17; downloaded once, with Maven).",
)
@click.option("--detach", is_flag=True, help="Return once everything is ready; `aisle down` stops it.")
def up(shop: str, host: str, port: int, locust_port: int, locust: bool, restart: bool, workers: int, engines: str, detach: bool) -> None:
    """Make what is missing, start every service, wait until each is ready, print the addresses.

    The first time this makes the demo world, its logs, generation 1 and release 1 (some minutes); a second time it just starts.
    Runs until Ctrl-C or `aisle down`.

    \b
    Examples:
      aisle up
      aisle up --shop electronics --port 8100 --locust-port 8189
      AISLE_RANKER_PORT=9003 aisle up --no-restart
      aisle up --detach && aisle load && aisle down
      aisle up --engines real
    """
    check_workers(workers, os.environ)
    base, state = home(), StateFile(home())
    check_not_running(state)
    target = open_shop(shop, base) if shop == setup.DEMO else require_shop(shop, base)
    check_disk(base, NEEDED_BYTES if setup.steps_to_serve(target, setup.look(target)) else SERVING_BYTES)
    if engines == "real":
        real_engines.require_toolchain(os.environ)  # before minutes are spent on a shop
    wishes = layout.Wishes(shop, base, host, port, locust_port, locust, engines)
    if detach:
        _detached(state, target, wishes, restart)
    else:
        raise SystemExit(_foreground(state, target, wishes, restart))


def _foreground(state: StateFile, shop: Shop, wishes: layout.Wishes, restart: bool) -> int:
    terminal = Terminal()
    lock = RunLock(state)
    clean_up(state)
    specs = layout.specs(wishes, state.logs, os.environ)
    for spec in specs:
        check_port(spec.name, spec.host, spec.port, spec.how_to_change_port)
    environment = layout.child_environment(wishes.home, os.environ)
    run = RunState(supervisor=_myself(), shop=shop.name, phase="preparing", since_ms=int(time.time() * 1000))
    try:
        _prepare(state, run, shop, environment, terminal)
        check_versions(shop)
        if wishes.engines == "embedded":
            return _serve(state, run, shop, specs, environment, terminal, restart)
        with _interruptible(), real_engines.running(shop, state.folder / "engines", environment, terminal) as engines:
            environment |= engines.settings
            real_engines.note(run, engines)
            real_engines.fill(shop, environment, state.logs, terminal, _noting(state, run))
            return _serve(state, run, shop, specs, environment, terminal, restart, real_engines.READY_LIMIT_S)
    finally:
        state.remove()
        lock.release()


def _serve(
    state: StateFile,
    run: RunState,
    shop: Shop,
    specs: list[layout.Spec],
    environment: dict[str, str],
    terminal: Terminal,
    restart: bool,
    ready_limit_s: float = READY_LIMIT_S,
) -> int:
    terminal.head(f"starting shop {shop.name!r}")
    supervisor = Supervisor(specs, run, state, environment, terminal)
    return supervisor.run(restart=restart, ready_limit_s=ready_limit_s, on_ready=lambda run: _addresses(run, terminal))


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C or `aisle down` before the services run."""
    try:
        yield
    except KeyboardInterrupt:
        raise ConfigurationError("stopped while the engines were prepared; nothing is left running") from None


def _noting(state: StateFile, run: RunState) -> setup.Note:
    def note(step: str | None, process: Identity | None) -> None:
        run.step, run.step_process = step, process
        state.write(run)

    return note


def _prepare(state: StateFile, run: RunState, shop: Shop, environment: dict[str, str], terminal: Terminal) -> None:
    steps = setup.steps_to_serve(shop, setup.look(shop))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # `aisle down` interrupts like Ctrl-C

    state.write(run)
    try:
        setup.run_steps(steps, environment, state.logs, terminal, _noting(state, run))
    except KeyboardInterrupt:
        raise ConfigurationError("stopped while preparing; `aisle up` goes on with the step that was interrupted") from None


def _myself() -> Identity:
    me = identify(os.getpid())
    assert me is not None
    return me


def check_versions(shop: Shop) -> None:
    """The current generation and release must be ones that this code can serve; the error says which command makes new ones."""
    remedies = {"generations": "run `aisle build`", "releases": "run `aisle train`, or `aisle rollback` to one of those"}
    for versions in (Versions(shop.generations), Versions(shop.releases)):
        current = versions.current()
        if current is None:
            raise ConfigurationError(f"shop {shop.name!r} has no current version in {versions.root}: run `aisle build` and `aisle train`")
        if current not in versions.complete():
            raise ConfigurationError(
                f"{versions.root / 'CURRENT'} names version {current}, which is not there (complete: {versions.complete()}): {remedies[versions.root.name]}"
            )
        manifest = versions.manifest(current)
        if missing := next((f for f in manifest.files if not (versions.folder(current) / f).is_file()), None):
            raise ConfigurationError(
                f"{versions.folder(current) / missing} is missing: run `aisle build` (a generation) or `aisle train` (a release)"
            )


def _addresses(run: RunState, terminal: Terminal) -> None:
    table = columns(f"AIsle serves shop {run.shop!r}", "what", "address")
    for service in run.services:
        if service.name == "planner":
            table.add_row("API", service.address)
            table.add_row("its OpenAPI page", f"{service.address}/docs")
        elif service.name == "locust":
            table.add_row("load (Locust)", service.address)
            table.add_row("its stages", f"{service.address}/stages")
    for service in run.services:
        if service.name != "locust":
            table.add_row(f"metrics of the {service.name}", f"{service.address}/metrics")
    terminal.table(table)
    terminal.say(f"Ctrl-C or `aisle down` stops it; `aisle status` shows it; `aisle load` {LAST_WORDS}")


def _detached(state: StateFile, shop: Shop, wishes: layout.Wishes, restart: bool) -> None:
    """Start `aisle up` as a process of its own, show what it says until it is ready, and leave it."""
    terminal = Terminal()
    argv = [sys.executable, "-m", "deploy.cli", "up", "--shop", shop.name, "--host", wishes.host, "--port", str(wishes.port)]
    argv += ["--locust-port", str(wishes.locust_port), "--locust" if wishes.locust else "--no-locust"]
    argv += ["--restart" if restart else "--no-restart", "--engines", wishes.engines]
    state.logs.mkdir(parents=True, exist_ok=True)
    log = state.logs / "supervisor.log"
    with open(log, "wb") as output:
        environment = layout.child_environment(wishes.home, os.environ)
        process = subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    with open(log, encoding="utf-8", errors="replace") as said:
        give_up, whole = time.monotonic() + DETACHED_LIMIT_S, ""
        while time.monotonic() < give_up:
            if text := said.read():
                click.echo(text, nl=False)
                whole += text
            run = state.read()
            if run and run.phase == "running" and run.supervisor.pid == process.pid and LAST_WORDS in " ".join(whole.split()):
                return
            if process.poll() is not None:
                click.echo(said.read(), nl=False)
                raise SystemExit(process.returncode or 1)
            time.sleep(0.1)
    terminal.warn(f"not ready after {DETACHED_LIMIT_S:.0f} s; it goes on in the background, `aisle status` and {log} tell how far it is")
    raise SystemExit(1)


@click.command()
def down() -> None:
    """Stop everything that `aisle up` started, and what a crashed one left behind.

    \b
    Example:
      aisle down
    """
    terminal, state = Terminal(), StateFile(home())
    run = state.read()
    if run is None:
        terminal.say(f"nothing is running in {home()}")
        return
    if is_alive(run.supervisor):
        with terminal.working("stopping"):
            _ask_to_stop(run.supervisor)
    left = clean_up(state)
    terminal.say(
        f"stopped shop {run.shop!r}"
        + (f" ({left} processes of a crashed run were left and are gone too)" if left else "")
        + "; nothing is left running"
    )


def _ask_to_stop(supervisor: Identity, limit_s: float = 20.0) -> None:
    """It stops its children itself; when it does not end in time, it is killed (and `clean_up` takes care of them)."""
    os.kill(supervisor.pid, signal.SIGTERM)
    give_up = time.monotonic() + limit_s
    while is_alive(supervisor) and time.monotonic() < give_up:
        time.sleep(0.05)
    if is_alive(supervisor):
        os.kill(supervisor.pid, signal.SIGKILL)


def clean_up(state: StateFile, *, grace_s: float = GRACE_S) -> int:
    """End what a supervisor that is gone left behind; returns how many processes that were."""
    run = state.read()
    if run is None:
        return 0
    left = [p for leader in run.processes() for p in members(leader)]
    stop(run.processes(), grace_s=grace_s)
    state.remove()
    return len(left)


@click.command()
def status() -> None:
    """What runs, where, since when, with which generation and release, and how much memory.

    Exit code 0: all is ready; 1: something is down or not ready; 3: nothing runs.

    \b
    Example:
      aisle status || echo "something is wrong"
    """
    run = StateFile(home()).read()
    if run is None or not is_alive(run.supervisor):
        left = [p for leader in run.processes() for p in members(leader)] if run else []
        hint = f"; a crashed run left {len(left)} processes, `aisle down` ends them" if left else "; `aisle up` starts it"
        click.echo(f"not running ({home()}){hint}")
        raise SystemExit(NOT_RUNNING)
    raise SystemExit(0 if show(run, Terminal()) else 1)


@click.command()
@click.argument("service", required=False)
@click.option("-n", "--lines", default=40, show_default=True, help="How many of the last lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until Ctrl-C.")
def logs(service: str | None, lines: int, follow: bool) -> None:
    """The last lines of each service's log, or of one.

    \b
    Examples:
      aisle logs
      aisle logs planner -n 200
      aisle logs ranker --follow
    """
    folder = StateFile(home()).logs
    known = sorted(p.stem for p in folder.glob("*.log"))
    if not known or (service and service not in known):
        listed = f"there are: {', '.join(known)}" if known else "nothing was started yet"
        raise ConfigurationError(f"no log {f'of {service!r} ' if service else ''}in {folder}; {listed}")
    for name in [service] if service else known:
        if not service:
            Terminal().head(f"== {name}")
        for line in last_lines(folder / f"{name}.log", lines):
            click.echo(line)
    if follow:
        if not service:
            raise click.UsageError("--follow needs the name of one service")
        _follow(folder / f"{service}.log")


def _follow(log: Path) -> None:
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            file.seek(0, os.SEEK_END)
            while True:
                if text := file.read():
                    click.echo(text, nl=False)
                else:
                    time.sleep(0.2)
    except KeyboardInterrupt:
        return


def running_planner(state: StateFile) -> tuple[RunState, str]:
    """What runs and the address of its API. Raises ConfigurationError when nothing does."""
    run = state.read()
    if run is None or not is_alive(run.supervisor):
        raise ConfigurationError(f"nothing is running in {state.folder.parent}: start it with `aisle up` (or set AISLE_HOME)")
    if run.phase != "running":
        raise ConfigurationError(
            f"shop {run.shop!r} is still {run.phase}{f' ({run.step})' if run.step else ''}: wait until `aisle status` says ready"
        )
    planner = run.service("planner")
    if planner is None or planner.condition == "down":
        raise ConfigurationError("the planner is down: `aisle logs planner` says why; `aisle down` and `aisle up` start it anew")
    return run, planner.address


def run_through(argv: list[str]) -> int:
    """Run a command of ours in its environment (services/children.py)."""
    return children.run_through(argv, layout.child_environment(home(), os.environ))
