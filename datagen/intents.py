"""What users look for: a category and constraints that at least one product meets, with a popularity of its own."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datagen import draws
from datagen.draws import Floats
from datagen.products import Codes, Products
from datagen.settings import WorldSettings
from datagen.words import UNISEX

ORDINARY, BRAND, MODEL = range(3)
KINDS = ("ordinary", "brand", "model")
CONSTRAINTS = ("audience", "brand", "color", "material", "feature", "spec", "size", "cap")
_CHANCE = np.array([0.26, 0.18, 0.2, 0.08, 0.16, 0.08, 0.03, 0.05])
"""How often each constraint is the one that people name, where a category has it."""
_HEADS = np.array([1.0, 0.45, 0.2, 0.1, 0.05])
"""Weight of an intent by its number of constraints: the short ones are the frequent ones."""


@dataclass(frozen=True, slots=True)
class Intents:
    """Columns of n intents; a constraint that an intent does not have is -1."""

    kind: Codes
    category: Codes
    product: Codes  # the product it was made from; for MODEL the one that is wanted
    audience: Codes
    brand: Codes
    color: Codes
    material: Codes
    feature: Codes
    spec: Codes
    size: Codes
    cap: Codes  # highest price, currency units
    weight: Floats  # relative frequency within the category

    def __len__(self) -> int:
        return len(self.kind)

    def table(self) -> pa.Table:
        return pa.table({f.name: getattr(self, f.name) for f in fields(self)})

    @staticmethod
    def from_table(table: pa.Table) -> "Intents":
        return Intents(**{f.name: table[f.name].to_numpy() for f in fields(Intents)})


def make(settings: WorldSettings, items: Products) -> Intents:
    """All intents of a world; they need its finished catalogue."""
    ids = np.arange(max(200, int(settings.intents * settings.products)))

    def u(column: str, index: npt.ArrayLike = 0) -> Floats:
        return draws.uniform(settings.seed, f"intent/{column}", ids, index)

    product = draws.choose(np.cumsum(np.exp(items.appeal)), u("product")).astype(np.int32)
    kind = np.select([u("kind") < settings.brand_queries, u("kind") > 1 - settings.model_queries], [BRAND, MODEL], ORDINARY).astype(
        np.int32
    )
    kind[(kind == MODEL) & (items.model[product] < 0)] = ORDINARY
    values = _values(items, product, u("value"))
    chosen = _chosen(settings, values, kind, u("count"), np.stack([u("constraint", i) for i in range(len(CONSTRAINTS))], axis=1))
    kept = np.where(chosen, values, -1).astype(np.int32)
    law = (np.argsort(np.argsort(u("rank"))) + 1.0) ** -settings.intent_exponent
    return Intents(
        kind=kind,
        category=items.category[product],
        product=product,
        **{name: kept[:, i] for i, name in enumerate(CONSTRAINTS)},
        weight=law * _HEADS[chosen.sum(axis=1)],
    )


def _values(items: Products, product: Codes, u: Floats) -> npt.NDArray[np.int64]:
    """int64[n, constraints]: what each constraint would be, taken from the product; -1 where it has none to offer."""
    audience = items.audience[product]
    low, high = items.size[product].T
    size = np.where(low >= 0, low + (u * (high - low + 1)).astype(np.int64), -1)
    specs = items.spec[product]
    price = items.price_cents[product] / 100.0
    step = np.select([price < 20, price < 100, price < 500], [5, 10, 50], 100)
    columns = {
        "audience": np.where(audience == UNISEX, -1, audience),
        "brand": items.brand[product],
        "color": items.color[product],
        "material": items.material[product],
        "feature": items.feature[product][:, 0],
        "spec": specs[np.arange(len(product)), (u * np.maximum(1, (specs >= 0).sum(axis=1))).astype(np.intp)],
        "size": size,
        "cap": np.ceil(price * 1.1 / step) * step,
    }
    return np.stack([columns[name] for name in CONSTRAINTS], axis=1).astype(np.int64)


def _chosen(settings: WorldSettings, values: npt.NDArray[np.int64], kind: Codes, u: Floats, v: Floats) -> npt.NDArray[np.bool_]:
    """bool[n, constraints]: the constraints that an intent names, drawn without replacement by the exponential race."""
    share = np.cumsum(settings.constraints) / np.sum(settings.constraints)
    wanted = np.searchsorted(share, u, side="right").clip(max=len(share) - 1)
    race = np.where(values >= 0, -np.log1p(-v) / _CHANCE, np.inf)
    place = np.argsort(np.argsort(race, axis=1), axis=1)
    chosen = (place < wanted[:, None]) & np.isfinite(race)
    chosen[kind == BRAND] = np.array(CONSTRAINTS) == "brand"
    chosen[kind == MODEL] = False
    return np.asarray(chosen)
