"""One row of a feed becomes one product, or the reason why it does not. Pure."""

import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeGuard

from datagen.import_mapping import AttributeType, Mapping
from datagen.import_values import amount_of, number_of

Row = dict[str, Any]
MAX_ID_CHARS = 128
MAX_TITLE_CHARS = 1_000
MAX_ATTRIBUTE_NAME_CHARS = 100
"""A facet's name may have so many."""
MAX_PRICE_CENTS = 10**12
_UNIX_TIME = re.compile(r"\d{9,13}")
"""Seconds or milliseconds as a separated file has them; shorter ones ("20240531") are dates."""
_YES = {"true", "yes", "y", "1"}
_NO = {"false", "no", "n", "0"}


class Rejection(Exception):
    """Why a row is no product: the source field and what would be right."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field, self.reason = field, reason


@dataclass(frozen=True, slots=True)
class Imported:
    """A product before it has a number."""

    product_id: str
    title: str
    brand: str
    description: str
    price_cents: int
    image_link: str
    created_ms: int
    category: tuple[str, ...]
    attributes: dict[str, str]


def product(row: Row, mapping: Mapping) -> Imported:
    """Raises Rejection."""
    fields = mapping.fields
    product_id = _text(row, fields.product_id, required=True, longest=MAX_ID_CHARS)
    if not product_id.isprintable():
        raise Rejection(fields.product_id, f"is {product_id!r}, must have printable characters only")
    return Imported(
        product_id=product_id,
        title=_text(row, fields.title, required=True, longest=MAX_TITLE_CHARS),
        brand=_text(row, fields.brand),
        description="\n".join(text for name in fields.description if (text := _text(row, name))),
        price_cents=_price_cents(row, fields.price, mapping.price_unit),
        image_link=_first_text(row, fields.image_link),
        created_ms=_created_ms(row, fields.created),
        category=_category(row, fields.category, mapping.category_separator),
        attributes=_attributes(row, mapping),
    )


def category_id(path: tuple[str, ...]) -> int:
    """A number for a category path that every import gives it again."""
    return zlib.crc32("\x1f".join(path).encode()) & 0x7FFF_FFFF


def _text(row: Row, field: str | None, *, required: bool = False, longest: int = 100_000) -> str:
    value = row.get(field) if field is not None else None
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise Rejection(str(field), f"is {_kind(value)}, must be a text")
    text = "" if value is None else _plain(value).strip()
    if required and not text:
        raise Rejection(str(field), "is missing or empty")
    if len(text) > longest:
        raise Rejection(str(field), f"has {len(text)} characters, at most {longest} are allowed")
    return text


def _first_text(row: Row, field: str | None) -> str:
    """A feed that gives several images or categories gives the main one first."""
    value = row.get(field) if field is not None else None
    return _text({field: value[0] if value else None}, field) if isinstance(value, list) and field else _text(row, field)


def _price_cents(row: Row, field: str | None, unit: str) -> int:
    if field is None:
        return 0
    value = row.get(field)
    amount = amount_of(value) if isinstance(value, str) else float(value) if _is_number(value) else None
    if amount is None:
        shown = f"{value[:40]!r}" if isinstance(value, str) else _kind(value)
        raise Rejection(field, f"is {shown}, must be a number of {unit}")
    cents = amount * (1 if unit == "cents" else 100)
    if not 0 <= cents <= MAX_PRICE_CENTS:
        raise Rejection(field, f"is {value!r}, must be between 0 and {MAX_PRICE_CENTS} cents")
    return round(cents)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _created_ms(row: Row, field: str | None) -> int:
    value = row.get(field) if field is not None else None
    if value is None or value == "":
        return 0
    if isinstance(value, str):
        if not _UNIX_TIME.fullmatch(value):
            return _iso_ms(value, str(field))
        value = int(value)
    if _is_number(value) and 0 <= value < 10**14:
        return int(value if value >= 10**11 else value * 1000)  # epoch milliseconds or seconds
    raise Rejection(str(field), f"is {_kind(value)}, must be an ISO 8601 date or a Unix time")


@lru_cache(maxsize=65_536)
def _iso_ms(value: str, field: str) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Rejection(field, f"is {value!r}, must be an ISO 8601 date such as 2024-05-31 or 2024-05-31T12:00:00Z") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _category(row: Row, field: str | None, separator: str) -> tuple[str, ...]:
    return tuple(part for name in _first_text(row, field).split(separator) if (part := name.strip()))


def _attributes(row: Row, mapping: Mapping) -> dict[str, str]:
    wanted = mapping.attributes
    found: dict[str, str] = {}
    for field, value in row.items():
        if value is None:
            continue
        name, kind = _attribute_name(field, mapping)
        if name is None or (wanted.keep is not None and name not in wanted.keep):
            continue
        if len(name) > MAX_ATTRIBUTE_NAME_CHARS:
            raise Rejection(
                f"{field[:40]}...", f"names an attribute with {len(name)} characters, at most {MAX_ATTRIBUTE_NAME_CHARS} are allowed"
            )
        if text := _attribute_text(name, kind, field, value):
            found.setdefault(name, text)  # two fields of one attribute: the first in the row counts
    return found


def _attribute_name(field: str, mapping: Mapping) -> tuple[str | None, AttributeType]:
    wanted = mapping.attributes
    if field in wanted.names:
        return wanted.names[field], "text"
    for prefix, kind in wanted.prefixes.items():
        if field.startswith(prefix):
            name = field[len(prefix) :].strip("_")
            return wanted.aliases.get(name, name) or None, kind
    return None, "text"


def _attribute_text(name: str, kind: AttributeType, field: str, value: Any) -> str:
    if kind == "yes_no":
        return name.replace("_", " ") if _yes(field, value) else ""
    if kind == "number":
        number = number_of(value) if isinstance(value, str) else value
        if not _is_number(number):
            raise Rejection(field, f"is {_kind(value)}, must be a number")
        return _plain(number)
    if isinstance(value, list):
        return ", ".join(_plain(v) for v in value if isinstance(v, str | int | float))
    if isinstance(value, dict):
        raise Rejection(field, "is an object, must be a text, a number or a list of them")
    return _plain(value).strip()


def _yes(field: str, value: Any) -> bool:
    word = str(value).lower()
    if word not in _YES | _NO:
        raise Rejection(field, f"is {value!r}, must be yes or no (true, false)")
    return word in _YES


def _plain(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _kind(value: Any) -> str:
    names = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return "missing" if value is None else names.get(type(value), type(value).__name__)
