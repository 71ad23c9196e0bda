"""The event log as arrays: the only place where training and popularity read it. Nothing per item is ever a Python object."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from services.contracts import Category, EventKind, Sort
from services.eventlog.port import EventLogReader, LogRecord
from services.models.port import KIND_IDS, QUERY_CATEGORIES

BATCH = 2_000
"""Records per read: bounds the memory of decoding, not of the result."""

Array = npt.NDArray[Any]


class _Event(msgspec.Struct):
    """The fields of contracts.EventRecord that count here; the rest is skipped without being decoded."""

    event_id: str
    ts_ms: int
    kind: EventKind | None = None
    query_id: str | None = None
    product_no: int | None = None


class _Page(msgspec.Struct):
    """The fields of contracts.PageRecord that count here."""

    query_id: str
    ts_ms: int
    categories: list[Category]
    product_no: list[int]
    positions: list[int]
    features: bytes
    feature_schema: str
    sort: Sort = "relevance"
    exploration: str = "none"


@dataclass(frozen=True, slots=True)
class Behaviours:
    """Events towards a known product, in log order: user int32[E] (-1 nobody), query int32[E] (-1 none), product_no int32[E],
    kind int32[E] (KIND_IDS), ts_ms int64[E]."""

    user: Array
    query: Array
    product_no: Array
    kind: Array
    ts_ms: Array

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages as served, in log order: user int32[n], query int32[n], ts_ms int64[n], randomised bool[n], categories int32[n, 3]
    (category ids, -1 none), probabilities float32[n, 3], indptr int64[n + 1] into the items: product_no int32[N], position int32[N]
    (from 1), features float32[N, F]. `dropped`: pages without features of this schema, or sorted by something else than relevance."""

    user: Array
    query: Array
    ts_ms: Array
    randomised: Array
    categories: Array
    probabilities: Array
    indptr: Array
    product_no: Array
    position: Array
    features: Array
    dropped: int

    def __len__(self) -> int:
        return len(self.ts_ms)


@dataclass(frozen=True, slots=True)
class Log:
    """What was read, and the offset up to which."""

    behaviours: Behaviours
    pages: Pages
    watermark: int
    users: int


def read_log(reader: EventLogReader, schema: str | None, features: int) -> Log:
    """Everything up to the log's present end. Pages that cannot teach ranking are dropped (see Pages); with `schema` None all count, without
    their features (float32[N, 0])."""
    watermark = reader.end()
    columns = _Columns(schema, features)
    for record in _records(reader, watermark):
        columns.add(record)
    return columns.log(watermark)


def item_keys(query: Array, product_no: Array) -> Array:
    """One int64 per (query, product): what joins an event to the item that was shown."""
    return (query.astype(np.int64) << 32) | product_no


def _records(reader: EventLogReader, watermark: int) -> Iterator[LogRecord]:
    after = 0
    while batch := reader.read(after, BATCH, ("event", "page")):
        for record in batch:
            if record.offset > watermark:
                return
            yield record
        after = batch[-1].offset


class _Columns:
    """Collects records column by column."""

    def __init__(self, schema: str | None, features: int) -> None:
        self._schema, self._width, self._dropped = schema, features if schema is not None else 0, 0
        self._users: dict[str, int] = {}
        self._queries: dict[str, int] = {}
        self._events: list[tuple[int, int, int, int, int]] = []
        self._seen: set[int] = set()  # hashes of event ids: a client that sends an event again has not done it twice
        self._pages: list[tuple[int, int, int, bool, int]] = []
        self._categories: list[list[int]] = []
        self._probabilities: list[list[float]] = []
        self._product_no: list[Array] = []
        self._positions: list[Array] = []
        self._features: list[Array] = []
        self._event = msgspec.json.Decoder(_Event)
        self._page = msgspec.json.Decoder(_Page)

    def add(self, record: LogRecord) -> None:
        user = -1 if record.user is None else self._users.setdefault(record.user, len(self._users))
        if record.kind == "page":
            self._add_page(user, self._page.decode(record.payload))
            return
        event = self._event.decode(record.payload)
        identity = hash(event.event_id)
        if event.kind is not None and event.product_no is not None and identity not in self._seen:
            self._seen.add(identity)
            query = -1 if event.query_id is None else self._queries.setdefault(event.query_id, len(self._queries))
            self._events.append((user, query, event.product_no, KIND_IDS[event.kind], event.ts_ms))

    def _add_page(self, user: int, page: _Page) -> None:
        if not page.product_no:  # nothing found: nothing to learn from
            return
        if self._schema is not None and not self._usable(page):
            self._dropped += 1
            return
        query = self._queries.setdefault(page.query_id, len(self._queries))
        self._pages.append((user, query, page.ts_ms, page.exploration != "none", len(page.product_no)))
        best = page.categories[:QUERY_CATEGORIES]
        padding = QUERY_CATEGORIES - len(best)
        self._categories.append([c.id for c in best] + [-1] * padding)
        self._probabilities.append([c.probability for c in best] + [0.0] * padding)
        self._product_no.append(np.array(page.product_no, np.int32))
        self._positions.append(np.array(page.positions, np.int32))
        if self._width:
            self._features.append(np.frombuffer(page.features, "<f4").reshape(len(page.product_no), self._width))

    def _usable(self, page: _Page) -> bool:
        whole = len(page.features) == 4 * self._width * len(page.product_no)  # a page that was not ranked has none
        return whole and page.feature_schema == self._schema and page.sort == "relevance"

    def log(self, watermark: int) -> Log:
        events, pages = _table(self._events, 5), _table(self._pages, 5)
        user, query, product_no, kind = (events[:, c].astype(np.int32) for c in range(4))
        behaviours = Behaviours(user, query, product_no, kind, ts_ms=events[:, 4])
        items = int(pages[:, 4].sum())
        features = np.concatenate(self._features) if self._features else np.zeros((items, self._width), np.float32)
        return Log(
            behaviours,
            Pages(
                user=pages[:, 0].astype(np.int32),
                query=pages[:, 1].astype(np.int32),
                ts_ms=pages[:, 2],
                randomised=pages[:, 3].astype(bool),
                categories=np.array(self._categories, np.int32).reshape(-1, QUERY_CATEGORIES),
                probabilities=np.array(self._probabilities, np.float32).reshape(-1, QUERY_CATEGORIES),
                indptr=np.concatenate([[0], np.cumsum(pages[:, 4])]),
                product_no=_joined(self._product_no),
                position=_joined(self._positions),
                features=features,
                dropped=self._dropped,
            ),
            watermark,
            len(self._users),
        )


def _table(rows: list[Any], width: int) -> Array:
    return np.array(rows, np.int64).reshape(-1, width)


def _joined(parts: Iterable[Array]) -> Array:
    return np.concatenate([np.zeros(0, np.int32), *parts])
