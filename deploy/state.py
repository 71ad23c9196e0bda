"""What runs, as a file: written by the supervisor, read by every other command."""

from pathlib import Path
from typing import Literal

import msgspec

from services.shop import write_atomically

Phase = Literal["preparing", "starting", "running", "stopping"]
Condition = Literal["starting", "ready", "restarted", "down"]


class Identity(msgspec.Struct, frozen=True):
    """A process beyond doubt: its pid and when it started (seconds since the epoch), since pids are reused."""

    pid: int
    started: float


class ServiceState(msgspec.Struct, kw_only=True):
    name: str
    address: str
    ready_url: str
    log_file: str
    process: Identity | None = None
    condition: Condition = "starting"
    restarts: int = 0
    since_ms: int = 0
    why_down: str | None = None


class RunState(msgspec.Struct, kw_only=True):
    supervisor: Identity
    shop: str
    phase: Phase
    since_ms: int
    step: str | None = None
    """What is being made while `preparing`."""
    step_process: Identity | None = None
    services: list[ServiceState] = []
    engines: list[ServiceState] = []
    """Real engines that were started with the services (`--engines real`)."""
    engine_settings: dict[str, str] = {}
    """What names them to services and builders: AISLE_SEARCHER_HIGH_URL, ..."""

    def processes(self) -> list[Identity]:
        """Every process the supervisor started and last knew of."""
        return [p for p in [self.step_process, *(s.process for s in (*self.services, *self.engines))] if p]

    def service(self, name: str) -> ServiceState | None:
        return next((s for s in self.services if s.name == name), None)


class StateFile:
    """`<home>/run/state.json`; absent when nothing was started, or all was stopped in order."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "run"
        self.path = self.folder / "state.json"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def read(self) -> RunState | None:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=RunState)
        except FileNotFoundError:
            return None

    def write(self, state: RunState) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, msgspec.json.format(msgspec.json.encode(state), indent=2))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
