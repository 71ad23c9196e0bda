"""A whole shop on free ports for tests: started with the same command that people use, and stopped with it."""

import os
import subprocess
import sys
import time
from pathlib import Path

from deploy.layout import PROJECT
from deploy.processes import is_alive
from deploy.running import clean_up
from deploy.state import ServiceState, StateFile


class Stack:
    """`with Stack.start(home, "demo") as stack: httpx.post(stack.url + "/search", ...)`. Processes that die are restarted only when asked for.

    Everything missing is made first (see deploy/setup.py); raises AssertionError with what `aisle up` said when it does not come up.
    """

    def __init__(self, home: Path, popen: "subprocess.Popen[bytes]", output: Path) -> None:
        self.home, self._popen, self._output = home, popen, output
        self.state = StateFile(home)

    @classmethod
    def start(
        cls,
        home: Path,
        shop: str = "demo",
        *,
        limit_s: float = 300.0,
        locust: bool = False,
        environment: dict[str, str] | None = None,
        engines: str = "embedded",
        restart: bool = False,
    ) -> "Stack":
        home.mkdir(parents=True, exist_ok=True)
        output = home / "up.txt"
        argv = [sys.executable, "-m", "deploy.cli", "up", "--shop", shop, "--port", "0", "--locust-port", "0", "--engines", engines]
        argv += ["--locust" if locust else "--no-locust", "--restart" if restart else "--no-restart"]
        with open(output, "wb") as file:
            popen = subprocess.Popen(
                argv,
                cwd=PROJECT,
                env={**os.environ, **(environment or {}), "AISLE_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        stack = cls(home, popen, output)
        try:
            stack._wait_until_running(limit_s)
        except BaseException:
            stack.close()
            raise
        return stack

    @property
    def said(self) -> str:
        """What `aisle up` printed."""
        return self._output.read_text()

    @property
    def url(self) -> str:
        """Address of the public API."""
        return self.service("planner").address

    def service(self, name: str) -> ServiceState:
        run = self.state.read()
        found = run.service(name) if run else None
        assert found, f"no service {name!r} runs; {self.said}"
        return found

    def engine(self, name: str) -> ServiceState:
        """One of the real engines."""
        run = self.state.read()
        return next(e for e in (run.engines if run else []) if e.name == name)

    def stop(self, name: str) -> None:
        """End one service for good (SIGKILL), and wait until the supervisor has noticed."""
        process = self.service(name).process
        assert process
        os.kill(process.pid, 9)
        give_up = time.monotonic() + 10
        while self.service(name).condition != "down":
            assert time.monotonic() < give_up, self.said
            time.sleep(0.02)

    def close(self) -> None:
        """Stop everything, as Ctrl-C does; idempotent."""
        run = self.state.read()
        if self._popen.poll() is None:
            self._popen.terminate()
            try:
                self._popen.wait(30)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        clean_up(self.state)
        left = [p for p in run.processes() if is_alive(p)] if run else []
        assert not left, f"processes are left: {left}"

    def __enter__(self) -> "Stack":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _wait_until_running(self, limit_s: float) -> None:
        give_up = time.monotonic() + limit_s
        while not ((run := self.state.read()) and run.phase == "running"):
            assert self._popen.poll() is None, f"`aisle up` ended with {self._popen.returncode}: {self.said}"
            assert time.monotonic() < give_up, f"not running after {limit_s:.0f} s: {self.said}"
            time.sleep(0.05)
