"""Asking until it is quick, by a clock of the test's own."""

from types import SimpleNamespace

import pytest

from services import warm as module
from services.errors import Unavailable
from services.timing import current_deadline
from services.warm import IN_A_ROW, PAUSE_S, START_S, TAKEOVER_S, Warmth


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

    assert Warmth("engine", 0.25).bring(ask)
    assert asked == list(range(6 + IN_A_ROW))


def test_what_fails_is_asked_again_after_a_moment_and_counts_as_slow(clock: SimpleNamespace) -> None:
    asked: list[int] = []

    def ask(number: int) -> None:
        asked.append(number)
        if number in (0, 1, 7):
            raise Unavailable("not yet")

    assert Warmth("engine", 0.25).bring(ask)
    assert asked == list(range(8 + IN_A_ROW))
    assert clock.s == pytest.approx(3 * PAUSE_S)


def test_what_stays_slow_or_fails_is_given_up_with_a_warning_and_sooner_when_the_engine_is_in_use(
    clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    def never(number: int) -> None:
        clock.sleep(0.4)
        raise Unavailable("no such index")

    engine, took = Warmth("engine", 0.25), []
    for ask in (lambda _: clock.sleep(0.5), never):
        before = clock.s
        assert not engine.bring(ask)
        took.append(clock.s - before)
    assert took == pytest.approx([START_S, TAKEOVER_S])
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "engine: not yet quick after 30 questions, 15 s" in caplog.records[0].message
    assert "engine: not yet quick after 4 questions, 2 s (no such index)" in caplog.records[1].message


def test_no_question_has_longer_than_all_of_them(clock: SimpleNamespace) -> None:
    left: list[float] = []

    def ask(number: int) -> None:
        deadline = current_deadline()
        assert deadline is not None
        left.append(deadline.remaining_ms())

    assert Warmth("engine", 0.25).bring(ask)
    assert 0 < left[-1] <= left[0] <= START_S * 1000
