"""System and generator on cores of their own, as `taskset -a` does it."""

import os
from collections.abc import Iterable
from pathlib import Path

from loadgen.options import watched


def pin(watch: str) -> str:
    """Bind the system's processes (all threads) to all cores but the last, this process and what it becomes to the last; says what was done."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned: this system cannot bind processes to cores"
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        return f"not pinned: {len(cores)} core can be used, two are needed"
    system, generator = set(cores[:-1]), {cores[-1]}
    try:
        for pid in watched(watch).values():
            for thread in threads(pid):
                os.sched_setaffinity(thread, system)
    except (ProcessLookupError, PermissionError) as error:
        return f"not pinned: {error}"
    os.sched_setaffinity(0, generator)
    return f"system on core{'s' if len(system) > 1 else ''} {', '.join(map(str, sorted(system)))}, generator on {cores[-1]}"


def unpin(watch: str) -> None:
    """The system may use every core again (what runs does not remember that it was bound)."""
    if not hasattr(os, "sched_setaffinity"):
        return
    everywhere = set(range(os.cpu_count() or 1))
    for pid in watched(watch).values():
        for thread in threads(pid):
            try:
                os.sched_setaffinity(thread, everywhere)
            except (ProcessLookupError, PermissionError):
                continue


def threads(pid: int) -> Iterable[int]:
    folder = Path(f"/proc/{pid}/task")
    return [int(t.name) for t in folder.iterdir()] if folder.is_dir() else [pid]
