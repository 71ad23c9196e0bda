"""What every event log has to do; each adapter is opened by one entry of ADAPTERS."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.errors import ConfigurationError, Overloaded, Unavailable
from services.eventlog.port import EventLogReader, EventLogWriter, NewRecord
from services.eventlog.sqlite import SqliteReader, SqliteWriter


@dataclass
class Log:
    writer: EventLogWriter
    reader: EventLogReader


def open_sqlite(tmp_path: Path) -> Log:
    path = tmp_path / "log" / "events.sqlite"
    return Log(SqliteWriter(path), SqliteReader(path))


ADAPTERS: dict[str, Callable[[Path], Log]] = {"sqlite": open_sqlite}


@pytest.fixture(params=ADAPTERS)
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    opened = ADAPTERS[request.param](tmp_path)
    yield opened
    opened.reader.close()
    opened.writer.close()


def event(number: int, user: str | None = None) -> NewRecord:
    return NewRecord("event", 1_000 + number, user, f'{{"n":{number}}}'.encode())


def test_an_empty_log_ends_at_zero(log: Log) -> None:
    assert log.reader.end() == 0
    assert log.reader.read(0, 10) == []


def test_what_was_acknowledged_is_read_in_order_as_it_was_written(log: Log) -> None:
    last = log.writer.append([event(1, "ann"), NewRecord("page", 7, None, b"\x00\xff")]).result(5)
    records = log.reader.read(0, 10)
    assert [(r.kind, r.ts_ms, r.user, r.payload) for r in records] == [("event", 1001, "ann", b'{"n":1}'), ("page", 7, None, b"\x00\xff")]
    assert records[-1].offset == last == log.reader.end()


def test_reading_goes_on_after_an_offset_with_a_limit_and_by_kind(log: Log) -> None:
    log.writer.append([event(n) if n % 2 else NewRecord("page", n, None, b"{}") for n in range(10)]).result(5)
    first = log.reader.read(0, 3)
    assert len(first) == 3
    assert log.reader.read(first[-1].offset, 100)[0].offset > first[-1].offset
    assert {r.kind for r in log.reader.read(0, 100, ["page"])} == {"page"}
    assert log.reader.read(0, 100, []) == []


def test_forget_leaves_a_hole_and_a_forget_record(log: Log) -> None:
    log.writer.append([event(1, "ann"), event(2, "bob"), event(3, "ann")]).result(5)
    offset = log.writer.forget("ann").result(5)
    records = log.reader.read(0, 10)
    assert [(r.kind, r.user) for r in records] == [("event", "bob"), ("forget", "ann")]
    assert records[-1].offset == offset
    assert records[-1].payload == b""


def test_what_is_old_expires_in_steps_and_leaves_one_marker(log: Log) -> None:
    log.writer.append([NewRecord("event", n, None, b"{}") for n in range(1, 8)]).result(5)
    assert [log.writer.expire(6, 3).result(5) for _ in range(3)] == [3, 2, 0]
    records = log.reader.read(0, 10)
    assert [(r.kind, r.ts_ms) for r in records if r.kind != "expire"] == [("event", 6), ("event", 7)]
    assert [r.ts_ms for r in records if r.kind == "expire"][-1] == 6
    assert log.reader.end() == records[-1].offset


def test_offsets_are_not_used_again_after_the_last_record_was_forgotten(log: Log) -> None:
    last = log.writer.append([event(1, "ann")]).result(5)
    assert log.writer.forget("ann").result(5) > last
    assert log.writer.append([event(2, "bob")]).result(5) > last + 1


def test_concurrent_appends_are_each_whole_and_each_acknowledged_with_its_own_offset(log: Log) -> None:
    offsets: dict[int, int] = {}

    def append(worker: int) -> None:
        for turn in range(20):
            number = worker * 100 + turn
            offsets[number] = log.writer.append([event(number, f"u{worker}"), event(number, f"u{worker}")]).result(10)

    threads = [threading.Thread(target=append, args=(w,)) for w in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    by_offset = {r.offset: r.payload for r in log.reader.read(0, 1000)}
    assert len(by_offset) == 320
    for number, offset in offsets.items():
        assert by_offset[offset] == by_offset[offset - 1] == f'{{"n":{number}}}'.encode()


def test_closing_writes_what_is_queued(log: Log) -> None:
    futures = [log.writer.append([event(n)]) for n in range(50)]
    log.writer.close()
    assert [f.result(0) for f in futures]
    assert len(log.reader.read(0, 100)) == 50


def test_a_closed_log_is_unavailable(log: Log) -> None:
    log.writer.close()
    with pytest.raises(Unavailable):
        log.writer.append([event(1)])


def test_readers_work_in_many_threads(log: Log) -> None:
    log.writer.append([event(n) for n in range(100)]).result(5)
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(len(log.reader.read(0, 1000)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [100] * 6


def test_ping_passes_on_a_healthy_log(log: Log) -> None:
    log.writer.ping()
    log.reader.ping()


# ---- what only the embedded adapter promises ---------------------------------------------------------------------------------------


def test_a_log_nobody_has_written_reads_as_empty(tmp_path: Path) -> None:
    reader = SqliteReader(tmp_path / "nothing.sqlite")
    assert (reader.end(), reader.read(0, 5)) == (0, [])
    assert not (tmp_path / "nothing.sqlite").exists()


def test_a_reader_works_when_no_writer_has_the_file_open(tmp_path: Path) -> None:
    writer = SqliteWriter(tmp_path / "e.sqlite")
    writer.append([event(1)]).result(5)
    writer.close()
    assert len(SqliteReader(tmp_path / "e.sqlite").read(0, 5)) == 1


def test_a_full_disk_acknowledges_nothing_and_is_survived(tmp_path: Path) -> None:
    writer = SqliteWriter(tmp_path / "e.sqlite", max_bytes=64 * 1024)
    writer.append([event(1)]).result(5)
    with pytest.raises(Unavailable, match="full"):
        writer.append([NewRecord("page", 0, None, b"x" * 200_000)]).result(5)
    writer.append([event(2)]).result(5)
    assert [r.payload for r in SqliteReader(tmp_path / "e.sqlite").read(0, 5)] == [b'{"n":1}', b'{"n":2}']
    writer.close()


def test_a_file_that_somebody_else_holds_is_unavailable_until_it_is_free(tmp_path: Path) -> None:
    writer = SqliteWriter(tmp_path / "e.sqlite", busy_ms=20)
    other = sqlite3.connect(tmp_path / "e.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"):
        writer.append([event(1)]).result(5)
    with pytest.raises(Unavailable):
        writer.ping()
    other.execute("ROLLBACK")
    assert writer.append([event(2)]).result(5) == 1
    other.close()
    writer.close()


def test_more_than_the_queue_holds_is_refused_at_once(tmp_path: Path) -> None:
    writer = SqliteWriter(tmp_path / "e.sqlite", max_queued=10)
    with pytest.raises(Overloaded):
        writer.append([event(n) for n in range(11)])
    assert writer.append([event(n) for n in range(10)]).result(5) == 10
    writer.close()


def test_an_append_that_its_caller_cancelled_while_it_waited_is_not_written(tmp_path: Path) -> None:
    writer = SqliteWriter(tmp_path / "e.sqlite", busy_ms=10_000)
    other = sqlite3.connect(tmp_path / "e.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    first = writer.append([event(1)])  # the writer thread takes it and waits for the lock
    while not first.running():
        pass
    second = writer.append([event(2)])
    assert second.cancel()
    other.execute("ROLLBACK")
    writer.close()
    other.close()
    assert [r.payload for r in SqliteReader(tmp_path / "e.sqlite").read(0, 5)] == [b'{"n":1}']


def test_a_path_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="event log"):
        SqliteWriter(tmp_path / "file" / "e.sqlite")


ACKNOWLEDGING = """
import sys
from pathlib import Path
from services.eventlog.port import NewRecord
from services.eventlog.sqlite import SqliteWriter
writer = SqliteWriter(Path(sys.argv[1]))
for n in range(1_000_000):
    futures = [writer.append([NewRecord("event", n, "u", str(n * 10 + i).encode())]) for i in range(3)]
    for i, future in enumerate(futures):
        future.result()
        print(n * 10 + i, flush=True)
"""


def test_everything_acknowledged_before_a_kill_is_there_afterwards(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ACKNOWLEDGING, str(tmp_path / "e.sqlite")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(200)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += [line.strip() for line in process.stdout.readlines() if line.endswith("\n")]
    process.wait()
    there = [r.payload.decode() for r in SqliteReader(tmp_path / "e.sqlite").read(0, 10_000_000)]
    assert set(acknowledged) <= set(there)
    assert len(there) == len(set(there))
    writer = SqliteWriter(tmp_path / "e.sqlite")
    assert writer.append([event(1)]).result(5) == len(there) + 1
    writer.close()
