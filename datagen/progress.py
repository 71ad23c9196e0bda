"""Progress of a long command: one line at least every two seconds, through whatever function prints lines."""

import time
from collections.abc import Callable

Say = Callable[[str], None]

INTERVAL_S = 2.0


def silent(line: str) -> None:
    """A `Say` that says nothing (tests, library use)."""


class Progress:
    """Says `<what>: <done> of <total>` when the last line is old enough; `total` None when it is not known."""

    def __init__(self, say: Say, what: str, total: int | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._what, self._total, self._clock = say, what, total, clock
        self._started = self._last = clock()

    def at(self, done: int) -> None:
        now = self._clock()
        if now - self._last >= INTERVAL_S:
            self._last = now
            self._say(self._line(done, now))

    def done(self, done: int) -> None:
        self._say(self._line(done, self._clock()))

    def _line(self, done: int, now: float) -> str:
        of = f" of {self._total:,}" if self._total is not None else ""
        return f"{self._what}: {done:,}{of} ({now - self._started:.1f} s)"
