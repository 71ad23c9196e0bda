"""The user graph on a Neo4j server (5.x), over Bolt. The texts are those of cypher.py; where this file has its own, it says why.

A server of one database holds the graph of one shop: a node (:Shop {id}) says whose.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import neo4j
import numpy as np
import numpy.typing as npt
from neo4j.exceptions import ConfigurationError as BadSettings
from neo4j.exceptions import DriverError, Neo4jError

from recommender.graph import cypher
from recommender.graph.port import Behaved, Change, Expired, Forgotten, GraphCatalogue, Projected
from services.breaker import Breaker
from services.contracts import EventKind, UserEvent
from services.errors import ConfigurationError, Unavailable
from services.eventlog.port import PARTITION
from services.timing import current_deadline
from services.warm import Warmth

SETTING = "AISLE_RECOMMENDER_GRAPH_URL"
CATALOGUE = "catalogue"
"""A Position of its own: the generation whose products are loaded."""
BATCH = 2_000
"""Changes in one transaction."""
ROWS = 5_000
"""Rows of a catalogue in one transaction."""
WARM_USERS, WARM_EVENTS, QUICK_S = 50, 50, 0.03
READ_LIMIT_S, WRITE_LIMIT_S, CONNECT_LIMIT_S, PING_LIMIT_S = 10.0, 60.0, 2.0, 1.5
SHARE = 0.6
"""Part of a request's remaining time that reading its user may take: an answer without preferences still has to be made."""
KEYS = {"User": "key", "Product": "no", "Category": "id", "Brand": "name", "Position": "`partition`", "Shop": "id"}
EMPTY = "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS"


def recent(limit: int) -> str:
    """One row with all behaviours, newest first: rows cost more than what is in them. (Ladybug would ignore this ORDER BY.)"""
    return (
        f"MATCH (u:User {{key: $user}})-[e:{'|'.join(cypher.EDGES.values())}]->(p:Product) "
        f"WITH e, p ORDER BY e.ts DESC, e.event_id DESC LIMIT {int(limit)} RETURN collect([e.event_id, e.kind, e.ts, p.no])"
    )


def project(kind: EventKind) -> str:
    """cypher.project for many rows [user, no, event_id, ts] in one call; how many are there now. (Ladybug loses rows of UNWIND ... MERGE.)"""
    return (
        "UNWIND $rows AS row MERGE (u:User {key: row[0]}) WITH u, row MATCH (p:Product {no: row[1]}) "
        f"MERGE (u)-[e:{cypher.EDGES[kind]} {{event_id: row[2]}}]->(p) ON CREATE SET e.kind = '{kind}', e.ts = row[3] RETURN count(*)"
    )


