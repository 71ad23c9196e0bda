"""What an evaluation found, as a JSON file that can be compared later."""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from services.errors import ConfigurationError
from services.shop import write_atomically

FORMAT = 1


class Shown(Struct, frozen=True):
    """A product on the first page, for people."""

    product_id: str
    title: str
    strict: bool = True


class Answered(Struct, frozen=True, kw_only=True):
    """What a system gave for one query: at most RECALL_AT product ids, best first."""

    product_ids: list[str]
    shown: list[Shown]
    latency_ms: float
    corrected: str | None = None
    degraded: list[str] = []


class QueryResult(Struct, frozen=True, kw_only=True):
    """One query: its measures, and its first page with grades (None: not judged)."""

    measures: dict[str, float]
    shown: list[Shown]
    grades: list[int | None]
    found: int
    latency_ms: float
    corrected: str | None = None
    degraded: list[str] = []


class Result(Struct, frozen=True, kw_only=True):
    """`means` over the queries that have the measure; `zero_results` is the share of all queries that found nothing."""

    format: int = FORMAT
    name: str
    judgments: str
    made_ms: int
    k: int
    pairs: int
    queries: dict[str, QueryResult]
    without_good: list[str]  # queries without any grade above 0
    means: dict[str, float | None]
    zero_results: float
    latency_ms: dict[str, float]
    system: dict[str, Any] = {}
    notes: list[str] = []


def save(result: Result, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.format(msgspec.json.encode(result), indent=1))


def load(path: Path) -> Result:
    """Raises ConfigurationError for a file that is none of ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as error:
        raise ConfigurationError(f"result {path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{path.name} is no result of `aisle evaluate`: {error}") from None
