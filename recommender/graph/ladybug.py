"""The user graph in Ladybug, an embedded graph database: one process opens it, one thread writes, readers see whole transactions."""

import contextlib
import queue
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import ladybug
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recommender.graph import cypher
from recommender.graph.port import Behaved, Change, Expired, Forgotten, GraphCatalogue, Projected
from services.contracts import EventKind, UserEvent
from services.errors import ConfigurationError, Unavailable
from services.eventlog.port import PARTITION

SCHEMA = (
    "CREATE NODE TABLE IF NOT EXISTS User(key STRING PRIMARY KEY)",
    "CREATE NODE TABLE IF NOT EXISTS Product(no INT64 PRIMARY KEY)",
    "CREATE NODE TABLE IF NOT EXISTS Category(id INT64 PRIMARY KEY)",
    "CREATE NODE TABLE IF NOT EXISTS Brand(name STRING PRIMARY KEY)",
    "CREATE NODE TABLE IF NOT EXISTS Position(`partition` STRING PRIMARY KEY, `offset` INT64)",
    "CREATE NODE TABLE IF NOT EXISTS Reached(`offset` INT64 PRIMARY KEY)",
    *(
        f"CREATE REL TABLE IF NOT EXISTS {edge}(FROM User TO Product, event_id STRING, kind STRING, ts INT64)"
        for edge in cypher.EDGES.values()
    ),
    "CREATE REL TABLE IF NOT EXISTS `IN`(FROM Product TO Category)",
    "CREATE REL TABLE IF NOT EXISTS `OF`(FROM Product TO Brand)",
)
REACHED = "MATCH (r:Reached) RETURN max(r.`offset`)"
"""How far the log is projected: a node of its own for each transaction, which removes the one before. To SET a property of one node again and
again leaves 48 KB in the buffer pool each time until the next checkpoint: a busy shop filled the pool with that, and then the process dies."""
CHECKPOINT = "CHECKPOINT"
CATALOGUE = "catalogue"
"""A Position of its own: the generation whose products are loaded."""
BULK = 5_000
"""An empty graph takes at least so many changes by COPY (4 microseconds each) instead of one by one (900)."""
BATCH = 500
"""Changes in one transaction otherwise."""
BUFFER_POOL_BYTES = 256 * 2**20
ADDRESS_SPACE_BYTES = 2**36
"""Address space that is reserved, and so the largest file: Ladybug's default of 8 TB fails where address space is limited."""


