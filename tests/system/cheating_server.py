"""A small search server over a shop's catalogue that is honest, or cheats in one way: `python cheating_server.py SHOP_ROOT [CHEAT]`.

Instead of a cheat, a number is how many searches a second it answers; the others it refuses.

What load generators have let pass: the verdict of a load has to find each. Prints its address, serves until it is terminated.
"""

import asyncio
import hashlib
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import uvicorn

from services.artifacts import Versions
from services.shop import Shop

CHEATS = ("constant", "user_cache", "drops", "no_low_tier", "other_profile", "repeats", "old_generation", "no_filters", "one_profile")
TIERS = ("high", "medium", "low")
TIMING = b"retrieve;dur=0.5;start=0.1, fetch;dur=0.2;start=0.6, total;dur=1.0;start=0.0"


class Server:
    def __init__(self, root: Path, cheat: str) -> None:
        versions = Versions(Shop(root).generations)
        self.cheat, self.generation = cheat, versions.current() or 0
        served = min(versions.complete()) if cheat == "old_generation" else self.generation
        self.products = _products(versions.folder(served))
        self.requests, self.answers, self.last_user = itertools.count(1), itertools.count(1), ""
        self.tokens, self.last = 10.0, time.monotonic()
        self.first_answers: dict[str, list[dict[str, Any]]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await lifespan(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"] == "/events":
            events = json.loads(body)
            answer = {"accepted": len(events), "position": {"0": 1}, "projected": True, "event_ids": ["e"] * len(events)}
            await respond(send, 202, answer)
            return
        if self.cheat.isdecimal() and not self.admit():
            await respond(send, 503, {"type": "urn:aisle:overloaded", "title": "Overloaded", "status": 503, "detail": "full"})
            return
        if self.cheat == "drops" and next(self.requests) % 100 == 0:
            await asyncio.sleep(3600)  # no answer, ever
        await respond(send, 200, self.search(json.loads(body)))

    def admit(self) -> bool:
        """As many a second as the cheat says (a number), whatever this machine could do; a tenth of a second's worth at once."""
        now, rate = time.monotonic(), int(self.cheat)
        self.tokens = min(rate / 4 + 1, self.tokens + (now - self.last) * rate)
        self.last = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def search(self, ask: dict[str, Any]) -> dict[str, Any]:
        query, first = json.loads(ask["cursor"]) if "cursor" in ask else ([ask["query"], ask.get("filters")], 0)
        size, user = ask.get("page_size", 10), ask.get("user_id") or ""
        found = self.ranked(query[0], query[1], user)
        if self.cheat == "repeats" and first:
            first -= 1
            rows = found[first : first + size]
            first += 1
        else:
            rows = found[first : first + size]
        more = first + size < len(found)
        return {
            "query_id": f"q{next(self.answers)}",
            "query": {"text": query[0], "terms": query[0].lower().split(), "categories": []},
            "total": {"value": len(found), "relation": "eq"},
            "tiers": [{"name": t, "searched": True, "strict": 1, "relaxed": 0} for t in TIERS],
            "items": [item(first + n + 1, row) for n, row in enumerate(rows)],
            "generation": self.generation,
            "release": 1,
            "degraded": [],
            "off": [],
            "experiments": {},
            "cursor": json.dumps([query, first + size]) if more else None,
        }

    def ranked(self, query: str, filters: Any, user: str) -> list[dict[str, Any]]:
        if self.cheat == "constant":
            return self.products[:30]
        if self.cheat == "user_cache" and user in self.first_answers:
            return self.first_answers[user]
        profile, self.last_user = self.last_user if self.cheat == "other_profile" else user, user
        if self.cheat == "one_profile" and profile.startswith("load-"):
            profile = "load-0"
        terms = set(query.lower().split())
        products = [p for p in self.products if not (self.cheat == "no_low_tier" and p["tier"] == 2)]
        if filters and self.cheat != "no_filters":
            products = [p for p in products if passes(p, filters)]
        scored = [(len(terms & p["words"]) + liking(profile, p["brand"]), p) for p in products if not terms or terms & p["words"]]
        found = [p for _, p in sorted(scored, key=lambda row: (-row[0], row[1]["product_id"]))][:60]
        if user:
            self.first_answers.setdefault(user, found)
        return found


def passes(product: dict[str, Any], filters: dict[str, Any]) -> bool:
    price = filters.get("price_cents") or {}
    return (
        (price.get("min") or 0) <= product["price_cents"] <= (price.get("max") or 10**12)
        and product["brand"] in filters.get("brand", [product["brand"]])
        and product["color"] in filters.get("attributes", {}).get("color", [product["color"]])
    )


def liking(user: str, brand: str) -> float:
    """Below what a term counts; nothing for who is not known."""
    if not user.startswith("load-"):
        return 0.0
    return hashlib.blake2b(f"{user}:{brand}".encode(), digest_size=1).digest()[0] / 300


def item(position: int, row: dict[str, Any]) -> dict[str, Any]:
    summary = {"title": row["title"], "brand": row["brand"], "price_cents": row["price_cents"], "category": []}
    return {
        "position": position,
        "product_id": row["product_id"],
        "summary": summary,
        "score": 1.0,
        "tier": TIERS[row["tier"]],
        "strict": True,
    }


def _products(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "catalogue.parquet").to_pylist()
    tiers = dict(zip(*(pq.read_table(folder / "popularity.parquet")[c].to_pylist() for c in ("product_no", "tier")), strict=True))
    return [
        {**row, **dict(row["attributes"]), "words": set(row["title"].lower().split()), "tier": tiers[row["product_no"]]} for row in rows
    ]


async def respond(send: Any, status: int, answer: object) -> None:
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"server-timing", TIMING)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def main() -> None:
    root, cheat = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    config = uvicorn.Config(
        Server(root, cheat), host="127.0.0.1", port=0, log_level="critical", access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", flush=True)
    await serving


if __name__ == "__main__":
    asyncio.run(main())
