"""Five bare hops: client to edge, and the edge's four calls in the system's pattern, on the same kit, with payloads of the same sizes, doing nothing.

`python -m tests.bench.hops edge|null PORT SIZES [URL_OF_NULL ...]`, SIZES being the JSON of `Sizes`.
"""

import asyncio
import os
import subprocess
import sys

import msgspec
from msgspec import Struct

from deploy.layout import PROJECT
from deploy.preflight import free_port
from services.app import Service, main
from services.calls import Call
from services.client import ServiceClient
from services.settings import ServiceSettings

NULLS = ("recommender", "searcher", "ranker")


class Blob(Struct, frozen=True):
    """A payload: one string, which costs next to nothing to encode and decode. `want`: how long the answer's is to be."""

    filler: str
    want: int


class Answer(Struct, frozen=True):
    filler: str


class Sizes(Struct, frozen=True):
    """Bytes of request and answer, per call."""

    search: tuple[int, int]
    analyse: tuple[int, int]
    retrieve: tuple[int, int]
    preferences: tuple[int, int]
    rank: tuple[int, int]


def blob(size: tuple[int, int]) -> Blob:
    return Blob("x" * size[0], size[1])


class Null:
    """Gives as many bytes as were asked for."""

    def __init__(self) -> None:
        self._answers: dict[int, Answer] = {}

    async def answer(self, request: Blob, call: Call) -> Answer:
        return self._answers.get(request.want) or self._answers.setdefault(request.want, Answer("x" * request.want))


def null(settings: ServiceSettings) -> Service:
    service = Service("null", settings, description="Does nothing")
    handler = Null()
    for path in ("/analyse", "/retrieve", "/preferences", "/rank"):
        service.post(path, Blob, Answer, handler.answer)
    return service


class Edge:
    """Calls in the order of the path: analyse, then retrieve beside preferences, then rank."""

    def __init__(self, sizes: Sizes, urls: list[str]) -> None:
        self._recommender, self._searcher, self._ranker = (ServiceClient(n, u) for n, u in zip(NULLS, urls, strict=True))
        self._bodies = {name: blob(getattr(sizes, name)) for name in ("analyse", "retrieve", "preferences", "rank")}
        self._null = Null()

    async def search(self, request: Blob, call: Call) -> Answer:
        await self._recommender.post("/analyse", self._bodies["analyse"], Answer, call)
        preferences = asyncio.create_task(self._recommender.post("/preferences", self._bodies["preferences"], Answer, call))
        await self._searcher.post("/retrieve", self._bodies["retrieve"], Answer, call)
        await preferences
        await self._ranker.post("/rank", self._bodies["rank"], Answer, call)
        return await self._null.answer(request, call)


def edge(settings: ServiceSettings, sizes: Sizes, urls: list[str]) -> Service:
    service = Service("edge", settings, description="Calls four services that do nothing")
    service.post("/search", Blob, Answer, Edge(sizes, urls).search)
    return service


class Hops:
    """The four processes."""

    def __init__(self, sizes: Sizes) -> None:
        ports = {name: free_port("127.0.0.1") for name in ("edge", *NULLS)}
        urls = [f"http://127.0.0.1:{ports[name]}" for name in NULLS]
        self.body = msgspec.json.encode(blob(sizes.search))
        self.url = f"http://127.0.0.1:{ports['edge']}"
        self.ready_urls = [f"http://127.0.0.1:{port}/readyz" for port in ports.values()]
        text = msgspec.json.encode(sizes).decode()
        self.processes = {n: _start("null", ports[n], text) for n in NULLS} | {"edge": _start("edge", ports["edge"], text, *urls)}

    @property
    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self.processes.items()}

    def close(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(20)


def _start(kind: str, port: int, sizes: str, *urls: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "tests.bench.hops", kind, str(port), sizes, *urls], cwd=PROJECT)


if __name__ == "__main__":
    kind, port, sizes, *urls = sys.argv[1:]
    os.environ["AISLE_HOP_PORT"] = port
    decoded = msgspec.json.decode(sizes, type=Sizes)
    main("hop", ServiceSettings, null if kind == "null" else lambda settings: edge(settings, decoded, urls))
