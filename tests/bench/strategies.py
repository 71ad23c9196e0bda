"""`python -m tests.bench.strategies`: what each ranking strategy is worth to the users of the world, on a shop that `aisle up --engines real` serves.

Queries that were never asked, in the week after the history, half of them by users who are not in it (loadgen/world_cases.py). Every strategy ranks
the same candidates with the same preferences. `weights` is the AIBench report's way (ranker/weights.py), `network` the learned one.
"""

import argparse
import base64
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import httpx
import numpy as np

from datagen.world import World, open_world
from deploy.preflight import require_shop
from deploy.running import running_planner
from deploy.state import RunState, StateFile
from loadgen.grading import AT
from loadgen.world_cases import Case, Past, cases
from loadgen.world_evaluation import evaluate, lines
from services.errors import ConfigurationError
from services.identity import user_key
from services.shop import home, secret

STRATEGIES = ("network", "weights", "popularity", "bm25")
HEADERS = {"x-deadline-ms": "10000"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.strategies", description=__doc__)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--against", choices=STRATEGIES, default="bm25")
    options = parser.parse_args()
    try:
        run, _ = running_planner(StateFile(home()))
        root = require_shop(run.shop, home()).root
        world = open_world(root)
        asked = cases(world, Past.of(root, world), options.queries, options.seed)
        with httpx.Client(timeout=15, headers=HEADERS) as client:
            services = Services(run, world, client)
            rankers = {strategy: partial(services.page, strategy) for strategy in STRATEGIES}
            found = evaluate(world, asked, rankers, baseline=options.against, seed=options.seed, say=partial(print, flush=True))
    except ConfigurationError as error:
        sys.exit(f"strategies: {error}")
    for line in lines(found, slices=False):
        print(line)
    return 0


class Services:
    """The services of a running shop, asked one after the other as the planner asks them."""

    def __init__(self, run: RunState, world: World, client: httpx.Client) -> None:
        self._world, self._client, self._secret = world, client, secret(home())
        self._urls = {service.name: service.address for service in run.services}
        self.asked: Callable[[Case], dict[str, Any]] = lru_cache(maxsize=1)(self._asked)

    def page(self, strategy: str, case: Case) -> Sequence[int]:
        """Product numbers of the first page."""
        asked = self.asked(case)
        numbers = np.frombuffer(base64.b64decode(asked["candidates"]["product_no"]), np.uint32)
        if not len(numbers):
            return []
        answer = self._ask("ranker", "/rank", asked | {"strategy": strategy})
        page: list[int] = numbers[np.frombuffer(base64.b64decode(answer["order"]), np.uint16)[:AT].astype(np.intp)].tolist()
        return page

    def _asked(self, case: Case) -> dict[str, Any]:
        """What the ranker is asked for a query, whatever the strategy."""
        understood = self._ask("recommender", "/analyse", {"query": case.wording.text})
        known = {name: understood[name] for name in ("terms", "categories")}
        user = user_key(self._world.user_id(case.user), self._secret)
        preferences = self._ask("recommender", "/preferences", {"user": user, "categories": known["categories"]})
        liked = {name: preferences[name] for name in ("scores", "weights", "vector", "release")}
        return known | liked | {"candidates": self._ask("searcher", "/retrieve", known)["candidates"]}

    def _ask(self, service: str, path: str, body: Mapping[str, Any]) -> Any:
        answer = self._client.post(self._urls[service] + path, json=body)
        if answer.status_code != 200:
            raise ConfigurationError(f"{service}{path} answers {answer.status_code}: {answer.text[:300]}")
        return answer.json()


if __name__ == "__main__":
    sys.exit(main())
