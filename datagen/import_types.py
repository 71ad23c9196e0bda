"""What the fields of a feed look like: coverage, types, distinct values. For the report, and for proposing a mapping."""

from collections import Counter
from typing import Any

import msgspec

from datagen.import_values import number_of

MAX_DISTINCT = 10_000
"""Distinct values that are counted per field; more are told as "more than"."""
EXAMPLES = 3
MAX_EXAMPLE_CHARS = 80


class FieldReport(msgspec.Struct, frozen=True, kw_only=True):
    """`coverage` is the share of rows that have the field; `distinct_is_least`: there are more distinct values than were counted."""

    coverage: float
    types: dict[str, int]
    distinct: int
    distinct_is_least: bool = False
    examples: list[str] = []


class FieldStatistics:
    """Of one field, fed value by value."""

    __slots__ = ("_distinct", "characters", "count", "examples", "longest", "numbers", "types")

    def __init__(self) -> None:
        self.count = self.characters = self.longest = self.numbers = 0
        self.types: Counter[str] = Counter()
        self.examples: list[str] = []
        self._distinct: set[int] = set()

    def add(self, value: Any) -> None:
        text = value if isinstance(value, str) else str(value)
        self.count += 1
        self.types[type_of(value)] += 1
        self.characters += len(text)
        self.longest = max(self.longest, len(text))
        if len(self.examples) < EXAMPLES and text[:MAX_EXAMPLE_CHARS] not in self.examples:
            self.examples.append(text[:MAX_EXAMPLE_CHARS])
        if len(self._distinct) <= MAX_DISTINCT:
            self._distinct.add(hash(text))

    @property
    def distinct(self) -> int:
        return min(len(self._distinct), MAX_DISTINCT)

    @property
    def mean_characters(self) -> float:
        return self.characters / max(self.count, 1)

    def report(self, rows: int) -> FieldReport:
        return FieldReport(
            coverage=round(self.count / max(rows, 1), 4),
            types=dict(self.types.most_common()),
            distinct=self.distinct,
            distinct_is_least=len(self._distinct) > MAX_DISTINCT,
            examples=self.examples,
        )


class Profile:
    """Of all fields of a feed."""

    def __init__(self) -> None:
        self.rows = 0
        self.fields: dict[str, FieldStatistics] = {}

    def add(self, row: dict[str, Any]) -> None:
        self.rows += 1
        for name, value in row.items():
            if value is None or value == "" or value == []:
                continue
            if (field := self.fields.get(name)) is None:
                field = self.fields[name] = FieldStatistics()
            field.add(value)

    def report(self) -> dict[str, FieldReport]:
        """The fields with most rows first."""
        ordered = sorted(self.fields.items(), key=lambda item: (-item[1].count, item[0]))
        return {name: field.report(self.rows) for name, field in ordered}


def type_of(value: Any) -> str:
    """`number` also for a text that is nothing but a number: separated files have no other way to say one."""
    if isinstance(value, bool):
        return "yes_no"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "number" if number_of(value) is not None else "yes_no" if value.lower() in ("true", "false", "yes", "no") else "text"
    return "list" if isinstance(value, list) else "object" if isinstance(value, dict) else type(value).__name__
