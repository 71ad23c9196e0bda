"""What every user graph has to do; each adapter is opened by one entry of ADAPTERS."""

import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from recommender.graph import ladybug, neo4j
from recommender.graph.ladybug import LadybugGraph, open_graph
from recommender.graph.neo4j import Neo4jGraph
from recommender.graph.port import Behaved, Change, Expired, Forgotten, GraphCatalogue, Projected, UserGraph
from services.contracts import EVENT_KINDS, UserEvent
from services.errors import ConfigurationError, Unavailable
from tests.recommender_fakes import MemoryGraph

PRODUCTS = 8
Ask = Callable[[str], str]
"""Gives the URL that a fixture of tests/conftest.py has."""
ADAPTERS: dict[str, Callable[[Path, Ask], UserGraph]] = {
    "ladybug": lambda folder, ask: LadybugGraph(folder / "graph", readers=2),
    "memory": lambda folder, ask: MemoryGraph(),
    "neo4j": lambda folder, ask: empty_neo4j(ask("neo4j_url")),
}


def empty_neo4j(url: str) -> Neo4jGraph:
    graph = Neo4jGraph(url)
    graph.clear()
    return graph


def catalogue(products: int = PRODUCTS, generation: int = 1) -> GraphCatalogue:
    numbers = np.arange(products)
    return GraphCatalogue(generation, numbers, numbers % 3 - 1, ["acme" if n % 2 else "" for n in range(products)])


