"""Ranking functions that an evaluation with truth compares: oracles and controls, BM25 as one global index, the running system over HTTP.

A ranking function takes a case and gives product numbers, the best first (-1 for a product that the world does not know).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt

from datagen import draws
from datagen.policy import terms_of
from datagen.world import World
from loadgen.grading import AT, Grader, Page
from loadgen.world_cases import Case
from services import forward
from services.artifacts import Versions
from services.catalogue import Catalogue
from services.contracts import CANDIDATES
from services.errors import ConfigurationError
from services.forward import POPULARITY, ForwardIndex, GlobalBm25
from services.shop import Shop

Ranker = Callable[[Case], Sequence[int]]
ORACLE, NO_HIDDEN, NOBODY, RANDOM, POPULAR, BM25, RUNNING, ANONYMOUS = (
    "oracle",
    "oracle without the hidden part",
    "oracle that does not know the user",
    "random order of BM25's candidates",
    "popularity order of BM25's candidates",
    "BM25, one global index",
    "running system",
    "running system, user not named",
)


def oracles(grader: Grader) -> dict[str, Ranker]:
    """They see the utility of every product: all of it, all but the hidden part, what is the same for everybody."""

    def ranker(parts: tuple[str, ...]) -> Ranker:
        def rank(case: Case) -> Sequence[int]:
            page = Page(case.user, case.intent, [], case.ts_ms)
            worth = grader.utilities(page)
            total = np.sum([getattr(worth, part) for part in parts], axis=0)
            listed = grader.world.items.created_ms <= case.ts_ms
            return [int(n) for n in grader.ideal(page, np.where(listed, total, -np.inf))]

        return rank

    shared = ("relevance", "quality", "appeal")
    return {ORACLE: ranker((*shared, "preference", "hidden")), NO_HIDDEN: ranker((*shared, "preference")), NOBODY: ranker(shared)}


def controls(index: ForwardIndex, seed: int) -> dict[str, Ranker]:
    """Of the same candidates, those of BM25: in its order, by popularity as the shop counts it, in random order."""
    bm25, popular = GlobalBm25(index), index.popularity[:, POPULARITY.index("score")]
    known: dict[str, npt.NDArray[np.uint32]] = {}

    def candidates(case: Case) -> npt.NDArray[np.uint32]:
        if case.wording.text not in known:
            known[case.wording.text] = bm25.search(terms_of(case.wording.text), CANDIDATES)[0]
        return known[case.wording.text]

    def first(numbers: npt.NDArray[np.uint32], scores: npt.NDArray[np.float64]) -> list[int]:
        return [int(n) for n in numbers[np.argsort(-scores, kind="stable")[:AT]]]

    return {
        BM25: lambda case: candidates(case)[:AT].tolist(),
        POPULAR: lambda case: first(candidates(case), popular[candidates(case)].astype(np.float64)),
        RANDOM: lambda case: first(candidates(case), draws.uniform(seed, "random", candidates(case), case.user)),
    }


def catalogue_index(root: Path) -> ForwardIndex:
    """Of the shop's current generation. Raises ConfigurationError when there is none."""
    shop = Shop(root)
    generation = Versions(shop.generations).current()
    if generation is None:
        raise ConfigurationError(f"shop {shop.name!r} has no generation yet: run `aisle build --shop {shop.name}`")
    return forward.build(Catalogue(Versions(shop.generations).folder(generation)), shop.info())


def running(world: World, url: str, client: httpx.Client) -> dict[str, Ranker]:
    """The system behind the public API, told who asks and not told. Its pages are logged by the shop as any others, without clicks.

    Raises ConfigurationError when it does not answer with a page.
    """

    def ranker(named: bool) -> Ranker:
        def rank(case: Case) -> Sequence[int]:
            body: dict[str, object] = {"query": case.wording.text, "page_size": AT, "client_id": "evaluation"}
            return [
                world.product_no(i["product_id"])
                for i in _items(client, url, body | ({"user_id": world.user_id(case.user)} if named else {}))
            ]

        return rank

    return {RUNNING: ranker(True), ANONYMOUS: ranker(False)}


def _items(client: httpx.Client, url: str, body: Mapping[str, object]) -> list[dict[str, str]]:
    try:
        answer = client.post(f"{url.rstrip('/')}/search", json=body, headers={"x-deadline-ms": "5000"})
        answer.raise_for_status()
        items: list[dict[str, str]] = answer.json()["items"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise ConfigurationError(f"{url} does not answer searches ({type(error).__name__}: {error}); is it up? `aisle status`") from None
    return items