class LadybugGraph:
    """`readers` connections are shared by the threads that read; one more writes."""

    def __init__(self, folder: Path, *, readers: int = 4) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = ladybug.Database(
                folder / "user.lbug", buffer_pool_size=BUFFER_POOL_BYTES, max_num_threads=2, max_db_size=ADDRESS_SPACE_BYTES
            )
            self._writer = ladybug.Connection(self._database, num_threads=1)
            self._writer.execute(CHECKPOINT)  # what a killed process left in the WAL would fill the pool, and stay there
            for statement in SCHEMA:
                self._writer.execute(statement)
        except (RuntimeError, OSError) as error:
            raise ConfigurationError(
                f"the user graph in {folder} cannot be opened ({error}); if no other recommender has it open, remove the folder: "
                "it is made again from the event log"
            ) from None
        self._readers: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(readers):
            self._readers.put(ladybug.Connection(self._database, num_threads=1))
        self._writing = threading.Lock()
        self._connections, self._closed = readers, False
        self._known = self._product_mask()
        self._position = self._settle()

    def recent(self, user: str, limit: int) -> list[UserEvent]:
        connection = self._readers.get()
        try:
            if self._closed:
                raise Unavailable("the user graph is closed")
            rows = list(connection.execute(self._planned(cypher.recent(limit)), {"user": user}))
        except RuntimeError as error:
            raise Unavailable(f"the user graph cannot be read: {error}") from None
        finally:
            self._readers.put(connection)
        return [UserEvent(event_id, kind, no, ts) for event_id, kind, ts, no in reversed(rows)]

    def load(self, catalogue: GraphCatalogue) -> None:
        with self._write():
            if self._offset(CATALOGUE) != catalogue.generation:
                self._load(catalogue)
                self._set_position(CATALOGUE, catalogue.generation)  # last: a load that was cut short is done again
            self._known = self._product_mask()

    def project(self, changes: Iterable[Change], position: int) -> Projected:
        with self._write():
            fresh: Iterator[Change] = (change for change in changes if change.offset > self._position)
            head = list(islice(fresh, BULK))
            if self._position == 0 and len(head) == BULK:
                return self._fill(chain(head, fresh), position)
            done, fresh = Projected(), chain(head, fresh)
            while batch := list(islice(fresh, BATCH)):
                done += self._apply(batch, batch[-1].offset if len(batch) == BATCH else position)
            if position > self._position:
                self._reach(position)
                self._position = position
            return done

    def position(self) -> int:
        return self._position

    def ping(self) -> None:
        self.recent("", 1)

    def close(self) -> None:
        """Waits for reads and writes that are under way; idempotent."""
        with self._writing:
            if self._closed:
                return
            self._closed = True
            idle = [self._readers.get() for _ in range(self._connections)]
            for connection in (*idle, self._writer, self._database):
                connection.close()
            for connection in idle:
                self._readers.put(connection)  # so that a late reader is told instead of kept waiting

    # ---- row by row ----

    def _apply(self, batch: Sequence[Change], position: int) -> Projected:
        """One transaction. What had happened before an expiry is applied before it."""
        done = Projected()
        with self._transaction():
            rest = batch
            while rest:
                cut = next((i for i, change in enumerate(rest) if isinstance(change, Expired)), len(rest))
                done += self._merge(rest[:cut])
                for change in (c for c in rest[cut : cut + 1] if isinstance(c, Expired)):
                    self._writer.execute(cypher.EXPIRE, {"before": change.before_ms})
                rest = rest[cut + 1 :]
            self._reach(position)
        self._position = position
        return done

    def _merge(self, changes: Sequence[Change]) -> Projected:
        """A user who is forgotten at the end of these changes loses what came before it, in the graph and among them."""
        forgotten = {change.user: change.offset for change in changes if isinstance(change, Forgotten)}
        behaved = [c for c in changes if isinstance(c, Behaved) and c.offset > forgotten.get(c.user, 0)]
        known = [c for c in behaved if self._is_known(c.product_no)]
        for user in forgotten:
            self._writer.execute(cypher.FORGET, {"user": user})
        for user in dict.fromkeys(c.user for c in known):
            self._writer.execute(self._planned(cypher.USER), {"user": user})
        for c in known:
            edge = {"user": c.user, "no": c.product_no, "event_id": c.event_id}
            if self._rows(self._planned(cypher.known(c.kind)), edge):
                continue
            if len(self._rows(self._planned(cypher.create(c.kind)), {**edge, "ts": c.ts_ms})) != 1:
                raise RuntimeError(f"the edge of offset {c.offset} was not written")
        return Projected(len(known), len(behaved) - len(known), len(forgotten))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN TRANSACTION")
        try:
            yield
            self._writer.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(RuntimeError):  # some errors have already rolled back
                self._writer.execute("ROLLBACK")
            raise

    # ---- in bulk ----

    def _fill(self, changes: Iterable[Change], position: int) -> Projected:
        """COPY into a graph without users. Not one transaction (rolling back a COPY crashes Ladybug 0.22): the position is set last, and
        what an interrupted fill has left is removed first."""
        if self._rows(cypher.USERS)[0][0]:
            self._writer.execute("MATCH (u:User) DETACH DELETE u")
        columns = _Columns()
        for change in changes:
            columns.add(change)
        edges, behaviours, skipped = columns.edges(self._known)
        users = pc.unique(pa.chunked_array([table["user"].combine_chunks() for table in edges.values()], pa.string()))
        if len(users):
            self._copy("User", pa.table({"key": users}))
        for kind, table in edges.items():
            if len(table):
                self._copy(cypher.EDGES[kind], table)
        self._reach(position)
        self._position = position
        return Projected(behaviours, skipped, len(columns.forgotten))

    def _load(self, catalogue: GraphCatalogue) -> None:
        new = np.setdiff1d(catalogue.product_no, np.flatnonzero(self._known))
        in_category, has_brand = catalogue.category_id >= 0, np.array([bool(b) for b in catalogue.brand], np.bool_)
        brand = pa.array(catalogue.brand, pa.string()).filter(pa.array(has_brand))
        for edge in ("IN", "OF"):
            self._writer.execute(f"MATCH (:Product)-[e:`{edge}`]->() DELETE e")
        for node in ("Category", "Brand"):
            self._writer.execute(f"MATCH (n:{node}) DELETE n")
        self._copy("Product", pa.table({"no": new}))
        self._copy("Category", pa.table({"id": np.unique(catalogue.category_id[in_category])}))
        self._copy("Brand", pa.table({"name": brand.unique()}))
        self._copy("`IN`", pa.table({"from": catalogue.product_no[in_category], "to": catalogue.category_id[in_category]}))
        self._copy("`OF`", pa.table({"from": catalogue.product_no[has_brand], "to": brand}))

    def _copy(self, table: str, rows: pa.Table) -> None:
        if rows.num_rows:
            self._writer.execute(f"COPY {table} FROM $rows", {"rows": rows})

    # ---- both ----

    @contextlib.contextmanager
    def _write(self) -> Iterator[None]:
        with self._writing:
            if self._closed:
                raise Unavailable("the user graph is closed")
            try:
                yield
            except RuntimeError as error:
                if "Buffer manager" in str(error):  # full: a checkpoint makes room for the next try
                    with contextlib.suppress(RuntimeError):
                        self._writer.execute(CHECKPOINT)
                raise Unavailable(f"the user graph cannot be written: {error}") from None

    def _planned(self, text: str) -> str:
        """The text with a mark of the graph's size. Ladybug keeps the plan of a text as long as its connection, and one that was made for an
        empty graph reads all of a full one (3 ms instead of 0.3 at 30,000 edges); by the mark it is made anew whenever the log has doubled."""
        return f"{text} /* {self._position.bit_length()} */"

    def _rows(self, text: str, parameters: dict[str, Any] | None = None) -> list[Any]:
        return list(self._writer.execute(text, parameters))

    def _offset(self, partition: str) -> int:
        rows = self._rows(cypher.POSITION, {"partition": partition})
        return int(rows[0][0]) if rows else 0

    def _reach(self, position: int) -> None:
        self._writer.execute("CREATE (:Reached {`offset`: $offset})", {"offset": position})
        self._writer.execute("MATCH (r:Reached {`offset`: $offset}) DELETE r", {"offset": self._position})

    def _settle(self) -> int:
        """How far the log is projected; at the start, the room of all earlier nodes is given back."""
        (reached,) = self._rows(REACHED)[0]
        position = max(self._offset(PARTITION), reached or 0)
        if reached:
            self._set_position(PARTITION, position)
            self._writer.execute("DROP TABLE Reached")
            self._writer.execute(next(statement for statement in SCHEMA if " Reached(" in statement))
        return position

    def _set_position(self, partition: str, offset: int) -> None:
        self._writer.execute(cypher.SET_POSITION, {"partition": partition, "offset": offset})

    def _product_mask(self) -> npt.NDArray[np.bool_]:
        """bool[largest product_no + 1]: the products that the graph has."""
        numbers = np.array([row[0] for row in self._rows(cypher.PRODUCTS)], np.int64)
        mask = np.zeros(int(numbers.max()) + 1 if len(numbers) else 0, np.bool_)
        mask[numbers] = True
        return mask

    def _is_known(self, product_no: int) -> bool:
        return product_no < len(self._known) and bool(self._known[product_no])


