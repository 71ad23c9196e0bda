"""What a generated shop's log has: page and event records, and the truth about its queries, which lies beside it."""

from dataclasses import dataclass, field

import msgspec
import numpy as np
import pyarrow as pa

from datagen.behaviour import Query
from datagen.wording import FORMS
from services.contracts import EventRecord, PageRecord

HISTORY_SCHEMA = pa.schema([("ts_ms", pa.int64()), ("kind", pa.string()), ("user_id", pa.string()), ("payload", pa.binary())])
QUERIES_SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("ts_ms", pa.int64()),
        ("user", pa.int32()),
        ("intent", pa.int32()),
        ("text", pa.string()),
        ("right", pa.string()),
        ("form", pa.string()),
        ("phrase", pa.string()),
        ("again", pa.bool_()),
    ]
)
"""The truth about the history's queries, for evaluation; it is no part of the history."""

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Rows:
    """Log records in no order; `user` and `number` (within the user's day) order those of one millisecond."""

    ts_ms: list[int] = field(default_factory=list)
    user: list[int] = field(default_factory=list)
    number: list[int] = field(default_factory=list)
    kind: list[str] = field(default_factory=list)
    user_id: list[str | None] = field(default_factory=list)
    payload: list[bytes] = field(default_factory=list)

    def add(self, ts_ms: int, user: int, number: int, user_id: str | None, record: PageRecord | EventRecord) -> None:
        self.ts_ms.append(ts_ms)
        self.user.append(user)
        self.number.append(number)
        self.kind.append("page" if isinstance(record, PageRecord) else "event")
        self.user_id.append(user_id)
        self.payload.append(_encode(record))

    def table(self) -> pa.Table:
        """HISTORY_SCHEMA and the two columns that complete the order."""
        keys = [pa.array(self.user, pa.int32()), pa.array(self.number, pa.int32())]
        columns = [self.ts_ms, self.kind, self.user_id, self.payload]
        arrays = [pa.array(column, type_) for column, type_ in zip(columns, HISTORY_SCHEMA.types, strict=True)]
        return pa.table([*arrays, *keys], names=[*HISTORY_SCHEMA.names, "user", "number"])


def in_order(tables: list[pa.Table]) -> pa.Table:
    """The records of some `Rows.table`s in the order of a log, as HISTORY_SCHEMA."""
    table = pa.concat_tables(tables)
    order = np.lexsort((table["number"].to_numpy(), table["user"].to_numpy(), table["ts_ms"].to_numpy()))
    return table.select(HISTORY_SCHEMA.names).take(pa.array(order)).cast(HISTORY_SCHEMA)


@dataclass(slots=True)
class Asked:
    """The truth about queries, as QUERIES_SCHEMA."""

    rows: list[tuple[object, ...]] = field(default_factory=list)

    def add(self, query_id: str, ts_ms: int, user: int, query: Query) -> None:
        said = query.wording
        self.rows.append((query_id, ts_ms, user, query.intent, query.text, said.right, FORMS[said.form], said.phrase, query.again))

    def table(self) -> pa.Table:
        columns = list(zip(*self.rows, strict=True)) or [()] * len(QUERIES_SCHEMA)
        arrays = [pa.array(column, type_) for column, type_ in zip(columns, QUERIES_SCHEMA.types, strict=True)]
        return pa.table(arrays, schema=QUERIES_SCHEMA)
