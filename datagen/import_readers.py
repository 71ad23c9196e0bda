"""Reading feeds: one function per format, each giving (line number, row or the reason why there is none)."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from services.errors import ConfigurationError

Row = dict[str, Any]
Lines = Iterator[tuple[int, Row | str]]
Reader = Callable[[Path], Lines]

_GZIP_MAGIC = b"\x1f\x8b"


def json_lines(path: Path) -> Lines:
    """One JSON object a line, plain or gz (told by its content, not its name). Blank lines are skipped.

    Raises ConfigurationError when the file ends in the middle of the archive.
    """
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    number = 0
    with _opened(path) as file:
        try:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _decoded(decode, line)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ConfigurationError(f"{path.name} is damaged or cut off after line {number} ({error}); fetch it again") from None


def _decoded(decode: Callable[[bytes], Row], line: bytes) -> Row | str:
    try:
        line.decode("utf-8")
        return decode(line)
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start + 1} of the line)"
    except msgspec.DecodeError as error:  # also ValidationError: JSON, but no object
        return f"not a JSON object: {error}"


def _opened(path: Path) -> IO[bytes]:
    try:
        with open(path, "rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
        return cast(IO[bytes], gzip.open(path) if compressed else open(path, "rb"))
    except OSError as error:
        raise ConfigurationError(f"catalogue {path} cannot be read: {error.strerror}") from None


READERS: dict[str, Reader] = {".jsonl": json_lines, ".ndjson": json_lines, ".json": json_lines}
"""By file name, without `.gz`."""


def reader_for(path: Path) -> Reader:
    """Raises ConfigurationError for a format that is not known."""
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    try:
        return READERS[suffix.lower()]
    except KeyError:
        raise ConfigurationError(
            f"catalogue {path.name}: format {suffix or 'without suffix'!r} is not known; known are {', '.join(READERS)}, each plain or .gz"
        ) from None
