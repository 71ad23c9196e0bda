"""Finds what a history must not have: truth in the log, the future in the past. Runs on any history; `world` makes it look deeper.

`python -m datagen honesty SHOP_ROOT`. Each finding is a sentence; none means that nothing was found.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from datagen import draws
from datagen.records import HISTORY_SCHEMA, QUERIES_SCHEMA
from datagen.settings import DAY_MS
from datagen.truth import Utility
from datagen.world import World
from services.contracts import EventRecord, PageRecord
from services.features import FEATURE_SCHEMA, FEATURES

EXAMPLES = 3
"""Of each kind of finding; more are counted."""
TRUTHS = frozenset(
    {"grade", "intent", "right", "form", "phrase", "again", "slices", "examination", "attraction", "taste", "liking", "label", "judgment"}
    | {f.name for f in fields(Utility)}
    | {name for name in QUERIES_SCHEMA.names if name not in ("query_id", "ts_ms", "user", "text")}
)
_ALLOWED = {"page": set(PageRecord.__struct_fields__), "event": set(EventRecord.__struct_fields__)}
_CLICKS = FEATURES.index("clicks")
SUSPICIOUS = 0.15
"""Correlation of a feature with the hidden part of utility from which on it is a leak; honest ones are within 0.05."""
_MANY = 500


@dataclass(slots=True)
class _Found:
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, example: str) -> None:
        self.counts[kind] += 1
        if len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(example)

    def sentences(self) -> list[str]:
        return [f"{kind} ({count:,}): {'; '.join(self.examples[kind])}" for kind, count in self.counts.items()]


class Checker:
    """Reads records in the order of the log; `finish` has the findings."""

    def __init__(self, world: World | None = None) -> None:
        self._world, self._found = world, _Found()
        self._last_ms = 0
        self._shown: dict[tuple[str, int], int] = {}  # (query, product) -> when
        self._clicks: Counter[int] = Counter()  # up to the evening before
        self._today: Counter[int] = Counter()
        self._day = -1
        self._features: list[npt.NDArray[np.float32]] = []
        self._users: list[npt.NDArray[np.int64]] = []
        self._products: list[npt.NDArray[np.int64]] = []

    def add(self, kind: str, ts_ms: int, user_id: str | None, payload: dict[str, Any]) -> None:
        self._order(kind, ts_ms, payload)
        for name in _names(payload):
            if name in TRUTHS:
                self._found.add("a name of the truth in a record", f"{name!r} in a {kind}")
        if unknown := set(payload) - _ALLOWED[kind]:
            self._found.add("fields that a shop's log does not have", f"{sorted(unknown)} in a {kind}")
        if kind == "page":
            self._page(ts_ms, user_id, payload)
        else:
            self._event(ts_ms, payload)

    def _order(self, kind: str, ts_ms: int, payload: dict[str, Any]) -> None:
        if ts_ms < self._last_ms:
            self._found.add("records out of the order of time", f"a {kind} of {ts_ms} after {self._last_ms}")
        if payload.get("ts_ms") != ts_ms:
            self._found.add("the time of a record is not that of its row", f"{payload.get('ts_ms')} in a row of {ts_ms}")
        if self._world and not self._world.settings.start_ms <= ts_ms < self._world.settings.end_ms + DAY_MS:
            self._found.add("records outside of the history's days", f"a {kind} of {ts_ms}")
        self._last_ms = max(self._last_ms, ts_ms)
        if (day := ts_ms // DAY_MS) != self._day:
            self._day = day
            self._clicks.update(self._today)
            self._today.clear()

    def _event(self, ts_ms: int, event: dict[str, Any]) -> None:
        product, query = event.get("product_no"), event.get("query_id")
        if event.get("kind") == "click" and product is not None:
            self._today[product] += 1
        if query is None or product is None:
            return
        shown = self._shown.get((query, product))
        if shown is None:
            self._found.add("a behaviour towards what was not shown before it", f"{event.get('kind')} of product {product} at {ts_ms}")
        elif ts_ms < shown:
            self._found.add("a behaviour before its page", f"{event.get('kind')} at {ts_ms}, shown at {shown}")

    def _page(self, ts_ms: int, user_id: str | None, page: dict[str, Any]) -> None:
        numbers = np.array(page["product_no"], np.int64)
        for number in page["product_no"]:
            self._shown[(page["query_id"], number)] = ts_ms
        if self._world and len(numbers) and (early := self._world.items.created_ms[numbers] > ts_ms).any():
            self._found.add("a product is shown before it exists", f"product {numbers[early][0]} at {ts_ms}")
        if page.get("feature_schema") == FEATURE_SCHEMA and len(numbers):
            rows = np.frombuffer(msgspec.convert(page["features"], bytes), np.float32).reshape(len(numbers), -1)
            self._popularity(ts_ms, numbers, rows)
            self._features.append(rows)
            self._products.append(numbers)
            self._users.append(np.full(len(numbers), int(user_id[1:]) if self._world and user_id else -1))

    def _popularity(self, ts_ms: int, numbers: npt.NDArray[np.int64], rows: npt.NDArray[np.float32]) -> None:
        """Clicks as served against those in the log up to the evening before; only differences on a page are known, as they are logarithms
        relative to an average."""
        known = 0.5 * np.log1p(np.array([self._clicks[n] for n in numbers.tolist()], np.float64))
        served = rows[:, _CLICKS].astype(np.float64)
        wrong = np.abs((served - served[0]) - (known - known[0])) > 1e-3
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            self._found.add("popularity that the log before that day does not explain", f"product {numbers[at]} or {numbers[0]} at {ts_ms}")

    def finish(self) -> list[str]:
        if self._world and len(self._features) and sum(map(len, self._products)) >= _MANY:
            self._hidden(self._world)
        return self._found.sentences()

    def _hidden(self, world: World) -> None:
        """The hidden part depends on user and product alone, and nothing that a shop knows goes with it."""
        users, products, rows = np.concatenate(self._users), np.concatenate(self._products), np.concatenate(self._features)
        known = users >= 0
        hidden = draws.normal(world.settings.seed, "hidden", np.maximum(users, 0), products)[known]
        for column, name in enumerate(FEATURES):
            values = rows[known, column].astype(np.float64)
            if len(values) and values.std() > 0 and abs(correlation := float(np.corrcoef(values, hidden)[0, 1])) > SUSPICIOUS:
                self._found.add("a feature that knows what no shop can know", f"{name}, correlation {correlation:.2f}")


def check(history: Path, world: World | None = None) -> list[str]:
    """Findings in a folder of history files."""
    checker, columns = Checker(world), []
    for path in sorted(history.glob("*.parquet")):
        table = pq.read_table(path)
        columns += [f"columns that a history does not have: {name!r} in {path.name}" for name in _extra(table.schema)]
        for ts_ms, kind, user_id, payload in _rows(table):
            checker.add(kind, ts_ms, user_id, msgspec.json.decode(payload))
    return columns + checker.finish()


def _extra(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name not in HISTORY_SCHEMA.names]


def _rows(table: pa.Table) -> Iterator[tuple[int, str, str | None, bytes]]:
    return zip(*(table[name].to_pylist() for name in HISTORY_SCHEMA.names), strict=True)


def _names(value: Any) -> Iterator[str]:
    """Every field name in a record, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)
