"""Google Merchant feeds (product data specification): XML as RSS 2.0 or Atom, and TSV or CSV. They need no mapping file."""

import re
from collections.abc import Iterable, Iterator
from typing import IO, Any
from xml.parsers import expat

from datagen.import_mapping import Attributes, Fields, Mapping
from services.errors import ConfigurationError

ATTRIBUTES = (
    "color", "size", "material", "pattern", "gender", "age_group", "condition", "availability", "mpn", "gtin", "item_group_id",
    "size_type", "size_system", "product_length", "product_width", "product_height", "product_weight", "energy_efficiency_class",
)  # fmt: skip
SEARCHABLE = ["color", "size", "material", "pattern", "gender", "age_group", "mpn", "gtin"]
SYMBOLS = {"€": "EUR", "£": "GBP", "¥": "JPY", "$": "USD"}
DETAIL = "detail:"
"""Prefix of the fields that the sub-elements of `product_detail` become."""
_ITEMS = ("item", "entry")
_CHUNK = 1 << 16


def field_name(name: str) -> str:
    """`g:image_link`, `Image Link` and `{namespace}image_link` are one field."""
    local = re.split(r"[:}]", name)[-1]
    return re.sub(r"[\s-]+", "_", local.strip().lower())


def is_feed(names: Iterable[str]) -> bool:
    """Whether these fields are those of a Google Merchant feed."""
    known = {field_name(name) for name in names}
    return known >= {"id", "title", "price"} and bool(known & {"link", "image_link", "availability", "condition", "gtin"})


def mapping(names: Iterable[str]) -> Mapping:
    """The mapping of a feed with these fields (as they are written in it). The currency is that of its prices."""
    written: dict[str, str] = {}
    for name in names:
        written.setdefault(field_name(name), name)
    category = written.get("product_type") or written.get("google_product_category")
    details = any(name.startswith(DETAIL) for name in names)
    attributes = Attributes(
        names={written[name]: name for name in ATTRIBUTES if name in written},
        prefixes={DETAIL: "text"} if details else {},
        searchable=SEARCHABLE,
    )
    fields = Fields(
        product_id=written["id"],
        title=written["title"],
        brand=written.get("brand"),
        description=[written["description"]] if "description" in written else [],
        price=written.get("price"),
        image_link=written.get("image_link"),
        created=written.get("availability_date"),
        category=category,
    )
    return Mapping(fields=fields, attributes=attributes)


def currency(prices: Iterable[Any]) -> str | None:
    """The ISO 4217 code that prices such as "49.95 EUR" or "49,95 €" name first."""
    for price in prices:
        if isinstance(price, str) and (found := re.search(r"\b[A-Z]{3}\b|[€£¥$]", price)):
            return SYMBOLS.get(found.group(), found.group())
    return None


def items(file: IO[bytes], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line where the product starts, its fields). A field that is there several times is a list.

    Raises ConfigurationError for XML that is not well-formed, is cut off, or declares a document type (entities are no part of a feed).
    """
    handler = _Handler()
    parser = handler.parser
    found = False
    try:
        while chunk := file.read(_CHUNK):
            parser.Parse(chunk, False)
            found = found or bool(handler.ready)
            yield from handler.take()
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise ConfigurationError(
            f"{name} is not XML, or is damaged or cut off, at line {error.lineno} ({expat.errors.messages[error.code]}); fetch it again"
        ) from None
    except _Forbidden:
        raise ConfigurationError(f"{name} declares a document type, which no product feed does; remove the <!DOCTYPE ...>") from None
    rest = list(handler.take())
    yield from rest
    if not found and not rest:
        raise ConfigurationError(f"{name} has no <item> (RSS) and no <entry> (Atom): it is not a Google Merchant feed")


class _Forbidden(Exception):
    pass


class _Handler:
    """Collects products; elements within a product are its fields, those within a field belong to it."""

    def __init__(self) -> None:
        self.ready: list[tuple[int, dict[str, Any]]] = []
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._doctype
        self._row: dict[str, Any] | None = None
        self._line = 0
        self._path: list[str] = []
        self._texts: list[str] = []
        self._within: dict[str, str] = {}

    def take(self) -> list[tuple[int, dict[str, Any]]]:
        ready, self.ready = self.ready, []
        return ready

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._row is None:
            if field_name(tag) in _ITEMS:
                self._row, self._line = {}, self.parser.CurrentLineNumber
            return
        self._path.append(field_name(tag))
        self._texts = []
        if len(self._path) == 1:
            self._within = {}
        if attributes.get("href"):  # Atom says its links in an attribute
            self._texts.append(attributes["href"])

    def _end(self, tag: str) -> None:
        if self._row is None:
            return
        if not self._path:
            self.ready.append((self._line, self._row))
            self._row = None
            return
        name, text = self._path.pop(), "".join(self._texts).strip()
        self._texts = []
        if self._path:
            self._within[name] = text
        elif self._within:
            self._nested(name)
        elif text:
            known = self._row.get(name)
            self._row[name] = text if known is None else [*(known if isinstance(known, list) else [known]), text]

    def _nested(self, name: str) -> None:
        assert self._row is not None
        if name == "product_detail" and self._within.get("attribute_name"):
            self._row.setdefault(f"{DETAIL}{field_name(self._within['attribute_name'])}", self._within.get("attribute_value", ""))
        self._within = {}

    def _text(self, data: str) -> None:
        if self._path:
            self._texts.append(data)

    def _doctype(self, *_: Any) -> None:
        raise _Forbidden
