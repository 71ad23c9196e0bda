"""How one service calls another: deadline and trace passed on, time measured, failures named, a breaker per dependency."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import msgspec
from httpx_aiohttp import AiohttpTransport

from services.breaker import Breaker
from services.calls import Call
from services.errors import AisleError, DeadlineExceeded, InvalidRequest, NotFound, Overloaded, Problem, Unavailable, VersionGone
from services.telemetry import Telemetry

T = TypeVar("T")

_ERRORS: dict[str, type[AisleError]] = {
    e.code: e for e in (DeadlineExceeded, InvalidRequest, NotFound, Overloaded, Unavailable, VersionGone)
}
_encoder = msgspec.json.Encoder()
RENEW_S = 1.0
"""So often, one connection is closed after its answer: a name may have more addresses by now, and a busy connection would else never go to them."""


@dataclass(slots=True)
class RetryBudget:
    """At most one retry for every ten calls, so that retries cannot double the load of something that is down."""

    tokens: float = 5.0
    per_call: float = 0.1
    limit: float = 10.0

    def earn(self) -> None:
        self.tokens = min(self.limit, self.tokens + self.per_call)

    def spend(self) -> bool:
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class ServiceClient:
    """Calls to one service. `name` stands in errors and metrics; the call's path (without slash) is its stage in Server-Timing."""

    name: str
    base_url: str
    transport: httpx.AsyncBaseTransport = field(default_factory=AiohttpTransport)
    telemetry: Telemetry = field(default_factory=Telemetry)
    breaker: Breaker = field(default_factory=Breaker)
    retries: RetryBudget = field(default_factory=RetryBudget)
    _decoders: dict[type, msgspec.json.Decoder[Any]] = field(default_factory=dict)
    _urls: dict[str, httpx.URL] = field(default_factory=dict)
    _renew_at: float = field(default_factory=lambda: time.perf_counter() + RENEW_S)

    def __post_init__(self) -> None:
        self.telemetry.set("aisle_breaker_open", 0, self.name)
        self.telemetry.count("aisle_retries_total", self.name, amount=0)

    async def post(self, path: str, request: msgspec.Struct, answer: type[T], call: Call, *, budget_ms: float | None = None) -> T:
        """POST an idempotent call and decode its answer. Raises the callee's AisleError, Unavailable or DeadlineExceeded.

        `budget_ms` bounds this call inside the request's deadline; both limit how long the callee may work and we wait.
        """
        return await self._call("POST", path, _encoder.encode(request), answer, call, budget_ms)

    async def get(self, path: str, answer: type[T], call: Call, *, budget_ms: float | None = None) -> T:
        """GET; `path` includes the query string. Otherwise as `post`."""
        return await self._call("GET", path, b"", answer, call, budget_ms)

    async def close(self) -> None:
        await self.transport.aclose()

    async def _call(self, method: str, path: str, body: bytes, answer: type[T], call: Call, budget_ms: float | None) -> T:
        wait_ms = call.deadline.remaining_ms() if budget_ms is None else min(budget_ms, call.deadline.remaining_ms())
        stage = path.partition("?")[0].strip("/")
        if wait_ms <= 0:
            raise DeadlineExceeded(f"no time left to call the {self.name}")
        started = time.perf_counter()
        if not self.breaker.allows(started):
            raise Unavailable(f"the {self.name} failed repeatedly and is not called for a moment")
        header = ""
        try:
            async with asyncio.timeout(wait_ms / 1000):
                response = await self._send(method, path, body, call, wait_ms)
                content = await response.aread()
            header = response.headers.get("server-timing", "")
            self._note(failed=response.status_code >= 500 and response.status_code != 504)
        except TimeoutError:
            self._note(failed=True)
            raise DeadlineExceeded(f"the {self.name} did not answer within {wait_ms:.0f} ms") from None
        except httpx.TransportError as error:
            self._note(failed=True)
            raise Unavailable(f"the {self.name} at {self.base_url} cannot be reached ({type(error).__name__})") from error
        finally:
            ended = time.perf_counter()
            call.timing.add(stage, started, ended)
            call.timing.join(stage, header, started, ended)
        if response.status_code >= 400:
            raise _error(self.name, response.status_code, content)
        return self._decoder(answer).decode(content)

    async def _send(self, method: str, path: str, body: bytes, call: Call, wait_ms: float) -> httpx.Response:
        headers = [
            (b"host", self._url("/").netloc),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-deadline-ms", b"%.1f" % wait_ms),
            (b"traceparent", call.traceparent.encode()),
        ]
        if (now := time.perf_counter()) >= self._renew_at:
            headers.append((b"connection", b"close"))
            self._renew_at = now + RENEW_S
        timeout = {"connect": wait_ms / 1000, "read": wait_ms / 1000, "write": wait_ms / 1000, "pool": wait_ms / 1000}
        # The transport is called directly: redirects, cookies and auth of httpx.AsyncClient cost as much as the hop itself.
        request = httpx.Request(method, self._url(path), headers=headers, content=body, extensions={"timeout": timeout})
        self.retries.earn()
        try:
            return await self.transport.handle_async_request(request)
        except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if not self.retries.spend():
                raise
            self.telemetry.count("aisle_retries_total", self.name)
            return await self.transport.handle_async_request(request)

    def _note(self, *, failed: bool) -> None:
        was_open = self.breaker.open
        if failed:
            self.breaker.failed(time.perf_counter())
        else:
            self.breaker.succeeded()
        if self.breaker.open != was_open:
            self.telemetry.set("aisle_breaker_open", self.breaker.open, self.name)

    def _url(self, path: str) -> httpx.URL:
        url = self._urls.get(path)
        if url is None:
            url = httpx.URL(self.base_url.rstrip("/") + path)
            if "?" not in path:  # bounded: route paths only
                self._urls[path] = url
        return url

    def _decoder(self, answer: type[T]) -> msgspec.json.Decoder[T]:
        decoder = self._decoders.get(answer)
        if decoder is None:
            decoder = self._decoders[answer] = msgspec.json.Decoder(answer)
        return decoder


def _error(name: str, status: int, content: bytes) -> AisleError:
    try:
        problem = msgspec.json.decode(content, type=Problem)
    except msgspec.MsgspecError:
        return Unavailable(f"the {name} answered {status} without a problem document")
    kind = _ERRORS.get(problem.type.removeprefix("urn:aisle:"), Unavailable)
    return kind(problem.detail, field=problem.field, accepted=problem.accepted)
