"""Suggestions while a query is typed: a sorted table of folded keys, searched by prefix. Pure.

A suggestion can be found at each of its words ("running shoes" by "sho" too, at half its weight).
"""

from bisect import bisect_left
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct

from services.contracts import Suggestion
from services.text import fold, surface_words

MIN_LETTERS = 2
MAX_QUERY_CHARS = 100
KINDS = ("category", "brand", "phrase")
LATER_WORD = 0.5
_LAST = "\U0010ffff"
SUGGESTIONS_SCHEMA = pa.schema(
    [("text", pa.string()), ("kind", pa.dictionary(pa.int8(), pa.string())), ("category_id", pa.int32()), ("weight", pa.float32())]
)


class Weighted(Struct, frozen=True):
    """A suggestion with its weight (popularity of the products behind it, any unit)."""

    suggestion: Suggestion
    weight: float


class Suggester:
    """The suggestions of one generation."""

    def __init__(self, entries: list[Weighted]) -> None:
        rows: list[tuple[str, int, float]] = []
        for number, entry in enumerate(entries):
            parts = fold(entry.suggestion.text).split()
            for start in range(len(parts)):
                rows.append((" ".join(parts[start:]), number, entry.weight * (LATER_WORD if start else 1.0)))
        rows.sort()
        self._keys = [key for key, _, _ in rows]
        self._numbers = np.array([number for _, number, _ in rows], np.int64)
        self._weights = np.array([weight for _, _, weight in rows], np.float32)
        self._suggestions = [entry.suggestion for entry in entries]

    def __len__(self) -> int:
        return len(self._suggestions)

    def texts(self, limit: int) -> list[str]:
        """Some of what can be suggested, the weightiest first."""
        found = np.lexsort((self._numbers, -self._weights))[:limit]
        return list(dict.fromkeys(self._suggestions[number].text for number in self._numbers[found].tolist()))

    def suggest(self, typed: str, limit: int) -> list[Suggestion]:
        """At most `limit` suggestions for what was typed so far, best first; when the whole leads nowhere, its last word is completed."""
        words = [fold(word) for word in surface_words(typed[:MAX_QUERY_CHARS])]
        prefix = " ".join(words)
        if sum(c.isalnum() for c in prefix) < MIN_LETTERS:
            return []
        found = self._best(prefix + (" " if typed[:MAX_QUERY_CHARS][-1:].isspace() else ""), limit)
        if found or len(words) < 2 or len(words[-1]) < MIN_LETTERS:
            return found
        before = " ".join(words[:-1])
        return [
            Suggestion(f"{before} {s.text}", "phrase")
            for s in self._best(words[-1], limit)
            if not set(fold(s.text).split()) & set(words[:-1])
        ]

    def _best(self, prefix: str, limit: int) -> list[Suggestion]:
        low, high = bisect_left(self._keys, prefix), bisect_left(self._keys, prefix + _LAST)
        weights = self._weights[low:high]
        rows = np.argpartition(-weights, 3 * limit)[: 3 * limit] if len(weights) > 3 * limit else np.arange(len(weights))
        rows = rows[np.lexsort((rows, -weights[rows]))]
        numbers = dict.fromkeys(self._numbers[low + rows].tolist())  # one suggestion may be there by several of its words
        return [self._suggestions[number] for number in list(numbers)[:limit]]


def save(entries: list[Weighted], file: Path) -> None:
    columns = {
        "text": [e.suggestion.text for e in entries],
        "kind": [e.suggestion.kind for e in entries],
        "category_id": [e.suggestion.category_id for e in entries],
        "weight": [e.weight for e in entries],
    }
    pq.write_table(pa.table(columns).cast(SUGGESTIONS_SCHEMA), file)


def load(file: Path) -> Suggester:
    rows = pq.read_table(file, schema=SUGGESTIONS_SCHEMA).to_pylist()
    return Suggester([Weighted(Suggestion(r["text"], r["kind"], r["category_id"]), r["weight"]) for r in rows])
