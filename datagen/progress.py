"""Progress of a long command: one line at least every two seconds, through whatever function prints lines."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Say = Callable[[str], None]

INTERVAL_S = 2.0


def silent(line: str) -> None:
    """A `Say` that says nothing (tests, library use)."""


@contextmanager
def working(say: Say, what: str, interval_s: float = INTERVAL_S) -> Iterator[Callable[[str], None]]:
    """Says `<what>` at the start and every two seconds, with the time it took and what was last given to the function that it yields."""
    done, detail, started = threading.Event(), [""], time.monotonic()

    def line() -> str:
        return f"{what}{': ' if detail[0] else ''}{detail[0]} ({time.monotonic() - started:.1f} s)"

    def tell() -> None:
        while not done.wait(interval_s):
            say(line())

    teller = threading.Thread(target=tell, name="progress", daemon=True)
    teller.start()
    try:
        yield lambda text: detail.__setitem__(0, text)
    finally:
        done.set()
        teller.join()
    say(line())


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