@pytest.fixture(params=ADAPTERS)
def graph(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[UserGraph]:
    opened = ADAPTERS[request.param](tmp_path, request.getfixturevalue)
    opened.load(catalogue())
    yield opened
    opened.close()


def behaved(offset: int, user: str = "ann", *, product: int = 1, kind: str = "click", event_id: str = "", ts_ms: int = 0) -> Behaved:
    return Behaved(offset, user, event_id or f"e{offset}", kind, product, ts_ms or 1_000 * offset)  # type: ignore[arg-type]


def event(change: Behaved) -> UserEvent:
    return UserEvent(change.event_id, change.kind, change.product_no, change.ts_ms)


def test_an_empty_graph_knows_nobody_and_stands_at_zero(graph: UserGraph) -> None:
    assert graph.recent("ann", 10) == []
    assert graph.position() == 0
    graph.ping()


def test_behaviours_of_every_kind_come_back_oldest_first_for_their_user_only(graph: UserGraph) -> None:
    changes = [behaved(n + 1, "ann" if n % 2 else "bob", product=n % PRODUCTS, kind=EVENT_KINDS[n % 4]) for n in range(12)]
    assert graph.project(changes, 12) == Projected(behaviours=12)
    assert graph.recent("ann", 50) == [event(c) for c in changes if c.user == "ann"]
    assert graph.recent("bob", 50) == [event(c) for c in changes if c.user == "bob"]
    assert graph.position() == 12


def test_only_the_newest_are_read_whatever_the_order_in_which_they_came(graph: UserGraph) -> None:
    times = [5, 3, 9, 1, 7, 2, 8, 6, 4, 9]
    changes = [behaved(n + 1, kind=EVENT_KINDS[n % 4], ts_ms=1_000 * t) for n, t in enumerate(times)]
    graph.project(changes, 10)
    newest = sorted(changes, key=lambda c: (c.ts_ms, c.event_id))[-4:]
    assert graph.recent("ann", 4) == [event(c) for c in newest]


def test_a_behaviour_is_one_edge_however_often_its_event_is_delivered(graph: UserGraph) -> None:
    first = behaved(1, event_id="same")
    again = behaved(2, event_id="same", ts_ms=99_000)
    graph.project([first], 1)
    graph.project([first, again], 2)
    assert graph.recent("ann", 10) == [event(first)]


def test_behaviours_towards_unknown_products_are_counted_and_skipped(graph: UserGraph) -> None:
    done = graph.project([behaved(1, product=PRODUCTS), behaved(2, "bob", product=2**31 + 5), behaved(3, product=1)], 3)
    assert done == Projected(behaviours=1, unknown_products=2)
    assert [e.product_no for e in graph.recent("ann", 10)] == [1]
    assert graph.recent("bob", 10) == []


def test_a_new_generation_adds_products_and_keeps_behaviours_towards_those_that_are_gone(graph: UserGraph) -> None:
    graph.project([behaved(1, product=7)], 1)
    graph.load(GraphCatalogue(2, np.array([0, 20]), np.array([5, -1]), ["acme", "zenith"]))
    graph.project([behaved(2, product=20)], 2)
    assert [e.product_no for e in graph.recent("ann", 10)] == [7, 20]


def test_forgetting_removes_what_came_before_it_and_nothing_else(graph: UserGraph) -> None:
    graph.project([behaved(1), behaved(2, "bob"), behaved(3)], 3)
    graph.project([behaved(4), Forgotten(5, "ann"), behaved(6)], 6)
    assert [e.event_id for e in graph.recent("ann", 10)] == ["e6"]
    assert [e.event_id for e in graph.recent("bob", 10)] == ["e2"]


def test_what_is_older_than_the_retention_is_gone_and_nothing_else(graph: UserGraph) -> None:
    graph.project([behaved(1), behaved(2, "bob"), behaved(3)], 3)
    graph.project([behaved(4, ts_ms=1_500), Expired(5, 2_500), behaved(6, ts_ms=1_700)], 6)
    assert [e.event_id for e in graph.recent("ann", 10)] == ["e6", "e3"]
    assert graph.recent("bob", 10) == []


def test_the_position_moves_without_behaviours_and_never_back(graph: UserGraph) -> None:
    graph.project([], 40)
    graph.project([behaved(39)], 40)
    assert graph.position() == 40
    assert graph.recent("ann", 10) == []
    graph.project([], 7)
    assert graph.position() == 40


CHANGES = st.lists(
    st.one_of(
        st.builds(
            Behaved,
            offset=st.just(0),
            user=st.sampled_from(["ann", "bob"]),
            event_id=st.sampled_from(["a", "b", "c", "d"]),
            kind=st.sampled_from(EVENT_KINDS),
            product_no=st.integers(0, PRODUCTS),
            ts_ms=st.integers(1, 3),
        ),
        st.builds(Forgotten, offset=st.just(0), user=st.sampled_from(["ann", "bob"])),
        st.builds(Expired, offset=st.just(0), before_ms=st.integers(1, 4)),
    ),
    max_size=12,
)


@given(CHANGES, st.lists(st.integers(0, 12), max_size=4), st.sampled_from([1, ladybug.BULK]), st.sampled_from([1, 3, 500]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_prefixes_replays_and_duplicates_give_the_same_graph(drawn: list[Change], cuts: list[int], bulk: int, batch: int) -> None:
    """Deliver prefixes in any order, each from the start of the log, then all of it: row by row, in batches, by COPY or in memory."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladybug, "BULK", bulk)
        patch.setattr(ladybug, "BATCH", batch)
        for graph in (LadybugGraph(Path(folder) / "graph", readers=1), MemoryGraph()):
            delivered_alike(graph, drawn, cuts)
            graph.close()


def delivered_alike(graph: UserGraph, drawn: list[Change], cuts: list[int]) -> None:
    log = [structs.replace(change, offset=n) for n, change in enumerate(drawn, start=1)]
    expected = MemoryGraph()
    expected.load(catalogue())
    expected.project(log, len(log))
    graph.load(catalogue())
    for cut in (*cuts, len(log)):
        graph.project(log[:cut], min(cut, len(log)))
    assert graph.position() == len(log)
    for user in ("ann", "bob"):
        assert set(graph.recent(user, 50)) == set(expected.recent(user, 50))
        assert len(graph.recent(user, 50)) == len(expected.recent(user, 50))


# ---- Neo4j alone ---------------------------------------------------------------------------------------------------------------


@given(drawn=CHANGES, cuts=st.lists(st.integers(0, 12), max_size=4), batch=st.sampled_from([1, 3, 500]))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_prefixes_replays_and_duplicates_give_the_same_graph_on_a_server(
    neo4j_url: str, drawn: list[Change], cuts: list[int], batch: int
) -> None:
    graph = empty_neo4j(neo4j_url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neo4j, "BATCH", batch)
        delivered_alike(graph, drawn, cuts)
    graph.close()


def test_a_graph_on_a_server_belongs_to_one_shop_and_is_made_anew_when_it_is_ahead_of_its_log(neo4j_url: str) -> None:
    empty_neo4j(neo4j_url).close()
    graph = neo4j.open_graph(neo4j_url, "demo:1", log_end=0)
    graph.load(catalogue())
    graph.project([behaved(5)], 5)
    graph.close()
    with pytest.raises(ConfigurationError, match="another shop's"):
        neo4j.open_graph(neo4j_url, "demo:2", log_end=9)
    again = neo4j.open_graph(neo4j_url, "demo:1", log_end=5)
    assert (again.position(), again.recent("ann", 10)) == (5, [event(behaved(5))])
    again.close()
    anew = neo4j.open_graph(neo4j_url, "demo:1", log_end=4)
    assert (anew.position(), anew.recent("ann", 10)) == (0, [])
    anew.close()


@pytest.mark.parametrize("url", ["bolt://127.0.0.1:1", "http://127.0.0.1:7687", "nonsense"])
def test_a_server_that_is_none_stops_the_start_with_the_name_of_the_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="AISLE_RECOMMENDER_GRAPH_URL"):
        Neo4jGraph(url)


def test_a_server_that_came_back_empty_is_filled_again(neo4j_url: str) -> None:
    graph = empty_neo4j(neo4j_url)
    graph.load(catalogue())
    graph.project([behaved(1)], 1)
    empty_neo4j(neo4j_url).close()
    with pytest.raises(Unavailable):
        graph.project([behaved(2)], 2)  # whose product is gone: the graph is looked at anew
    assert graph.position() == 0
    assert graph.project([behaved(1), behaved(2)], 2) == Projected(behaviours=2)
    assert [e.event_id for e in graph.recent("ann", 10)] == ["e1", "e2"]
    graph.close()


# ---- Ladybug alone -------------------------------------------------------------------------------------------------------------


def test_a_large_log_fills_an_empty_graph_in_bulk_with_the_same_result(tmp_path: Path) -> None:
    log: list[Change] = [
        behaved(n, f"user{n % 50}", product=n % (PRODUCTS + 1), kind=EVENT_KINDS[n % 4], event_id=f"e{n % 5_500}") for n in range(1, 6_000)
    ]
    log[3_000] = Forgotten(3_001, "user1")
    graph, expected = LadybugGraph(tmp_path / "graph", readers=1), MemoryGraph()
    for either in (graph, expected):
        either.load(catalogue())
    assert len(log) >= ladybug.BULK
    done, wanted = graph.project(iter(log), 7_000), expected.project(log, 7_000)
    assert (done.forgotten, graph.position()) == (wanted.forgotten, 7_000)
    assert [graph.recent(f"user{n}", 500) for n in range(50)] == [expected.recent(f"user{n}", 500) for n in range(50)]
    graph.close()


def test_what_was_projected_is_there_after_a_restart(tmp_path: Path) -> None:
    graph = LadybugGraph(tmp_path / "graph")
    graph.load(catalogue())
    graph.project([behaved(1)], 9)
    graph.close()
    again = open_graph(tmp_path / "graph", log_end=9)
    assert again.position() == 9
    assert again.recent("ann", 10) == [event(behaved(1))]
    again.close()


def _project_and_die(folder: Path) -> None:
    graph = LadybugGraph(folder)
    graph.load(catalogue())
    for n in range(1, 21):
        graph.project([behaved(n)], n)
    os._exit(9)


def test_a_killed_process_leaves_a_graph_whose_position_and_edges_agree(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_project_and_die, args=(tmp_path / "graph",))
    process.start()
    process.join(60)
    graph = open_graph(tmp_path / "graph", log_end=100)
    assert len(graph.recent("ann", 50)) == graph.position() == 20
    graph.close()


def test_a_graph_that_is_ahead_of_its_log_is_made_anew(tmp_path: Path) -> None:
    graph = LadybugGraph(tmp_path / "graph")
    graph.load(catalogue())
    graph.project([behaved(5)], 5)
    graph.close()
    again = open_graph(tmp_path / "graph", log_end=4)
    assert (again.position(), again.recent("ann", 10)) == (0, [])
    again.close()


def test_a_file_that_is_no_graph_stops_the_start_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "user.lbug").write_bytes(b"not a database" * 1000)
    with pytest.raises(ConfigurationError, match="remove the folder"):
        LadybugGraph(tmp_path / "graph")


def _open_and_tell(folder: Path, told: Path) -> None:
    try:
        LadybugGraph(folder)
    except ConfigurationError as error:
        told.write_text(str(error))


def test_a_second_process_is_refused_with_the_reason(tmp_path: Path) -> None:
    graph = LadybugGraph(tmp_path / "graph")
    process = multiprocessing.get_context("spawn").Process(target=_open_and_tell, args=(tmp_path / "graph", tmp_path / "told"))
    process.start()
    process.join(60)
    assert "other recommender has it open" in (tmp_path / "told").read_text()
    graph.close()


def test_thousands_of_small_transactions_fit_into_a_small_buffer_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy shop projects a few events at a time. Nothing of a transaction may stay in the pool until the next checkpoint but its edges."""
    monkeypatch.setattr(ladybug, "BUFFER_POOL_BYTES", 48 * 2**20)
    graph = LadybugGraph(tmp_path / "graph")
    graph.load(catalogue())
    for n in range(1, 2_001):
        graph.project([behaved(n, user=f"user-{n % 50}")], n)
    assert graph.position() == 2_000
    assert len(graph.recent("user-7", 100)) == 40
    graph.close()
    again = LadybugGraph(tmp_path / "graph")
    assert again.position() == 2_000
    again.close()


def test_a_full_buffer_pool_is_emptied_for_the_next_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladybug, "BUFFER_POOL_BYTES", 48 * 2**20)
    graph = LadybugGraph(tmp_path / "graph")
    graph.load(catalogue())
    with pytest.raises(RuntimeError, match="Buffer manager"):  # what no transaction of ours does
        for n in range(5_000):
            graph._set_position("filling", n)
    changes = [behaved(n, user=f"user-{n % 50}") for n in range(1, 2_001)]
    with pytest.raises(Unavailable, match="cannot be written"):
        graph.project(changes, 2_000)
    graph.project(changes, 2_000)
    assert (graph.position(), len(graph.recent("user-7", 100))) == (2_000, 40)
    graph.close()


def test_plans_are_made_anew_when_the_graph_has_grown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ladybug keeps the plan of a text; one made for an empty graph reads all of a full one. So the text changes with the size, seldom."""
    texts: list[str] = []
    execute = ladybug.ladybug.Connection.execute

    def spy(self: Any, text: str, parameters: Any = None) -> Any:
        texts.append(text)
        return execute(self, text, parameters)

    monkeypatch.setattr(ladybug.ladybug.Connection, "execute", spy)
    graph = LadybugGraph(tmp_path / "graph")
    graph.load(catalogue())
    reads = []
    for n in range(1, 101):
        graph.project([behaved(n)], n)
        texts.clear()
        graph.recent("ann", 5)
        reads += texts
    assert 5 <= len(set(reads)) <= 8, "once for each doubling"
    graph.close()


def test_a_closed_graph_says_so(tmp_path: Path) -> None:
    graph = LadybugGraph(tmp_path / "graph")
    graph.close()
    graph.close()
    for use in (lambda: graph.recent("ann", 1), lambda: graph.project([behaved(1)], 1), graph.ping):
        with pytest.raises(Unavailable, match="closed"):
            use()


def test_readers_see_whole_transactions_while_one_writes(tmp_path: Path) -> None:
    """Each transaction adds two behaviours: a reader must never see an odd number of them."""
    graph = LadybugGraph(tmp_path / "graph", readers=2)
    graph.load(catalogue())
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(len(graph.recent("ann", 500)))

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(1, 80, 2):
        while not seen:
            time.sleep(0.001)  # somebody reads
        graph.project([behaved(n, kind="view"), behaved(n + 1, kind="purchase")], n + 1)
    while len(seen) <= 2:
        time.sleep(0.001)
    done.set()
    for thread in threads:
        thread.join()
    assert len(seen) > 2
    assert {n % 2 for n in seen} == {0}
    assert graph.position() == 80
    graph.close()
