"""Where the time of one request goes: stages, hops and the `Server-Timing` header that carries them to the caller.

Every entry has a start, in milliseconds since the request arrived here, so that a client sees the whole waterfall without a
synchronised clock. A caller joins its callee's entries, prefixed with the call's name, and shifts their start by half of what the
network took.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TypeVar

from services.errors import DeadlineExceeded

T = TypeVar("T")
_ENTRY = re.compile(r"([\w.:-]+);dur=([\d.]+);start=([\d.]+)")


class Deadline:
    """The moment after which nobody waits for the answer any more (monotonic clock)."""

    __slots__ = ("_at",)

    def __init__(self, remaining_ms: float) -> None:
        self._at = time.perf_counter() + remaining_ms / 1000

    def remaining_ms(self) -> float:
        """Milliseconds left; negative when it has passed."""
        return (self._at - time.perf_counter()) * 1000

    def check(self) -> None:
        if self.remaining_ms() <= 0:
            raise DeadlineExceeded("the deadline passed before the answer was ready; send a larger x-deadline-ms or try again")

    def run(self, function: Callable[..., T], *args: object) -> T:
        """Call the function unless it is too late; adapters below it see this deadline as `current_deadline()`."""
        self.check()
        token = _current.set(self)
        try:
            return function(*args)
        finally:
            _current.reset(token)


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
_last_resort: ContextVar[bool] = ContextVar("last_resort", default=False)


def current_deadline() -> Deadline | None:
    """The deadline of the request that this thread works for: for engine calls that take a time limit."""
    return _current.get()


@contextmanager
def last_resort() -> Iterator[None]:
    """Nothing else can answer the request when what is called in here does not: it need not leave time for others."""
    token = _last_resort.set(True)
    try:
        yield
    finally:
        _last_resort.reset(token)


def is_last_resort() -> bool:
    return _last_resort.get()


class Stage:
    """`with timing.stage("spell"):` measures what is inside, also when it raises."""

    __slots__ = ("_name", "_started", "_timing")

    def __init__(self, timing: "Timing", name: str) -> None:
        self._timing, self._name = timing, name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._timing.add(self._name, self._started, time.perf_counter())


class Timing:
    """The entries of one request, in the order in which they ended."""

    __slots__ = ("arrival", "entries")

    def __init__(self) -> None:
        self.arrival = time.perf_counter()
        self.entries: list[tuple[str, float, float]] = []
        """(name, duration in ms, start in ms since arrival)"""

    def stage(self, name: str) -> Stage:
        return Stage(self, name)

    def add(self, name: str, started: float, ended: float) -> None:
        """Add an entry measured elsewhere; both times are `time.perf_counter()` seconds."""
        self.entries.append((name, (ended - started) * 1000, (started - self.arrival) * 1000))

    def join(self, call: str, header: str, started: float, ended: float) -> None:
        """Add a callee's `Server-Timing` below the name of the call, and `<call>.net`: what the hop took beyond the callee's total."""
        callee = [(m[1], float(m[2]), float(m[3])) for m in _ENTRY.finditer(header)]
        hop_ms, start_ms = (ended - started) * 1000, (started - self.arrival) * 1000
        total_ms = next((dur for name, dur, _ in callee if name == "total"), 0.0)
        net_ms = max(0.0, hop_ms - total_ms)
        self.entries.append((f"{call}.net", net_ms, start_ms))
        shift = start_ms + net_ms / 2
        self.entries.extend((f"{call}.{name}", dur, start + shift) for name, dur, start in callee if name != "total")

    def header(self, *, total: bool = True) -> str:
        entries = self.entries
        if total:
            entries = [*entries, ("total", (time.perf_counter() - self.arrival) * 1000, 0.0)]
        return ", ".join([f"{name};dur={dur:.3f};start={max(0.0, start):.3f}" for name, dur, start in entries])
