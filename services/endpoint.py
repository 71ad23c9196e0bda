"""One route as an ASGI endpoint: admission, deadline, decoding, handling, encoding, errors, timing."""

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl

import msgspec

from services.calls import Call
from services.errors import AisleError, BodyTooLarge, DeadlineExceeded, InvalidRequest, Overloaded, Unauthorised, problem
from services.paths import Paths
from services.telemetry import OBJECTIVE_S, Telemetry
from services.timing import Deadline, Timing
from services.tracing import sampled
from services.validation import invalid

if TYPE_CHECKING:
    from services.app import Service

log = logging.getLogger("aisle")
_encoder = msgspec.json.Encoder()
MAX_DEADLINE_MS = 60_000.0


TICK_S = 0.05
_SMOOTH = 0.05


class Admission:
    """Bounded concurrency: so many requests at once, the others wait in order, and not for long.

    Who would wait in vain is refused at once instead of after waiting: when those before it (at the pace of late) take longer than a
    request may wait, or longer than its deadline leaves for the wait and the work; and when the event loop itself is behind by more than
    that, since then requests wait where no queue shows them. Refusing early is what keeps goodput flat beyond the peak.
    """

    def __init__(self, places: int, max_queue_ms: float, telemetry: Telemetry) -> None:
        self._free, self._max_queue_s, self._telemetry = places, max_queue_ms / 1000, telemetry
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._places, self._longest_queue = places, places * 16
        self._held_s = 0.0
        self._behind_s = 0.0
        self._ticking = False
        telemetry.watch("aisle_in_flight", lambda: places - self._free)
        telemetry.watch("aisle_waiting", lambda: len(self._waiting))
        for reason in ("full", "late", "in vain", "behind"):
            telemetry.count("aisle_refused_total", reason, amount=0)

    @contextlib.asynccontextmanager
    async def place(self, deadline: Deadline) -> AsyncIterator[None]:
        """Raises Overloaded when no place comes free in time (before any work was done)."""
        if self._behind_s > self._max_queue_s and self._free <= self._places // 2:
            self._refuse("behind", "the service is behind with its work; try again in a moment")
        if self._free > 0:
            self._free -= 1
        else:
            await self._wait(deadline)
        self._watch_the_loop()
        taken = time.perf_counter()
        try:
            yield
        finally:
            held_s = time.perf_counter() - taken
            self._held_s += _SMOOTH * (held_s - self._held_s) if self._held_s else held_s
            self._release()

    def _refuse(self, reason: str, detail: str) -> NoReturn:
        self._telemetry.count("aisle_refused_total", reason)
        raise Overloaded(detail)

    def _watch_the_loop(self) -> None:
        """As long as something is worked on: how late the event loop runs what is due."""
        if not self._ticking:
            self._ticking = True
            loop = asyncio.get_running_loop()
            loop.call_later(TICK_S, self._tick, loop, loop.time() + TICK_S)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._ticking = self._free < self._places
        self._behind_s = max(0.0, loop.time() - due) if self._ticking else 0.0
        if self._ticking:
            loop.call_later(TICK_S, self._tick, loop, loop.time() + TICK_S)

    async def _wait(self, deadline: Deadline) -> None:
        if len(self._waiting) >= self._longest_queue:
            self._refuse("full", "too many requests are waiting; try again in a moment")
        expected_s = (len(self._waiting) + 1) * self._held_s / self._places
        if expected_s > self._max_queue_s or expected_s + self._held_s > deadline.remaining_ms() / 1000:
            self._refuse("in vain", "a place would come too late; try again in a moment")
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        came = time.perf_counter()
        try:
            async with asyncio.timeout(min(self._max_queue_s, deadline.remaining_ms() / 1000)):
                await future
        except TimeoutError:
            self._give_up(future)
            self._refuse("late", "no place came free in time; try again in a moment")
        except asyncio.CancelledError:
            self._give_up(future)
            raise
        finally:
            self._telemetry.observe("aisle_queue_seconds", time.perf_counter() - came)

    def _give_up(self, future: "asyncio.Future[None]") -> None:
        if future.done() and not future.cancelled():
            self._release()  # the place came in the same moment: hand it on
        with contextlib.suppress(ValueError):
            self._waiting.remove(future)

    def _release(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
        self._free += 1


class Endpoint:
    """An ASGI application for one route and method."""

    def __init__(
        self,
        service: "Service",
        method: str,
        path: str,
        request: Any,
        handler: Callable[[Any, Call], Awaitable[Any]],
        status: int,
        admission: Admission,
        operator: bool,
    ) -> None:
        self._service, self._method, self._route = service, method, path
        self._request, self._handler, self._status = request, handler, status
        for outcome in ("good", "slow", "failed"):  # a share of nothing bad is 0, not no data
            service.telemetry.count("aisle_objective_total", path, outcome, amount=0)
        self._admission, self._operator = admission, operator
        self._decoder = msgspec.json.Decoder(request) if method == "POST" else None
        self._paths = Paths(service.telemetry)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        timing = Timing()
        traced: list[Call] = []
        status, body, retry_after_s = 500, b"", None
        try:
            body = await self._answer(scope, receive, timing, traced)
            status = self._status
        except AisleError as error:
            status, body, retry_after_s = error.status, _encoder.encode(problem(error)), error.retry_after_s
        except Exception:  # the last resort: a bug is a 500 with a problem document, and stands in the log
            log.exception("%s %s failed", self._method, self._route)
            self._service.telemetry.count("aisle_errors_total", self._route)
            body = _encoder.encode(problem(AisleError("an internal error; the log of the service has it")))
        self._record(timing, status)
        for call in traced:
            self._trace(call, status)
        media_type = b"application/json" if status < 400 else b"application/problem+json"
        headers = [
            (b"content-type", media_type),
            (b"content-length", b"%d" % len(body)),
            (b"server-timing", timing.header().encode()),
        ]
        if retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % retry_after_s))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: Any, receive: Any, timing: Timing, traced: list[Call]) -> bytes:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        service = self._service
        call = Call(
            deadline=Deadline(deadline_ms(headers.get("x-deadline-ms"), service.settings.deadline_ms)),
            timing=timing,
            operator=service.is_operator(headers.get("authorization", "")),
            headers=headers,
            pool=service.pool,
            sampled=service.tracer is not None and service.tracer.samples(headers.get("traceparent", "")),
        )
        if service.tracer is not None and sampled(call.traceparent):
            traced.append(call)
        if self._operator and not call.operator:
            raise Unauthorised(f"{self._method} {self._route} needs `Authorization: Bearer <operator token>`")
        request = await self._read(scope, receive)
        async with self._admission.place(call.deadline):
            timing.add("queue", timing.arrival, time.perf_counter())
            try:
                async with asyncio.timeout(call.deadline.remaining_ms() / 1000):
                    answer = await self._handler(request, call)
            except TimeoutError:
                raise DeadlineExceeded("the deadline passed while the request was worked on") from None
        with timing.stage("serialise"):
            return _encoder.encode(answer)

    async def _read(self, scope: Any, receive: Any) -> Any:
        if self._decoder is None:
            return parameters(scope, self._request)
        body = await read_body(receive, self._service.settings.max_body_bytes)
        if not body:
            raise InvalidRequest("the body is empty", accepted="a JSON document")
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise invalid(error, self._request) from None
        except RecursionError:
            raise InvalidRequest("the body is nested too deeply", accepted="a few levels of objects and arrays") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the body is not JSON in UTF-8: {error}", accepted="a JSON document") from None

    def _trace(self, call: Call, status: int) -> None:
        parent = call.headers.get("traceparent", "")
        known = parent.split("-")[1:2] == call.traceparent.split("-")[1:2]
        assert self._service.tracer is not None
        self._service.tracer.record(f"{self._method} {self._route}", status, parent if known else "", call.traceparent, call.timing)

    def _record(self, timing: Timing, status: int) -> None:
        telemetry = self._service.telemetry
        seconds = time.perf_counter() - timing.arrival
        telemetry.count("aisle_requests_total", self._route, str(status))
        telemetry.observe("aisle_request_seconds", seconds, self._route)
        telemetry.count("aisle_objective_total", self._route, "failed" if status >= 500 else "good" if seconds <= OBJECTIVE_S else "slow")
        for name, dur_ms, _ in timing.entries:
            if "." not in name:  # a callee counts its own stages
                telemetry.observe("aisle_stage_seconds", dur_ms / 1000, name)
        if self._route == "/search" and status == 200:
            self._paths.add(timing.entries, seconds)


