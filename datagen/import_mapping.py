"""The mapping file of an import: which field of a feed is what. A user writes it in ten minutes; every mistake in it is named."""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from services.errors import ConfigurationError
from services.shop import write_atomically

AttributeType = Literal["text", "number", "yes_no"]


class Fields(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Names of the feed's fields. Several descriptions are joined in this order; `category` is a path from the department down."""

    product_id: str
    title: str
    brand: str | None = None
    description: list[str] = []
    price: str | None = None
    image_link: str | None = None
    created: str | None = None
    category: str | None = None

    def all(self) -> dict[str, str]:
        """Every mapped source field -> what it is mapped to."""
        single = {name: getattr(self, name) for name in self.__struct_fields__ if name != "description"}
        return {source: name for name, source in single.items() if source is not None} | dict.fromkeys(self.description, "description")


class Attributes(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`names` maps single fields, `prefixes` whole families of them (the rest of the field's name becomes the attribute's name).

    `aliases` renames attributes after that, `keep` drops all others (absent: all are kept), `searchable` names those whose values
    are searched (absent: all of them).
    """

    names: dict[str, str] = {}
    prefixes: dict[str, AttributeType] = {}
    aliases: dict[str, str] = {}
    keep: list[str] | None = None
    searchable: list[str] | None = None


class Mapping(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping file."""

    fields: Fields
    attributes: Attributes = Attributes()
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")] = "USD"
    price_unit: Literal["cents", "units"] = "units"
    category_separator: Annotated[str, Meta(min_length=1)] = ">"


def load(path: Path) -> Mapping:
    """Raises ConfigurationError that names the file, the place in it and what would be right."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"mapping file {path} does not exist; examples/electronics.toml shows what one looks like") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"mapping file {path} is not TOML: {error}") from None
    try:
        mapping = msgspec.convert(raw, Mapping)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"mapping file {path}: {error}{_hint(str(error))}") from None
    _check_kept(mapping.attributes, path)
    return mapping


def remember(mapping: Mapping, path: Path) -> None:
    """Keep a mapping beside the shop that was imported with it: updates then need none."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(mapping), indent=1))


def recall(path: Path) -> Mapping:
    return msgspec.json.decode(path.read_bytes(), type=Mapping)


def _hint(message: str) -> str:
    known = [*Mapping.__struct_fields__, *Fields.__struct_fields__, *Attributes.__struct_fields__]
    _, _, name = message.partition("unknown field `")
    close = difflib.get_close_matches(name.split("`")[0], known, 1)
    return f" (did you mean `{close[0]}`?)" if close else ""


def _check_kept(attributes: Attributes, path: Path) -> None:
    if attributes.keep is not None and (lost := set(attributes.searchable or ()) - set(attributes.keep)):
        raise ConfigurationError(
            f"mapping file {path}: attributes.searchable names {sorted(lost)}, which attributes.keep drops; add them to keep"
        )
