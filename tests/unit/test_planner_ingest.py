"""History goes into the log once, with hashed users, and an interrupted load goes on where it was."""

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from planner import ingest as module
from planner.ingest import ingest, main
from services.contracts import EventRecord
from services.errors import ConfigurationError
from services.eventlog.bulk import BulkLoader, Progress
from services.eventlog.sqlite import SqliteReader, SqliteWriter
from services.identity import user_key
from services.shop import Shop, secret


def write_history(folder: Path, rows: int, *, per_file: int = 100) -> Path:
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, rows, per_file)):
        part = range(start, min(rows, start + per_file))
        payloads = [msgspec.json.encode(EventRecord(event_id=f"e{n}", action="click", ts_ms=n, kind="click")) for n in part]
        users = [None if n % 5 == 0 else f"user {n % 7}" for n in part]
        table = pa.table({"ts_ms": list(part), "kind": ["event"] * len(part), "user_id": users, "payload": pa.array(payloads, pa.binary())})
        pq.write_table(table, folder / f"{number:05d}.parquet")
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shops" / "demo")


def test_all_records_arrive_in_order_with_keyed_users(shop: Shop, tmp_path: Path) -> None:
    assert ingest(shop, write_history(tmp_path / "history", 250)) == 250
    records = SqliteReader(shop.log_file).read(0, 1000)
    events = [msgspec.json.decode(r.payload, type=EventRecord) for r in records]
    assert [e.event_id for e in events] == [f"e{n}" for n in range(250)]
    key = user_key("user 1", secret(tmp_path))
    assert (records[1].user, events[1].user) == (key, key)
    assert (records[0].user, events[0].user) == (None, None)
    assert b"user 1" not in b"".join(r.payload for r in records)


def test_a_second_run_is_refused_and_adds_nothing(shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = write_history(tmp_path / "history", 30)
    assert main([str(shop.root), str(history)]) == 0
    assert main([str(shop.root), str(history)]) == 2
    assert "already has its history" in capsys.readouterr().err
    assert SqliteReader(shop.log_file).end() == 30


def test_a_load_that_was_cut_off_goes_on_where_it_was(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = write_history(tmp_path / "history", 250)
    monkeypatch.setattr(module, "BATCH_ROWS", 40)
    real, calls = BulkLoader.load, iter(range(100))

    def cut_off(self: BulkLoader, records: list[object], progress: Progress) -> None:
        if next(calls) == 3:
            raise KeyboardInterrupt
        real(self, records, progress)  # type: ignore[arg-type]

    monkeypatch.setattr(BulkLoader, "load", cut_off)
    with pytest.raises(KeyboardInterrupt):
        ingest(shop, history)
    there = SqliteReader(shop.log_file).end()
    assert 0 < there < 250
    monkeypatch.setattr(module, "BATCH_ROWS", 64)  # the place counts rows, whatever the batches were
    assert ingest(shop, history) == 250 - there
    payloads = [r.payload for r in SqliteReader(shop.log_file).read(0, 1000)]
    assert len(payloads) == len(set(payloads)) == 250


def test_who_was_forgotten_meanwhile_does_not_come_back(shop: Shop, tmp_path: Path) -> None:
    writer = SqliteWriter(shop.log_file)
    writer.forget(user_key("user 1", secret(tmp_path))).result(5)
    writer.close()
    assert ingest(shop, write_history(tmp_path / "history", 70)) < 70
    assert [r.kind for r in SqliteReader(shop.log_file).read(0, 100) if r.user == user_key("user 1", secret(tmp_path))] == ["forget"]


def test_another_history_on_top_of_a_part_of_one_is_refused(shop: Shop, tmp_path: Path) -> None:
    with BulkLoader(shop.log_file) as loader:
        loader.load([], Progress("of another", 10, False))
    with pytest.raises(ConfigurationError, match="another history"):
        ingest(shop, write_history(tmp_path / "history", 5))


def test_files_that_are_no_history_are_named(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no \*\.parquet"):
        ingest(shop, tmp_path)
    pq.write_table(pa.table({"ts_ms": [1]}), tmp_path / "00000.parquet")
    with pytest.raises(ConfigurationError, match="needs the columns"):
        ingest(shop, tmp_path)
    columns = {"ts_ms": [1], "kind": ["forget"], "user_id": [None], "payload": [b"{}"]}
    pq.write_table(pa.table(columns), tmp_path / "00000.parquet")
    with pytest.raises(ConfigurationError, match="forget"):
        ingest(shop, tmp_path)
