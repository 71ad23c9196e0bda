"""The vocabulary of the world (`vocabulary/*.toml`): departments, leaf categories, their nouns, attributes, brands; everything has a code."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

BRAND_TIERS = ("value", "mid", "premium", "luxury")
FEMALE, MALE, KIDS, UNISEX = range(4)
AUDIENCES = ("female", "male", "kids", "unisex")
_FOLDER = Path(__file__).parent / "vocabulary"
_INHERITED = ("audience", "size", "palette", "pattern", "model_rate", "style", "feature", "material", "nouns_end")


@dataclass(frozen=True, slots=True)
class Brand:
    name: str
    department: int
    tier: int  # index into BRAND_TIERS


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf category; every attribute is a tuple of codes into the vocabulary's tables. Position in `Vocabulary.leaves` is its code."""

    name: str
    department: int
    nouns: tuple[str, ...]
    asked: tuple[str, ...]  # words of queries that its products do not use
    short: tuple[str, ...]  # words that other categories share
    family: str  # of categories that can stand in for each other; "" for none
    price: float  # median of a mid-tier product, currency units
    spread: float  # standard deviation of the log price within a brand tier
    weight: float
    model_rate: float
    ending: str
    audience: tuple[int, ...]
    brands: tuple[int, ...]
    colors: tuple[int, ...]
    materials: tuple[int, ...]
    features: tuple[int, ...]
    styles: tuple[int, ...]
    patterns: tuple[int, ...]
    size: str  # key of Vocabulary.sizes
    specs: tuple[tuple[str, tuple[int, ...]], ...]  # (attribute, codes into Vocabulary.specs)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Code tables: a code is a position."""

    departments: tuple[str, ...]
    leaves: tuple[Leaf, ...]
    brands: tuple[Brand, ...]
    colors: tuple[str, ...]
    materials: tuple[str, ...]
    features: tuple[str, ...]
    styles: tuple[str, ...]
    patterns: tuple[str, ...]
    specs: tuple[tuple[str, str], ...]  # (attribute, value)
    sizes: dict[str, tuple[str, ...]]
    shoe_sizes: dict[int, tuple[int, int]]  # audience -> first and last code in sizes["shoe"]
    asked_colors: dict[str, tuple[str, ...]]
    asked_features: dict[str, tuple[str, ...]]
    audience_words: tuple[tuple[str, ...], ...]  # per audience: word of titles, then words of queries
    lines: tuple[str, ...]
    countries: tuple[str, ...]

    def category_id(self, leaf: int) -> int:
        """Departments have the first ids, leaves those after them."""
        return len(self.departments) + leaf


class _Codes:
    """Assigns codes in order of first use."""

    def __init__(self) -> None:
        self.of: dict[Any, int] = {}

    def __call__(self, values: Any) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self.of.setdefault(v, len(self.of)) for v in values))

    def table(self) -> tuple[Any, ...]:
        return tuple(self.of)


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """The vocabulary that comes with the package (read once)."""
    return read(_FOLDER)


def read(folder: Path) -> Vocabulary:
    """Read a folder of one `common.toml` and one file per department, in the order of their names."""
    common = tomllib.loads((folder / "common.toml").read_text(encoding="utf-8"))
    departments = [tomllib.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.toml")) if p.name != "common.toml"]
    codes = {name: _Codes() for name in ("colors", "materials", "features", "styles", "patterns", "specs")}
    brands: list[Brand] = []
    leaves: list[Leaf] = []
    for number, department in enumerate(departments):
        first = len(brands)
        brands.extend(Brand(name, number, tier) for tier, key in enumerate(BRAND_TIERS) for name in department["brands"][key])
        own = tuple(range(first, len(brands)))
        leaves.extend(_leaf(_inherit(department, leaf), number, own, common, codes) for leaf in department["category"])
    sizes = {kind: tuple(values) for kind, values in common["sizes"].items()}
    return Vocabulary(
        departments=tuple(d["name"] for d in departments),
        leaves=tuple(leaves),
        brands=tuple(brands),
        **{name: c.table() for name, c in codes.items()},
        sizes=sizes,
        shoe_sizes={AUDIENCES.index(a): (sizes["shoe"].index(lo), sizes["shoe"].index(hi)) for a, (lo, hi) in common["shoe_sizes"].items()},
        asked_colors={k: tuple(v) for k, v in common["asked_colors"].items()},
        asked_features={k: tuple(v) for k, v in common["asked_features"].items()},
        audience_words=tuple(tuple(common["audiences"][a]) for a in AUDIENCES),
        lines=tuple(common["lines"]),
        countries=tuple(common["countries"]),
    )


def _inherit(department: dict[str, Any], leaf: dict[str, Any]) -> dict[str, Any]:
    return {name: department[name] for name in _INHERITED if name in department} | leaf


def _leaf(row: dict[str, Any], department: int, brands: tuple[int, ...], common: dict[str, Any], codes: dict[str, _Codes]) -> Leaf:
    specs = row.get("specs", {})
    return Leaf(
        name=row["name"],
        department=department,
        nouns=tuple(row["nouns"]),
        asked=tuple(row["asked"]),
        short=tuple(row.get("short", ())),
        family=row.get("family", ""),
        price=float(row["price"]),
        spread=float(row.get("spread", 0.4)),
        weight=float(row.get("weight", 1.0)),
        model_rate=float(row["model_rate"]),
        ending=row["nouns_end"],
        audience=tuple(AUDIENCES.index(a) for a in row["audience"]),
        brands=brands,
        colors=codes["colors"](common["palettes"][row["palette"]]),
        materials=codes["materials"](row.get("material", ())),
        features=codes["features"](row["feature"]),
        styles=codes["styles"](row["style"]),
        patterns=codes["patterns"](common["patterns"] if row["pattern"] else ()),
        size=row["size"],
        specs=tuple((name, codes["specs"]((name, value) for value in values)) for name, values in specs.items()),
    )
