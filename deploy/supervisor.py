"""Starts the processes of a shop in parallel, waits until each is ready, restarts one that dies once, stops all of them."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import httpx

from deploy.layout import Spec
from deploy.processes import describe_exit, identify, spawn, stop
from deploy.state import RunState, ServiceState, StateFile

READY_LIMIT_S = 120.0
LAST_LINES = 5


class Reporter(Protocol):
    """Where the supervisor says what happens."""

    def say(self, line: str) -> None: ...

    def warn(self, line: str) -> None: ...


@dataclass(slots=True)
class Child:
    spec: Spec
    state: ServiceState
    popen: "subprocess.Popen[bytes] | None" = None

    @property
    def down(self) -> bool:
        return self.state.condition == "down"


class Stopping:
    """Counts the wishes to stop: one asks for order, a second one for haste."""

    def __init__(self) -> None:
        self.wishes = 0

    def install(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._wish)

    def _wish(self, number: int, frame: FrameType | None) -> None:
        self.wishes += 1


MISCONFIGURED = 2
"""Exit code of a service whose settings or files are wrong: the same again would end the same."""


class Supervisor:
    """`run` blocks until all is stopped. To be run in the main thread (see `processes.spawn`)."""

    def __init__(self, specs: Sequence[Spec], run: RunState, file: StateFile, environment: Mapping[str, str], reporter: Reporter) -> None:
        self._run, self._file, self._environment, self._reporter = run, file, environment, reporter
        self._children = [
            Child(s, ServiceState(name=s.name, address=s.address, ready_url=s.ready_url, log_file=str(s.log_file))) for s in specs
        ]
        self._run.services = [c.state for c in self._children]
        self._stopping = Stopping()
        self._restart = True

    def run(
        self, *, restart: bool = True, ready_limit_s: float = READY_LIMIT_S, on_ready: Callable[[RunState], None] = lambda run: None
    ) -> int:
        """Exit code: 0 when stopped on request, 1 when it could not start or nothing was left to watch."""
        self._restart = restart
        self._stopping.install()
        try:
            if not self._start(ready_limit_s):
                return 1 if not self._stopping.wishes else 0
            self._save("running")
            on_ready(self._run)
            return self._watch()
        finally:
            self._stop()

    def _start(self, limit_s: float) -> bool:
        self._save("starting")
        for child in self._children:
            self._launch(child)
        self._save("starting")
        began = time.monotonic()
        with httpx.Client(timeout=2.0) as client:
            while waiting := [c for c in self._children if c.state.condition != "ready"]:
                if self._stopping.wishes:
                    return False
                self._reap()
                if failed := next((c for c in waiting if c.down), None):
                    self._reporter.warn(f"{failed.spec.name} cannot start; everything is stopped again")
                    return False
                if time.monotonic() - began > limit_s:
                    self._say_not_ready(waiting, limit_s, client)
                    return False
                for child in waiting:
                    self._look(child, client, began)
                time.sleep(0.05)
        return True

    def _look(self, child: Child, client: httpx.Client, began: float) -> None:
        if child.popen and child.popen.poll() is None and is_ready(child.spec.ready_url, client):
            child.state.condition = "ready"
            self._reporter.say(f"{child.spec.name} is ready ({time.monotonic() - began:.1f} s)")
            self._save("starting")

    def _say_not_ready(self, waiting: list[Child], limit_s: float, client: httpx.Client) -> None:
        for child in waiting:
            reason = why_not_ready(child.spec.ready_url, client)
            self._reporter.warn(f"{child.spec.name} is not ready after {limit_s:.0f} s ({reason}); its log: {child.spec.log_file}")

    def _watch(self) -> int:
        with httpx.Client(timeout=2.0) as client:
            while not self._stopping.wishes:
                self._reap()
                for child in self._children:
                    if child.state.condition in ("restarted", "starting") and is_ready(child.spec.ready_url, client):
                        child.state.condition = "ready"
                        self._reporter.say(f"{child.spec.name} is ready again")
                        self._save("running")
                if all(c.down for c in self._children):
                    self._reporter.warn("no service is left")
                    return 1
                time.sleep(0.1)
        return 0

    def _reap(self) -> None:
        for child in self._children:
            if child.popen is not None and (code := child.popen.poll()) is not None:
                self._died(child, code)

    def _died(self, child: Child, code: int) -> None:
        name, log, how = child.spec.name, child.spec.log_file, describe_exit(code)
        child.popen, child.state.process = None, None
        if code == MISCONFIGURED:
            child.state.condition = "down"
            child.state.why_down = (last_lines(log) or [how])[-1]
            self._reporter.warn(f"{name} cannot start like this: {child.state.why_down.removeprefix(f'{name}: ')}")
        elif self._restart and child.state.restarts == 0:
            child.state.restarts += 1
            self._reporter.warn(f"{name} died ({how}); it is restarted once. Its log: {log}")
            self._launch(child)
            child.state.condition = "restarted"
        else:
            again = " again" if child.state.restarts else ""
            child.state.condition = "down"
            child.state.why_down = f"died{again} ({how})"
            last = " | ".join(last_lines(log)) or "(empty)"
            self._reporter.warn(
                f"{name} died{again} ({how}) and stays down; `aisle down` and `aisle up` start it anew. Last lines of {log}: {last}"
            )
        self._save(self._run.phase)

    def _launch(self, child: Child) -> None:
        if child.state.restarts == 0:
            keep_previous(child.spec.log_file)
        with open(child.spec.log_file, "ab") as log:
            child.popen = spawn(child.spec.argv, {**self._environment, **child.spec.environment}, log)
        child.state.process = identify(child.popen.pid)
        child.state.since_ms = int(time.time() * 1000)

    def _stop(self) -> None:
        running = [c for c in self._children if c.state.process]
        before = self._stopping.wishes  # whoever sees that it stops, and wishes again, is in haste
        self._save("stopping")
        if running:
            self._reporter.say(f"stopping {', '.join(c.spec.name for c in running)}")
        killed = stop([c.state.process for c in running if c.state.process], hurry=lambda: self._stopping.wishes > max(before, 1))
        for child in running:
            if child.popen:
                child.popen.poll()
            if child.state.process and child.state.process in killed:
                self._reporter.warn(f"{child.spec.name} did not stop in time and was killed")
        self._file.remove()
        self._reporter.say("stopped; nothing is left running")

    def _save(self, phase: str) -> None:
        self._run.phase = phase  # type: ignore[assignment]
        self._file.write(self._run)


def is_ready(url: str, client: httpx.Client) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def why_not_ready(url: str, client: httpx.Client) -> str:
    try:
        answer = client.get(url)
    except httpx.HTTPError as error:
        return f"no answer from {url}: {type(error).__name__}"
    return f"{url} answers {answer.status_code}: {answer.text[:300]}"


def keep_previous(log: Path) -> None:
    """Every run starts a log of its own and keeps the one before as `.1`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))


def last_lines(log: Path, count: int = LAST_LINES) -> list[str]:
    """The last lines of a log that say something; [] when there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [line.strip() for line in lines if line.strip()][-count:]
