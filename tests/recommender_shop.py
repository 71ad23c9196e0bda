"""A small shop with a log whose lessons are known: categories with words of their own, a planted synonym, typos, users."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.artifacts import Versions
from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA
from services.contracts import EventRecord, PageRecord
from services.eventlog.port import NewRecord
from services.eventlog.sqlite import SqliteWriter
from services.shop import Shop, ShopInfo

NOUNS = {
    1: ["sneaker", "runner", "trainer"],
    2: ["sofa", "loveseat", "settee"],
    3: ["laptop", "notebook", "ultrabook"],
    4: ["headphones", "earbuds", "headset"],
}
NAMES = {10: "Home and wear", 1: "Shoes", 2: "Sofas", 3: "Computers", 4: "Audio"}
ADJECTIVES = ["wireless", "leather", "running", "modern", "lightweight", "classic", "compact", "waterproof"]
BRANDS = ["Acme", "Globex", "Initech", "Umbrella", "Stark"]
COLORS = ["black", "white", "silver", "green", ""]
SYNONYM = ("couch", "sofa")
"""No product says the first; people who type it click what the second finds."""
START_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Planted:
    shop: Shop
    category_of: list[int]


def plant(root: Path, products: int = 300, searches: int = 0, *, users: int = 40, categories: bool = True, seed: int = 7) -> Planted:
    """A shop with generation 1 (catalogue only, manifest included) and, with `searches`, a log."""
    shop = Shop(root)
    shop.write_info(ShopInfo(name=root.name))
    rng = np.random.default_rng(seed)
    rows = [_product(rng, number, categories) for number in range(products)]
    folder = shop.generations / "1"
    folder.mkdir(parents=True)
    columns = {name: [row[name] for row in rows] for name in CATALOGUE_SCHEMA.names}
    pq.write_table(pa.table(columns, schema=CATALOGUE_SCHEMA), folder / "catalogue.parquet")
    tree = {"category_id": list(NAMES), "name": list(NAMES.values()), "parent_id": [-1, 10, 10, 10, 10]}
    tree = tree if categories else {name: [] for name in tree}
    pq.write_table(pa.table(tree, schema=CATEGORIES_SCHEMA), folder / "categories.parquet")
    category_of = [int(row["category_id"]) for row in rows]
    if searches:
        writer = SqliteWriter(shop.log_file)
        batch = _log(rng, rows, searches, users)
        for start in range(0, len(batch), 5_000):
            writer.append(batch[start : start + 5_000]).result(60)
        writer.close()
    return Planted(shop, category_of)


def publish(shop: Shop, generation: int = 1) -> None:
    """Make the generation exist and current."""
    versions = Versions(shop.generations)
    versions.publish(generation, {})
    versions.activate(generation)


def _product(rng: np.random.Generator, number: int, categories: bool) -> dict[str, object]:
    category = int(rng.integers(1, 5))
    noun, brand = str(rng.choice(NOUNS[category])), str(rng.choice(BRANDS))
    adjective, color = str(rng.choice(ADJECTIVES)), str(rng.choice(COLORS))
    return {
        "product_no": number,
        "product_id": f"P{number}",
        "title": f"{brand} {adjective} {noun} USB-C x{number}",
        "brand": brand,
        "category_id": category if categories else -1,
        "description": "described thoroughly",
        "price_cents": int(rng.integers(1_000, 90_000)),
        "image_link": "",
        "created_ms": START_MS,
        "attributes": [("color", color)] if color else [],
    }


def _log(rng: np.random.Generator, rows: list[dict[str, object]], searches: int, users: int) -> list[NewRecord]:
    """Searches for a noun (sometimes "couch"); "couch" alone gets no click half of the time, and is then typed again as "sofa"."""
    records: list[NewRecord] = []
    by_noun = {noun: [n for n, row in enumerate(rows) if f" {noun} " in str(row["title"])] for nouns in NOUNS.values() for noun in nouns}
    nouns = [noun for noun in by_noun if by_noun[noun]]
    for number in range(searches):
        user, ts_ms = f"user{rng.integers(users)}", START_MS + number * 60_000
        noun, adjective = str(rng.choice(nouns)), str(rng.choice(ADJECTIVES))
        if noun == SYNONYM[1] and rng.random() < 0.7:
            missed = rng.random() < 0.5
            records += _search(number, 0, user, ts_ms, f"{adjective} {SYNONYM[0]}", [] if missed else _some(rng, by_noun[noun]))
            if not missed:
                continue
        records += _search(number, 1, user, ts_ms + 20_000, f"{adjective} {noun}", _some(rng, by_noun[noun]))
    return records


def _some(rng: np.random.Generator, products: list[int]) -> list[int]:
    return [int(p) for p in rng.choice(products[:10], size=2)]


def _search(number: int, step: int, user: str, ts_ms: int, query: str, clicked: list[int]) -> list[NewRecord]:
    query_id = f"q{number}-{step}"
    page = PageRecord(
        query_id=query_id,
        ts_ms=ts_ms,
        query=query,
        terms=[],
        categories=[],
        product_no=clicked,
        positions=list(range(1, len(clicked) + 1)),
        features=b"",
        feature_schema="",
        generation=1,
        session=f"{user}-{number}",
    )
    records = [NewRecord("page", ts_ms, user, msgspec.json.encode(page))]
    for place, product in enumerate(clicked):
        event = EventRecord(
            event_id=f"{query_id}-{place}", action="click", kind="click", ts_ms=ts_ms + 1_000 + place, query_id=query_id, product_no=product
        )
        records.append(NewRecord("event", event.ts_ms, user, msgspec.json.encode(event)))
    return records
