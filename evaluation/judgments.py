"""Judgment lists: CSV or TSV with columns, TREC qrels with topics, Quepid exports. Pure but for reading the file.

Whatever the format, a list becomes grades by query text and product id: whole numbers, 0 for a bad answer. A pair that was judged
more than once (several raters) gets the mean, rounded half up.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from services.errors import ConfigurationError

Grades = dict[str, dict[str, int]]
"""Query text -> product id -> grade."""

MAX_GRADE = 100
QUERY_COLUMNS = ("query", "query_text", "querytext", "search_term", "keyword")
ID_COLUMNS = ("doc_id", "docid", "document_id", "product_id", "id", "sku")
RATING_COLUMNS = ("rating", "grade", "judgment", "judgement", "relevance", "score")
_QRELS = re.compile(rb"^\S+[ \t]+\S+[ \t]+\S+[ \t]+-?\d+[ \t]*$")


@dataclass(slots=True)
class Judgments:
    """`skipped` says per line what could not be used (an empty rating, say); `source` is the file's name."""

    source: str
    grades: Grades
    skipped: list[str] = field(default_factory=list)
    repeated: int = 0

    @property
    def pairs(self) -> int:
        return sum(map(len, self.grades.values()))

    def where(self, pattern: str | None, half: int | None = None) -> "Judgments":
        """The queries that match a regular expression, or are in one half (0 or 1) of a split that never changes."""
        try:
            wanted = re.compile(pattern or "", re.IGNORECASE)
        except re.error as error:
            raise ConfigurationError(f"--queries {pattern!r} is no regular expression: {error}") from None
        kept = {q: g for q, g in self.grades.items() if wanted.search(q) and (half is None or half_of(q) == half)}
        if not kept:
            raise ConfigurationError(f"no query of {self.source} is left by the filter")
        return Judgments(self.source, kept, self.skipped, self.repeated)


def half_of(query: str) -> int:
    """0 or 1, the same for ever: what is tuned on one half is reported on the other."""
    return hashlib.sha256(query.encode()).digest()[0] & 1


def load(path: Path, topics: Path | None = None) -> Judgments:
    """Raises ConfigurationError that names file, line and what is accepted. `topics` (query id, tab, text) names the queries of qrels."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"judgment list {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"judgment list {path.name} is not UTF-8 (byte {error.start + 1})") from None
    if text.lstrip()[:1] in ("{", "["):
        rows: Iterable[tuple[int, str, str, str]] = _json(text, path.name)
    elif _QRELS.match(raw.split(b"\n", 1)[0].rstrip(b"\r")):
        rows = _qrels(text, _topics(topics) if topics else None)
    else:
        rows = _columns(text, path.name)
    return _merged(path.name, rows)


def _merged(source: str, rows: Iterable[tuple[int, str, str, str]]) -> Judgments:
    found: dict[tuple[str, str], list[float]] = {}
    skipped: list[str] = []
    for line, query, product_id, rating in rows:
        query, product_id = " ".join(query.split()), product_id.strip()
        grade = _grade(rating)
        if not query or not product_id:
            skipped.append(f"line {line}: no {'query' if not query else 'product id'}")
        elif grade is None:
            skipped.append(f"line {line}: rating {rating[:40]!r} is not a number from 0 to {MAX_GRADE}")
        else:
            found.setdefault((query, product_id), []).append(grade)
    if not found:
        first = f"; {skipped[0]}" if skipped else ""
        raise ConfigurationError(f"judgment list {source} has no judgment that can be used{first}")
    grades: Grades = {}
    for (query, product_id), ratings in found.items():
        grades.setdefault(query, {})[product_id] = int(sum(ratings) / len(ratings) + 0.5)
    return Judgments(source, grades, skipped, sum(len(r) - 1 for r in found.values()))


def _grade(text: str) -> float | None:
    """Negative grades (TREC uses them for spam) count as bad."""
    try:
        grade = float(text)
    except ValueError:
        return None
    return max(grade, 0.0) if grade <= MAX_GRADE else None


def _columns(text: str, source: str) -> Iterator[tuple[int, str, str, str]]:
    head = text.split("\n", 1)[0]
    delimiter = max("\t;,", key=head.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    names = [re.sub(r"[^a-z]+", "_", name.strip().lower()) for name in next(reader, [])]
    query, product_id, rating = (_column(names, known, source) for known in (QUERY_COLUMNS, ID_COLUMNS, RATING_COLUMNS))
    try:
        for row in reader:
            if any(row):
                padded = [*row, *[""] * (len(names) - len(row))]
                yield reader.line_num, padded[query], padded[product_id], padded[rating]
    except csv.Error as error:
        raise ConfigurationError(f"judgment list {source} line {reader.line_num}: {error}") from None


def _column(names: Sequence[str], known: Sequence[str], source: str) -> int:
    for name in known:
        if name in names:
            return names.index(name)
    raise ConfigurationError(
        f"judgment list {source} has no column {' or '.join(known[:3])}; its columns are {', '.join(names) or 'none'}. "
        "Known are: query, doc_id, rating as CSV or TSV; TREC qrels; Quepid exports (CSV or JSON)"
    )


def _qrels(text: str, topics: dict[str, str] | None) -> Iterator[tuple[int, str, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        parts = line.split()
        if len(parts) != 4:
            yield number, line, "", ""
            continue
        query_id, _, product_id, rating = parts
        if topics is not None and query_id not in topics:
            raise ConfigurationError(f"qrels line {number}: query {query_id!r} is not among the topics")
        yield number, topics[query_id] if topics else query_id.replace("_", " "), product_id, rating


def _topics(path: Path) -> dict[str, str]:
    found = {}
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
            if line.strip():
                query_id, separator, text = line.partition("\t")
                if not separator:
                    raise ConfigurationError(f"topics {path.name} line {number}: must be query id, tab, query text")
                found[query_id.strip()] = text.strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"topics {path} cannot be read: {error}") from None
    return found


def _json(text: str, source: str) -> Iterator[tuple[int, str, str, str]]:
    """Quepid's JSON: a case or book with `queries` that hold `ratings`, or a list of query-document pairs with judgments."""
    try:
        data = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"judgment list {source} is not JSON: {error}") from None
    entries = (
        data if isinstance(data, list) else next((data[k] for k in ("queries", "query_doc_pairs") if isinstance(data.get(k), list)), [])
    )
    for number, entry in enumerate(_objects(entries), 1):
        query = str(entry.get("query_text") or entry.get("query") or "")
        ratings = entry.get("ratings")
        pairs = list(ratings.items()) if isinstance(ratings, dict) else []
        pairs += [(rated.get("doc_id"), rated.get("rating")) for rated in _objects(ratings)]
        pairs += [(entry.get("doc_id"), rated.get("rating")) for rated in _objects(entry.get("judgements") or entry.get("judgments"))]
        if "rating" in entry:
            pairs.append((entry.get("doc_id"), entry["rating"]))
        yield from ((number, query, str(doc if doc is not None else ""), str(rating)) for doc, rating in pairs)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
