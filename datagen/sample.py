"""Random products, users, queries and sessions of a world, as a person would want to read them. Markdown."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datagen import draws
from datagen.history import HISTORY
from datagen.users import WOMAN
from datagen.words import AUDIENCES, UNISEX, Vocabulary
from datagen.world import QUERIES_FILE, World, open_world
from services.catalogue import CATALOGUE_SCHEMA
from services.errors import ConfigurationError
from services.shop import Shop

_POWER = ((-1.0, "little"), (-0.3, "less than most"), (0.3, "average"), (1.0, "more than most"), (9.9, "much"))
_PRICES = ("the cheapest", "cheap", "middling", "dear", "the dearest")


def lines(root: Path, seed: int, count: int) -> Iterator[str]:
    """The sample of the world of the shop at `root`; the same for the same seed."""
    world = open_world(root)
    yield f"World `{world.settings.hash()}`, seed {seed}."
    yield from _products(root, world, seed, count)
    yield from _users(world, seed, count)
    queries = pq.read_table(Shop(root).world / QUERIES_FILE)
    yield from _queries(world, queries.take(pa.array(_chosen(seed, "queries", len(queries), count), pa.int64())).to_pylist())
    yield from _sessions(root, world, {q["query_id"]: q for q in queries.to_pylist()}, seed, count)


def _chosen(seed: int, what: str, total: int, count: int) -> list[int]:
    return np.sort(np.argsort(draws.uniform(seed, f"sample/{what}", np.arange(total)), kind="stable")[:count]).tolist()  # type: ignore[no-any-return]


def _table(title: str, *columns: str) -> Iterator[str]:
    yield f"\n### {title}\n"
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def catalogue_rows(root: Path, numbers: list[int]) -> dict[int, dict[str, Any]]:
    """Catalogue rows by product number, from the shop's newest catalogue."""
    shop = Shop(root)
    files = [shop.root / "staged" / "catalogue.parquet", *sorted(shop.generations.glob("*/catalogue.parquet"))]
    found = next((path for path in files if path.is_file()), None)
    if found is None:
        raise ConfigurationError(f"shop {shop.name!r} has no catalogue; `aisle data` makes a world")
    return {row["product_no"]: row for row in pq.read_table(found, schema=CATALOGUE_SCHEMA).take(pa.array(numbers, pa.int64())).to_pylist()}


def _products(root: Path, world: World, seed: int, count: int) -> Iterator[str]:
    yield from _table("Products", "title", "category", "price", "attributes")
    for number, row in catalogue_rows(root, _chosen(seed, "products", len(world.items), count)).items():
        hidden = ("gtin", "item_group_id", "condition", "country_of_origin", "size_system", "warranty", "mpn")
        attributes = ", ".join(f"{name} {value}" for name, value in row["attributes"] if name not in hidden)
        yield _row(row["title"], world.words.leaves[world.items.category[number]].name, f"{row['price_cents'] / 100:.2f}", attributes)


def _users(world: World, seed: int, count: int) -> Iterator[str]:
    words = world.words
    yield from _table("Users", "who", "spends", "looks for", "likes brands", "colours", "styles", "prices")
    for user in _chosen(seed, "users", len(world.users), count):
        who = f"{'woman' if world.users.sex[user] == WOMAN else 'man'}, {world.users.age[user]}"
        spends = next(name for most, name in _POWER if world.users.purchasing_power[user] < most)
        liking, interest = world.tastes.liking(user, world.settings.end_ms), world.tastes.interest(user, world.settings.end_ms)
        wanted = np.argsort(-interest)[:3]
        departments = {words.leaves[leaf].department for leaf in wanted.tolist()}
        brands = [b for b in np.argsort(-liking.brand).tolist() if words.brands[b].department in departments][:3]
        yield _row(
            who,
            spends,
            ", ".join(words.leaves[leaf].name for leaf in wanted),
            ", ".join(words.brands[b].name for b in brands),
            ", ".join(words.colors[c] for c in np.argsort(-liking.color)[:2]),
            ", ".join(words.styles[s] for s in np.argsort(-liking.style)[:2]),
            _PRICES[int(np.argmax(liking.price))],
        )


def _queries(world: World, rows: list[dict[str, Any]]) -> Iterator[str]:
    yield from _table("Queries", "typed", "spelt right", "meant", "hard because")
    for q in rows:
        right = q["right"] if q["right"] != q["text"] else ""
        yield _row(q["text"], right, meaning(world, q["intent"]), ", ".join(label for label in q["slices"] if "user" not in label))


def meaning(world: World, intent: int) -> str:
    """An intent in words."""
    table, words = world.intents, world.words
    leaf = words.leaves[table.category[intent]]
    parts = {
        "audience": _for(words, int(table.audience[intent])),
        "brand": words.brands[table.brand[intent]].name,
        "color": words.colors[table.color[intent]],
        "material": words.materials[table.material[intent]],
        "feature": words.features[table.feature[intent]],
        "spec": " ".join(reversed(words.specs[table.spec[intent]])).replace("_", " "),
        "size": f"size {words.sizes[leaf.size][table.size[intent]]}" if words.sizes[leaf.size] else "",
        "cap": f"at most {table.cap[intent]}",
    }
    named = [text for name, text in parts.items() if getattr(table, name)[intent] >= 0]
    if table.kind[intent] == 2:
        named = [f"one model of {words.brands[world.items.brand[table.product[intent]]].name}"]
    return ", ".join([leaf.name, *named])


def _for(words: Vocabulary, audience: int) -> str:
    return f"for {AUDIENCES[audience]}" if 0 <= audience < UNISEX else ""


def _sessions(root: Path, world: World, queries: dict[str, dict[str, Any]], seed: int, count: int) -> Iterator[str]:
    """Of one day in the middle of the history."""
    yield "\n### Sessions\n"
    files = sorted((Shop(root).world / HISTORY).glob("*.parquet"))
    table = pq.read_table(files[len(files) // 2])
    sessions: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for kind, payload in zip(table["kind"].to_pylist(), table["payload"].to_pylist(), strict=True):
        record = msgspec.json.decode(payload)
        sessions.setdefault(record["session"], []).append((kind, record))
    for at in _chosen(seed, "sessions", len(sessions), count):
        records = list(sessions.values())[at]
        titles = catalogue_rows(root, sorted({r["product_no"] for kind, r in records if kind == "event"}))
        user = next((queries[r["query_id"]]["user"] for kind, r in records if kind == "page"), None)
        who = "" if user is None else f"{'woman' if world.users.sex[user] == WOMAN else 'man'}, {world.users.age[user]}"
        yield f"- {_clock(records[0][1]['ts_ms'])} {who}: " + "; ".join(_step(kind, record, titles) for kind, record in records)


def _clock(ts_ms: int) -> str:
    return datetime.datetime.fromtimestamp(ts_ms / 1000, datetime.UTC).strftime("%H:%M")


def _step(kind: str, record: dict[str, Any], titles: dict[int, dict[str, Any]]) -> str:
    if kind == "page":
        page = record.get("page", 1)
        return f"searches *{record['query']}*" if page == 1 else f"turns to page {page}"
    row = titles[record["product_no"]]
    what = f"**{row['title']}** ({row['price_cents'] / 100:.2f})"
    place = f" at {record['position']}" if record.get("position") else ""
    does = {"view": "comes to", "click": "clicks", "cart": "puts in the cart", "purchase": "buys"}[record["kind"]]
    return f"{does} {what}{place}" if record["kind"] in ("view", "click") else does
