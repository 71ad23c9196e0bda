"""Processes that make parts of a world side by side. One that is killed is missed, and none outlives the process that started it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

from services.errors import ConfigurationError


@contextmanager
def workers(processes: int, begin: Callable[..., None] | None = None, *args: Any) -> Iterator[ProcessPoolExecutor]:
    """A pool of which every process calls `begin(*args)` first. Raises ConfigurationError when one of them was killed."""
    try:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (begin, *args)) as pool:
            try:
                yield pool
            except BaseException:
                pool.shutdown(cancel_futures=True)  # what has begun is waited for, what has not is not begun
                raise
    except BrokenProcessPool:
        raise ConfigurationError(
            "a process that made a part of the world was killed (by somebody, or because memory ran out); "
            "run the command again: it goes on with what is missing"
        ) from None


def _begin(begin: Callable[..., None] | None, *args: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    if begin is not None:
        begin(*args)


def _end_with_parent() -> None:
    """The pool's queues do not tell that the parent was killed: its workers would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
