"""Loading much history into the embedded log at once: big transactions, a place that survives a kill, and never the same history twice."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import msgspec
from msgspec import Struct

from services.errors import ConfigurationError
from services.eventlog.port import NewRecord
from services.eventlog.sqlite import INSERT, connect, transaction

_NAME = "history"


class Progress(Struct, frozen=True):
    """How much of which history is in the log; `fingerprint` names the history, `rows` counts its rows that are done with."""

    fingerprint: str
    rows: int
    complete: bool


class BulkLoader:
    """Use as a context manager. Each `load` is one transaction that also moves the place, so a killed load resumes exactly there."""

    def __init__(self, path: Path, *, busy_ms: int = 10_000) -> None:
        self._connection = connect(path, busy_ms=busy_ms)

    def __enter__(self) -> "BulkLoader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    def progress(self) -> Progress | None:
        """Of an earlier load, complete or interrupted."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (_NAME,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Progress)

    def forgotten(self) -> set[str]:
        """Keys of users who were forgotten: an interrupted load that resumes must not bring them back."""
        return {
            user for (user,) in self._connection.execute("SELECT DISTINCT user FROM records WHERE kind = 'forget' AND user IS NOT NULL")
        }

    def load(self, records: Iterable[NewRecord], progress: Progress) -> None:
        """Append the records and note the progress, or neither. Raises ConfigurationError when the disk or the file does not allow it."""
        try:
            with transaction(self._connection) as connection:
                connection.executemany(INSERT, ((r.kind, r.ts_ms, r.user, r.payload) for r in records))
                connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_NAME, msgspec.json.encode(progress).decode()))
        except sqlite3.Error as error:
            raise ConfigurationError(f"the event log cannot be written ({error}); when that is mended, the same command resumes") from None
