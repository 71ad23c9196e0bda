"""A log whose right answer is known: users of group A click brand "acme", users of group B brand "zenith", and nothing else matters.

Shoppers look at a position with probability 1 / sqrt(position); every fourth page has a random order, the others one by the `bm25` feature, which
says nothing about clicks. With `preference` 0 every brand is clicked alike: the control, from which nothing can be learned.
"""

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA, Catalogue
from services.contracts import Category, EventRecord, PageRecord
from services.eventlog.port import LogRecord, NewRecord, RecordKind
from services.features import BM25, FEATURE_SCHEMA, FEATURES, POPULARITY_SCORE
from services.forward import build, save
from services.shop import Shop, ShopInfo

BRANDS = ("acme", "zenith", "other", "plain")
COLORS = ("red", "blue", "green")
PRODUCTS, PAGE = 120, 8
START_MS = 1_700_000_000_000


def catalogue(folder: Path) -> Catalogue:
    """120 products in two categories, brands and colours in turn."""
    n = np.arange(PRODUCTS)
    columns = {
        "product_no": n, "product_id": [f"p{i}" for i in n], "title": [f"{BRANDS[i % 4]} thing {i}" for i in n],
        "brand": [BRANDS[i % 4] for i in n], "category_id": 1 + n // 4 % 2, "description": [""] * PRODUCTS, "price_cents": 100 + 10 * n,
        "image_link": [""] * PRODUCTS, "created_ms": START_MS - n * 86_400_000, "attributes": [[("color", COLORS[i % 3])] for i in n],
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({k: pa.array(v, CATALOGUE_SCHEMA.field(k).type) for k, v in columns.items()}), folder / "catalogue.parquet")
    tree = pa.table({"category_id": [1, 2], "name": ["one", "two"], "parent_id": [-1, -1]}, schema=CATEGORIES_SCHEMA)
    pq.write_table(tree, folder / "categories.parquet")
    return Catalogue(folder)


def shop(root: Path) -> Shop:
    """A shop whose generation 1 has the forward index and nothing else of the owners' parts."""
    made = Shop(root / "planted")
    made.write_info(ShopInfo(name="planted"))
    folder = made.generations / "1"
    index = build(catalogue(folder), made.info())
    (folder / "ranker").mkdir()
    save(index, folder / "ranker")
    (made.generations / "CURRENT").write_text("1")
    return made


def history(pages: int, users: int = 100, preference: float = 1.0, seed: int = 0) -> list[NewRecord]:
    """Records in time order; user `a...` belongs to group A. Every page is a minute after the one before it."""
    random = np.random.default_rng(seed)
    records: list[NewRecord] = []
    for number in range(pages):
        member = int(random.integers(users))
        records += _page(random, number, "ab"[member % 2] + str(member), preference)
    return records


def _page(random: np.random.Generator, number: int, user: str, preference: float) -> list[NewRecord]:
    ts_ms, query = START_MS + number * 60_000, f"q{number}"
    shown = random.choice(PRODUCTS, PAGE, replace=False)
    features = np.zeros((PAGE, len(FEATURES)), np.float32)
    features[:, BM25], features[:, POPULARITY_SCORE] = random.random(PAGE), random.random(PAGE)
    randomised = number % 4 == 0
    order = np.arange(PAGE) if randomised else np.argsort(-features[:, BM25])
    shown, features = shown[order], features[order]
    page = PageRecord(
        query_id=query, ts_ms=ts_ms, query="thing", terms=[], categories=[Category(int(shown[0]) // 4 % 2 + 1, "", 0.7)], user=user,
        product_no=shown.tolist(), positions=list(range(1, PAGE + 1)), features=features.tobytes(), feature_schema=FEATURE_SCHEMA,
        generation=1, exploration="random" if randomised else "none",
    )  # fmt: skip
    liked = shown % 4 == (0 if user[0] == "a" else 1)
    attraction = 0.3 + preference * np.where(liked, 0.6, -0.28)
    clicked = random.random(PAGE) < attraction / np.arange(1, PAGE + 1) ** 0.5
    events = [
        _event(user, query, int(shown[row]), ts_ms + 1_000 * (int(row) + 1), int(row) + 1, bool(random.random() < 0.2))
        for row in np.flatnonzero(clicked)
    ]
    return [NewRecord("page", ts_ms, user, msgspec.json.encode(page)), *events]


def _event(user: str, query: str, product_no: int, ts_ms: int, position: int, bought: bool) -> NewRecord:
    kind = "purchase" if bought else "click"
    event = EventRecord(event_id=f"{query}-{product_no}", action=kind, kind=kind, ts_ms=ts_ms, user=user, query_id=query,
                        product_no=product_no, product_id=f"p{product_no}", position=position)  # fmt: skip
    return NewRecord("event", ts_ms, user, msgspec.json.encode(event))


class MemoryReader:
    """services.eventlog.port.EventLogReader over a list."""

    def __init__(self, records: list[NewRecord]) -> None:
        self._records = [LogRecord(i, r.kind, r.ts_ms, r.user, r.payload) for i, r in enumerate(records, start=1)]

    def read(self, after: int, limit: int, kinds: tuple[RecordKind, ...] | None = None) -> list[LogRecord]:
        return [r for r in self._records if r.offset > after and (kinds is None or r.kind in kinds)][:limit]

    def end(self) -> int:
        return len(self._records)

    def ping(self) -> None: ...

    def close(self) -> None: ...
