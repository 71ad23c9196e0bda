"""Queries for an evaluation with truth: asked in the days after the history, by users of whom half were never seen. Pure."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from datagen import draws, slices
from datagen.settings import DAY_MS
from datagen.wording import FORMS, Wording
from datagen.world import QUERIES_FILE, World
from services.shop import Shop

DAYS_AFTER = 7
UNSEEN_USER, UNSEEN_QUERY, UNSEEN = "unseen user", "unseen query", "all unseen"


@dataclass(frozen=True, slots=True)
class Case:
    """One query after the training period. `slices` as datagen.slices, and what was never seen: the user, the query, both."""

    user: int
    intent: int
    wording: Wording
    ts_ms: int
    slices: frozenset[str]


@dataclass(frozen=True, slots=True)
class Past:
    """What a history has: its queries' texts, and the number of queries of each user (int64[users])."""

    texts: frozenset[str]
    queries: npt.NDArray[np.int64]

    @staticmethod
    def of(root: Path, users: int) -> "Past":
        table = pq.read_table(Shop(root).world / QUERIES_FILE, columns=["text", "user"])
        return Past(frozenset(table["text"].to_pylist()), np.bincount(table["user"].to_numpy(), minlength=users))


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
        Case(int(user), int(intent), wording, int(ts), frozenset([*named, *_unseen(past, int(user), wording.text)]))
        for user, intent, wording, ts, named in zip(users, intents, said, ts_ms, labels, strict=True)
    ]


def _users(past: Past, unseen: npt.NDArray[np.bool_], u: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    new, known = np.flatnonzero(past.queries == 0), np.flatnonzero(past.queries > 0)
    if not len(new) or not len(known):
        new = known = np.arange(len(past.queries))
    return np.where(unseen, new[(u * len(new)).astype(np.intp)], known[(u * len(known)).astype(np.intp)])


def _unseen(past: Past, user: int, text: str) -> list[str]:
    new_user, new_query = bool(past.queries[user] == 0), text not in past.texts
    return [UNSEEN_USER] * new_user + [UNSEEN_QUERY] * new_query + [UNSEEN] * (new_user and new_query)