async def read_body(receive: Any, limit: int) -> bytes:
    """The whole request body. Raises BodyTooLarge as soon as it is longer than `limit` bytes."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the client went away before the body was complete")
        size += len(message.get("body", b""))
        if size > limit:
            raise BodyTooLarge(f"the body is larger than {limit:,} bytes", accepted=f"at most {limit:,} bytes")
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(chunks)


def parameters(scope: Any, struct: Any) -> Any:
    """Query and path parameters as a struct. Raises InvalidRequest for unknown, repeated or wrong ones."""
    known = {f.encode_name for f in msgspec.structs.fields(struct)}
    given: dict[str, str] = {}
    try:
        pairs = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except (ValueError, UnicodeDecodeError):
        raise InvalidRequest("the query string is not percent-encoded UTF-8", accepted=", ".join(sorted(known))) from None
    for name, value in pairs:
        if name not in known:
            raise InvalidRequest(f"there is no parameter {name[:100]!r}", field=name[:100], accepted=", ".join(sorted(known)))
        if name in given:
            raise InvalidRequest(f"parameter {name!r} is given twice", field=name, accepted="once")
        given[name] = value
    given |= scope.get("path_params", {})
    try:
        return msgspec.convert(given, struct, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, struct) from None


def deadline_ms(header: str | None, default_ms: float) -> float:
    """The caller's remaining time; raises InvalidRequest for what is no number of milliseconds."""
    if header is None:
        return default_ms
    try:
        value = float(header)
    except ValueError:
        value = math.nan
    if not 0 < value <= MAX_DEADLINE_MS:
        raise InvalidRequest(
            f"x-deadline-ms is {header[:40]!r}", field="x-deadline-ms", accepted=f"milliseconds, more than 0, at most {MAX_DEADLINE_MS:.0f}"
        )
    return value
