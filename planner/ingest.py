"""`python -m planner.ingest SHOP_ROOT HISTORY_DIR`: history (Parquet) into the event log, users as keyed hashes; once, resuming after a kill.

The files hold the columns ts_ms int64, kind string ("event" | "page"), user_id string (the shop's own, or null), payload binary (JSON of a
contracts.EventRecord or PageRecord without `user`), in time order over the files' sorted names.
"""

import hashlib
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.errors import ConfigurationError
from services.eventlog.bulk import BulkLoader, Progress
from services.eventlog.port import NewRecord, RecordKind
from services.identity import user_key
from services.shop import Shop, secret

COLUMNS = ["ts_ms", "kind", "user_id", "payload"]
BATCH_ROWS = 10_000
PROGRESS_EVERY_S = 2.0


def ingest(shop: Shop, history: Path) -> int:
    """Load what of the history is not yet in the log; returns the number of records added. Raises ConfigurationError when all of it
    (or another history) is there already, or when the files are not what they should be."""
    files = sorted(history.glob("*.parquet"))
    if not files:
        raise ConfigurationError(f"there are no *.parquet files in {history}")
    key = secret(shop.root.parent.parent)
    with BulkLoader(shop.log_file) as loader:
        done = resume_from(loader.progress(), fingerprint(files), shop.name)
        return _load(loader, files, done, key)


def resume_from(earlier: Progress | None, history: str, shop: str) -> Progress:
    """Where to go on. Raises ConfigurationError when the log has this history, or a part of another one."""
    if earlier is None:
        return Progress(history, 0, False)
    if earlier.complete:
        raise ConfigurationError(
            f"the log of shop {shop!r} already has its history ({earlier.rows:,} records); nothing was added. To start again, make the shop anew"
        )
    if earlier.fingerprint != history:
        raise ConfigurationError(
            f"the log of shop {shop!r} has the first {earlier.rows:,} records of another history; finish that one, or make the shop anew"
        )
    return earlier


def fingerprint(files: list[Path]) -> str:
    """Names one history: its files' names, sizes and numbers of rows."""
    try:
        described = [(f.name, f.stat().st_size, pq.read_metadata(f).num_rows) for f in files]
    except (pa.ArrowException, OSError) as error:
        raise ConfigurationError(f"the history in {files[0].parent} cannot be read: {error}") from None
    return hashlib.sha256(repr(described).encode()).hexdigest()


@lru_cache(maxsize=1_000_000)
def _key(user_id: str, secret_: bytes) -> str:
    return user_key(user_id, secret_)


def to_records(batch: pa.RecordBatch, secret_: bytes, forgotten: set[str]) -> Iterator[NewRecord]:
    """The batch's rows as log records; the user's key also stands in the payload, as it does in records of live events."""
    columns = (batch.column(name).to_pylist() for name in COLUMNS)
    for ts_ms, kind, user_id, payload in zip(*columns, strict=True):
        user = None if user_id is None else _key(user_id, secret_)
        if user is None:
            yield NewRecord(kind, ts_ms, None, payload)
        elif user not in forgotten:
            yield NewRecord(kind, ts_ms, user, payload[:-1] + b',"user":"%s"}' % user.encode())


def _load(loader: BulkLoader, files: list[Path], done: Progress, key: bytes) -> int:
    added, row, said = 0, 0, time.perf_counter()
    forgotten = loader.forgotten()
    for batch in _batches(files):
        start, row = row, row + batch.num_rows
        if row <= done.rows:
            continue
        records = list(to_records(batch.slice(max(0, done.rows - start)), key, forgotten))
        loader.load(records, Progress(done.fingerprint, row, False))
        added += len(records)
        if time.perf_counter() - said > PROGRESS_EVERY_S:
            said = time.perf_counter()
            sys.stdout.write(f"planner: {row:,} records of history are in the log\n")
            sys.stdout.flush()
    loader.load([], Progress(done.fingerprint, row, True))
    return added


def _batches(files: list[Path]) -> Iterator[pa.RecordBatch]:
    kinds: tuple[RecordKind, ...] = ("event", "page")
    for file in files:
        try:
            for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS, columns=COLUMNS):
                if unknown := set(batch.column("kind").unique().to_pylist()) - set(kinds):
                    raise ConfigurationError(f"{file.name} has records of kind {sorted(map(str, unknown))}; there are {', '.join(kinds)}")
                yield batch
        except (pa.ArrowException, OSError, KeyError) as error:
            raise ConfigurationError(f"{file} cannot be read ({error}); it needs the columns {', '.join(COLUMNS)}") from None


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m planner.ingest SHOP_ROOT HISTORY_DIR\n")
        return 2
    started = time.perf_counter()
    try:
        added = ingest(Shop(Path(arguments[0]).resolve()), Path(arguments[1]))
    except ConfigurationError as error:
        sys.stderr.write(f"planner.ingest: {error}\n")
        return 2
    sys.stdout.write(f"planner: {added:,} records of history loaded in {time.perf_counter() - started:.1f} s\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
