"""Settings are a table: a struct whose fields carry help and unit, read from the environment once, at start. A bad value stops the start."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec
from msgspec import Meta, Struct

from services.errors import ConfigurationError
from services.validation import plain

S = TypeVar("S", bound=Struct)

Port = Annotated[int, Meta(ge=0, le=65535)]


def setting(help_: str, unit: str = "", **limits: Any) -> Meta:
    """The annotation of one setting: what it is for, in which unit, within which limits."""
    return Meta(description=help_, extra={"unit": unit}, **limits)


class ServiceSettings(Struct, frozen=True, kw_only=True):
    """What every service can be told; each service's own settings extend it."""

    host: Annotated[str, setting("address to listen on")] = "127.0.0.1"
    port: Annotated[int, setting("port to listen on; 0 takes a free one", ge=0, le=65535)] = 0
    shop: Annotated[str, setting("the shop that is served")] = "demo"
    max_in_flight: Annotated[int, setting("requests worked on at once; more wait", ge=1)] = 32
    max_queue_ms: Annotated[int, setting("a request that waited longer is refused with 503", "ms", ge=1)] = 200
    deadline_ms: Annotated[int, setting("time a request has when its caller names none", "ms", ge=1)] = 500
    max_body_bytes: Annotated[int, setting("larger request bodies are refused with 413", "bytes", ge=1024)] = 1_048_576


def load(settings: type[S], prefix: str, environment: Mapping[str, str]) -> S:
    """Settings from variables named PREFIX + field in capitals. Raises ConfigurationError that names variable, value and what is accepted."""
    fields = {f"{prefix}{name.upper()}": name for name in settings.__struct_fields__}
    given: dict[str, str] = {}
    for variable, value in environment.items():
        if variable in fields:
            given[fields[variable]] = value
        elif variable.startswith(prefix):
            close = difflib.get_close_matches(variable, fields, 1)
            raise ConfigurationError(
                f"{variable} is not a setting" + (f"; did you mean {close[0]}?" if close else f"; there are {', '.join(fields)}")
            )
    try:
        return msgspec.convert(given, settings, strict=False)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        name = where.rstrip("`")
        raise ConfigurationError(f"{prefix}{name.upper()}={given.get(name)!r}: {plain(reason)}") from None


def describe(settings: type[Struct], prefix: str) -> list[dict[str, str]]:
    """The table of settings for documentation: variable, default, unit, help."""
    hints = get_type_hints(settings, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(settings):
        meta = next((m for m in getattr(hints[field.name], "__metadata__", ()) if isinstance(m, Meta) and m.description), None)
        rows.append(
            {
                "variable": f"{prefix}{field.encode_name.upper()}",
                "default": "" if field.default is msgspec.NODEFAULT else str(field.default),
                "unit": (meta.extra or {}).get("unit", "") if meta else "",
                "help": (meta.description or "") if meta else "",
            }
        )
    return rows
