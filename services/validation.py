"""What msgspec says about values that do not fit, in words for people: which field, what is wrong, what would be accepted. Pure."""

import re
from typing import Any

import msgspec
from msgspec import inspect

from services.errors import InvalidRequest

_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}
_STEPS = re.compile(r"\.([^.\[\]]+)|\[(\.\.\.|\d+)\]")


def invalid(error: msgspec.ValidationError, expected: Any) -> InvalidRequest:
    """A validation error as a problem that names the field and what would be accepted; `expected`: the type that the whole value should have had."""
    reason, _, where = str(error).partition(" - at `")
    name, _, inside = where.partition("` in `")  # "key` in `$.filters.attributes`": a name in an object of any names
    path = (inside or name).rstrip("`")
    field = path.removeprefix("$").removeprefix(".")
    accepted = None
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", reason, re.DOTALL):
        accepted = _fields(expected, path)
        field = f"{field}.{unknown[1]}".lstrip(".")
        reason = "there is no such field"
    elif missing := re.fullmatch(r"Object missing required field `(.*)`", reason, re.DOTALL):
        field, reason = f"{field}.{missing[1]}".lstrip("."), "is missing"
    elif reason.startswith("Invalid enum value") and (accepted := _values(expected, path)):
        reason = f"{reason.removeprefix('Invalid enum value ')} is none of {accepted}"
    elif reason.startswith("Expected "):
        wanted, _, got = (plain(part) for part in reason.removeprefix("Expected ").partition(", got "))
        accepted = _values(expected, path) or (f"names of {wanted}" if inside else wanted)
        reason = f"{'names of ' if inside else ''}{wanted} {'are' if inside else 'is'} expected" + (f", not {got}" if got else "")
    return InvalidRequest(f"{field or 'body'}: {plain(reason)}", field=field or None, accepted=accepted)


def plain(text: str) -> str:
    """Types and bounds, as msgspec writes them, in words: `str | null` of length <= 3 is text of at most 3 characters."""
    counted = "entries" if "array" in text or "object" in text else "characters"
    text = re.sub(r"of length >= (\d+)", rf"of at least \1 {counted}", text)
    text = re.sub(r"of length <= (\d+)", rf"of at most \1 {counted}", text)
    text = re.sub(r" >= (-?[\d.]+)$", r", at least \1", text)
    text = re.sub(r" <= (-?[\d.]+)$", r", at most \1", text)
    return re.sub(r"`([a-z]+(?: \| [a-z]+)*)`", lambda m: _kinds(m[1].split(" | ")), text)


def _kinds(names: list[str]) -> str:
    """What may be null may also be left out: that goes without saying."""
    return " or ".join(_WORDS.get(name, name) for name in names if name != "null" or len(names) == 1)


def _fields(expected: Any, path: str) -> str | None:
    at = _at(inspect.type_info(expected), path)
    names = [f.encode_name for part in at if isinstance(part, inspect.StructType) for f in part.fields]
    return ", ".join(names) or None


def _values(expected: Any, path: str) -> str | None:
    at = _at(inspect.type_info(expected), path)
    return ", ".join(str(value) for part in at if isinstance(part, inspect.LiteralType) for value in part.values) or None


def _at(root: inspect.Type, path: str) -> list[inspect.Type]:
    """The types that a value at msgspec's path (`$.filters.brand[0]`, `$[...].name`) may have."""
    types = _either(root)
    for step in _STEPS.finditer(path):
        types = [part for kind in types for inner in _inside(kind, step[1]) for part in _either(inner)]
    return types


def _inside(kind: inspect.Type, name: str | None) -> list[inspect.Type]:
    if isinstance(kind, inspect.StructType):
        return [field.type for field in kind.fields if field.encode_name == name]
    if isinstance(kind, inspect.DictType):
        return [kind.value_type]
    return [kind.item_type] if isinstance(kind, inspect.ListType) else []


def _either(kind: inspect.Type) -> list[inspect.Type]:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return [part for option in kind.types for part in _either(option)] if isinstance(kind, inspect.UnionType) else [kind]
