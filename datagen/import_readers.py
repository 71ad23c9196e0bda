"""Reading feeds: one function per format, each giving (line number, row or the reason why there is none).

Formats are told by the file's name, without `.gz`; whether it is packed is told by its content. Where a format has no lines (JSON arrays,
Parquet, XML) the number is that of the product in the file.
"""

import csv
import gzip
import io
import json
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from datagen import import_google
from services.errors import ConfigurationError

Row = dict[str, Any]
Lines = Iterator[tuple[int, Row | str]]
Reader = Callable[[Path], Lines]

_GZIP_MAGIC = b"\x1f\x8b"
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)
_NAMED = re.compile(rb'"\s*:')
MAX_FIELD_CHARS = 1_000_000
MAX_ROW_LINES = 1_000
"""Lines that one row of a separated file may go over: more are a quote that was never closed."""
BATCH_ROWS = 2_000


def json_lines(path: Path) -> Lines:
    """One JSON object a line, or one array of objects (told by its first sign). Blank lines are skipped.

    Raises ConfigurationError when the file ends in the middle of the archive.
    """
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with opened(path) as (file, place):
        for number, line in enumerate(file, 1):
            place.line = number
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
                if line.lstrip().startswith(b"["):
                    yield from _json_array(line + file.read(), path.name)
                    return
            if line.strip():
                yield number, _decoded(decode, line)


def _json_array(data: bytes, name: str) -> Lines:
    """An array is whole or nothing: where one product ends is not known in what is not JSON."""
    try:
        rows = msgspec.json.decode(data, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(
            f"{name} is not a JSON array, or is cut off ({error}); fetch it again (JSON Lines can be imported in part)"
        ) from None
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    for number, raw in enumerate(rows, 1):
        yield number, _decoded(decode, bytes(raw))


def _decoded(decode: Callable[[bytes], Row], line: bytes) -> Row | str:
    try:
        line.decode("utf-8")
        row = decode(line)
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start + 1} of the line)"
    except msgspec.DecodeError as error:  # also ValidationError: JSON, but no object
        return f"not a JSON object on one line: {error}"
    except RecursionError:
        return "not a product: objects within objects without end"
    if len(_NAMED.findall(line)) > len(row) and (twice := _named_twice(line)):  # nested objects and texts may look like names
        return f"names the field {twice!r} more than once"
    return row


def _named_twice(line: bytes) -> str | None:
    """The first name that an object of this JSON has twice (parsers would keep the last value, and say nothing)."""
    found: list[str] = []

    def remember(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        found.extend(name for place, name in enumerate(names) if name in names[:place])

    json.loads(line, object_pairs_hook=remember)
    return found[0] if found else None


def separated(path: Path) -> Lines:
    """CSV or TSV with a header (RFC 4180); the delimiter is the one that the header has most of. An empty field is None.

    A quote that is never closed costs its own line: reading goes on with the line after it.
    """
    csv.field_size_limit(MAX_FIELD_CHARS)
    with opened(path) as (file, place):
        text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
        head = text.readline()
        if not head.strip():
            raise ConfigurationError(f"{path.name} is empty: its first line must name the fields")
        if _broken(head):
            raise ConfigurationError(f"{path.name} is not UTF-8 (its first line already is not); save it as UTF-8")
        delimiter = max("\t;|,", key=head.count)
        names = [name.strip() for name in next(csv.reader([head], delimiter=delimiter))]
        _check_header(names, path.name)
        yield from _rows(_Physical(text), names, delimiter, place)


class _Physical:
    """The lines of a separated file, with those of the row that is being read: all but the first can be given back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._fresh, self._again = iter(lines), deque[str]()
        self._first, self._row = 2, list[str]()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self._row) >= MAX_ROW_LINES:
            raise csv.Error(f"the row goes over {MAX_ROW_LINES} lines")
        self._row.append(self._again.popleft() if self._again else next(self._fresh))
        return self._row[-1]

    def next_row(self) -> int:
        """The number of the line that the next row starts with."""
        self._first, self._row = self._first + len(self._row), []
        return self._first

    def only_first(self) -> str:
        """The row's first line; the others will be read again."""
        self._again.extendleft(reversed(self._row[1:]))
        self._row = self._row[:1]
        return self._row[0]


def _rows(lines: _Physical, names: list[str], delimiter: str, place: "Place") -> Lines:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = place.line = lines.next_row()
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            values = _alone(lines.only_first(), delimiter)
            if len(values) != len(names):
                yield line, f"not CSV: {error} (a quote that is never closed?)"
                continue
        if not any(values):
            continue
        if len(values) > len(names):
            yield line, f"has {len(values)} fields, the header has {len(names)}"
        elif any(map(_broken, values)):
            yield line, "not UTF-8"
        else:
            yield line, {name: value or None for name, value in zip(names, values, strict=False)}


def _alone(line: str, delimiter: str) -> list[str]:
    """The fields of one line whose quotes are not those of RFC 4180 (`"5" pipe",`); [] when it cannot be read by itself."""
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return []


def _broken(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= c <= "\udcff" for c in text)


def _check_header(names: list[str], file: str) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"{file}: the header names {', '.join(map(repr, twice))} more than once")


def parquet(path: Path) -> Lines:
    """Columns are fields; dates become ISO 8601, decimals numbers. Raises ConfigurationError for what is not Parquet, or is cut off."""
    with opened(path) as (file, _):
        source = pa.BufferReader(file.read()) if isinstance(file, gzip.GzipFile) else pa.OSFile(str(path))
        try:
            opened_file = pq.ParquetFile(source)
            _check_header(opened_file.schema_arrow.names, path.name)
            number = 0
            for batch in opened_file.iter_batches(BATCH_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield number, {name: _plain(value) for name, value in row.items() if value is not None}
        except (pa.ArrowException, OSError) as error:
            raise ConfigurationError(f"{path.name} is not Parquet, or is damaged or cut off ({error}); fetch it again") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def xml(path: Path) -> Lines:
    """A Google Merchant feed as RSS 2.0 or Atom. Raises ConfigurationError for XML that is not well-formed or ends too early."""
    with opened(path) as (file, place):
        for number, row in import_google.items(file, path.name):
            place.line = number
            yield number, row


class Place:
    """How far a file was read."""

    line = 0


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes], Place]]:
    """The file, unpacked, and the place in it that an error is told with."""
    place = Place()
    try:
        with open(path, "rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
    except OSError as error:
        raise ConfigurationError(f"catalogue {path} cannot be read: {error.strerror}") from None
    with cast(IO[bytes], gzip.open(path) if compressed else open(path, "rb")) as file:
        try:
            yield file, place
        except _DAMAGED as error:
            raise ConfigurationError(f"{path.name} is damaged or cut off after line {place.line} ({error}); fetch it again") from None


READERS: dict[str, Reader] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_lines,
    ".csv": separated,
    ".tsv": separated,
    ".txt": separated,
    ".parquet": parquet,
    ".xml": xml,
    ".rss": xml,
}
"""By file name, without `.gz`."""


def format_of(path: Path) -> str:
    """The suffix that names the format, in lower case."""
    suffix = path.suffix.lower()
    return path.with_suffix("").suffix.lower() if suffix == ".gz" else suffix


def reader_for(path: Path) -> Reader:
    """Raises ConfigurationError for a format that is not known."""
    suffix = format_of(path)
    try:
        return READERS[suffix]
    except KeyError:
        raise ConfigurationError(
            f"catalogue {path.name}: format {suffix or 'without suffix'!r} is not known; known are {', '.join(READERS)}, each plain or .gz"
        ) from None
