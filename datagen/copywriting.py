"""Titles, descriptions and attributes of generated products: what a shop would write about the columns of `products`."""

from typing import Any

import numpy as np

from datagen import draws
from datagen.products import MAX_SPECS, Products
from datagen.settings import WorldSettings
from datagen.words import AUDIENCES, KIDS, UNISEX, Leaf, Vocabulary

SEARCHABLE = [
    "color", "size", "material", "gender", "pattern", "style", "feature", "mpn", "screen_size", "resolution", "memory", "storage", "capacity",
    "power", "battery_life", "connectivity", "compatible_with", "count", "length", "thickness", "item_weight", "wheel_size", "scent", "flavor",
    "skin_type", "life_stage", "shape", "animal", "scale", "keys", "pressure", "age_range",
]  # fmt: skip
"""Attributes whose values are part of the searched text; `gtin`, `condition` and the like are not."""

_OPENERS = ("The {name}: {style}{noun} {ending}.", "Meet the {name}, our {style}{noun} {ending}.", "{name}, the {style}{noun} {ending}.")
_FEATURES = ("Good to know: {a} and {b}.", "{A} and {b}: the details are right.", "Two reasons to choose it: {a} and {b}.")
_FEATURE = ("Special: {a}.", "{A}, and nothing too much.", "Good to know: {a}.")
_MATERIALS = ("Made of {m}.", "The {m} lasts for years.", "Quality {m} inside and out.")
_CLOSERS = (
    "",
    "",
    "Free returns within 30 days.",
    "Ships the next working day.",
    "A favourite of our customers.",
    "A present that is always right.",
)
_ACRONYMS = frozenset(
    ["spf", "mdf", "gps", "led", "oled", "tv", "hdr", "usb", "usb-c", "rc", "gan", "pvc", "tpe", "uv400", "rgb", "lte", "hdmi", "ssd",
    "hdd", "rfid", "tsa", "wifi", "pc", "dab", "av", "vesa", "midi", "abs", "mips"]
)  # fmt: skip
_UNITS = {
    "gb": "GB",
    "tb": "TB",
    "w": "W",
    "mah": "mAh",
    "psi": "PSI",
    "qhd": "QHD",
    "hd": "HD",
    "fhd": "FHD",
    "4k": "4K",
    "8k": "8K",
    "uhd": "UHD",
    "usb-c": "USB-C",
    "hdmi": "HDMI",
}


