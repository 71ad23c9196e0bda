"""Page records on their way into the event log, off the path of the search: a bounded queue that a background job empties."""

import logging
from collections import deque
from concurrent.futures import TimeoutError as FutureTimeoutError

import msgspec

from services.contracts import PageRecord
from services.errors import AisleError
from services.eventlog.port import EventLogWriter, NewRecord
from services.telemetry import Telemetry

FLUSH_EVERY_S = 0.25
FLUSH_RECORDS = 500
WRITE_LIMIT_S = 5.0

log = logging.getLogger("aisle")
_encode = msgspec.json.Encoder().encode


class PageQueue:
    """`offer` never waits. What does not fit, and what the log refuses twice over, is dropped and counted (`aisle_dropped_total`)."""

    def __init__(self, writer: EventLogWriter, telemetry: Telemetry, *, limit: int) -> None:
        self._writer, self._telemetry, self._limit = writer, telemetry, limit
        self._waiting: deque[PageRecord] = deque()
        telemetry.count("aisle_dropped_total", "pages", amount=0)
        for result in ("found", "empty"):
            telemetry.count("aisle_pages_total", result, amount=0)

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, record: PageRecord) -> bool:
        self._telemetry.count("aisle_pages_total", "found" if record.product_no else "empty")
        if len(self._waiting) >= self._limit:
            self._telemetry.count("aisle_dropped_total", "pages")
            return False
        self._waiting.append(record)
        return True

    def flush(self) -> None:
        """Write what waits now; blocks, for one thread at a time. After a failure the records wait on, as far as there is room."""
        for _ in range(1 + self._limit // FLUSH_RECORDS):
            records = [self._waiting.popleft() for _ in range(min(FLUSH_RECORDS, len(self._waiting)))]
            if not records or not self._write(records):
                return

    def forget(self, user: str) -> None:
        """Drop what waits about a user (so that nothing follows the removal of the user's records)."""
        for _ in range(len(self._waiting)):
            record = self._waiting.popleft()
            if record.user != user:
                self._waiting.append(record)

    def _write(self, records: list[PageRecord]) -> bool:
        try:
            written = self._writer.append([NewRecord("page", r.ts_ms, r.user, _encode(r)) for r in records])
            try:
                offset = written.result(WRITE_LIMIT_S)
            except FutureTimeoutError:
                if written.cancel():  # else they would be written twice
                    raise
                offset = written.result(WRITE_LIMIT_S)  # they are just being written: that ends by itself, well or not
            self._telemetry.set("aisle_log_offset", offset, "written")
        except (AisleError, FutureTimeoutError) as error:
            kept = records[: max(0, self._limit - len(self._waiting))]
            self._waiting.extendleft(reversed(kept))
            self._telemetry.count("aisle_dropped_total", "pages", amount=len(records) - len(kept))
            self._telemetry.count("aisle_errors_total", "pages")
            log.warning("%d page records could not be written (%s); %d of them wait on", len(records), error, len(kept))
            return False
        return True
