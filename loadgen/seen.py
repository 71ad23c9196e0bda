"""What a load saw, one record for each request: made while it runs, graded afterwards. Also the file in which the records are kept."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from loadgen.asks import Ask
from services.contracts import TierCount
from services.errors import ConfigurationError

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


class SeenFile:
    """Appends records as JSON lines; up to `limit` of them, the rest is counted."""

    def __init__(self, path: Path, limit: int = 500_000) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._left, self.left_out = path, limit, 0
        self._file = open(path, "wb")  # noqa: SIM115  # open as long as the load; `close` ends it

    def write(self, records: Iterable[Seen]) -> None:
        kept = []
        for record in records:
            if self._left > 0:
                self._left -= 1
                kept.append(record)
            else:
                self.left_out += 1
        if kept:
            self._file.write(_encoder.encode_lines(kept))

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> Iterator[Seen]:
    """The records of a load. Raises ConfigurationError for a file that is none."""
    try:
        with open(path, "rb") as file:
            for line in file:
                yield _decoder.decode(line)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigurationError(f"{path}: {error}; it should hold the records of a load, one JSON document a line") from None