class Neo4jGraph:
    """Reads come from any thread, each with a session of its own; writes from one at a time."""

    def __init__(self, url: str) -> None:
        """Raises ConfigurationError when there is no such server, or it cannot be used."""
        logging.getLogger("neo4j").setLevel(logging.ERROR)  # it warns of every label that an empty graph does not have yet
        self.address, auth = _address(url)
        try:
            self._driver = neo4j.GraphDatabase.driver(
                self.address,
                auth=auth,
                connection_acquisition_timeout=CONNECT_LIMIT_S,
                connection_timeout=CONNECT_LIMIT_S,
                max_transaction_retry_time=0,
                notifications_min_severity="OFF",
                telemetry_disabled=True,
            )
        except (BadSettings, ValueError) as error:
            raise ConfigurationError(f"{SETTING}={self.address!r} is no address ({error}); one looks like bolt://host:7687") from None
        self._writing, self._closed = threading.Lock(), False
        self._breaker, self._noting = Breaker(failures=2, pause_s=0.5), threading.Lock()
        self._position: int | None = None
        self._known: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._catalogue: GraphCatalogue | None = None
        try:
            self._reopen()
        except Unavailable as error:
            self._driver.close()
            raise ConfigurationError(f"{SETTING}: {error.detail}; start Neo4j there, or correct the setting") from None

    # ---- reading ----

    def recent(self, user: str, limit: int) -> list[UserEvent]:
        rows = self._read(recent(limit), {"user": user})
        return [UserEvent(event_id, kind, no, ts) for event_id, kind, ts, no in reversed(rows[0][0])]

    def some_users(self, limit: int) -> list[str]:
        """Keys of users that the graph has, any."""
        return [row[0] for row in self._read(f"MATCH (u:User) RETURN u.key LIMIT {int(limit)}", {})]

    def position(self) -> int:
        known = self._position
        if known is None:
            known = self._read_position(PARTITION)
        return known

    def ping(self) -> None:
        self._read("RETURN 1", {}, PING_LIMIT_S)

    def _read(self, text: str, parameters: dict[str, Any], limit_s: float = READ_LIMIT_S) -> list[Any]:
        if (deadline := current_deadline()) is not None:
            limit_s = min(limit_s, SHARE * deadline.remaining_ms() / 1000)
        with self._noting:
            if self._closed or not self._breaker.allows(time.perf_counter()):
                raise Unavailable(
                    "the user graph is closed" if self._closed else "the user graph failed repeatedly and is left alone for a moment"
                )
        try:
            rows = self._run(text, parameters, max(limit_s, 0.001))
        except Unavailable:
            with self._noting:
                self._breaker.failed(time.perf_counter())
            raise
        with self._noting:
            self._breaker.succeeded()
        return rows

    def _run(self, text: str, parameters: dict[str, Any], limit_s: float) -> list[Any]:
        with self._errors("read"), self._session(limit_s) as session:
            return session.run(text, parameters).values()

    @contextlib.contextmanager
    def _session(self, limit_s: float) -> Iterator[neo4j.Session]:
        """A session whose connection gives up after `limit_s` without a word. The driver has no such setting: only the server may hint at one."""
        with self._driver.session(fetch_size=-1) as session:
            session._connect(neo4j.WRITE_ACCESS)  # type: ignore[no-untyped-call]
            session._connection.socket.settimeout(limit_s)  # type: ignore[union-attr]  # connected above
            yield session

    # ---- writing ----

    def load(self, catalogue: GraphCatalogue) -> None:
        with self._write():
            if self._read_position(CATALOGUE) != catalogue.generation:
                self._load(catalogue)
            self._catalogue = catalogue
            self._known = self._product_mask()

    def project(self, changes: Iterable[Change], position: int) -> Projected:
        with self._write():
            after = self._position or 0
            fresh: Iterator[Change] = (change for change in changes if change.offset > after)
            done = Projected()
            while batch := list(islice(fresh, BATCH)):
                done += self._apply(batch, batch[-1].offset if len(batch) == BATCH else position)
            if position > (self._position or 0):
                done += self._apply([], position)
            return done

    def close(self) -> None:
        """Waits for a write that is under way; idempotent."""
        with self._writing:
            self._closed = True
            self._driver.close()

    def _apply(self, batch: Sequence[Change], position: int) -> Projected:
        """One transaction. What had happened before an expiry is applied before it."""
        done, rest = Projected(), batch
        with self._session(WRITE_LIMIT_S) as session, session.begin_transaction() as transaction:
            while rest:
                cut = next((i for i, change in enumerate(rest) if isinstance(change, Expired)), len(rest))
                done += self._merge(transaction, rest[:cut])
                for change in (c for c in rest[cut : cut + 1] if isinstance(c, Expired)):
                    transaction.run(cypher.EXPIRE, before=change.before_ms).consume()
                rest = rest[cut + 1 :]
            transaction.run(cypher.SET_POSITION, partition=PARTITION, offset=position).consume()
            transaction.commit()
        self._position = position
        return done

    def _merge(self, transaction: neo4j.Transaction, changes: Sequence[Change]) -> Projected:
        """A user who is forgotten at the end of these changes loses what came before it, in the graph and among them."""
        forgotten = {change.user: change.offset for change in changes if isinstance(change, Forgotten)}
        behaved = [c for c in changes if isinstance(c, Behaved) and c.offset > forgotten.get(c.user, 0)]
        known = [c for c in behaved if c.product_no < len(self._known) and self._known[c.product_no]]
        for user in forgotten:
            transaction.run(cypher.FORGET, user=user).consume()
        for kind in cypher.EDGES:
            rows = [[c.user, c.product_no, c.event_id, c.ts_ms] for c in known if c.kind == kind]
            if rows and (written := transaction.run(project(kind), rows=rows).single(strict=True)[0]) != len(rows):
                raise Unavailable(f"the user graph took {written} of {len(rows)} behaviours")
        return Projected(len(known), len(behaved) - len(known), len(forgotten))

    def _load(self, catalogue: GraphCatalogue) -> None:
        """Not one transaction: the generation is noted last, and a load that was cut short is done again."""
        numbers = [int(n) for n in catalogue.product_no]
        self._each("UNWIND $rows AS no MERGE (:Product {no: no})", numbers)
        for edge in ("IN", "OF"):
            self._auto(f"MATCH (:Product)-[e:`{edge}`]->() CALL (e) {{ DELETE e }} IN TRANSACTIONS OF 10000 ROWS")
        for node in ("Category", "Brand"):
            self._auto(f"MATCH (n:{node}) CALL (n) {{ DETACH DELETE n }} IN TRANSACTIONS OF 10000 ROWS")
        in_category = [[n, int(c)] for n, c in zip(numbers, catalogue.category_id, strict=True) if c >= 0]
        of_brand = [[n, b] for n, b in zip(numbers, catalogue.brand, strict=True) if b]
        self._each(
            "UNWIND $rows AS row MATCH (p:Product {no: row[0]}) MERGE (c:Category {id: row[1]}) CREATE (p)-[:`IN`]->(c)", in_category
        )
        self._each("UNWIND $rows AS row MATCH (p:Product {no: row[0]}) MERGE (b:Brand {name: row[1]}) CREATE (p)-[:`OF`]->(b)", of_brand)
        self._auto(cypher.SET_POSITION, partition=CATALOGUE, offset=catalogue.generation)

    def _each(self, text: str, rows: Sequence[Any]) -> None:
        for start in range(0, len(rows), ROWS):
            self._auto(text, rows=rows[start : start + ROWS])

    def _auto(self, text: str, **parameters: Any) -> list[Any]:
        with self._session(WRITE_LIMIT_S) as session:
            return session.run(text, parameters).values()

    @contextlib.contextmanager
    def _write(self) -> Iterator[None]:
        """After a failure nothing is believed: whether the last transaction was done, or the server even has the same data."""
        with self._writing:
            if self._closed:
                raise Unavailable("the user graph is closed")
            try:
                with self._errors("written"):
                    if self._position is None:
                        self._reopen()
                    yield
            except BaseException:
                self._position = None
                raise

    def _reopen(self) -> None:
        with self._errors("opened"):
            known = {row[0] for row in self._auto("SHOW CONSTRAINTS YIELD name")}
            for label, key in ((label, key) for label, key in KEYS.items() if f"aisle_{label}" not in known):
                self._auto(f"CREATE CONSTRAINT aisle_{label} IF NOT EXISTS FOR (n:{label}) REQUIRE n.{key} IS UNIQUE")
            if self._catalogue is not None and self._read_position(CATALOGUE) != self._catalogue.generation:
                self._load(self._catalogue)  # it came back with other data, or none
            self._known = self._product_mask()
            self._position = self._read_position(PARTITION)

    def belongs_to(self, shop: str) -> bool:
        """Whether this is the shop's graph; an empty one is from now on."""
        with self._write():
            self._auto("MERGE (s:Shop) ON CREATE SET s.id = $id", id=shop)
            return self._auto("MATCH (s:Shop) RETURN s.id") == [[shop]]

    def clear(self) -> None:
        with self._write():
            self._auto(EMPTY)
            self._reopen()

    @contextlib.contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (DriverError, Neo4jError, OSError) as error:
            reason = str(error).strip().partition("\n")[0][:200]
            raise Unavailable(f"the user graph at {self.address} cannot be {what}: {type(error).__name__}: {reason}") from error

    def _read_position(self, partition: str) -> int:
        with self._errors("read"):
            rows = self._auto(cypher.POSITION, partition=partition)
        return int(rows[0][0]) if rows else 0

    def _product_mask(self) -> npt.NDArray[np.bool_]:
        """bool[largest product_no + 1]: the products that the graph has."""
        numbers = np.array(self._auto("MATCH (p:Product) RETURN collect(p.no)")[0][0], np.int64)
        mask = np.zeros(int(numbers.max()) + 1 if len(numbers) else 0, np.bool_)
        mask[numbers] = True
        return mask


def _address(url: str) -> tuple[str, tuple[str, str] | None]:
    """bolt://user:password@host:port as an address that can be shown, and who to be."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, None
    shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return shown, (unquote(parts.username), unquote(parts.password or ""))


def open_graph(url: str, shop: str, log_end: int) -> Neo4jGraph:
    """The graph of the shop (`services.shop.ShopInfo.identity`), whose log ends at `log_end`. One that is ahead of its log was made from another log:
    it is made anew. Raises ConfigurationError for the graph of another shop."""
    graph = Neo4jGraph(url)
    if not graph.belongs_to(shop):
        graph.close()
        raise ConfigurationError(
            f"{SETTING}: the graph at {graph.address} is another shop's; give shop {shop.partition(':')[0]!r} a server of its own"
        )
    if graph.position() > log_end:
        graph.clear()
        graph.belongs_to(shop)
    users = graph.some_users(WARM_USERS) or ["nobody"]
    Warmth("user graph", QUICK_S).bring(lambda number: graph.recent(users[number % len(users)], WARM_EVENTS))
    return graph