class _Columns:
    """Changes on their way into COPY: compact, because a first fill reads the whole log."""

    def __init__(self) -> None:
        self.forgotten: dict[str, int] = {}
        self._expired: list[Expired] = []
        self._rows: dict[EventKind, list[pa.Table]] = {kind: [] for kind in cypher.EDGES}
        self._pending: list[Behaved] = []

    def add(self, change: Change) -> None:
        if isinstance(change, Forgotten):
            self.forgotten[change.user] = change.offset
            return
        if isinstance(change, Expired):
            self._expired.append(change)
            return
        self._pending.append(change)
        if len(self._pending) == 20_000:
            self._flush()

    def edges(self, known: npt.NDArray[np.bool_]) -> tuple[dict[EventKind, pa.Table], int, int]:
        """Per kind the rows of the edge table (from user, to product first), and how many behaviours were taken and skipped."""
        self._flush()
        tables, taken, skipped = {}, 0, 0
        for kind, parts in self._rows.items():
            rows = self._kept(pa.concat_tables(parts) if parts else _table([]))
            numbers = rows["no"].to_numpy()
            mask = (numbers < len(known)) & np.append(known, False)[np.minimum(numbers, len(known))]
            rows = rows.filter(pa.array(mask))
            taken, skipped = taken + len(rows), skipped + int((~mask).sum())
            first = _once(rows)
            constant = pa.array([kind] * len(first), pa.string())
            tables[kind] = first.select(["user", "no", "event_id"]).append_column("kind", constant).append_column("ts", first["ts"])
        return tables, taken, skipped

    def _kept(self, rows: pa.Table) -> pa.Table:
        for user, offset in self.forgotten.items():
            rows = rows.filter(~((pc.field("user") == user) & (pc.field("offset") < offset)))
        for change in self._expired:
            before = _once(rows.filter(pc.field("offset") < change.offset)).filter(pc.field("ts") >= change.before_ms)
            rows = pa.concat_tables([before, rows.filter(pc.field("offset") > change.offset)])
        return rows

    def _flush(self) -> None:
        for kind, parts in self._rows.items():
            if rows := [c for c in self._pending if c.kind == kind]:
                parts.append(_table(rows))
        self._pending = []


def _once(rows: pa.Table) -> pa.Table:
    """Each behaviour as it came first; columns offset, user, no, event_id, ts."""
    first = rows.group_by(["user", "no", "event_id"], use_threads=False).aggregate([("offset", "first"), ("ts", "first")])
    columns = {name: first[f"{name}_first" if name in ("offset", "ts") else name] for name in ("offset", "user", "no", "event_id", "ts")}
    return pa.table(columns)


def _table(rows: Sequence[Behaved]) -> pa.Table:
    return pa.table(
        {
            "offset": pa.array([c.offset for c in rows], pa.int64()),
            "user": pa.array([c.user for c in rows], pa.string()),
            "no": pa.array([c.product_no for c in rows], pa.int64()),
            "event_id": pa.array([c.event_id for c in rows], pa.string()),
            "ts": pa.array([c.ts_ms for c in rows], pa.int64()),
        }
    )


def open_graph(folder: Path, log_end: int, *, readers: int = 4) -> LadybugGraph:
    """The graph of a log that ends at `log_end`. One that is ahead of its log was made from another log: it is made anew."""
    graph = LadybugGraph(folder, readers=readers)
    if graph.position() <= log_end:
        return graph
    graph.close()
    shutil.rmtree(folder)
    return LadybugGraph(folder, readers=readers)
