"""The properties of every product of a generation, as the preference model sees them: the recommender's own compact copy."""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from services.catalogue import COLOR, Catalogue, price_levels
from services.forward import PROPERTIES
from services.text import fold

I32 = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False, slots=True)
class ProductProperties:
    """ids int32[size, P], row = product_no, into `values` ("category:12", "brand:acme", ...); -1 missing."""

    ids: I32
    values: list[str]

    @property
    def size(self) -> int:
        return len(self.ids)

    def columns(self, vocabulary: list[str]) -> I32:
        """int32[size, P]: the same as numbers of a release's vocabulary, where 0 is unknown."""
        numbers = {value: number for number, value in enumerate(vocabulary)}
        mapped = np.array([*(numbers.get(value, 0) for value in self.values), 0], np.int32)  # the last one is for -1
        return np.asarray(mapped[self.ids])


def build(catalogue: Catalogue) -> ProductProperties:
    """Properties in the order and spelling of `services.forward` (a test compares them)."""
    table = catalogue.table
    numbers, category_ids = table["product_no"].to_numpy(), table["category_id"].to_numpy()
    levels = price_levels(table["price_cents"].to_numpy(), category_ids)
    colors = [dict(attributes or ()).get(COLOR, "") for attributes in table["attributes"].to_pylist()]
    texts = {
        "category": [str(c) if c >= 0 else "" for c in category_ids.tolist()],
        "brand": table["brand"].to_pylist(),
        "price_level": [str(level) for level in levels.tolist()],
        COLOR: colors,
    }
    values: dict[str, int] = {}
    ids = np.full((int(numbers.max()) + 1 if len(numbers) else 0, len(PROPERTIES)), -1, np.int32)
    for column, name in enumerate(PROPERTIES):
        folded = {text: fold(text).strip() for text in set(texts[name])}
        ids[numbers, column] = [values.setdefault(f"{name}:{folded[t]}", len(values)) if folded[t] else -1 for t in texts[name]]
    return ProductProperties(ids, list(values))


def save(properties: ProductProperties, folder: Path) -> None:
    np.save(folder / "properties.npy", properties.ids)
    (folder / "property_values.json").write_bytes(msgspec.json.encode(properties.values))


def load(folder: Path) -> ProductProperties:
    ids = np.asarray(np.load(folder / "properties.npy", mmap_mode="r"))
    return ProductProperties(ids, msgspec.json.decode((folder / "property_values.json").read_bytes(), type=list[str]))
