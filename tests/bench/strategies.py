"""`python -m tests.bench.strategies`: what each ranking strategy is worth to the users of the world, on a shop that `aisle up --engines real` serves.

The same candidates and preferences are ranked by every strategy; what a page is worth is nDCG@10 of the world's own utility, which no service
knows. `weights` is the AIBench report's way (ranker/weights.py), `network` the learned one.
"""

import argparse
import base64
import sys
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from datagen.truth import utility
from datagen.world import QUERIES_FILE, World, open_world
from deploy.preflight import require_shop
from deploy.running import running_planner
from deploy.state import RunState, StateFile
from services.errors import ConfigurationError
from services.identity import user_key
from services.shop import home, secret

STRATEGIES = ("network", "weights", "popularity", "bm25")
PAGE = 10
HEADERS = {"x-deadline-ms": "10000"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.strategies", description=__doc__)
    parser.add_argument("--queries", type=int, default=300)
    options = parser.parse_args()
    try:
        run, _ = running_planner(StateFile(home()))
        world = open_world(require_shop(run.shop, home()).root)
    except ConfigurationError as error:
        sys.exit(f"strategies: {error}")
    Comparison(run, world, options.queries).run()
    return 0


class Comparison:
    def __init__(self, run: RunState, world: World, queries: int) -> None:
        self._world, self._queries, self._secret = world, queries, secret(home())
        self._urls = {service.name: service.address for service in run.services}
        self._client = httpx.Client(timeout=15)
        self._root = home() / "shops" / run.shop / "world" / QUERIES_FILE
        self.worth: dict[str, list[float]] = {name: [] for name in STRATEGIES}
        self.refused: dict[str, str] = {}

    def run(self) -> None:
        table = pq.read_table(self._root)
        for row in np.random.default_rng(3).permutation(len(table))[: self._queries]:
            asked = table.slice(int(row), 1).to_pylist()[0]
            self._look(asked["text"], int(asked["user"]), int(asked["intent"]))
        shown = Table(title=f"nDCG@10 of utility over {self._queries} searches of known users", title_justify="left", box=None)
        for heading in ("strategy", "mean", "against bm25", "95 %"):
            shown.add_column(heading)
        for name, values in self.worth.items():
            shown.add_row(name, *(_numbers(values, self.worth["bm25"]) if values else (self.refused.get(name, "-"), "", "")))
        Console(highlight=False, width=120).print(shown)

    def _look(self, text: str, user: int, intent: int) -> None:
        understood = self._ask("recommender", "/analyse", {"query": text})
        if not understood["terms"]:
            return
        asked = {"terms": understood["terms"], "categories": understood["categories"]}
        found = self._ask("searcher", "/retrieve", asked)
        numbers = np.frombuffer(base64.b64decode(found["candidates"]["product_no"]), np.uint32)
        if not len(numbers):
            return
        key = user_key(self._world.user_id(user), self._secret)
        known = self._ask("recommender", "/preferences", {"user": key, "categories": understood["categories"]})
        preferences = {name: known[name] for name in ("scores", "weights", "vector", "release")}
        worth = utility(self._world, user, intent, numbers, self._world.settings.end_ms).total
        for strategy in STRATEGIES:
            body = {**asked, **preferences, "candidates": found["candidates"], "strategy": strategy}
            answer = self._client.post(self._urls["ranker"] + "/rank", json=body, headers=HEADERS)
            if answer.status_code != 200:
                self.refused[strategy] = answer.json()["detail"]
                continue
            order = np.frombuffer(base64.b64decode(answer.json()["order"]), np.uint16).astype(np.intp)
            self.worth[strategy].append(ndcg(worth, order))

    def _ask(self, service: str, path: str, body: Mapping[str, Any]) -> Any:
        answer = self._client.post(self._urls[service] + path, json=body, headers=HEADERS)
        if answer.status_code != 200:
            raise RuntimeError(f"{service}{path}: {answer.text[:300]}")
        return answer.json()


def ndcg(worth: Any, order: Any) -> float:
    """Of utilities as gains, from the worst candidate's up."""
    gains = worth - worth.min()
    discounts = 1 / np.log2(np.arange(2, PAGE + 2))[: len(gains)]
    best = (np.sort(gains)[::-1][:PAGE] * discounts).sum()
    return float((gains[order[:PAGE]] * discounts).sum() / best) if best > 0 else 1.0


def _numbers(values: list[float], base: list[float]) -> tuple[str, str, str]:
    difference = np.array(values) - np.array(base)
    error = 1.96 * difference.std() / max(len(difference), 1) ** 0.5
    mean = difference.mean()
    return f"{np.mean(values):.4f}", f"{mean:+.4f}", f"[{mean - error:+.4f}, {mean + error:+.4f}]"


if __name__ == "__main__":
    sys.exit(main())
