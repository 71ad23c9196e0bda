"""No acknowledged event is lost when planner and recommender are killed while 10,000 events come in, and the graph ends up with exactly the log."""

import os
import signal
import threading
import time
from collections import Counter

import httpx
import msgspec
import neo4j

from recommender.graph.cypher import EDGES
from services.contracts import EventRecord
from services.eventlog.sqlite import SqliteReader
from services.shop import Shop
from tests.engines.conftest import Real, event, wait_for

EVENTS, BATCH = 10_000, 100
ACTIONS = ("view", "click", "cart", "purchase")
Edge = tuple[str, str, int, str]
"""user key, kind, product number, event id"""


def test_no_acknowledged_event_is_lost_and_the_graph_is_the_log(real: Real) -> None:
    acknowledged: list[str] = []
    batches = [
        [event(ACTIONS[n % 4], f"p{n % 120}", f"durable-{n % 50}", f"durable-event-{n}") for n in range(start, start + BATCH)]
        for start in range(0, EVENTS, BATCH)
    ]
    killing = threading.Thread(target=kill_midway, args=(real, acknowledged))
    killing.start()
    for batch in batches:
        acknowledged += accepted(real, batch)
    killing.join()
    assert len(acknowledged) == EVENTS

    logged = events_in(real.shop)
    assert set(acknowledged) - {record.event_id for record in logged} == set()
    end = SqliteReader(real.shop.log_file).end()
    wait_for(lambda: position(real) >= end, 60.0)
    expected = {(r.user, r.kind, r.product_no, r.event_id) for r in logged if r.user and r.kind and r.product_no is not None}
    edges = edges_in(real.settings()["AISLE_RECOMMENDER_GRAPH_URL"])
    print(f"{EVENTS:,} acknowledged, {len(logged):,} in the log, {len(edges):,} edges, position {position(real)} of {end}")
    assert Counter(edges).most_common(1)[0][1] == 1  # each event once
    assert set(edges) == expected


def kill_midway(real: Real, acknowledged: list[str]) -> None:
    """SIGKILL, each once, while events come in; the supervisor starts them again."""
    for share, name in ((0.3, "planner"), (0.6, "recommender")):
        wait_for(lambda share=share: len(acknowledged) >= share * EVENTS, 120.0)  # type: ignore[misc]
        process = real.stack.service(name).process
        assert process
        os.kill(process.pid, signal.SIGKILL)


def accepted(real: Real, batch: list[dict[str, object]]) -> list[str]:
    """Sent again until it is acknowledged, as a client that lost its answer would."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        try:
            answer, _ = real.post("planner", "/events", batch)
        except (httpx.TransportError, AssertionError):  # it is being started again
            time.sleep(0.2)
            continue
        if answer.status_code == 202:
            ids: list[str] = answer.json()["event_ids"]
            return ids
        assert answer.status_code in (503, 504), answer.text
    raise AssertionError("the planner did not come back")


def events_in(shop: Shop) -> list[EventRecord]:
    reader, found, after = SqliteReader(shop.log_file), [], 0
    while records := reader.read(after, 5_000, ("event",)):
        found += [msgspec.json.decode(record.payload, type=EventRecord) for record in records]
        after = records[-1].offset
    reader.close()
    return found


def position(real: Real) -> int:
    try:
        checks = httpx.get(real.stack.service("recommender").ready_url, timeout=10).json()["checks"]
    except httpx.TransportError:  # it was killed, and is being started again
        return 0
    return int(checks["graph"]["detail"]["position"]) if checks["graph"]["ok"] else 0


def edges_in(url: str) -> list[Edge]:
    query = f"MATCH (u:User)-[e:{'|'.join(EDGES.values())}]->(p:Product) RETURN u.key, e.kind, p.no, e.event_id"
    with neo4j.GraphDatabase.driver(url) as driver, driver.session() as session:
        return [tuple(row) for row in session.run(query).values()]  # type: ignore[misc]
