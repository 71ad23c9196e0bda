"""Kinds of queries, users and products that are hard in their own way, so that an evaluation can look at each. Docs/world.md has their rates."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datagen.intents import CONSTRAINTS
from datagen.settings import DAY_MS
from datagen.world import World

SLICES = ("misspelt", "synonym", "ambiguous", "two constraints", "long tail", "cold user", "warm user", "new product")
COLD, WARM = 1, 10
"""A user with fewer earlier queries in the log is cold, with at least as many warm."""
NEW_DAYS = 14
"""An intent that was made from a product that is not older counts as one for a new product."""


def labels(
    world: World, intents: npt.ArrayLike, misspelt: npt.ArrayLike, forms: Sequence[str], earlier: npt.ArrayLike, ts_ms: npt.ArrayLike
) -> list[list[str]]:
    """Per query the slices that it is in. `forms` as wording.FORMS; `earlier`: queries of the same user in the log before it."""
    intent, before = np.asarray(intents, np.intp), np.asarray(earlier)
    form, table = np.asarray(forms, object), world.intents
    named = sum((getattr(table, name)[intent] >= 0).astype(np.intp) for name in CONSTRAINTS)
    age_ms = np.asarray(ts_ms) - world.items.created_ms[table.product[intent]]
    columns = (
        np.asarray(misspelt, np.bool_),
        form == "synonym",
        form == "short",
        named >= 2,
        world.in_tail[intent],
        before < COLD,
        before >= WARM,
        (age_ms >= 0) & (age_ms < NEW_DAYS * DAY_MS),
    )
    flags = np.column_stack(columns)
    return [[SLICES[i] for i in np.flatnonzero(row)] for row in flags]


def earlier_queries(user: npt.NDArray[np.int32]) -> npt.NDArray[np.intp]:
    """intp[n]: how many of the queries before it, in order of time, are of the same user."""
    order = np.argsort(user, kind="stable")
    starts = np.flatnonzero(np.diff(user[order], prepend=-1))
    first = np.repeat(starts, np.diff(np.append(starts, len(user))))
    earlier = np.empty(len(user), np.intp)
    earlier[order] = np.arange(len(user)) - first
    return earlier


def of_history(world: World, queries: pa.Table) -> list[list[str]]:
    """Of the truth about a history's queries (records.QUERIES_SCHEMA), which is in order of time."""
    misspelt = np.array(queries["text"].to_pylist(), object) != np.array(queries["right"].to_pylist(), object)
    earlier = earlier_queries(queries["user"].to_numpy())
    return labels(world, queries["intent"].to_numpy(), misspelt, queries["form"].to_pylist(), earlier, queries["ts_ms"].to_numpy())
