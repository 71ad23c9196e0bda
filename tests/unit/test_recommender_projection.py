"""The log becomes the graph: from any position, with whatever lies between, and forgetting is honoured."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from recommender import projection
from recommender.graph.port import Change, GraphCatalogue, Projected
from recommender.profile import Profile, ProfileCache
from recommender.projection import Projector
from services.artifacts import Versions
from services.contracts import EventRecord
from services.eventlog.port import LogRecord
from services.eventlog.sqlite import SqliteReader, SqliteWriter
from services.telemetry import Telemetry
from tests.recommender_fakes import MemoryGraph, MemoryLog
from tests.recommender_shop import plant, publish

NOTHING = Versions(Path("there are no generations"))


def event(offset: int, user: str | None = "ann", product: int | None = 1, kind: str | None = "click") -> LogRecord:
    record = EventRecord(event_id=f"e{offset}", action="x", ts_ms=offset, kind=kind, product_no=product)  # type: ignore[arg-type]
    return LogRecord(offset, "event", offset, user, msgspec.json.encode(record))


def projector(
    records: list[LogRecord], graph: MemoryGraph | None = None, cache: ProfileCache | None = None
) -> tuple[Projector, MemoryGraph]:
    graph = graph or MemoryGraph()
    graph.load(GraphCatalogue(1, np.arange(5), np.ones(5, np.int64), [""] * 5))
    return Projector(graph, MemoryLog(records), NOTHING, cache or ProfileCache(9), Telemetry()), graph


LOG = [
    event(1),
    LogRecord(2, "page", 2, "ann", b"{}"),
    event(3, user=None),
    event(5, "bob", product=2),
    event(6, product=None),
    event(7, kind=None),
    event(8, product=77),
    LogRecord(9, "forget", 9, "bob", b""),
    event(10, "bob", product=3),
    LogRecord(12, "page", 12, "ann", b"{}"),
]


def test_behaviours_of_known_users_towards_known_products_are_projected_up_to_the_end_of_the_log() -> None:
    made, graph = projector(LOG)
    assert made.catch_up() == made.position() == 12
    assert [e.event_id for e in graph.recent("ann", 9)] == ["e1"]
    assert [e.event_id for e in graph.recent("bob", 9)] == ["e10"]
    assert (made.lag(), made.complete) == (0, True)


def test_what_expired_in_the_log_leaves_the_graph() -> None:
    made, graph = projector([*LOG, LogRecord(13, "expire", 10, None, b"")])
    made.catch_up()
    assert [e.event_id for e in graph.recent("ann", 9)] == []
    assert [e.event_id for e in graph.recent("bob", 9)] == ["e10"]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_reading_in_small_steps_from_any_position_gives_the_same(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "READ_AT_ONCE", at_once)
    _, expected = projector(LOG)
    whole, expected = projector(LOG)
    whole.catch_up()
    for cut in range(len(LOG) + 1):
        first, graph = projector(LOG[:cut])
        first.catch_up()
        again, graph = projector(LOG, graph)
        assert again.catch_up() in (10, 12)  # the page at 12 changes nothing
        assert graph.edges == expected.edges


def test_pages_alone_move_the_graph_seldom_and_a_behaviour_at_once() -> None:
    class Counting(MemoryGraph):
        moves = 0

        def project(self, changes: Iterable[Change], position: int) -> Projected:
            self.moves += 1
            return super().project(changes, position)

    log, graph = MemoryLog(LOG), Counting()
    graph.load(GraphCatalogue(1, np.arange(5), np.ones(5, np.int64), [""] * 5))
    made = Projector(graph, log, NOTHING, ProfileCache(9), Telemetry())
    made.catch_up()
    for offset in range(13, 33):
        log.records.append(LogRecord(offset, "page", offset, "ann", b"{}"))
        made.catch_up()
    assert (graph.moves, made.position(), made.complete) == (1, 12, True)
    log.records.append(event(33))
    assert made.catch_up() == made.position() == 33
    assert graph.moves == 2


def test_unknown_products_are_counted() -> None:
    telemetry = Telemetry()
    graph = MemoryGraph()
    graph.load(GraphCatalogue(1, np.arange(5), np.ones(5, np.int64), [""] * 5))
    Projector(graph, MemoryLog(LOG), NOTHING, ProfileCache(9), telemetry).catch_up()
    text = telemetry.render().decode()
    assert 'aisle_events_total{outcome="graph_unknown_products"} 2.0' in text
    assert 'aisle_events_total{outcome="graph_behaviours"} 3.0' in text
    assert 'aisle_events_total{outcome="graph_forgotten"} 1.0' in text


def test_users_of_a_step_leave_the_cache_and_others_stay() -> None:
    cache = ProfileCache(9)
    made, graph = projector(LOG[:1], cache=cache)
    made.catch_up()
    for user in ("ann", "bob"):
        cache.put(user, Profile.of(graph.recent(user, 9)), cache.epoch)
    projector([*LOG[:1], event(2, "bob")], graph, cache)[0].catch_up()
    assert cache.get("ann") is not None
    assert cache.get("bob") is None


class FaultyGraph(MemoryGraph):
    def project(self, changes: object, position: int) -> object:  # type: ignore[override]
        raise RuntimeError("disk full")


def test_after_a_failure_users_are_no_longer_held_and_nothing_counts_as_projected() -> None:
    cache = ProfileCache(9)
    made, _ = projector(LOG, FaultyGraph(), cache)
    with pytest.raises(RuntimeError):
        made.catch_up()
    assert (made.position(), made.complete) == (0, False)
    assert cache.put("ann", Profile.of([]), cache.epoch)


def test_an_empty_log_is_complete() -> None:
    made, _ = projector([])
    assert (made.catch_up(), made.complete) == (0, True)


def test_nothing_is_projected_after_closing() -> None:
    made, graph = projector(LOG)
    made.close()
    assert (made.catch_up(), graph.edges) == (0, {})


def test_what_a_real_log_forgets_leaves_the_graph(tmp_path: Path) -> None:
    shop = plant(tmp_path / "shop", searches=30, users=3).shop
    publish(shop)
    log, writer = SqliteReader(shop.log_file), SqliteWriter(shop.log_file)

    def over(graph: MemoryGraph) -> Projector:
        return Projector(graph, log, Versions(shop.generations), ProfileCache(9), Telemetry())

    graph, replayed = MemoryGraph(), MemoryGraph()
    made = over(graph)
    made.catch_up()
    assert set(graph.edges) == {"user0", "user1", "user2"}
    writer.forget("user1").result(5)
    made.catch_up()
    assert set(graph.edges) == {"user0", "user2"}
    over(replayed).catch_up()
    assert replayed.edges == graph.edges
    log.close()
    writer.close()


def test_products_of_a_new_generation_are_known_before_the_first_behaviour_towards_them(tmp_path: Path) -> None:
    shop = plant(tmp_path / "shop", products=10).shop
    publish(shop)
    graph, log = MemoryGraph(), MemoryLog([event(1, product=3)])
    made = Projector(graph, log, Versions(shop.generations), ProfileCache(9), Telemetry())
    made.catch_up()
    larger = plant(tmp_path / "larger", products=20).shop
    shutil.copytree(larger.generations / "1", shop.generations / "2")
    publish(shop, 2)
    log.records.append(event(2, product=15))
    made.catch_up()
    assert [e.product_no for e in graph.recent("ann", 9)] == [3, 15]
