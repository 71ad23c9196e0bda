"""Page records never hold up a search: what does not fit is dropped and counted, what the log refuses waits for the next try."""

from collections.abc import Sequence
from concurrent.futures import Future

import msgspec
import pytest

from planner.pages import FLUSH_RECORDS, PageQueue
from planner.products.summary import shown_attributes
from services.contracts import PageRecord
from services.errors import Unavailable
from services.eventlog.port import NewRecord
from services.telemetry import Telemetry


class Log:
    """Keeps what it is given, or refuses it while `full`; `slow`: an append stays where it is, "queued" or "being written"."""

    def __init__(self) -> None:
        self.kept: list[NewRecord] = []
        self.full = False
        self.slow = ""
        self.late: list[Future[int]] = []

    def append(self, records: Sequence[NewRecord]) -> "Future[int]":
        future: Future[int] = Future()
        if self.slow:
            self.late.append(future)
            if self.slow == "being written":
                future.set_running_or_notify_cancel()
        elif self.full:
            future.set_exception(Unavailable("disk full"))
        else:
            self.kept += records
            future.set_result(len(self.kept))
        return future

    def forget(self, user: str) -> "Future[int]":
        raise NotImplementedError

    def ping(self) -> None: ...

    def close(self) -> None: ...


def page(number: int, user: str | None = None) -> PageRecord:
    return PageRecord(
        query_id=f"q{number}",
        ts_ms=number,
        query="shoe",
        terms=[],
        categories=[],
        product_no=[1],
        positions=[1],
        features=b"",
        feature_schema="v1",
        generation=1,
        user=user,
    )


def queue(log: Log, limit: int = 10_000) -> tuple[PageQueue, Telemetry]:
    telemetry = Telemetry()
    return PageQueue(log, telemetry, limit=limit), telemetry


def dropped(telemetry: Telemetry) -> float:
    return telemetry.registry.get_sample_value("aisle_dropped_total", {"queue": "pages"}) or 0.0


def test_records_are_written_in_order_however_many_there_are() -> None:
    log = Log()
    pages, _ = queue(log)
    for number in range(2 * FLUSH_RECORDS + 3):
        assert pages.offer(page(number, "ann"))
    pages.flush()
    assert [msgspec.json.decode(r.payload, type=PageRecord).query_id for r in log.kept] == [f"q{n}" for n in range(2 * FLUSH_RECORDS + 3)]
    assert {(r.kind, r.user) for r in log.kept} == {("page", "ann")}
    assert len(pages) == 0


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    pages, telemetry = queue(Log(), limit=2)
    assert [pages.offer(page(n)) for n in range(4)] == [True, True, False, False]
    assert dropped(telemetry) == 2


def test_what_the_log_refuses_waits_for_the_next_flush_in_its_order() -> None:
    log = Log()
    pages, telemetry = queue(log)
    log.full = True
    pages.offer(page(1))
    pages.offer(page(2))
    pages.flush()
    pages.offer(page(3))
    log.full = False
    pages.flush()
    assert [r.ts_ms for r in log.kept] == [1, 2, 3]
    assert dropped(telemetry) == 0


def test_what_waits_too_long_for_the_disk_is_taken_back_and_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.pages.WRITE_LIMIT_S", 0.01)
    log = Log()
    pages, telemetry = queue(log)
    log.slow = "queued"
    pages.offer(page(1))
    pages.flush()
    assert log.late[0].cancelled(), "the log will not write it later as well"
    log.slow = ""
    pages.flush()
    assert ([r.ts_ms for r in log.kept], dropped(telemetry)) == ([1], 0)


def test_what_is_just_being_written_is_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    pages, telemetry = queue(log)
    log.slow = "being written"
    monkeypatch.setattr("planner.pages.WRITE_LIMIT_S", 0.01)
    pages.offer(page(1))

    def ends(self: "Future[int]") -> bool:  # by the time that it cannot be taken back any more, the disk has it
        monkeypatch.setattr("planner.pages.WRITE_LIMIT_S", 30.0)
        self.set_result(7)
        return False

    monkeypatch.setattr(Future, "cancel", ends)
    pages.flush()
    log.slow = ""
    pages.flush()
    assert (log.kept, len(pages), dropped(telemetry)) == ([], 0, 0)


def test_a_forgotten_users_pages_are_not_written() -> None:
    log = Log()
    pages, _ = queue(log)
    for number, user in enumerate(["ann", "bob", None, "ann"]):
        pages.offer(page(number, user))
    pages.forget("ann")
    pages.flush()
    assert [r.user for r in log.kept] == ["bob", None]


def test_a_result_list_shows_what_shoppers_choose_by_and_nothing_long() -> None:
    attributes = {"gtin": "1", "description": "x" * 100, "size": "M", "color": "red", "empty": "", **{f"more{n}": "y" for n in range(9)}}
    assert list(shown_attributes(attributes)) == ["color", "size", "gtin", "more0", "more1", "more2"]
