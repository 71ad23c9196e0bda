"""Who gets a place, who waits, and who is refused at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from services.endpoint import Admission
from services.errors import Overloaded
from services.telemetry import Telemetry
from services.timing import Deadline


def admission(places: int = 2, max_queue_ms: float = 1000.0) -> Admission:
    return Admission(places, max_queue_ms, Telemetry())


async def hold(admission: Admission, until: asyncio.Event, deadline_ms: float = 600_000.0) -> str:
    async with admission.place(Deadline(deadline_ms)):
        await until.wait()
        return "served"


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 30))


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def learn(admission: Admission, held_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it see requests that hold a place for so long, by a clock that nothing delays."""
    now, deadline = iter([0.0, held_s]), Deadline(60_000)
    with monkeypatch.context() as patched:
        patched.setattr("services.endpoint.time.perf_counter", lambda: next(now))
        async with admission.place(deadline):
            pass


def test_as_many_as_there_are_places_are_served_and_the_next_one_waits_for_its_turn() -> None:
    async def test() -> None:
        gate, places, done = asyncio.Event(), admission(2, 60_000), []
        tasks = [asyncio.create_task(hold(places, gate)) for _ in range(3)]
        await settle()
        assert [t.done() for t in tasks] == [False] * 3
        gate.set()
        done = await asyncio.gather(*tasks)
        assert done == ["served"] * 3

    run(test)


def test_who_would_wait_longer_than_allowed_is_refused_before_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        gate, places = asyncio.Event(), admission(1, 60_000)
        await learn(places, 40.0, monkeypatch)
        first = asyncio.create_task(hold(places, gate))
        await settle()
        waits = asyncio.create_task(hold(places, gate))
        await settle()
        assert not waits.done(), "40 s to wait are allowed, 80 are not"
        late = asyncio.create_task(hold(places, gate))
        await settle()
        assert late.done(), "at once"
        with pytest.raises(Overloaded, match="too late"):
            await late
        gate.set()
        await asyncio.gather(first, waits, return_exceptions=True)

    run(test)


def test_who_could_not_be_worked_on_before_the_deadline_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        gate, places = asyncio.Event(), admission(1, 60_000)
        await learn(places, 20.0, monkeypatch)
        first = asyncio.create_task(hold(places, gate))
        await settle()
        with pytest.raises(Overloaded, match="too late"):
            await hold(places, gate, deadline_ms=25_000)
        gate.set()
        assert await first == "served"

    run(test)


def test_a_short_queue_is_no_reason_to_refuse_when_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        gate, places = asyncio.Event(), admission(1, 60_000)
        await learn(places, 0.01, monkeypatch)
        tasks = [asyncio.create_task(hold(places, gate)) for _ in range(8)]
        await settle()
        gate.set()
        assert await asyncio.gather(*tasks) == ["served"] * 8

    run(test)


def test_a_loop_that_is_behind_refuses_what_is_new_until_it_has_caught_up() -> None:
    async def test() -> None:
        gate, places = asyncio.Event(), admission(2, 100)
        tasks = [asyncio.create_task(hold(places, gate))]
        await settle()
        time.sleep(0.4)  # the loop can do nothing meanwhile
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="behind"):
            await hold(places, gate)
        gate.set()
        assert await asyncio.gather(*tasks) == ["served"]
        while places._behind_s:  # it is what the loop itself finds out
            await asyncio.sleep(0.01)
        assert await hold(places, gate) == "served"

    run(test)


def test_a_refusal_says_when_to_try_again() -> None:
    assert Overloaded("x").status == 503
    assert Overloaded("x").retry_after_s == 1
