"""Child processes: each in a process group of its own, dying with its parent, stopped with SIGTERM and then SIGKILL."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO

import psutil

from deploy.state import Identity

GRACE_S = 10.0
"""What a process gets between SIGTERM and SIGKILL."""
_PR_SET_PDEATHSIG = 1
_CLOCK_TOLERANCE_S = 2.0  # start times are derived from the boot time, which moves when the clock is set


def spawn(argv: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | int) -> "subprocess.Popen[bytes]":
    """Start a child whose output and errors go to `output`. To be called from the main thread: Linux ends the child when that thread ends."""
    return subprocess.Popen(
        argv,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,  # a Ctrl-C in the terminal reaches us alone; we stop the others in order
        preexec_fn=_die_with(os.getpid()),  # one system call, before any thread of ours takes a lock
    )


def _die_with(parent: int) -> Callable[[], None] | None:
    """Makes Linux send SIGTERM to the child when its parent is gone, even by SIGKILL; elsewhere `aisle down` cleans up."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return ask


def identify(pid: int) -> Identity | None:
    """The identity of a running process; None when it is gone."""
    try:
        return Identity(pid, psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def is_alive(identity: Identity) -> bool:
    """Whether this very process still runs (another one with its pid does not count, nor does a zombie)."""
    try:
        process = psutil.Process(identity.pid)
        same = abs(process.create_time() - identity.started) < _CLOCK_TOLERANCE_S
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def members(identity: Identity) -> list[Identity]:
    """The process and everything in the group that it leads, its leader gone or not."""
    found = []
    for process in psutil.process_iter(["create_time", "status"]):
        started = process.info["create_time"]
        if started is None or process.info["status"] == psutil.STATUS_ZOMBIE or started < identity.started - _CLOCK_TOLERANCE_S:
            continue
        try:
            if os.getpgid(process.pid) == identity.pid:
                found.append(Identity(process.pid, started))
        except (ProcessLookupError, PermissionError):
            continue
    return found


def stop(leaders: Iterable[Identity], *, grace_s: float = GRACE_S, hurry: Callable[[], bool] = lambda: False) -> list[Identity]:
    """End these process groups: SIGTERM, then SIGKILL after `grace_s` or as soon as `hurry()`; returns those that had to be killed."""
    groups = list(leaders)
    _signal(groups, signal.SIGTERM)
    give_up = time.monotonic() + grace_s
    while (left := _alive(groups)) and time.monotonic() < give_up and not hurry():
        time.sleep(0.05)
    if left:
        _signal(groups, signal.SIGKILL)
        gone_by = time.monotonic() + 5
        while _alive(groups) and time.monotonic() < gone_by:
            time.sleep(0.05)
    return left


def _alive(groups: list[Identity]) -> list[Identity]:
    return [m for g in groups for m in members(g)]


def _signal(groups: list[Identity], number: signal.Signals) -> None:
    for member in _alive(groups):
        try:
            os.kill(member.pid, number)
        except ProcessLookupError:
            continue


def describe_exit(code: int) -> str:
    """`exit code 1`, or the signal that ended it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
