"""The embedded event log: one SQLite file in WAL mode, one writer thread with group commit, readers with read-only connections.

A record is acknowledged (its future resolves) after the transaction that holds it is on disk (`synchronous=FULL`: the WAL is fsynced at
every commit). Offsets come from AUTOINCREMENT, so they ascend in commit order and are never used twice, even after `forget`.
"""

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from services.errors import ConfigurationError, Overloaded, Unavailable
from services.eventlog.port import LogRecord, NewRecord, RecordKind

SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    offset INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, ts_ms INTEGER NOT NULL, user TEXT, payload BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS records_user ON records (user) WHERE user IS NOT NULL;
CREATE INDEX IF NOT EXISTS records_ts ON records (ts_ms);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
INSERT = "INSERT INTO records (kind, ts_ms, user, payload) VALUES (?, ?, ?, ?)"
MIN_FREE_BYTES = 16 * 1024 * 1024
Row = tuple[str, int, str | None, bytes]


def connect(path: Path, *, busy_ms: int, max_bytes: int | None = None) -> sqlite3.Connection:
    """A connection that may write; makes file and tables when they are not there. Raises ConfigurationError when that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=busy_ms / 1000, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA page_size=8192")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA secure_delete=ON")  # what `forget` removes is overwritten
        connection.executescript("BEGIN IMMEDIATE;" + SCHEMA + "COMMIT;")
        if max_bytes is not None:
            connection.execute(f"PRAGMA max_page_count={max(1, max_bytes // 8192)}")
    except (sqlite3.Error, OSError) as error:
        raise ConfigurationError(
            f"the event log {path} cannot be opened for writing ({error}): free or repair it, then start again"
        ) from None
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One write transaction: committed at the end, rolled back when anything fails."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors (disk full) have already rolled back
            connection.execute("ROLLBACK")
        raise


@dataclass(slots=True)
class _Job:
    """Rows to append, after the removal of everything of user `forget`, or of some of what is `older_ms`, when that is given."""

    rows: list[Row]
    done: "Future[int]"
    forget: str | None = None
    older_ms: int = 0
    at_most: int = 0

    @property
    def removes(self) -> bool:
        return self.forget is not None or self.at_most > 0


class SqliteWriter:
    """The one writer. `append` and `forget` return at once; their futures give the last offset, or raise Unavailable (nothing was written).

    At most `max_queued` records wait for the disk; more raise Overloaded. `busy_ms` is how long another process (an ingest) may hold
    the file before an append fails; `max_bytes` limits the file, None: by the disk alone.
    """

    def __init__(self, path: Path, *, max_queued: int = 20_000, busy_ms: int = 400, max_bytes: int | None = None) -> None:
        self._path, self._max_queued = path, max_queued
        self._connection = connect(path, busy_ms=busy_ms, max_bytes=max_bytes)
        self._jobs: deque[_Job] = deque()
        self._queued = 0
        self._closed = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="event-log-writer", daemon=True)
        self._thread.start()

    def append(self, records: Sequence[NewRecord]) -> "Future[int]":
        return self._submit(_Job([(r.kind, r.ts_ms, r.user, r.payload) for r in records], Future()))

    def forget(self, user: str) -> "Future[int]":
        return self._submit(_Job([("forget", _now_ms(), user, b"")], Future(), forget=user))

    def expire(self, before_ms: int, limit: int) -> "Future[int]":
        return self._submit(_Job([], Future(), older_ms=before_ms, at_most=limit))

    def ping(self) -> None:
        """Raises Unavailable when the file cannot be locked for writing or the disk is nearly full."""
        free = os.statvfs(self._path.parent)
        if free.f_bavail * free.f_frsize < MIN_FREE_BYTES:
            raise Unavailable(f"less than {MIN_FREE_BYTES // 2**20} MB free for the event log")
        self._submit(_Job([], Future())).result(timeout=5)

    def close(self) -> None:
        """Writes what is queued, then closes; idempotent."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()
        self._connection.close()

    def _submit(self, job: _Job) -> "Future[int]":
        with self._wake:
            if self._closed or not self._thread.is_alive():
                raise Unavailable("the event log is closed")
            if self._queued + len(job.rows) > self._max_queued:
                raise Overloaded(f"{self._queued} records already wait for the event log's disk")
            self._queued += len(job.rows)
            self._jobs.append(job)
            self._wake.notify()
        return job.done

    def _run(self) -> None:
        while group := self._take():
            group = [job for job in group if job.done.set_running_or_notify_cancel()]
            try:
                with transaction(self._connection) as connection:
                    offsets = [_write(connection, job) for job in group]
            except Exception as error:  # whatever it is: the thread lives on, and nobody in the group is acknowledged
                for job in group:
                    job.done.set_exception(_as_unavailable(error))
            else:
                for job, offset in zip(group, offsets, strict=True):
                    job.done.set_result(offset)
                if any(job.removes for job in group):  # what was removed leaves the WAL too, as soon as readers let it
                    with suppress(sqlite3.Error):
                        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _take(self) -> list[_Job]:
        """Everything that waits (that is the group of one commit); [] once closed and empty."""
        with self._wake:
            self._wake.wait_for(lambda: self._jobs or self._closed)
            group = list(self._jobs)
            self._jobs.clear()
            self._queued = 0
            return group


