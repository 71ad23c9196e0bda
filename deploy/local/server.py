"""One real server as a child process: started, polled until ready, stopped; paused and killed by fault tests.

The kernel ends a server when its parent ends, however that happens (PR_SET_PDEATHSIG by `setpriv`, on Linux). It looks at the *thread* that
started the server: start servers from the main thread, or from one that lives as long as they should.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from services.errors import ConfigurationError

START_LIMIT_S = 180.0
GRACE_S = 30.0
"""What a server gets between SIGTERM and SIGKILL."""
_POLL_S = 0.05
_ERROR = re.compile("ERROR|Error|Exception")
_LESS_THAN_THE_ERROR = re.compile("at |Caused by|ERROR: Elasticsearch did not exit normally")
"""What Java programs write after it."""


@dataclass(frozen=True)
class Server:
    """A running server. `url` is what a client is given. A context manager: leaving it stops the server."""

    name: str
    url: str
    process: "subprocess.Popen[bytes]"
    log_file: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives (a paused one does)."""
        return self.process.poll() is None

    def stop(self, grace_s: float = GRACE_S) -> None:
        """End it cleanly: SIGTERM, and SIGKILL after `grace_s`. A server that has ended already is fine."""
        self.process.send_signal(signal.SIGCONT)  # a paused process would not hear the SIGTERM
        self.process.terminate()
        try:
            self.process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()

    def kill(self) -> None:
        """SIGKILL: no goodbye to clients, no flush."""
        self.process.kill()
        self.process.wait()
        self._close()

    def pause(self) -> None:
        """SIGSTOP: connections stay open, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def _close(self) -> None:
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def spawn(
    command: Sequence[str | Path], log_file: Path, *, privileges: Sequence[str] = (), stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None, folder: Path | None = None,
) -> "subprocess.Popen[bytes]":  # fmt: skip
    """Start a server whose output is appended to `log_file`. `privileges`: options of setpriv (user, capabilities). `stdin` is
    written to its standard input, which then stays open."""
    with open(log_file, "ab") as output:
        process = subprocess.Popen(
            [*_guard(privileges), *map(str, command)],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,  # a Ctrl-C in the terminal reaches us alone; we stop the servers
        )
    if process.stdin is not None and stdin is not None:
        with contextlib.suppress(BrokenPipeError):  # it is gone already: the wait for it says why
            process.stdin.write(stdin)
            process.stdin.flush()
    return process


def _guard(privileges: Sequence[str]) -> list[str]:
    """A prefix that makes the kernel end the server with its parent. SIGKILL, since a paused process hears nothing else."""
    if not sys.platform.startswith("linux"):
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ConfigurationError("`setpriv` was not found, which makes servers end with their parent: install util-linux")
    return [setpriv, "--pdeathsig", "KILL", *privileges, "--"]


def await_ready(
    name: str, process: "subprocess.Popen[bytes]", logs: Sequence[Path], ready: Callable[[], str | None], limit_s: float
) -> str:
    """Poll until `ready()` gives the server's address. Raises ConfigurationError, with the server ended, when it ends or is late."""
    give_up = time.monotonic() + limit_s
    try:
        while time.monotonic() < give_up:
            if process.poll() is not None:
                raise ConfigurationError(f"{name} ended while it started (exit code {process.returncode}): {_reason(logs)}")
            address = ready()
            if address is not None:
                return address
            time.sleep(_POLL_S)
        raise ConfigurationError(f"{name} was not ready after {limit_s:.0f} s: {_reason(logs)}")
    except BaseException:
        process.kill()
        process.wait()
        raise


def _reason(logs: Sequence[Path]) -> str:
    """What the logs say of the end: our own message, else the last error, else the last line; and where to read more."""
    lines = [line.strip() for log in logs for line in log.read_text(errors="replace").splitlines() if line.strip()]
    ours = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    blamed = [line for line in lines if _ERROR.search(line) and not _LESS_THAN_THE_ERROR.match(line)]
    said = (ours or blamed or lines or ["it said nothing"])[-1]
    return f"{said[:300]} (more in {' and '.join(str(log) for log in logs)})"


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
