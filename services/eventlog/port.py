"""What an event log can do. One partition ("0") in the embedded adapter; positions are `{partition: offset}` for those that have more."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Literal, Protocol

from msgspec import Struct

RecordKind = Literal["event", "page", "forget", "expire"]
PARTITION = "0"


class NewRecord(Struct, frozen=True):
    """What is appended: payload is the JSON of a contracts.EventRecord or PageRecord; of `forget` and `expire` it is empty."""

    kind: RecordKind
    ts_ms: int
    user: str | None
    payload: bytes


class LogRecord(Struct, frozen=True):
    """What is read: offsets ascend; records that were forgotten or have expired are gone, so offsets may have holes.

    `forget`: everything of `user` before this offset is gone. `expire`: everything older than its `ts_ms` is.
    """

    offset: int
    kind: RecordKind
    ts_ms: int
    user: str | None
    payload: bytes


class EventLogWriter(Protocol):
    def append(self, records: Sequence[NewRecord]) -> "Future[int]":
        """All or nothing; the future gives the last offset once all are on disk, or raises errors.Unavailable."""

    def forget(self, user: str) -> "Future[int]":
        """Remove all records of a user and leave a `forget` record in their place; gives its offset."""

    def expire(self, before_ms: int, limit: int) -> "Future[int]":
        """Remove at most `limit` records older than `before_ms`; gives how many went. Any removal leaves one `expire` record behind."""

    def ping(self) -> None: ...

    def close(self) -> None: ...


class EventLogReader(Protocol):
    def read(self, after: int, limit: int, kinds: Sequence[RecordKind] | None = None) -> list[LogRecord]:
        """Records with offset > after in order, at most `limit`."""

    def end(self) -> int:
        """Offset of the last record, 0 for an empty log."""

    def ping(self) -> None: ...

    def close(self) -> None: ...
