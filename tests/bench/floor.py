"""The bare floor: the same engine calls and inference for the same searches, one after the other in one process, without services. Which
engines: as the services, by AISLE_SEARCHER_HIGH_URL and so on.

`python -m tests.bench.floor HOME SHOP` reads JSON lines from standard input, each a `Wish`, and answers each with one line, a `Done`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from deploy.layout import PROJECT
from tests.bench.calls import prepared
from tests.bench.engines import Engines
from tests.bench.hops import Sizes
from tests.bench.workload import Ask


class Wish(Struct, frozen=True):
    """`what`: "search", "sizes", or a kind of call (tests/bench/calls.py); for these [query, user_id]."""

    what: str
    asks: list[tuple[str, str]]


class Done(Struct, frozen=True):
    """CPU seconds of this process for so many searches or calls; for how many searches the model was asked; `sizes` when they were asked for."""

    cpu_s: float
    count: int
    personal: int = 0
    sizes: Sizes | None = None


class Floor:
    """The other end of the floor process."""

    def __init__(self, home: Path, shop: str, engine_settings: Mapping[str, str] | None = None) -> None:
        argv = [sys.executable, "-m", "tests.bench.floor", str(home), shop]
        environment = {**os.environ, **(engine_settings or {})}
        self._process = subprocess.Popen(argv, cwd=PROJECT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, asks: Sequence[Ask], what: str = "search") -> Done:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(msgspec.json.encode(Wish(what, [(a.query, a.user_id) for a in asks])) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=Done)

    def sizes(self, asks: Sequence[Ask]) -> Sizes:
        """Mean bytes that the messages of the real path would have; those of the search itself are the client's to say."""
        sizes = self.run(asks, "sizes").sizes
        assert sizes
        return sizes

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)


def serve(home: Path, name: str) -> None:
    engines = Engines(home, name)
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(msgspec.json.encode(fulfil(engines, msgspec.json.decode(line, type=Wish))) + b"\n")
        sys.stdout.buffer.flush()
    engines.close()


def fulfil(engines: Engines, wish: Wish) -> Done:
    if wish.what == "sizes":
        return Done(0.0, 0, sizes=engines.sizes(wish.asks))
    searches = [partial(engines.search, *ask) for ask in wish.asks]
    work = searches if wish.what == "search" else prepared(engines, wish.what, wish.asks)
    started, before = time.process_time(), engines.personal
    for call in work:
        call()
    return Done(time.process_time() - started, len(work), engines.personal - before)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
