"""The embedded product store: one immutable SQLite file per generation, each thread reads with a connection of its own."""

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from planner.products.port import Summary
from services.errors import Unavailable

SCHEMA = """
CREATE TABLE summaries (product_no INTEGER PRIMARY KEY, product_id TEXT NOT NULL, json BLOB NOT NULL);
CREATE TABLE products (product_id TEXT PRIMARY KEY, product_no INTEGER NOT NULL, json BLOB NOT NULL) WITHOUT ROWID;
"""
MAX_VALUES = 500
"""Question marks in one statement; SQLite's own limit is 32,766."""
Row = tuple[int, str, bytes, bytes]


class SqliteProducts:
    """Opened with `immutable=1`: no locks, no checks, for a file that nobody changes any more."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self.ping()

    def summaries(self, product_nos: Sequence[int]) -> dict[int, Summary]:
        rows = self._select("SELECT product_no, product_id, json FROM summaries WHERE product_no IN", product_nos)
        return {number: Summary(product_id, json) for number, product_id, json in rows}

    def numbers(self, product_ids: Sequence[str]) -> dict[str, int]:
        return dict(self._select("SELECT product_id, product_no FROM products WHERE product_id IN", product_ids))

    def product(self, product_id: str) -> bytes | None:
        rows = self._select("SELECT json FROM products WHERE product_id IN", [product_id])
        return rows[0][0] if rows else None

    def ping(self) -> None:
        self._select("SELECT product_no FROM summaries WHERE product_no IN", [0])

    def close(self) -> None:
        connections, self._connections, self._local = self._connections, [], threading.local()
        for connection in connections:
            connection.close()

    def _select(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        try:
            connection = self._connection()
            for start in range(0, len(values), MAX_VALUES):
                part = values[start : start + MAX_VALUES]
                rows += connection.execute(f"{sql} ({','.join('?' * len(part))})", part).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"the product store cannot be read: {error}") from None
        return rows

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._uri, uri=True, isolation_level=None, check_same_thread=False)
            self._local.connection = connection
            self._connections.append(connection)
        return connection


def write(path: Path, rows: Iterable[Row]) -> int:
    """Make the store of one generation from rows (product_no, product_id, summary, product); returns how many there are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA page_size=8192")
        connection.execute("PRAGMA journal_mode=OFF")  # an interrupted build is thrown away as a whole
        connection.execute("PRAGMA synchronous=OFF")
        connection.executescript(SCHEMA + "BEGIN")
        count = 0
        for product_no, product_id, summary, product in rows:
            connection.execute("INSERT INTO summaries VALUES (?, ?, ?)", (product_no, product_id, summary))
            connection.execute("INSERT INTO products VALUES (?, ?, ?)", (product_id, product_no, product))
            count += 1
        connection.execute("COMMIT")
    finally:
        connection.close()
    return count
