"""The application factory: what every service's HTTP side has in common.

A `Service` collects routes (msgspec structs in and out), dependency checks and background jobs; `asgi()` makes a FastAPI application
of them, for its OpenAPI page. The routes themselves are plain ASGI endpoints (services/endpoint.py): that is where the speed is.
"""

import asyncio
import contextlib
import hmac
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.calls import Call
from services.endpoint import Admission, Endpoint
from services.errors import AisleError, ConfigurationError, Problem
from services.openapi import RouteDoc, document
from services.settings import ServiceSettings, load
from services.telemetry import Telemetry
from services.tracing import Tracer, from_environment

Req = TypeVar("Req")
S = TypeVar("S", bound=ServiceSettings)
Handler = Callable[[Any, Call], Awaitable[Any]]
Check = Callable[[], Any]

CHECK_LIMIT_S = 2.0
log = logging.getLogger("aisle")


class Service:
    """One service: its routes, checks, background jobs; nothing runs before the application's lifespan starts."""

    def __init__(
        self, name: str, settings: ServiceSettings, *, description: str, operator_token: str = "", telemetry: Telemetry | None = None
    ) -> None:
        self.name, self.settings, self.description = name, settings, description
        self.telemetry = telemetry or Telemetry()
        self.pool = ThreadPoolExecutor(min(8, settings.max_in_flight), thread_name_prefix=name)
        self.tracer: Tracer | None = None
        self._token = operator_token
        self._admission = Admission(settings.max_in_flight, settings.max_queue_ms, self.telemetry)
        self._routes: list[Route] = []
        self._docs: list[RouteDoc] = []
        self._checks: dict[str, Check] = {}
        self._jobs: list[tuple[str, Callable[[], Any], float]] = []
        self._stops: list[Callable[[], Any]] = []

    def post(
        self, path: str, request: Any, answer: Any, handler: Handler, *, status: int = 200, summary: str = "", operator: bool = False
    ) -> None:
        """A route whose JSON body is a `request`."""
        self._add("POST", path, request, answer, handler, status, summary, operator)

    def get(self, path: str, parameters: Any, answer: Any, handler: Handler, *, summary: str = "", operator: bool = False) -> None:
        """A route whose query and path parameters are the fields of `parameters`."""
        self._add("GET", path, parameters, answer, handler, 200, summary, operator)

    def delete(self, path: str, parameters: Any, answer: Any, handler: Handler, *, summary: str = "", operator: bool = True) -> None:
        self._add("DELETE", path, parameters, answer, handler, 200, summary, operator)

    def check(self, name: str, function: Check) -> None:
        """A dependency of /readyz; the function gives a detail, or raises when the dependency does not do its work."""
        self._checks[name] = function

    def background(self, name: str, function: Callable[[], Any], interval_s: float) -> None:
        """Run a blocking function again and again, in a thread; a failure is logged, counted, and tried again."""
        self._jobs.append((name, function, interval_s))
        self.telemetry.count("aisle_errors_total", name, amount=0)

    def on_stop(self, function: Callable[[], Any]) -> None:
        """Called at shutdown, last registered first; may be a coroutine function."""
        self._stops.append(function)

    def is_operator(self, authorization: str) -> bool:
        return bool(self._token) and hmac.compare_digest(authorization.encode(), f"Bearer {self._token}".encode())

    def _add(self, method: str, path: str, request: Any, answer: Any, handler: Handler, status: int, summary: str, operator: bool) -> None:
        shown = path.replace(":path}", "}")  # a parameter that may hold slashes: nobody's business but the router's
        endpoint = Endpoint(self, method, shown, request, handler, status, self._admission, operator)
        self._routes.append(Route(path, endpoint, methods=[method]))
        self._docs.append(RouteDoc(method, shown, request, answer, status, summary, operator))

    # ---- the application ----

    def asgi(self) -> FastAPI:
        app = FastAPIOffline(title=f"AIsle {self.name}", description=self.description, lifespan=self._lifespan, version="0.1.0")
        app.router.routes.extend(_merged(self._routes))
        app.router.routes.append(Route("/healthz", self._healthz, methods=["GET"]))
        app.router.routes.append(Route("/readyz", self._readyz, methods=["GET"]))
        app.router.routes.append(Route("/metrics", self._metrics, methods=["GET"]))
        app.add_exception_handler(HTTPException, _http_problem)  # type: ignore[arg-type]  # Starlette types handlers for Exception
        schema = document(app.title, app.description, self._docs)
        app.openapi = lambda: schema  # type: ignore[method-assign]  # FastAPI's documented way to replace the schema
        return app

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._repeat(*job), name=job[0]) for job in self._jobs]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for stop in reversed(self._stops):
                result = stop()
                if asyncio.iscoroutine(result):
                    await result
            if self.tracer is not None:
                await asyncio.to_thread(self.tracer.close)
            self.pool.shutdown(wait=True, cancel_futures=True)

    async def _repeat(self, name: str, function: Callable[[], Any], interval_s: float) -> None:
        while True:
            try:
                await asyncio.to_thread(function)
            except (AisleError, ConfigurationError) as error:
                # An engine that is away for a minute is no page of stack for each time that it is asked.
                log.warning("background job %s of the %s failed and is tried again in %.1f s: %s", name, self.name, interval_s, error)
                self.telemetry.count("aisle_errors_total", name)
            except Exception:  # the job comes again: log and count instead of ending it
                log.exception("background job %s of the %s failed; it is tried again in %.1f s", name, self.name, interval_s)
                self.telemetry.count("aisle_errors_total", name)
            await asyncio.sleep(interval_s)

    async def _healthz(self, request: Request) -> Response:
        return _json(200, {"service": self.name, "alive": True})

    async def _readyz(self, request: Request) -> Response:
        results = dict(zip(self._checks, await asyncio.gather(*(self._checked(c) for c in self._checks.values())), strict=True))
        ready = all(r["ok"] for r in results.values())
        return _json(200 if ready else 503, {"service": self.name, "ready": ready, "checks": results})

    async def _checked(self, check: Check) -> dict[str, Any]:
        try:
            async with asyncio.timeout(CHECK_LIMIT_S):
                detail = await (check() if asyncio.iscoroutinefunction(check) else asyncio.to_thread(check))
        except TimeoutError:
            return {"ok": False, "detail": f"no answer within {CHECK_LIMIT_S:.0f} s"}
        except Exception as error:  # whatever is wrong with a dependency is what /readyz is there to tell
            return {"ok": False, "detail": f"{type(error).__name__}: {error}"}
        return {"ok": True, "detail": detail}

    async def _metrics(self, request: Request) -> Response:
        return Response(self.telemetry.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def main(name: str, settings_type: type[S], create: Callable[[S], Service]) -> None:
    """`python -m <service>`: settings from AISLE_<NAME>_*, then serve until SIGTERM or Ctrl-C. Start-up errors are one line, exit code 2."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=f"%(asctime)s %(levelname)s {name} %(message)s")
    prefix = f"AISLE_{name.upper()}_"
    try:
        settings = load(settings_type, prefix, os.environ)
        service = create(settings)
        service.tracer = from_environment(name, os.environ)
    except ConfigurationError as error:
        print(f"{name}: {error}", file=sys.stderr)  # the person at the terminal is who has to act
        raise SystemExit(2) from None
    uvicorn.run(
        service.asgi(),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=75,
    )


def _merged(routes: list[Route]) -> list[Route]:
    """One Starlette route per path, so that a wrong method is told all the right ones (405 with Allow)."""
    merged: dict[str, Route] = {}
    for route in routes:
        first = merged.setdefault(route.path, route)
        if first is not route:
            if not isinstance(first.app, _ByMethod):
                first.app = _ByMethod(dict.fromkeys(first.methods or (), first.endpoint))
            first.app.endpoints.update(dict.fromkeys(route.methods or (), route.endpoint))
            first.methods = (first.methods or set()) | (route.methods or set())
    return list(merged.values())


class _ByMethod:
    """Several methods of one path."""

    def __init__(self, endpoints: dict[str, Any]) -> None:
        self.endpoints = endpoints

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self.endpoints[method](scope, receive, send)


def _json(status: int, body: object) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")


async def _http_problem(request: Request, error: HTTPException) -> Response:
    accepted = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow")
    detail = f"{request.method} {request.url.path}: {error.detail}"
    problem = Problem(type="about:blank", title=str(error.detail), status=error.status_code, detail=detail, accepted=accepted)
    return Response(msgspec.json.encode(problem), error.status_code, media_type="application/problem+json", headers=error.headers)