class Copywriter:
    """Writes about products; its random choices belong to the product's id."""

    def __init__(self, settings: WorldSettings, words: Vocabulary, products: Products, first_id: int = 0) -> None:
        self._words, self._products = words, products
        ids = np.arange(first_id, first_id + len(products))
        self._choices = draws.uniform(settings.seed, "copy", ids[:, None], np.arange(12)).tolist()
        self._gtins = (draws.bits(settings.seed, "gtin", ids) % np.uint64(10**11)).tolist()
        columns = ("category", "brand", "color", "material", "feature", "style", "pattern", "audience", "size", "spec", "line", "model")
        self._columns: dict[str, list[Any]] = {name: getattr(products, name).tolist() for name in columns}

    def write(self, row: int) -> tuple[str, str, dict[str, str]]:
        """Title, description and attributes of the product in this row."""
        facts = self._facts(row)
        return self._title(facts, row), self._description(facts, row), self._attributes(facts, row)

    def brand(self, row: int) -> str:
        code: int = self._columns["brand"][row]
        return self._words.brands[code].name

    def _facts(self, row: int) -> "_Facts":
        words, column = self._words, {name: values[row] for name, values in self._columns.items()}
        leaf = words.leaves[column["category"]]
        noun = leaf.nouns[int(self._choices[row][0] ** 2 * len(leaf.nouns))]
        return _Facts(
            leaf=leaf,
            noun=noun,
            brand=words.brands[column["brand"]].name,
            line=words.lines[column["line"]],
            model=model_number(words, column["brand"], column["model"]) if column["model"] >= 0 else "",
            color=_named(words.colors, column["color"]),
            material=_named(words.materials, column["material"]),
            features=[words.features[f] for f in column["feature"] if f >= 0],
            style=_named(words.styles, column["style"]),
            pattern=_named(words.patterns, column["pattern"]),
            audience=column["audience"],
            sizes=list(words.sizes[leaf.size][column["size"][0] : column["size"][1] + 1]) if column["size"][0] >= 0 else [],
            specs=[(name, _written(value)) for name, value in (words.specs[s] for s in column["spec"][:MAX_SPECS] if s >= 0)],
        )

    def _title(self, facts: "_Facts", row: int) -> str:
        u = self._choices[row]
        name = f"{facts.brand} {facts.model}" if facts.model and u[1] < 0.8 else f"{facts.brand} {facts.line}"
        audience = self._words.audience_words[facts.audience][0] if facts.audience not in (-1, UNISEX) else ""
        middle = [
            audience,
            facts.style if u[2] < 0.25 else "",
            facts.features[0] if u[3] < 0.65 and facts.features and not facts.features[0].startswith("with ") else "",
            facts.pattern if facts.pattern not in ("", "solid") else "",
            facts.material if u[4] < 0.6 else "",
            facts.noun,
        ]
        title = " ".join([name, *[_titled(part) for part in middle if part]])
        tail = [value for _, value in facts.specs if u[5] < 0.8]
        tail += [_titled(facts.features[0])] if facts.features and facts.features[0].startswith("with ") else []
        tail += [_titled(facts.color)] if facts.color and u[6] < 0.75 else []
        tail += [facts.sizes[0].title()] if facts.leaf.size == "bed" else []
        if facts.model and u[1] >= 0.8:
            tail.append(facts.model)
        return ", ".join([title, *tail]) if u[7] < 0.7 else " ".join([title, *[f"- {t}" for t in tail]])

    def _description(self, facts: "_Facts", row: int) -> str:
        u = self._choices[row]
        style = f"{facts.style} " if facts.style and u[8] < 0.6 else ""
        said = {"name": f"{facts.brand} {facts.line}", "style": style, "noun": facts.noun, "ending": facts.leaf.ending}
        parts = [_of(_OPENERS, u[8]).format(**said)]
        if len(facts.features) == 2:
            first, second = facts.features
            parts.append(_of(_FEATURES, u[9]).format(a=first, A=first.capitalize(), b=second))
        elif facts.features:
            parts.append(_of(_FEATURE, u[9]).format(a=facts.features[0], A=facts.features[0].capitalize()))
        if facts.material:
            parts.append(_of(_MATERIALS, u[10]).format(m=facts.material))
        if facts.sizes:
            parts.append(f"Available in sizes {', '.join(facts.sizes)}." if len(facts.sizes) > 1 else f"Size: {facts.sizes[0]}.")
        parts.extend(f"{name.replace('_', ' ').capitalize()}: {value}." for name, value in facts.specs)
        parts.append(_of(_CLOSERS, u[11]))
        return " ".join(filter(None, parts))

    def _attributes(self, facts: "_Facts", row: int) -> dict[str, str]:
        u, adult = self._choices[row], facts.audience != KIDS
        with_audience = facts.audience >= 0
        found = {
            "color": facts.color,
            "size": ", ".join(facts.sizes),
            "size_system": "EU" if facts.leaf.size in ("shoe", "ring") else "",
            "material": facts.material,
            "gender": AUDIENCES[facts.audience] if with_audience and adult else ("unisex" if with_audience else ""),
            "age_group": ("adult" if adult else "kids") if with_audience else "",
            "pattern": facts.pattern,
            "style": facts.style,
            "feature": ", ".join(facts.features),
            "mpn": facts.model,
            **dict(facts.specs),
            "gtin": _gtin(self._gtins[row]),
            "condition": "new" if u[11] < 0.97 else "refurbished",
            "country_of_origin": _of(self._words.countries, u[10]),
            "warranty": f"{1 + int(u[9] * 3)} years" if facts.model and u[9] > 0.33 else "",
            "item_group_id": f"{facts.brand} {facts.line}".lower().replace(" ", "-"),
        }
        return {name: value for name, value in found.items() if value}


class _Facts:
    """What is known about one product, in words."""

    __slots__ = (
        "audience",
        "brand",
        "color",
        "features",
        "leaf",
        "line",
        "material",
        "model",
        "noun",
        "pattern",
        "sizes",
        "specs",
        "style",
    )

    def __init__(
        self, *, leaf: Leaf, noun: str, brand: str, line: str, model: str, color: str, material: str, features: list[str], style: str,
        pattern: str, audience: int, sizes: list[str], specs: list[tuple[str, str]],
    ) -> None:  # fmt: skip
        self.leaf, self.noun, self.brand, self.line, self.model = leaf, noun, brand, line, model
        self.color, self.material, self.features, self.style, self.pattern = color, material, features, style, pattern
        self.audience, self.sizes, self.specs = audience, sizes, specs


def model_number(words: Vocabulary, brand: int, model: int) -> str:
    """Such as "ZT-4210B": letters of the brand and a number."""
    letters = "".join(c for c in words.brands[brand].name.upper() if "A" <= c <= "Z")
    suffix = ("", "", "B", "S", "X", "Pro")[model % 6]
    separator = ("-", "", " ")[brand % 3] if not suffix else "-"
    return f"{letters[0]}{letters[2]}{separator}{1000 + model}{suffix}".replace(" ", "")


def _named(table: tuple[str, ...], code: int) -> str:
    return table[code] if code >= 0 else ""


def _titled(text: str) -> str:
    return " ".join(_titled_word(word) for word in text.split(" "))


def _titled_word(word: str) -> str:
    if word in _ACRONYMS:
        return word.upper()
    return word if any(c.isdigit() for c in word) else word[:1].upper() + word[1:]


def _written(value: str) -> str:
    """A specification as shops write it: 64 GB, 65 W, QHD."""
    return " ".join(_UNITS.get(word, word) for word in value.split(" "))


def _of(choices: tuple[str, ...], u: float) -> str:
    return choices[int(u * len(choices))]


def _gtin(number: int) -> str:
    """13 digits with the check digit of GS1."""
    digits = f"2{number:011d}"
    total = sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits))
    return f"{digits}{-total % 10}"
