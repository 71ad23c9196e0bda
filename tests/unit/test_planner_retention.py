from pathlib import Path

from planner import retention
from planner.retention import DAY_MS, Retention
from services.eventlog.port import NewRecord
from services.eventlog.sqlite import SqliteReader, SqliteWriter


def test_only_what_is_older_than_the_retention_goes_however_much_it_is(tmp_path: Path) -> None:
    writer = SqliteWriter(tmp_path / "events.sqlite")
    writer.append([NewRecord("page", day * DAY_MS, None, b"{}") for day in range(10) for _ in range(500)]).result(5)
    assert Retention(writer, days=3)(now_ms=9 * DAY_MS) == 6 * 500
    assert Retention(writer, days=3)(now_ms=9 * DAY_MS) == 0
    writer.close()
    left = SqliteReader(tmp_path / "events.sqlite").read(0, 10_000, ["page"])
    assert {record.ts_ms // DAY_MS for record in left} == {6, 7, 8, 9}


def test_it_goes_in_steps_so_that_events_do_not_wait() -> None:
    assert retention.REMOVE_AT_ONCE <= 5_000
