"""Asking until it is quick, by a clock of the test's own."""

from types import SimpleNamespace

import pytest

from services import warm as module
from services.errors import Unavailable
from services.warm import IN_A_ROW, PAUSE_S, warm


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Time passes when `sleep` says so."""
    now = SimpleNamespace(s=0.0)

    def sleep(s: float) -> None:
        now.s += s

    now.sleep = sleep
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now.s, sleep=sleep))
    return now


def test_it_is_asked_until_ten_answers_in_a_row_were_quick(clock: SimpleNamespace) -> None:
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        clock.sleep(0.3 if number in (0, 5) else 0.2)

    assert warm("engine", ask, 0.25)
    assert asked == list(range(6 + IN_A_ROW))


def test_what_fails_is_asked_again_after_a_moment_and_counts_as_slow(clock: SimpleNamespace) -> None:
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        if number in (0, 1, 7):
            raise Unavailable("not yet")

    assert warm("engine", ask, 0.25)
    assert asked == list(range(8 + IN_A_ROW))
    assert clock.s == pytest.approx(3 * PAUSE_S)


def test_what_stays_slow_or_fails_is_given_up_with_a_warning(clock: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    def never(number: int) -> None:
        raise Unavailable("never")

    assert not warm("engine", lambda _: clock.sleep(0.3), 0.25, limit_s=2.0)
    assert not warm("engine", never, 0.25, limit_s=2.0)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "engine: still slower than 250 ms after 7 questions, 2 s" in caplog.records[0].message
