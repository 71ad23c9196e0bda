"""Search logs of another system, as UBI queries and events (JSON Lines or array, CSV, Parquet; plain or gz), become history.

Source: o19s/ubi, schema/1.3.0. A query has `query_id`, `user_query`, `timestamp`, and where the logger kept them the ids it answered with
(`query_response_hit_ids`), which is what a ranking can be learned from. An event has `action_name`, `query_id`, `timestamp`,
`event_attributes.object.object_id`. What is malformed is counted and listed, with file and line; the rest is imported.

Each page gets its features as they would have been served at its time: popularity is counted from the events of the days before.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from datagen import staging
from datagen.import_readers import Row, reader_for
from datagen.progress import Progress, Say, silent
from services.artifacts import Versions
from services.contracts import Candidates, EventKind, EventRecord, PageRecord, Term
from services.errors import ConfigurationError
from services.features import FEATURE_SCHEMA, FEATURES, ITEM_FEATURES, item_features
from services.forward import POPULARITY, ForwardIndex, with_popularity
from services.forward import load as load_forward
from services.matches import missing
from services.shop import Shop, write_atomically
from services.text import query_terms

REPORT, FOLDER = "import-logs-report.json", "imported"
HISTORY_SCHEMA = pa.schema([("ts_ms", pa.int64()), ("kind", pa.string()), ("user_id", pa.string()), ("payload", pa.binary())])
DAY_MS = 86_400_000
MAX_HITS = 100
MAX_PROBLEMS = 10_000
"""Malformed records that are listed; all are counted."""
BATCH_ROWS = 20_000
ACTIONS: dict[str, EventKind] = {
    **dict.fromkeys(("view", "view_item", "item_view", "product_view", "page_view"), "view"),
    **dict.fromkeys(("click", "click_through", "product_click", "item_click", "result_click"), "click"),
    **dict.fromkeys(("cart", "add_to_cart", "product_cart"), "cart"),
    **dict.fromkeys(("purchase", "buy", "product_purchase"), "purchase"),
}
_encode = msgspec.json.Encoder().encode


class Problem(msgspec.Struct, frozen=True):
    file: str
    line: int
    reason: str


class LogsReport(msgspec.Struct, kw_only=True):
    """`import-logs-report.json`."""

    files: list[str]
    queries: int = 0
    events: int = 0
    pages: int = 0
    queries_without_hits: int = 0
    unknown_products: int = 0
    malformed: int = 0
    problems: list[Problem] = []
    seconds: float = 0.0

    def wrong(self, file: str, line: int, reason: str) -> None:
        self.malformed += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(file, line, reason))


@dataclass(frozen=True, slots=True)
class Query:
    ts_ms: int
    query_id: str
    text: str
    user: str | None
    client: str | None
    session: str | None
    hits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Event:
    ts_ms: int
    user: str | None
    record: EventRecord


class Malformed(Exception):
    """The reason why a record is none."""


def run(shop: Shop, files: Sequence[Path], say: Say = silent) -> LogsReport:
    """Write `imported/00000.parquet`. Raises ConfigurationError when the shop has no generation, or nothing could be imported."""
    started = time.monotonic()
    version = Versions(shop.generations).current()
    if version is None:
        raise ConfigurationError(f"shop {shop.name!r} has no generation yet: import its catalogue first")
    folder = shop.generations / str(version)
    index = load_forward(folder / "ranker")
    numbers = _numbers(folder)
    report = LogsReport(files=[f.name for f in files])
    queries, events = _read(files, numbers, report, say)
    if not queries and not events:
        first = report.problems[0] if report.problems else None
        reason = f"; {first.file} line {first.line}: {first.reason}" if first else ""
        raise ConfigurationError(f"no query and no event could be read from {', '.join(report.files)}{reason}")
    rows = _history(queries, events, index, numbers, shop.info().language, report, say)
    _write(shop, rows)
    report.seconds = round(time.monotonic() - started, 2)
    write_atomically(shop.root / REPORT, msgspec.json.format(msgspec.json.encode(report), indent=1))
    return report


# ---- reading -------------------------------------------------------------------------------------------------------------------------


def _read(files: Sequence[Path], numbers: dict[str, int], report: LogsReport, say: Say) -> tuple[dict[str, Query], list[Event]]:
    queries: dict[str, Query] = {}
    events: list[Event] = []
    ids: set[str] = set()
    progress, done = Progress(say, "log records read"), 0
    for file in files:
        for line, row in reader_for(file)(file):
            done += 1
            progress.at(done)
            try:
                if isinstance(row, str):
                    raise Malformed(row)
                if "action_name" in row:
                    event = _event(row, f"{file.name}:{line}", numbers)
                    if event.record.event_id in ids:
                        raise Malformed(f"event_id {event.record.event_id!r} is there already")
                    ids.add(event.record.event_id)
                    events.append(event)
                else:
                    query = _query(row)
                    if queries.setdefault(query.query_id, query) is not query:
                        raise Malformed(f"query_id {query.query_id!r} is there already")
            except Malformed as error:
                report.wrong(file.name, line, str(error))
    progress.done(done)
    report.queries, report.events = len(queries), len(events)
    report.unknown_products = sum(e.record.product_id is not None and e.record.product_no is None for e in events)
    return queries, events


def _query(row: Row) -> Query:
    return Query(
        ts_ms=_time(row),
        query_id=_text(row, "query_id", required=True),
        text=_text(row, "user_query", required=True),
        user=_text(row, "user_id") or None,
        client=_text(row, "client_id") or None,
        session=_text(row, "session_id") or None,
        hits=_hits(row),
    )


def _hits(row: Row) -> tuple[str, ...]:
    """`query_response_hit_ids`: a list, or in separated files its JSON, or ids with commas between them."""
    value = row.get("query_response_hit_ids") or row.get("query_response_object_ids") or row.get("query_response_objects_ids")
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value) if value.lstrip().startswith("[") else value.split(",")
        except msgspec.DecodeError:
            raise Malformed("query_response_hit_ids is not a list of ids") from None
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(v, str | int) for v in value):
        raise Malformed("query_response_hit_ids is not a list of ids")
    return tuple(dict.fromkeys(str(v).strip() for v in value[:MAX_HITS]))


def _event(row: Row, where: str, numbers: dict[str, int]) -> Event:
    action = _text(row, "action_name", required=True)
    attributes = row.get("event_attributes")
    if isinstance(attributes, str):
        try:
            attributes = msgspec.json.decode(attributes)
        except msgspec.DecodeError:
            raise Malformed("event_attributes is not JSON") from None
    if attributes is not None and not isinstance(attributes, dict):
        raise Malformed("event_attributes is not an object")
    attributes = attributes or {}
    product_id = _inside(attributes, "object", "object_id")
    ordinal = _inside(attributes, "position", "ordinal")
    ts_ms = _time(row)
    record = EventRecord(
        event_id=str(attributes.get("event_id") or where),
        action=action,
        ts_ms=ts_ms,
        kind=ACTIONS.get(action.lower()) if product_id else None,
        client=_text(row, "client_id") or None,
        session=_text(row, "session_id") or None,
        query_id=_text(row, "query_id") or None,
        product_id=product_id,
        product_no=numbers.get(product_id) if product_id else None,
        position=int(ordinal) if ordinal and ordinal.isdigit() else None,
    )
    return Event(ts_ms, _text(row, "user_id") or None, record)


def _inside(attributes: dict[str, Any], name: str, field: str) -> str | None:
    part = attributes.get(name)
    value = part.get(field) if isinstance(part, dict) else None
    return None if value is None or value == "" else str(value)


def _text(row: Row, field: str, *, required: bool = False) -> str:
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise Malformed(f"{field} is not a text")
    text = "" if value is None else str(value).strip()
    if required and not text:
        raise Malformed(f"{field} is missing")
    if len(text) > 1024:
        raise Malformed(f"{field} has {len(text)} characters")
    return text


def _time(row: Row) -> int:
    value = row.get("timestamp")
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
            value = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000
        elif isinstance(value, int | float) and not isinstance(value, bool):
            value = value if value >= 10**11 else value * 1000
        else:
            raise ValueError
    except (ValueError, OverflowError):
        raise Malformed(f"timestamp {row.get('timestamp')!r} is no time (ISO 8601, or milliseconds since 1970)") from None
    if not 0 <= value <= time.time() * 1000 + DAY_MS:
        raise Malformed(f"timestamp {row.get('timestamp')!r} is before 1970 or in the future")
    return int(value)


# ---- history -------------------------------------------------------------------------------------------------------------------------


def _history(
    queries: dict[str, Query], events: list[Event], index: ForwardIndex, numbers: dict[str, int], language: str, report: LogsReport, say: Say
) -> Iterator[tuple[int, str, str | None, bytes]]:  # fmt: skip
    """Rows of HISTORY_SCHEMA by time, day after day; a page comes before the events of its own millisecond."""
    counts = np.zeros((index.size, len(POPULARITY)), np.float32)
    version = index
    by_day: dict[int, tuple[list[Query], list[Event]]] = {}
    for query in queries.values():
        by_day.setdefault(query.ts_ms // DAY_MS, ([], []))[0].append(query)
    for event in events:
        by_day.setdefault(event.ts_ms // DAY_MS, ([], []))[1].append(event)
    progress, done = Progress(say, "days of history", len(by_day)), 0
    for day in sorted(by_day):
        asked, acted = by_day[day]
        version = with_popularity(index, counts)
        rows: list[tuple[int, str, str | None, bytes]] = []
        for query in asked:
            record = _page(query, version, numbers, language)
            if record is None:
                report.queries_without_hits += 1
                continue
            report.pages += 1
            counts[record.product_no, 0] += 1
            rows.append((query.ts_ms, "page", query.user, _encode(record)))
        for event in acted:
            _count(counts, event.record)
            rows.append((event.ts_ms, "event", event.user, _encode(event.record)))
        counts[:, 4] = counts[:, 1] + 2 * counts[:, 2] + 4 * counts[:, 3]
        yield from sorted(rows, key=lambda row: (row[0], row[1] != "page"))
        done += 1
        progress.at(done)
    progress.done(done)


def _count(counts: npt.NDArray[np.float32], record: EventRecord) -> None:
    column = {"click": 1, "cart": 2, "purchase": 3}.get(record.kind or "")
    if column is not None and record.product_no is not None and record.product_no < len(counts):
        counts[record.product_no, column] += 1


def _page(query: Query, index: ForwardIndex, numbers: dict[str, int], language: str) -> PageRecord | None:
    """The page that a query was answered with; None when none of its products is in the catalogue."""
    placed = [(place, numbers[hit]) for place, hit in enumerate(query.hits, 1) if hit in numbers]
    if not placed:
        return None
    terms = [Term(t.text, [list(t.parts)] if t.parts else []) for t in query_terms(query.text, language)]
    rows = np.array([number for _, number in placed], np.uint32)
    strict = np.array([not missing(index, terms, int(row)) for row in rows], np.uint8)
    candidates = Candidates(rows.tobytes(), np.zeros(len(rows), np.float32).tobytes(), index.tier[rows].tobytes(), strict.tobytes())
    features = np.zeros((len(rows), len(FEATURES)), np.float32)
    item_features(index, terms, [], candidates, query.ts_ms, features[:, : len(ITEM_FEATURES)])
    return PageRecord(
        query_id=query.query_id,
        ts_ms=query.ts_ms,
        query=query.text[:256],
        terms=terms,
        categories=[],
        product_no=rows.tolist(),
        positions=[place for place, _ in placed],
        features=features.tobytes(),
        feature_schema=FEATURE_SCHEMA,
        generation=0,
        strategy="imported",
        client=query.client,
        session=query.session,
    )


def _numbers(folder: Path) -> dict[str, int]:
    table = pq.read_table(folder / "catalogue.parquet", columns=["product_id", "product_no"])
    return dict(zip(table["product_id"].to_pylist(), table["product_no"].to_pylist(), strict=True))


def _write(shop: Shop, rows: Iterable[tuple[int, str, str | None, bytes]]) -> None:
    folder = shop.root / FOLDER
    folder.mkdir(exist_ok=True)
    with staging.writing(folder / "00000.parquet", HISTORY_SCHEMA) as writer:
        batch: list[tuple[int, str, str | None, bytes]] = []
        for row in rows:
            batch.append(row)
            if len(batch) >= BATCH_ROWS:
                writer.write_table(_table(batch))
                batch = []
        writer.write_table(_table(batch))


def _table(rows: list[tuple[int, str, str | None, bytes]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(HISTORY_SCHEMA)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, HISTORY_SCHEMA, strict=True)], schema=HISTORY_SCHEMA)
