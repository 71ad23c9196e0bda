"""Queries for an evaluation with truth: asked in the days after the history, by users of whom half were never seen. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from datagen import draws, slices, truth
from datagen.history import HISTORY
from datagen.settings import DAY_MS
from datagen.wording import FORMS, Wording
from datagen.world import QUERIES_FILE, World
from services.shop import Shop

DAYS_AFTER = 7
UNSEEN_USER, UNSEEN_QUERY, UNSEEN_PRODUCT, UNSEEN = "unseen user", "unseen query", "unseen product", "all unseen"
NEW_WORD, MISLED = "new word", "popularity misleads"
LABELS = (UNSEEN_USER, UNSEEN_QUERY, UNSEEN_PRODUCT, UNSEEN, *slices.SLICES, NEW_WORD, MISLED)


@dataclass(frozen=True, slots=True)
class Case:
    """One query after the training period. `slices` are of LABELS: those of datagen.slices, and

    - what the history does not have: the user, the query, a page with the product that the intent was made from, the first two
    - a word that came into use during the history
    - popularity that misleads: of the products that meet the intent, the most wanted one is of less than average quality
    """

    user: int
    intent: int
    wording: Wording
    ts_ms: int
    slices: frozenset[str]


@dataclass(frozen=True, slots=True)
class Past:
    """What a history has: its queries' texts, the number of queries of each user (int64[users]), the products on its pages (bool[products])."""

    texts: frozenset[str]
    queries: npt.NDArray[np.int64]
    shown: npt.NDArray[np.bool_]

    @staticmethod
    def of(root: Path, world: World) -> "Past":
        folder = Shop(root).world
        table = pq.read_table(folder / QUERIES_FILE, columns=["text", "user"])
        queries = np.bincount(table["user"].to_numpy(), minlength=len(world.users))
        return Past(frozenset(table["text"].to_pylist()), queries, _shown(folder / HISTORY, len(world.items)))


class _Listed(msgspec.Struct):
    """Of a page record only this."""

    product_no: list[int]


def _shown(history: Path, products: int) -> npt.NDArray[np.bool_]:
    shown, decoder = np.zeros(products, np.bool_), msgspec.json.Decoder(_Listed)
    for path in sorted(history.glob("*.parquet")):
        for payload in pq.read_table(path, columns=["payload"], filters=[("kind", "=", "page")])["payload"].to_pylist():
            shown[decoder.decode(payload).product_no] = True
    return shown


def cases(world: World, past: Past, count: int, seed: int) -> list[Case]:
    """`count` queries, the same for the same seed; half of them by users who are not in the history, if the world has such."""
    numbers = np.arange(count)

    def u(name: str) -> npt.NDArray[np.float64]:
        return draws.uniform(seed, f"case/{name}", numbers)

    ts_ms = (world.settings.end_ms + u("time") * DAYS_AFTER * DAY_MS).astype(np.int64)
    users = _users(past, u("unseen") < 0.5, u("user"))
    intents = world.draw_intents(users, world.tastes.interest(users, ts_ms), u("intent"), u("in category"))
    dice = draws.streams(seed, "case/say", numbers.astype(np.uint64))
    said = [world.speaker.say(int(i), d, ts_ms=int(t)) for i, d, t in zip(intents, dice, ts_ms, strict=True)]
    labels = slices.labels(world, intents, [w.misspelt for w in said], [FORMS[w.form] for w in said], past.queries[users], ts_ms)
    return [
        Case(
            int(user),
            int(intent),
            wording,
            int(ts),
            frozenset([*named, *_unseen(world, past, user, intent, wording), *_hard(world, intent, wording)]),
        )
        for user, intent, wording, ts, named in zip(users, intents, said, ts_ms, labels, strict=True)
    ]


def _users(past: Past, unseen: npt.NDArray[np.bool_], u: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    new, known = np.flatnonzero(past.queries == 0), np.flatnonzero(past.queries > 0)
    if not len(new) or not len(known):
        new = known = np.arange(len(past.queries))
    return np.where(unseen, new[(u * len(new)).astype(np.intp)], known[(u * len(known)).astype(np.intp)])


def _unseen(world: World, past: Past, user: int, intent: int, wording: Wording) -> Iterator[str]:
    new_user, new_query = bool(past.queries[user] == 0), wording.text not in past.texts
    product = not past.shown[world.intents.product[intent]]
    yield from compress((UNSEEN_USER, UNSEEN_QUERY, UNSEEN_PRODUCT, UNSEEN), (new_user, new_query, product, new_user and new_query))


def _hard(world: World, intent: int, wording: Wording) -> Iterator[str]:
    items, leaf = world.items, int(world.intents.category[intent])
    if FORMS[wording.form] == "synonym" and wording.phrase not in world.speaker.in_use(leaf, world.settings.start_ms):
        yield NEW_WORD
    in_leaf = np.flatnonzero(items.category == leaf)
    fitting = in_leaf[truth.grade(world, intent, in_leaf) == 3]
    if items.quality[fitting[np.argmax(items.appeal[fitting])]] < items.quality[in_leaf].mean():
        yield MISLED
