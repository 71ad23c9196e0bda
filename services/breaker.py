"""A breaker: what fails repeatedly is left alone for a moment. Pure: the clock is handed in."""

from dataclasses import dataclass


@dataclass(slots=True)
class Breaker:
    """Refuses calls for `pause_s` after `failures` in a row; then one call may try."""

    failures: int = 5
    pause_s: float = 1.0
    _failed: int = 0
    _open_until: float = 0.0

    def allows(self, now: float) -> bool:
        if self._failed < self.failures:
            return True
        if now < self._open_until:
            return False
        self._open_until = now + self.pause_s  # this one tries; the others wait for its result
        return True

    def succeeded(self) -> None:
        self._failed = 0

    def failed(self, now: float) -> None:
        self._failed += 1
        self._open_until = now + self.pause_s

    @property
    def open(self) -> bool:
        return self._failed >= self.failures
