"""How long the event log keeps what it knows."""

import time

from services.eventlog.port import EventLogWriter

RETENTION_EVERY_S = 600.0
REMOVE_AT_ONCE = 2_000
"""Records per transaction: events wait behind it, so it has to be short."""
WRITE_LIMIT_S = 30.0
DAY_MS = 86_400_000


class Retention:
    """Removes what is older than `days` (a background job); the user graph follows, because the removal is a record of the log."""

    def __init__(self, writer: EventLogWriter, days: int) -> None:
        self._writer, self._days = writer, days

    def __call__(self, now_ms: int | None = None) -> int:
        """Removes all there is to remove; returns how many records went."""
        before_ms = (time.time_ns() // 1_000_000 if now_ms is None else now_ms) - self._days * DAY_MS
        removed, last = 0, REMOVE_AT_ONCE
        while last == REMOVE_AT_ONCE:
            last = self._writer.expire(before_ms, REMOVE_AT_ONCE).result(timeout=WRITE_LIMIT_S)
            removed += last
        return removed
