"""The supervisor with real processes: what it starts ends with it, whatever happens to either."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.layout import PROJECT
from deploy.preflight import free_port
from deploy.processes import is_alive
from deploy.running import clean_up
from deploy.state import Identity, RunState, StateFile


def until(condition: Callable[[], object], limit_s: float = 60.0) -> None:
    give_up = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.02)


class Run:
    """One supervisor process; `said` is all that it printed."""

    def __init__(self, home: Path, *services: str, restart: bool = True) -> None:
        self.state = StateFile(home)
        self._output = home / "output.txt"
        argv = [sys.executable, str(Path(__file__).with_name("fake_stack.py")), str(home), "restart" if restart else "no-restart"]
        argv += [
            f"{name}:{free_port('127.0.0.1')}{flag}"
            for name, _, flag in (s.partition(":") for s in services)
            for flag in [f":{flag}" if flag else ""]
        ]
        with open(self._output, "wb") as output:
            self.popen = subprocess.Popen(
                argv, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdout=output, stderr=subprocess.STDOUT
            )
        self.seen: list[Identity] = []

    @property
    def said(self) -> str:
        return self._output.read_text()

    def read(self) -> RunState:
        run = self.state.read()
        assert run is not None
        self.seen.extend(p for p in run.processes() if p not in self.seen)
        return run

    def started(self) -> "Run":
        until(lambda: self.popen.poll() is not None or ((run := self.state.read()) and run.phase == "running"))
        assert self.popen.poll() is None, self.said
        self.read()
        return self

    def pid(self, name: str) -> int:
        service = self.read().service(name)
        assert service and service.process
        return service.process.pid

    def condition(self, name: str) -> str:
        service = self.read().service(name)
        assert service
        return service.condition

    def end(self, number: int = signal.SIGINT) -> int:
        self.popen.send_signal(number)
        return self.popen.wait(20)

    def left(self) -> list[Identity]:
        return [p for p in self.seen if is_alive(p)]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def started(*services: str, restart: bool = True) -> Run:
        runs.append(Run(tmp_path, *services, restart=restart))
        return runs[-1]

    yield started
    for run in runs:
        if run.popen.poll() is None:
            run.popen.kill()
            run.popen.wait()
        clean_up(run.state)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_every_service_and_leaves_no_process_and_no_state(start: Callable[..., Run], number: int) -> None:
    run = start("one", "two").started()
    assert len(run.seen) == 2
    assert run.end(number) == 0
    assert run.left() == []
    assert run.state.read() is None


def test_children_of_a_killed_supervisor_end_too(start: Callable[..., Run]) -> None:
    run = start("one", "two").started()
    run.end(signal.SIGKILL)
    if sys.platform != "linux":  # elsewhere `aisle down` has to be called
        clean_up(run.state)
    until(lambda: not run.left())


def test_down_ends_what_a_killed_supervisor_could_not(start: Callable[..., Run]) -> None:
    run = start("one:stubborn").started()
    run.end(signal.SIGKILL)
    assert len(run.left()) == 1  # it ignores the SIGTERM that Linux sends
    assert clean_up(run.state, grace_s=0.3) == 1
    assert run.left() == []
    assert run.state.read() is None


def test_a_second_interrupt_kills_what_does_not_want_to_stop(start: Callable[..., Run]) -> None:
    run = start("one", "two:stubborn").started()
    run.popen.send_signal(signal.SIGINT)
    until(lambda: run.read().phase == "stopping")
    assert run.end(signal.SIGINT) == 0
    assert run.left() == []
    assert "two did not stop in time and was killed" in run.said


def test_a_service_that_dies_is_restarted_once_and_then_said_to_be_down_while_the_rest_goes_on(start: Callable[..., Run]) -> None:
    run = start("one", "two").started()
    other, first = run.pid("two"), run.pid("one")
    os.kill(first, signal.SIGKILL)
    until(lambda: "one is ready again" in run.said)
    assert run.pid("one") != first
    os.kill(run.pid("one"), signal.SIGKILL)
    until(lambda: run.condition("one") == "down")
    until(lambda: "one died again (signal SIGKILL) and stays down" in run.said)
    assert str(run.state.logs / "one.log") in run.said
    assert run.pid("two") == other
    assert run.popen.poll() is None
    assert run.end() == 0
    assert run.left() == []


def test_without_restart_a_service_that_dies_stays_down(start: Callable[..., Run]) -> None:
    run = start("one", "two", restart=False).started()
    os.kill(run.pid("two"), signal.SIGTERM)
    until(lambda: run.condition("two") == "down")
    assert "restarted" not in run.said


def test_when_no_service_is_left_the_supervisor_ends_with_an_error(start: Callable[..., Run]) -> None:
    run = start("one", restart=False).started()
    os.kill(run.pid("one"), signal.SIGKILL)
    assert run.popen.wait(60) == 1
    assert "no service is left" in run.said


def test_a_service_that_cannot_start_is_named_with_its_last_words_and_everything_is_stopped(start: Callable[..., Run]) -> None:
    run = start("good", "bad:fails")
    assert run.popen.wait(60) == 1
    assert "bad died again (exit code 1)" in run.said
    assert "the dictionary is missing: run `aisle build`" in run.said
    assert run.state.read() is None
