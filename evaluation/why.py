"""Why a product stands where it stands in the answer to a query, or is not in it: asks the running system, then its generation on disk."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.catalogue import TIERS
from services.contracts import Term
from services.errors import ConfigurationError
from services.forward import ForwardIndex
from services.forward import load as load_forward
from services.matches import matched, missing
from services.shop import Shop

PAGE = 100
SHOWN = 10
REST = "rest"
MAX_PARTS = 8
"""Features named per product: those with the largest shares, or differences of shares."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """A query's whole ranking: the first page's answer, and the items of all pages, best first."""

    answer: Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]

    def place(self, product_id: str) -> int | None:
        return next((n for n, item in enumerate(self.items) if item["product_id"] == product_id), None)


def ranking(url: str, token: str, query: str, user: str | None) -> Ranking:
    """Raises ConfigurationError when the system does not answer."""
    headers = {"authorization": f"Bearer {token}", "x-deadline-ms": "10000"}
    with httpx.Client(base_url=url, headers=headers, timeout=30.0) as client:
        asked = {"query": query, "page_size": PAGE, "explain": True, **({"user_id": user} if user else {})}
        first = page = _post(client, asked)
        items = list(page["items"])
        while page.get("cursor"):
            page = _post(client, {"cursor": page["cursor"], "explain": True})
            items += page["items"]
    return Ranking(first, items)


def explain_lines(
    shop: Shop, url: str, token: str, query: str, *, product: str | None = None, user: str | None = None, top: int = 3
) -> Iterator[str]:
    """Lines for a person. Raises ConfigurationError for a product that the shop does not have."""
    found = ranking(url, token, query, user)
    yield from _head(found)
    if product is None:
        for item in found.items[:top]:
            yield from _item(item)
        return
    place = found.place(product)
    if place is None:
        yield from _absent(shop, found, product)
        return
    yield from _item(found.items[place])
    if place >= SHOWN:
        yield from against(found.items[place], found.items[SHOWN - 1])


def _head(found: Ranking) -> Iterator[str]:
    answer = found.answer
    query = answer["query"]
    corrected = f", searched as {query['corrected']!r} (verbatim=true searches what was typed)" if query.get("corrected") else ""
    yield f"{query['text']!r}{corrected}: terms {' '.join(query['terms']) or 'none'}"
    categories = ", ".join(f"{c['name']} {c['probability']:.2f}" for c in query["categories"])
    yield f"  generation {answer['generation']}, release {answer['release']}; categories: {categories or 'none'}"
    total = answer["total"]
    walked = ", ".join(
        f"{t['name']} {t['strict']} strict + {t['relaxed']} relaxed" if t["searched"] else f"{t['name']} not reached"
        for t in answer["tiers"]
    )
    yield f"  {len(found.items)} candidates ({walked}); {total['value']}{'' if total['relation'] == 'eq' else ' or more'} products match"
    if answer["degraded"]:
        yield f"  degraded: {', '.join(answer['degraded'])}"


def _item(item: Mapping[str, Any]) -> Iterator[str]:
    why = item.get("explanation") or {}
    yield f"{item['position']}. {item['product_id']} {item['summary']['title']!r}"
    kind = "strict: every term occurs" if item["strict"] else "relaxed: not every term occurs"
    yield f"   score {item['score']:.4f}, tier {item['tier']}, {kind}"
    for part, terms in why.get("matched", {}).items():
        yield f"   {part}: {' '.join(terms)}"
    shares = why.get("shares", {})
    features = sorted((name for name in shares if name != REST), key=lambda n: -abs(shares[n]))
    for name in features[:MAX_PARTS]:
        if shares[name]:
            yield f"   {shares[name]:+.4f}  {name} = {why['features'][name]:.4g}"
    others = sum(shares[name] for name in features[MAX_PARTS:])
    if shares:
        yield f"   {others:+.4f}  {len(features[MAX_PARTS:])} other features"
        yield f"   {shares.get(REST, 0.0):+.4f}  what the average candidate has, and features together"
    for name, value in why.get("preferences", {}).items():
        yield f"   preference for {name}: {value:+.4f}"


def against(item: Mapping[str, Any], last: Mapping[str, Any]) -> Iterator[str]:
    """Why a product misses the first page: by its shares minus those of the last one on it, unless that one has every term, and it has not."""
    where = f"not on the first page: ranked {item['position']}."
    if last["strict"] and not item["strict"]:
        yield f"{where}; not every term occurs in it, and products in which every term does stand before it"
        return
    behind = last["score"] - item["score"]
    if behind <= 0:
        yield f"{where}; its score is that of the {SHOWN}. ({last['product_id']}), and of equals the one that was found first stands first"
        return
    yield f"{where}, {behind:.4f} behind the {SHOWN}. ({last['product_id']})"
    ours, theirs = (i.get("explanation", {}).get("shares", {}) for i in (item, last))
    lacks = {name: ours.get(name, 0.0) - theirs.get(name, 0.0) for name in {*ours, *theirs}}
    for name in sorted(lacks, key=lacks.__getitem__)[:MAX_PARTS]:
        if lacks[name] < 0:
            yield f"   {lacks[name]:+.4f}  {name}"


def _absent(shop: Shop, found: Ranking, product: str) -> Iterator[str]:
    generation = found.answer["generation"]
    row, title = _product(shop.generations / str(generation), product)
    index = load_forward(shop.generations / str(generation) / "ranker")
    query = found.answer["query"]
    terms = [Term(text, query["synonyms"].get(text, [])) for text in query["terms"]]
    yield f"{product} {title!r} is not among the {len(found.items)} candidates"
    for part, names in matched(index, terms, [row])[0].items():
        yield f"   {part}: {' '.join(names)}"
    yield f"   {reason(index, terms, row, found)}"


def reason(index: ForwardIndex, terms: Sequence[Term], row: int, found: Ranking) -> str:
    """Why a product of the generation is no candidate, in a sentence."""
    if not terms:
        return f"the query has no terms, so the most popular products are shown: {len(found.items)} are more popular"
    lost = missing(index, terms, row)
    if len(lost) == len(terms):
        return f"not matched: none of the terms occurs in it ({' '.join(lost)})"
    tier = TIERS[int(index.tier[row])]
    walked = {t["name"]: t for t in found.answer["tiers"]}
    own = [walked[name] for name in (("medium", "high") if tier == "high" else (tier,)) if name in walked]
    if lost:
        strict = sum(t["strict"] for t in walked.values())
        relaxed = sum(t["relaxed"] for t in walked.values())
        if relaxed == 0:
            return f"matched in part only ({' '.join(lost)} does not occur), and the {strict} strict matches were enough: relaxed was not reached"
        return f"matched in part only ({' '.join(lost)} does not occur); {strict} strict and {relaxed} relaxed matches come before it"
    if not any(t["searched"] for t in own):
        return f"tier not reached: it is in tier {tier}, and the tiers before it gave all {len(found.items)} candidates"
    return f"every term occurs, but others of tier {tier} match better by BM25: the tier gave its best {sum(t['strict'] for t in own)}"


def _product(folder: Path, product_id: str) -> tuple[int, str]:
    table = pq.read_table(
        folder / "catalogue.parquet", columns=["product_no", "product_id", "title"], filters=pc.field("product_id") == product_id
    )
    if table.num_rows == 0:
        raise ConfigurationError(f"generation {folder.name} of the shop has no product {product_id!r}")
    return int(table["product_no"][0].as_py()), str(table["title"][0].as_py())


def _post(client: httpx.Client, body: Mapping[str, Any]) -> dict[str, Any]:
    try:
        response = client.post("/search", json=body)
    except httpx.HTTPError as error:
        raise ConfigurationError(f"{client.base_url} does not answer ({error or type(error).__name__})") from None
    if response.is_error:
        raise ConfigurationError(f"{client.base_url}: {response.status_code} {response.text[:300]}")
    answer: dict[str, Any] = msgspec.json.decode(response.content)
    return answer