class SqliteReader:
    """Reads the log from any thread of any process, each thread with its own connection. A log that nobody has written yet is empty."""

    def __init__(self, path: Path, *, busy_ms: int = 400) -> None:
        self._path, self._busy_ms = path, busy_ms
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    def read(self, after: int, limit: int, kinds: Sequence[RecordKind] | None = None) -> list[LogRecord]:
        where = "" if kinds is None else f" AND kind IN ({','.join('?' * len(kinds))})"
        sql = f"SELECT offset, kind, ts_ms, user, payload FROM records WHERE offset > ?{where} ORDER BY offset LIMIT ?"
        return [LogRecord(*row) for row in self._select(sql, (after, *(kinds or ()), limit))]

    def end(self) -> int:
        """Offset of the last record ever written, 0 for an empty log (records below it may have been forgotten)."""
        rows = self._select("SELECT seq FROM sqlite_sequence WHERE name = 'records'", ())
        return int(rows[0][0]) if rows else 0

    def ping(self) -> None:
        self.end()

    def close(self) -> None:
        with self._lock:
            connections, self._connections, self._local = self._connections, [], threading.local()
        for connection in connections:
            connection.close()

    def _select(self, sql: str, values: tuple[object, ...]) -> list[tuple[int, RecordKind, int, str | None, bytes]]:
        if not self._path.exists():
            return []
        try:
            return self._connection().execute(sql, values).fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error):  # the writer is just making them
                return []
            raise Unavailable(f"the event log cannot be read: {error}") from None

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            uri = f"{self._path.resolve().as_uri()}?mode=ro"
            connection = sqlite3.connect(uri, uri=True, timeout=self._busy_ms / 1000, isolation_level=None, check_same_thread=False)
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection


def _write(connection: sqlite3.Connection, job: _Job) -> int:
    if job.at_most:
        return _expire(connection, job.older_ms, job.at_most)
    if job.forget is not None:
        connection.execute("DELETE FROM records WHERE user = ?", (job.forget,))
    connection.executemany(INSERT, job.rows)
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'records'").fetchone()[0])


def _expire(connection: sqlite3.Connection, before_ms: int, limit: int) -> int:
    old = "SELECT offset FROM records WHERE ts_ms < ? AND kind != 'expire' LIMIT ?"
    removed = connection.execute(f"DELETE FROM records WHERE offset IN ({old})", (before_ms, limit)).rowcount
    if removed:  # one marker is enough: the newest says it all
        connection.execute("DELETE FROM records WHERE ts_ms < ? AND kind = 'expire'", (before_ms,))
        connection.execute(INSERT, ("expire", before_ms, None, b""))
    return removed


def _as_unavailable(error: Exception) -> Unavailable:
    return Unavailable(f"the event log cannot be written ({error}); nothing of this was kept, send it again")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
