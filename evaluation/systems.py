"""What is judged: a running AIsle through its public API, or BM25 over one of its generations as one global index."""

import statistics
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx
import msgspec

from evaluation.measures import RECALL_AT
from evaluation.result import Answered, Shown
from services.artifacts import Versions
from services.contracts import Term
from services.errors import ConfigurationError
from services.shop import Shop
from services.text import query_terms

PAGE = 100
SHOWN = 10
"""Items of a page whose titles are kept, and the page whose latency is taken: what a shopper waits for."""


class System(Protocol):
    """`facts` names it: address, generation, settings."""

    name: str

    def answer(self, query: str) -> Answered: ...

    def facts(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


class Running:
    """A running AIsle, anonymous. `settings` are fields of the request: `{"verbatim": true}`, `{"filters": {...}}`, `{"user_id": "u-1"}`."""

    def __init__(self, url: str, settings: Mapping[str, Any] | None = None, client: httpx.Client | None = None) -> None:
        self.name, self._settings = url, dict(settings or {})
        self._url = url.rstrip("/")
        self._client = client or httpx.Client(timeout=30.0, headers={"x-deadline-ms": "10000"})
        self._seen: dict[str, set[Any]] = {"generation": set(), "release": set()}

    def answer(self, query: str) -> Answered:
        """Raises ConfigurationError when the system does not answer, or says no."""
        began = time.perf_counter()
        first = self._post({"query": query, "page_size": SHOWN, **self._settings})
        latency_ms = (time.perf_counter() - began) * 1000
        page = self._post({"query": query, "page_size": PAGE, **self._settings})
        ids = [item["product_id"] for item in page["items"]]
        while page.get("cursor") and len(ids) < RECALL_AT:
            page = self._post({"cursor": page["cursor"]})
            ids += [item["product_id"] for item in page["items"]]
        for name, values in self._seen.items():
            values.add(first[name])
        shown = [Shown(i["product_id"], i["summary"]["title"], i["strict"]) for i in first["items"]]
        text = first["query"]
        return Answered(
            product_ids=ids[:RECALL_AT],
            shown=shown,
            latency_ms=round(latency_ms, 2),
            corrected=text.get("corrected"),
            degraded=first["degraded"],
        )

    def facts(self) -> dict[str, Any]:
        return {"system": "running", "url": self._url, "settings": self._settings, **{k: sorted(v, key=str) for k, v in self._seen.items()}}

    def close(self) -> None:
        self._client.close()

    def _post(self, body: dict[str, Any]) -> dict[str, Any]:
        try:
            response = self._client.post(f"{self._url}/search", json=body)
        except httpx.HTTPError as error:
            raise ConfigurationError(
                f"{self._url} does not answer ({error or type(error).__name__}): `aisle status` says what runs"
            ) from None
        if response.is_error:
            raise ConfigurationError(f"{self._url}: {response.status_code} {response.text[:200]} for {body}")
        answer: dict[str, Any] = msgspec.json.decode(response.content)
        return answer


class GlobalBaseline:
    """`bm25`: the named baseline. BM25 over a generation as one global index over the same text with the same stems; no spelling, no
    synonyms, no strictness, no tiers."""

    name = "bm25"

    def __init__(self, shop: Shop, generation: int | None = None) -> None:
        from services.forward import GlobalBm25, load  # numpy maps a whole catalogue: only who wants the baseline pays for it

        number = generation or Versions(shop.generations).current()
        if number is None:
            raise ConfigurationError(f"shop {shop.name!r} has no generation: run `aisle import` or `aisle build`")
        self._generation, self._language = number, shop.info().language
        folder = shop.generations / str(number)
        self._index = GlobalBm25(load(folder / "ranker"))
        self._ids, self._titles = _products(folder)

    def answer(self, query: str) -> Answered:
        began = time.perf_counter()
        terms = [Term(t.text, [list(t.parts)] if t.parts else []) for t in query_terms(query, self._language)]
        numbers = self._index.search(terms, RECALL_AT)[0].tolist()
        latency_ms = (time.perf_counter() - began) * 1000
        shown = [Shown(self._ids[n], self._titles[n]) for n in numbers[:SHOWN]]
        return Answered(product_ids=[self._ids[n] for n in numbers], shown=shown, latency_ms=round(latency_ms, 2))

    def facts(self) -> dict[str, Any]:
        return {"system": "bm25", "generation": [self._generation], "settings": {"k1": 1.2, "b": 0.75, "language": self._language}}

    def close(self) -> None: ...


def _products(folder: Path) -> tuple[dict[int, str], dict[int, str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "catalogue.parquet", columns=["product_no", "product_id", "title"])
    numbers = table["product_no"].to_pylist()
    return dict(zip(numbers, table["product_id"].to_pylist(), strict=True)), dict(zip(numbers, table["title"].to_pylist(), strict=True))


def ask_all(system: System, queries: Iterable[str]) -> dict[str, Answered]:
    """Every query once, one after the other; one before them warms the system up."""
    queries = list(queries)
    system.answer(queries[0])
    return {query: system.answer(query) for query in queries}


def latency(answers: Iterable[Answered]) -> dict[str, float]:
    """Milliseconds that a client waited for a first page: median, p90, largest. One request at a time: no measure of load."""
    times = sorted(a.latency_ms for a in answers)
    return {"median": round(statistics.median(times), 2), "p90": round(times[int(0.9 * (len(times) - 1))], 2), "max": times[-1]}
