"""The truth of a world: what a page is worth to a user with an intent. Pure NumPy; 200 products are graded in under a millisecond.

docs/world.md has the formulas. Rows are product numbers; a number that the world does not have is worth nothing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from datagen import draws
from datagen.draws import Floats
from datagen.intents import MODEL
from datagen.words import UNISEX

if TYPE_CHECKING:
    from datagen.world import World

Rows = npt.NDArray[np.intp]
Grades = npt.NDArray[np.int8]

GAINS = np.array([0.0, 0.3, 0.65, 1.0])
"""Relevance of a grade."""
RELEVANCE = 3.5
SCALE = 1.15
BRAND, COLOR, STYLE, PRICE = 0.43, 0.27, 0.23, 0.35
QUALITY, APPEAL, HIDDEN = 0.47, 0.35, 0.47
"""Loadings of a utility, of which the squares sum to 1; `HIDDEN` is what no feature can see. RELEVANCE and SCALE put them on the log-odds
scale. The rule they were set by: on the logging policy's pages, relevance, preference, and quality with appeal are a third each of what
features could explain, and what is hidden is a fifth on top."""
ATTRACTION, CART, PURCHASE = -4.4, -7.0, -6.6
"""Log odds at utility 0 of: a click when examined, a cart after a click, a purchase after a cart (quality counts twice in the last two).
Set for about one click a page, one cart in eight clicks and one purchase in three carts."""


@dataclass(frozen=True, slots=True)
class Utility:
    """Parts of the utility of products, float64 of the same shape each; they add up to `total`."""

    relevance: Floats
    preference: Floats  # brand, colour, style and price level: depends on the user
    quality: Floats
    appeal: Floats
    hidden: Floats  # depends on user and product, seen by nothing else

    @property
    def total(self) -> Floats:
        return self.relevance + self.preference + self.quality + self.appeal + self.hidden


def grade(world: "World", intents: npt.ArrayLike, products: npt.ArrayLike) -> Grades:
    """int8 in 0..3 per (intent, product), which broadcast: 3 all that was asked for; 2 one constraint missed; 1 two missed, or all met in
    a neighbouring category; 0 else. The wrong audience counts as two. For a wanted model: 3 that product, 2 same category and brand, 1
    same category.
    """
    intent, rows = np.asarray(intents, np.intp), np.asarray(products, np.intp)
    items, table = world.items, world.intents
    known = (rows >= 0) & (rows < len(items))
    rows = np.where(known, rows, 0)
    category = table.category[intent]
    offered = items.category[rows]
    same = offered == category
    missed = _missed(world, intent, rows)
    grades = np.where(same, np.maximum(3 - missed, 0), np.where(world.near[category, offered] & (missed == 0), 1, 0))
    if (model := table.kind[intent] == MODEL).any():
        wanted = table.product[intent]
        as_model = np.where(rows == wanted, 3, np.where(same, 1 + (items.brand[rows] == items.brand[wanted]), 0))
        grades = np.where(model, as_model, grades)
    return np.where(known, grades, 0).astype(np.int8)


def _missed(world: "World", intent: Rows, rows: Rows) -> npt.NDArray[np.intp]:
    missed = np.zeros(np.broadcast_shapes(intent.shape, rows.shape), np.intp)
    for name in ("audience", "brand", "color", "material", "feature", "spec", "size", "cap"):
        wanted = getattr(world.intents, name)[intent]
        if (asked := wanted >= 0).any():
            missed += _fails(world, name, wanted, rows) & asked
            if name == "audience":
                missed += missed  # counts as two
    return missed


def _fails(world: "World", name: str, wanted: npt.NDArray[np.int32], rows: Rows) -> npt.NDArray[np.bool_]:
    """Which products do not have what is wanted."""
    items = world.items
    if name == "cap":
        return np.asarray(items.price_cents[rows] > wanted * np.int64(100))
    offered = getattr(items, name)[rows]
    if name == "size":
        return np.asarray((offered[..., 0] > wanted) | (offered[..., 1] < wanted))
    if name in ("feature", "spec"):
        return np.asarray((offered != wanted[..., None]).all(axis=-1))
    return np.asarray((offered != wanted) & (offered != UNISEX) if name == "audience" else offered != wanted)


def utility(world: "World", users: npt.ArrayLike, intents: npt.ArrayLike, products: npt.ArrayLike, ts_ms: npt.ArrayLike) -> Utility:
    """Utility of products to users with intents at times; the four broadcast against each other."""
    rows, user = np.asarray(products, np.intp), np.asarray(users, np.intp)
    grades = grade(world, intents, rows)
    known = (rows >= 0) & (rows < len(world.items))
    rows = np.where(known, rows, 0)
    items, settings, exists = world.items, world.settings, SCALE * known
    preference = (
        BRAND * world.tastes.of("brand", user, items.brand[rows], ts_ms)
        + COLOR * world.tastes.of("color", user, items.color[rows], ts_ms)
        + STYLE * world.tastes.of("style", user, items.style[rows], ts_ms)
        + PRICE * world.tastes.price(user, world.price_level[rows])
    )
    hidden = draws.normal(settings.seed, "hidden", user, rows)
    return Utility(
        relevance=RELEVANCE * GAINS[grades],
        preference=exists * settings.preference_strength * preference,
        quality=exists * QUALITY * items.quality[rows],
        appeal=exists * APPEAL * world.appeal[rows],
        hidden=exists * settings.preference_strength * settings.hidden_strength * HIDDEN * hidden,
    )


def examination(eta: float, positions: npt.ArrayLike) -> Floats:
    """Probability that the n-th product of a page (from 1) is looked at, in the position-based model."""
    return np.asarray(positions, np.float64) ** -eta


def attraction(total: Floats) -> Floats:
    """Probability of a click on a product of this utility that is looked at."""
    return sigmoid(total + ATTRACTION)


def ideal(world: "World", user: int, intent: int, products: npt.ArrayLike, ts_ms: int) -> Rows:
    """Places of the products, the most useful first (ties: the first)."""
    return np.argsort(-utility(world, user, intent, products, ts_ms).total, kind="stable")


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))
