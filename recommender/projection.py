"""The event log on its way into the user graph."""

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq

from recommender.graph.port import Behaved, Change, Expired, Forgotten, GraphCatalogue, Projected, UserGraph
from recommender.profile import ProfileCache
from services.artifacts import Versions
from services.contracts import EventKind
from services.eventlog.port import EventLogReader, LogRecord, RecordKind
from services.telemetry import Telemetry

READ_AT_ONCE = 2_000
MOVE_S = 5.0
"""How long the graph's position may stay behind records that change nothing: each move is a transaction, and every page that is served makes a
record."""
CHANGES: tuple[RecordKind, ...] = ("event", "forget", "expire")


class EventPart(msgspec.Struct, frozen=True):
    """The fields of a contracts.EventRecord that the graph has."""

    event_id: str
    ts_ms: int
    kind: EventKind | None = None
    product_no: int | None = None


_decoder = msgspec.json.Decoder(EventPart)


class Projector:
    """Brings the graph to the end of the log, from one thread at a time; keeps the profile cache from being older than the graph."""

    def __init__(self, graph: UserGraph, log: EventLogReader, generations: Versions, cache: ProfileCache, telemetry: Telemetry) -> None:
        self._graph, self._log, self._generations, self._cache, self._telemetry = graph, log, generations, cache, telemetry
        self._loaded: int | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._moved_s = -MOVE_S
        self._nothing: tuple[int, int] = (0, 0)  # from the graph's position to where the log was read without finding a change
        self.complete = False
        """Has once reached the end of the log since the start: until then answers may lack what was done before it."""

    def position(self) -> int:
        return self._graph.position()

    def lag(self) -> int:
        """Offsets between the graph and the end of the log."""
        return max(0, self._log.end() - self._graph.position())

    def catch_up(self) -> int:
        """Project up to what is now the end of the log; returns the position reached."""
        with self._lock:
            if self._closed:
                return self._graph.position()
            self._load()
            end, position = self._log.end(), self._graph.position()
            self._telemetry.set("aisle_log_offset", end, "written")
            self._telemetry.set("aisle_graph_lag", max(0, end - position))
            if position == 0 and end:
                self._project(None, self._everything(end), end)
                position = end
            while position < end and (reached := self._step(position, end)) > position:
                position = reached
            self.complete = True
            self._telemetry.set("aisle_log_offset", position, "projected")
            return position

    def close(self) -> None:
        """Waits for what is under way; after it nothing is projected."""
        with self._lock:
            self._closed = True

    def _load(self) -> None:
        """Products of the generation that the pointer names now, before any behaviour towards them comes: else it would be skipped."""
        current = self._generations.current()
        if current is not None and current != self._loaded:
            self._graph.load(graph_catalogue(current, self._generations.folder(current)))
            self._loaded = current

    def _step(self, after: int, end: int) -> int:
        """The position reached: `after` when nothing lies between it and the end that the graph has to know at once."""
        read_from = self._nothing[1] if self._nothing[0] == after else after
        batch = self._log.read(read_from, READ_AT_ONCE, CHANGES)
        reached = end if len(batch) < READ_AT_ONCE else batch[-1].offset  # whatever lies between is no behaviour
        reached = max(reached, batch[-1].offset) if batch else reached
        if not batch and time.monotonic() - self._moved_s < MOVE_S:
            self._nothing = (after, reached)
            return after
        found = list(self._changes(batch))
        expired = any(isinstance(change, Expired) for change in found)
        users = None if expired else {change.user for change in found if not isinstance(change, Expired)}
        self._project(users, found, reached)
        return reached

    def _project(self, users: set[str] | None, found: Iterable[Change], position: int) -> None:
        self._cache.hold(users)
        try:
            done = self._graph.project(found, position)
            self._moved_s = time.monotonic()
        finally:
            self._cache.release()
        self._count(done)

    def _everything(self, end: int) -> Iterator[Change]:
        after = 0
        while batch := self._log.read(after, READ_AT_ONCE, CHANGES):
            yield from (change for change in self._changes(batch) if change.offset <= end)
            after = batch[-1].offset
            if after >= end:
                return

    def _changes(self, batch: Iterable[LogRecord]) -> Iterator[Change]:
        unknown = 0
        for record in batch:
            if record.kind == "expire":
                yield Expired(record.offset, record.ts_ms)
                continue
            if record.user is None:
                continue  # nobody's: the log keeps it, a user graph cannot
            if record.kind == "forget":
                yield Forgotten(record.offset, record.user)
                continue
            event = _decoder.decode(record.payload)
            if event.kind is None:
                continue
            if event.product_no is None:
                unknown += 1
                continue
            yield Behaved(record.offset, record.user, event.event_id, event.kind, event.product_no, event.ts_ms)
        self._count(Projected(unknown_products=unknown))

    def _count(self, done: Projected) -> None:
        for outcome in ("behaviours", "unknown_products", "forgotten"):
            if amount := getattr(done, outcome):
                self._telemetry.count("aisle_events_total", f"graph_{outcome}", amount=amount)


def graph_catalogue(generation: int, folder: Path) -> GraphCatalogue:
    """What the graph needs of a generation's catalogue."""
    table = pq.read_table(folder / "catalogue.parquet", columns=["product_no", "category_id", "brand"])
    return GraphCatalogue(
        generation,
        table["product_no"].to_numpy().astype(np.int64),
        table["category_id"].to_numpy().astype(np.int64),
        table["brand"].to_pylist(),
    )
