"""The products of a world as columns: attributes, price, quality, appeal. Row = id = product_no; any range of ids is made alone."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datagen import draws
from datagen.draws import Floats
from datagen.settings import DAY_MS, WorldSettings
from datagen.words import UNISEX, Leaf, Vocabulary

Codes = npt.NDArray[np.int32]

TIER_PRICE = np.array([0.62, 1.0, 1.65, 3.0])
"""Price of a brand tier against the middle tier."""
TIER_SHARE = np.array([0.3, 0.42, 0.22, 0.06])
TIER_QUALITY = np.array([-0.8, 0.0, 0.7, 1.2])
AMOUNT, NOISE = 1.0, 0.8
"""The largest on offer costs e times the smallest; less is left to chance than the whole spread of a category."""
AMOUNTS = frozenset(
    [
        "screen_size",
        "memory",
        "storage",
        "capacity",
        "power",
        "battery_life",
        "count",
        "length",
        "thickness",
        "item_weight",
        "keys",
        "pressure",
    ]
)
"""Specifications that come in amounts, the smallest first."""
MAX_SPECS = 3
MODEL_NUMBERS = 9000


@dataclass(frozen=True, slots=True)
class Products:
    """Columns of n products; codes are positions in the vocabulary's tables, -1 where a product has none."""

    category: Codes  # leaf code
    brand: Codes
    tier: Codes  # of the brand
    color: Codes
    material: Codes
    feature: Codes  # [n, 2]
    style: Codes
    pattern: Codes
    audience: Codes
    size: Codes  # [n, 2], first and last size offered, codes of the category's size table
    spec: Codes  # [n, MAX_SPECS]
    line: Codes  # name of a collection
    model: Codes  # model number
    price_cents: npt.NDArray[np.int64]
    created_ms: npt.NDArray[np.int64]
    quality: Floats  # standard normal, seen by no feature but through behaviour
    appeal: Floats  # log of popularity, mean 0

    def __len__(self) -> int:
        return len(self.category)

    def rows(self, at: npt.ArrayLike) -> "Products":
        """The products at these row numbers."""
        index = np.asarray(at, np.intp)
        return Products(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def table(self) -> pa.Table:
        """One column per array, two-dimensional ones split; `from_table` reads it back."""
        columns: dict[str, npt.NDArray[Any]] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            columns |= {f"{field.name}.{i}": value[:, i] for i in range(value.shape[1])} if value.ndim == 2 else {field.name: value}
        return pa.table(columns)

    @staticmethod
    def from_table(table: pa.Table) -> "Products":
        columns = {name: table[name].to_numpy() for name in table.column_names}
        wide = {f: [c for n, c in columns.items() if n.startswith(f"{f}.")] for f in ("feature", "size", "spec")}
        return Products(**{n: c for n, c in columns.items() if "." not in n}, **{f: np.stack(c, axis=1) for f, c in wide.items()})


def product_id(product_no: int) -> str:
    return f"p{product_no:07d}"


def make(settings: WorldSettings, words: Vocabulary, ids: npt.NDArray[np.int64]) -> Products:
    """The products with these ids."""
    tables = _Tables.of(settings.seed, words.leaves, words)
    category = draws.choose(tables.leaf_cumulative, draws.uniform(settings.seed, "product/category", ids)).astype(np.int32)

    def u(column: str, index: npt.ArrayLike = 0) -> Floats:
        return draws.uniform(settings.seed, f"product/{column}", ids, index)

    brand = tables.brands[category, draws.choose(tables.brand_cumulative[category], u("brand"))]
    tier = tables.brand_tier[brand]
    audience = _pick(tables.audience[category], u("audience"))
    feature = _pick(tables.features[category], u("feature"))
    second = _pick(tables.features[category], u("feature", 1))
    quality = (TIER_QUALITY[tier] + draws.normal(settings.seed, "product/quality", ids)) / 1.25
    return Products(
        category=category,
        brand=brand,
        tier=tier,
        color=_pick(tables.colors[category], u("color")),
        material=_pick(tables.materials[category], u("material")),
        feature=np.stack([feature, np.where((second != feature) & (u("feature", 2) < 0.7), second, -1)], axis=1),
        style=_sometimes(_pick(tables.styles[category], u("style")), u("style", 1) < 0.75),
        pattern=_pick(tables.patterns[category], u("pattern") ** 1.6),
        audience=audience,
        size=_sizes(words, category, audience, u("size"), u("size", 1)),
        spec=_specs(tables.specs[category], np.stack([u("spec", i) for i in range(MAX_SPECS)], axis=1)),
        line=(u("line") * len(words.lines)).astype(np.int32),
        model=_sometimes((u("model") * MODEL_NUMBERS).astype(np.int32), u("model", 1) < tables.model_rate[category]),
        price_cents=_prices(
            settings, tables, category, tier, ids, u("price"), _amount(tables, category, [u("spec", i) for i in range(MAX_SPECS)])
        ),
        created_ms=_created(settings, u("created"), u("created", 1)),
        quality=quality,
        appeal=_appeal(settings, quality, u("appeal")),
    )


@dataclass(frozen=True, slots=True)
class _Tables:
    """Per leaf its choices, padded with -1 to a rectangle."""

    leaf_cumulative: Floats
    brands: Codes
    brand_cumulative: Floats
    brand_tier: Codes
    audience: Codes
    colors: Codes
    materials: Codes
    features: Codes
    styles: Codes
    patterns: Codes
    specs: Codes  # [leaves, MAX_SPECS, choices]
    amounts: npt.NDArray[np.bool_]  # [leaves, MAX_SPECS]: whether the specification is an amount
    model_rate: Floats
    log_price: Floats
    spread: Floats

    @staticmethod
    def of(seed: int, leaves: tuple[Leaf, ...], words: Vocabulary) -> "_Tables":
        numbers = np.arange(len(leaves))
        weight = np.array([leaf.weight for leaf in leaves]) * np.exp(0.45 * draws.normal(seed, "leaf/size", numbers))
        brands = _padded([leaf.brands for leaf in leaves])
        brand_tier = np.array([b.tier for b in words.brands], np.int32)
        per_tier = np.array([len({b for b in leaf.brands if brand_tier[b] == t}) for leaf in leaves for t in range(4)]).reshape(-1, 4)
        share = (TIER_SHARE / np.maximum(per_tier, 1))[numbers[:, None], brand_tier[brands]]
        share = share * np.exp(0.9 * draws.normal(seed, "leaf/brand", numbers[:, None], brands)) * (brands >= 0)
        width = max(len(values) for leaf in leaves for _, values in leaf.specs)
        specs = [[values for _, values in leaf.specs] + [()] * (MAX_SPECS - len(leaf.specs)) for leaf in leaves]
        return _Tables(
            leaf_cumulative=np.cumsum(weight),
            brands=brands,
            brand_cumulative=np.cumsum(share, axis=1),
            brand_tier=brand_tier,
            specs=np.array([[_filled(values, width) for values in row] for row in specs], np.int32),
            amounts=np.array([[i < len(leaf.specs) and leaf.specs[i][0] in AMOUNTS for i in range(MAX_SPECS)] for leaf in leaves]),
            model_rate=np.array([leaf.model_rate for leaf in leaves]),
            log_price=np.log([leaf.price for leaf in leaves]),
            spread=np.array([leaf.spread for leaf in leaves]),
            **{
                n: _padded([getattr(leaf, n) for leaf in leaves])
                for n in ("audience", "colors", "materials", "features", "styles", "patterns")
            },
        )


def _padded(rows: list[tuple[int, ...]]) -> Codes:
    width = max(1, *map(len, rows))
    return np.array([_filled(row, width) for row in rows], np.int32)


def _filled(values: tuple[int, ...], width: int) -> list[int]:
    return [*values, *[-1] * (width - len(values))]


def _pick(choices: Codes, u: Floats) -> Codes:
    """One of each row's choices, the first ones more often; -1 for a row without any."""
    counts = (choices >= 0).sum(axis=1)
    picked: Codes = choices[np.arange(len(choices)), (u**1.4 * counts).astype(np.intp)]
    return picked


def _sometimes(codes: Codes, keep: npt.NDArray[np.bool_]) -> Codes:
    return np.where(keep, codes, -1).astype(np.int32)


def _specs(choices: Codes, u: Floats) -> Codes:
    return np.stack([_pick(choices[:, i], u[:, i]) for i in range(MAX_SPECS)], axis=1)


def _sizes(words: Vocabulary, category: Codes, audience: Codes, u: Floats, v: Floats) -> Codes:
    """First and last size offered: shoes within the audience's sizes, beds in one size, others a range."""
    kinds = np.array([list(words.sizes).index(leaf.size) for leaf in words.leaves])[category]
    sizes = np.full((len(category), 2), -1, np.int32)
    for number, (kind, values) in enumerate(words.sizes.items()):
        rows = np.flatnonzero(kinds == number)
        if not values or not len(rows):
            continue
        spans = np.array([words.shoe_sizes[a] if kind == "shoe" else (0, len(values) - 1) for a in range(UNISEX + 1)])
        first, last = spans[np.maximum(audience[rows], 0)].T
        if kind == "bed":
            low = high = (u[rows] * len(values)).astype(np.int32)
        else:
            third = (last - first) / 3.0
            low, high = first + (u[rows] * third).astype(np.int32), last - (v[rows] * third).astype(np.int32)
        sizes[rows] = np.stack([low, high], axis=1)
    return sizes


def _amount(tables: _Tables, category: Codes, drawn: list[Floats]) -> Floats:
    """From -0.5 (the smallest on offer) to 0.5 (the largest): of how much the product has, by specifications that come in amounts."""
    total, counted = np.zeros(len(category)), np.zeros(len(category))
    for i, u in enumerate(drawn):
        choices = (tables.specs[category][:, i] >= 0).sum(axis=1)
        sized = tables.amounts[category, i] & (choices > 1)
        total += np.where(sized, np.floor(u * choices) / np.maximum(choices - 1, 1) - 0.5, 0.0)
        counted += sized
    return np.asarray(total / np.maximum(counted, 1))


def _prices(
    settings: WorldSettings, tables: _Tables, category: Codes, tier: Codes, ids: npt.NDArray[np.int64], u: Floats, amount: Floats
) -> npt.NDArray[np.int64]:
    """Log-normal within category, brand tier and amount, with the endings that shops like."""
    noise = draws.normal(settings.seed, "product/log price", ids) * tables.spread[category] * NOISE
    price = np.exp(tables.log_price[category] + noise + AMOUNT * amount) * TIER_PRICE[tier]
    whole = np.maximum(1, np.round(np.where(price >= 200, price / 10, price)) * np.where(price >= 200, 10, 1)).astype(np.int64)
    cents: npt.NDArray[np.int64] = np.maximum(99, whole * 100 - np.select([u < 0.55, u < 0.8, u < 0.9], [1, 5, 50], 0))
    return cents


def _created(settings: WorldSettings, u: Floats, v: Floats) -> npt.NDArray[np.int64]:
    """Most products are older than the history (by 14 months on average); the others appear during it."""
    before = settings.start_ms - (1 + np.minimum(-420.0 * np.log1p(-v), 2500.0)) * DAY_MS
    during = settings.start_ms + v * settings.days * DAY_MS
    moment = np.where(u < settings.new_products, during, before)
    return moment.astype(np.int64) // 60_000 * 60_000


def _appeal(settings: WorldSettings, quality: Floats, u: Floats) -> Floats:
    """Log popularity: an exponential variable times s gives the rank law r^-s; a little of it is quality, so popularity misleads."""
    return settings.appeal_exponent * (-np.log1p(-u) - 1.0) + settings.appeal_quality * quality
