"""Which connections calls between services go over, against a real server."""

import asyncio

import pytest
import uvicorn
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services import client as module
from services.calls import Call
from services.client import ServiceClient
from services.timing import Deadline


class Port(Struct):
    port: int


async def _port(request: Request) -> JSONResponse:
    assert request.client
    return JSONResponse({"port": request.client.port})


def test_a_connection_is_kept_and_now_and_then_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a planner that is never idle would never ask a searcher that was added."""
    monkeypatch.setattr(module, "RENEW_S", 1e9)

    async def run() -> list[int]:
        config = uvicorn.Config(Starlette(routes=[Route("/port", _port)]), port=0, log_level="error")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        client = ServiceClient("echo", f"http://127.0.0.1:{port}")
        try:
            ports = []
            for number in range(6):
                if number == 3:
                    client._renew_at = 0.0
                ports.append((await client.get("/port", Port, Call(deadline=Deadline(10_000)))).port)
        finally:
            await client.close()
            server.should_exit = True
            await serving
        return ports

    first, *_, last = ports = asyncio.run(run())
    assert ports == [first] * 4 + [last] * 2  # the fourth was the last over the first
    assert last != first
