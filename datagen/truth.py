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
from datagen.users import Liking
from datagen.words import UNISEX

if TYPE_CHECKING:
    from datagen.world import World

Rows = npt.NDArray[np.intp]
Grades = npt.NDArray[np.int8]

GAINS = np.array([0.0, 0.3, 0.65, 1.0])
"""Relevance of a grade."""
RELEVANCE = 2.6
SCALE = 1.3
BRAND, COLOR, STYLE, PRICE = 0.42, 0.26, 0.22, 0.34
QUALITY, APPEAL, HIDDEN = 0.42, 0.38, 0.40
"""Loadings of a utility, of which the squares sum to 1; `HIDDEN` is what no feature can see. RELEVANCE and SCALE put them on the log-odds scale."""
ATTRACTION, CART, PURCHASE = -3.7, -5.8, -5.0
"""Log odds at utility 0 of: a click when examined, a cart after a click, a purchase after a cart (quality counts twice in the last two).
Set for about one click a page, one cart in eight clicks and one purchase in three carts."""


@dataclass(frozen=True, slots=True)
class Utility:
    """Parts of the utility of n products, float64[n] each; they add up to `total`."""

    relevance: Floats
    preference: Floats  # brand, colour, style and price level: depends on the user
    quality: Floats
    appeal: Floats
    hidden: Floats  # depends on user and product, seen by nothing else

    @property
    def total(self) -> Floats:
        return self.relevance + self.preference + self.quality + self.appeal + self.hidden


def grade(world: "World", intent: int, products: npt.ArrayLike) -> Grades:
    """int8[n] in 0..3: 3 all that was asked for; 2 one constraint missed; 1 two missed, or all met in a neighbouring category; 0 else.

    The wrong audience counts as two. For a wanted model: 3 that product, 2 same category and brand, 1 same category.
    """
    rows = np.asarray(products, np.intp)
    items, intents = world.items, world.intents
    known = (rows >= 0) & (rows < len(items))
    rows = np.where(known, rows, 0)
    category = intents.category[intent]
    same = items.category[rows] == category
    if intents.kind[intent] == MODEL:
        wanted = intents.product[intent]
        brand = items.brand[rows] == items.brand[wanted]
        grades = np.where(rows == wanted, 3, np.where(same, 1 + brand, 0))
    else:
        missed = _missed(world, intent, rows)
        near = world.near[category, items.category[rows]]
        grades = np.where(same, np.maximum(3 - missed, 0), np.where(near & (missed == 0), 1, 0))
    return np.where(known, grades, 0).astype(np.int8)


def _missed(world: "World", intent: int, rows: Rows) -> npt.NDArray[np.intp]:
    items, intents = world.items, world.intents
    missed = np.zeros(len(rows), np.intp)
    if (audience := intents.audience[intent]) >= 0:
        offered = items.audience[rows]
        missed += 2 * ((offered != audience) & (offered != UNISEX))
    for name in ("brand", "color", "material"):
        if (wanted := getattr(intents, name)[intent]) >= 0:
            missed += getattr(items, name)[rows] != wanted
    for name in ("feature", "spec"):
        if (wanted := getattr(intents, name)[intent]) >= 0:
            missed += ~(getattr(items, name)[rows] == wanted).any(axis=1)
    if (size := intents.size[intent]) >= 0:
        low, high = items.size[rows].T
        missed += (low > size) | (high < size)
    if (cap := intents.cap[intent]) >= 0:
        missed += items.price_cents[rows] > cap * 100
    return missed


def utility(world: "World", user: int, intent: int, products: npt.ArrayLike, ts_ms: int, liking: Liking | None = None) -> Utility:
    """Utility of products to a user with an intent at a time; `liking` when it is at hand already."""
    rows = np.asarray(products, np.intp)
    grades = grade(world, intent, rows)
    known = (rows >= 0) & (rows < len(world.items))
    rows = np.where(known, rows, 0)
    items, strength, exists = world.items, world.settings.preference_strength, SCALE * known
    likes = liking or world.tastes.liking(user, ts_ms)
    preference = (
        BRAND * likes.brand[items.brand[rows]]
        + COLOR * np.where(items.color[rows] >= 0, likes.color[items.color[rows]], 0.0)
        + STYLE * np.where(items.style[rows] >= 0, likes.style[items.style[rows]], 0.0)
        + PRICE * likes.price[world.price_level[rows]]
    )
    return Utility(
        relevance=RELEVANCE * GAINS[grades],
        preference=exists * strength * preference,
        quality=exists * QUALITY * items.quality[rows],
        appeal=exists * APPEAL * world.appeal[rows],
        hidden=exists * strength * HIDDEN * draws.normal(world.settings.seed, "hidden", user, rows),
    )


def examination(settings_examination: float, positions: npt.ArrayLike) -> Floats:
    """Probability that the n-th product of a page (from 1) is looked at."""
    return np.asarray(positions, np.float64) ** -settings_examination


def attraction(total: Floats) -> Floats:
    """Probability of a click on a product of this utility that is looked at."""
    return sigmoid(total + ATTRACTION)


def ideal(world: "World", user: int, intent: int, products: npt.ArrayLike, ts_ms: int) -> Rows:
    """Places of the products, the most useful first (ties: the first)."""
    return np.argsort(-utility(world, user, intent, products, ts_ms).total, kind="stable")


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))
