"""What is checked before anything is started; each check raises ConfigurationError with one line that says what to do."""

import errno
import fcntl
import os
import random
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

from deploy.processes import is_alive
from deploy.state import StateFile
from services.errors import ConfigurationError
from services.shop import Shop, open_shop

_chance = random.SystemRandom()  # whatever seeds others set: two processes must not take the same ports one after the other
NEEDED_BYTES = 2 * 1024**3
"""To make a shop."""
SERVING_BYTES = 100 * 1024**2
"""To serve one that is made: logs and events."""
WORKERS_REASON = (
    "embedded engines run in one worker per service (the graph and the event log have one process that opens them); "
    "scale-out is replicas on real engines, which are not part of this version: leave --workers at 1"
)


def check_workers(workers: int, environment: Mapping[str, str]) -> None:
    """One worker per service. WEB_CONCURRENCY is what Uvicorn would read."""
    if workers != 1:
        raise ConfigurationError(f"--workers {workers} is refused: {WORKERS_REASON}")
    concurrency = environment.get("WEB_CONCURRENCY", "1")
    if concurrency != "1":
        raise ConfigurationError(f"WEB_CONCURRENCY={concurrency} is refused (unset it): {WORKERS_REASON}")


def check_disk(folder: Path, needed: int = NEEDED_BYTES) -> None:
    existing = next(p for p in [folder, *folder.parents] if p.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise ConfigurationError(
            f"only {free / 1024**3:.1f} GB are free where {folder} is, {needed / 1024**3:.1f} GB are needed: free some, or set AISLE_HOME to another disk"
        )
    if not os.access(existing, os.W_OK):
        raise ConfigurationError(f"{existing} cannot be written to: change its permissions, or set AISLE_HOME to another folder")


def check_port(name: str, host: str, port: int, how_to_change: str) -> None:
    """`how_to_change` names the flag or variable."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise ConfigurationError(
                f"port {port} ({name}) may not be opened by this user: choose one above 1023 with {how_to_change}"
            ) from None
        except OSError as error:
            holder = _holder(port)
            raise ConfigurationError(
                f"port {port} ({name}) on {host} is taken{holder or f' ({error.strerror})'}: stop that, or choose another with {how_to_change}"
            ) from None


def _holder(port: int) -> str:
    """` by pid 12 (python)` when the operating system tells us."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port and connection.pid:
            try:
                return f" by pid {connection.pid} ({psutil.Process(connection.pid).name()})"
            except psutil.NoSuchProcess:
                return f" by pid {connection.pid}"
    return ""


def free_port(host: str) -> int:
    """A port that is free now; who binds it first has it. It may be bound minutes later, when a shop has been made: so it is none of those that
    systems give to outgoing connections (from 32,768 on), as long as there is another."""
    for port in (*(_chance.randrange(20_000, 32_000) for _ in range(100)), 0):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or port == 0:
                    raise
                continue
            return int(probe.getsockname()[1])
    raise AssertionError("the last one is the system's choice")


def check_not_running(state: StateFile) -> None:
    running = state.read()
    if running and is_alive(running.supervisor):
        raise ConfigurationError(
            f"already running: shop {running.shop!r}, supervisor pid {running.supervisor.pid}; `aisle status` shows it, `aisle down` stops it "
            "(another home, AISLE_HOME, can run beside it on other ports)"
        )


class RunLock:
    """Held by the one supervisor of a home; the operating system lets go of it when that process ends, however it ends."""

    def __init__(self, state: StateFile) -> None:
        self._state = state
        state.folder.mkdir(parents=True, exist_ok=True)
        self._file = open(state.folder / "supervisor.lock", "wb")  # noqa: SIM115 - held for as long as the process lives
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            check_not_running(state)
            raise ConfigurationError(f"another `aisle up` is starting in {state.folder.parent}; `aisle status` shows it") from None

    def release(self) -> None:
        self._file.close()


def existing_shops(home: Path) -> list[str]:
    shops = home / "shops"
    return sorted(p.name for p in shops.iterdir() if (p / "shop.json").is_file()) if shops.is_dir() else []


def require_shop(name: str, home: Path) -> Shop:
    """The shop; for one that does not exist, the error names those that do."""
    shop = open_shop(name, home)
    if not shop.info_file.is_file():
        known = existing_shops(home)
        listed = f"there are: {', '.join(known)}" if known else "there is none yet"
        raise ConfigurationError(
            f"shop {name!r} does not exist in {home}; {listed}. Make it with `aisle data` (a demo world) or `aisle import` (a catalogue)"
        )
    return shop
