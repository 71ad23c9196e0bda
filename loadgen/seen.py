"""What a load saw, one record for each request: made while it runs, graded afterwards. Also the file in which the records are kept."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from loadgen.asks import Ask
from services.contracts import TierCount

Request = Literal["first", "next", "events"]
REQUESTS: dict[Request, str] = {"first": "first pages", "next": "page turns", "events": "events"}


class Shown(Struct, frozen=True, omit_defaults=True):
    """What a page showed. `prices` (cents) are those of a sample of the answers."""

    ids: list[str]
    total: int
    relation: str
    generation: int
    release: int | None = None
    terms: list[str] = []
    degraded: list[str] = []
    corrected: str | None = None
    tiers: list[TierCount] = []
    item_tiers: list[str] = []
    prices: list[int] = []
    query_id: str = ""


class Seen(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One request. `at_s`: seconds from the beginning of the load to the moment in which it was meant to be sent (closed loops: was sent).

    `latency_ms` counts from that moment; `service_ms` from the sending; `lag_ms` is how late the generator itself was. `status` 0: no
    answer came. `wrong`: what was found on the spot. `idle`: asked before the load. `actor`: the user who sent events.
    """

    request: Request
    at_s: float
    chain: int
    page: int
    latency_ms: float
    service_ms: float
    lag_ms: float = 0.0
    status: int = 200
    failure: str | None = None
    wrong: list[str] = []
    bytes: int = 0
    ask: Ask | None = None
    shown: Shown | None = None
    timing: str = ""
    idle: bool = False
    actor: str | None = None

    @property
    def good(self) -> bool:
        """Answered, and nothing wrong with it at first sight."""
        return self.failure is None and not self.wrong


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Seen)
GRADED = 60_000
"""Records that are graded, at most, unless it is set otherwise: about 200 MB when they are read back."""
BAD_KEPT = 1_000


class SeenFile:
    """The records that are graded after a load, one JSON document a line; a file without a path is gone when it is closed.

    When there are more than `limit`, those of every second chain are kept, then of every fourth, ...: whole chains, evenly spread over the
    load, so that a load of any length is graded in the same memory. What is not good is kept whatever its chain (the first BAD_KEPT), and so
    is what was asked while idle.
    """

    def __init__(self, path: Path | None, limit: int) -> None:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "x+b") if path else tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the load; `close` ends it
        self.name, self._limit = path.name if path else "", limit
        self._levels: Counter[int] = Counter()
        self._level = self._kept = self._bad = 0

    @property
    def kept(self) -> int:
        return self._kept

    @property
    def every(self) -> int:
        """Of so many chains, the records of one are kept."""
        return 1 << self._level

    def write(self, records: Iterable[Seen]) -> None:
        kept = [record for record in records if self._wanted(record)]
        if kept:
            self._file.write(_encoder.encode_lines(kept))

    def _wanted(self, record: Seen) -> bool:
        if not record.good and self._bad < BAD_KEPT:
            self._bad += 1
            return True
        level = level_of(record)
        if level < self._level:
            return False
        self._levels[level] += 1
        self._kept += 1
        while self._kept > self._limit and self._level < IDLE:
            self._kept -= self._levels[self._level]
            self._level += 1
        return True

    def read(self) -> Iterator[Seen]:
        """What is kept, in the order in which it came."""
        self._file.seek(0)
        bad = 0
        for line in self._file:
            record = _decoder.decode(line)
            bad += not record.good
            if level_of(record) >= self._level or (not record.good and bad <= BAD_KEPT):
                yield record

    def close(self) -> None:
        self._file.close()


IDLE = 32


def level_of(record: Seen) -> int:
    """0 for half of the chains, 1 for a quarter, ...: leading zeros of the chain's number times the golden ratio, which spreads them evenly."""
    return IDLE if record.idle else IDLE - (record.chain * 2654435769 & 0xFFFFFFFF).bit_length()
