"""What every service's HTTP side does: decoding, problems, admission, deadlines, readiness."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from services.app import Service
from services.breaker import Breaker
from services.calls import Call
from services.client import ServiceClient
from services.errors import DeadlineExceeded, Unavailable
from services.settings import ServiceSettings
from services.timing import Deadline


class Question(msgspec.Struct, forbid_unknown_fields=True):
    text: str
    times: int = 1


class Reply(msgspec.Struct):
    text: str


async def echo(question: Question, call: Call) -> Reply:
    with call.timing.stage("work"):
        return Reply(await call.run(lambda: question.text * question.times))


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    app = service.asgi()
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client,
    ):
        yield client


def service(handler: Any = echo, **settings: Any) -> Service:
    made = Service("echo", ServiceSettings(**settings), description="says it again", operator_token="token")
    made.post("/echo", Question, Reply, handler)
    made.get("/echo/{text}", Question, Reply, handler)
    made.delete("/echo/{text}", Question, Reply, handler)
    return made


def ask(method: str, path: str, *, of: Service | None = None, **request: Any) -> httpx.Response:
    async def run() -> httpx.Response:
        async with running(of or service()) as client:
            return await client.request(method, path, **request)

    return asyncio.run(run())


def test_an_answer_tells_where_its_time_went() -> None:
    response = ask("POST", "/echo", json={"text": "a", "times": 2})
    assert response.json() == {"text": "aa"}
    assert [entry.split(";")[0] for entry in response.headers["server-timing"].split(", ")] == ["queue", "work", "serialise", "total"]


def test_a_wrong_field_is_named_with_what_would_be_right() -> None:
    response = ask("POST", "/echo", json={"text": "a", "times": "two"})
    assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")
    assert (response.json()["field"], response.json()["accepted"]) == ("times", "a whole number")


def test_an_unknown_field_is_named() -> None:
    assert ask("POST", "/echo", json={"text": "a", "tmes": 2}).json()["field"] == "tmes"


def test_a_body_that_is_not_json_is_a_400() -> None:
    for content in (b"", b"{", b"\xff\xfe", b"text=a"):
        assert ask("POST", "/echo", content=content).status_code == 400


def test_a_body_that_is_too_large_is_a_413() -> None:
    response = ask("POST", "/echo", of=service(max_body_bytes=1024), content=b'{"text": "' + b"a" * 2000 + b'"}')
    assert (response.status_code, response.json()["accepted"]) == (413, "at most 1,024 bytes")


def test_parameters_are_checked_like_bodies() -> None:
    assert ask("GET", "/echo/a?times=3").json() == {"text": "aaa"}
    assert ask("GET", "/echo/a?times=x").json()["field"] == "times"
    assert ask("GET", "/echo/a?times=1&times=2").json()["accepted"] == "once"
    assert ask("GET", "/echo/a?time=1").json()["field"] == "time"
    assert ask("GET", "/echo/a?times=%ff").status_code == 400


def test_a_wrong_method_is_told_the_right_ones() -> None:
    response = ask("PUT", "/echo/a")
    assert response.status_code == 405
    assert {"GET", "DELETE"} <= set(response.headers["allow"].split(", "))


def test_an_operator_route_needs_the_token() -> None:
    assert ask("DELETE", "/echo/a").status_code == 401
    assert ask("DELETE", "/echo/a", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert ask("DELETE", "/echo/a", headers={"authorization": "Bearer token"}).status_code == 200


def test_a_bug_is_a_500_with_a_problem_document() -> None:
    async def broken(question: Question, call: Call) -> Reply:
        raise RuntimeError("secret detail")

    response = ask("POST", "/echo", of=service(broken), json={"text": "a"})
    assert response.status_code == 500
    assert "secret" not in response.text


def test_an_expired_deadline_is_a_504_and_a_wrong_one_a_400() -> None:
    async def slow(question: Question, call: Call) -> Reply:
        await asyncio.sleep(10)
        raise AssertionError

    assert ask("POST", "/echo", of=service(slow), json={"text": "a"}, headers={"x-deadline-ms": "20"}).status_code == 504
    for wrong in ("soon", "-1", "nan", "1e9"):
        assert ask("POST", "/echo", json={"text": "a"}, headers={"x-deadline-ms": wrong}).json()["field"] == "x-deadline-ms"


def test_more_requests_than_places_wait_in_order_and_the_rest_are_refused_before_work() -> None:
    started: list[str] = []
    gate = asyncio.Event()

    async def held(question: Question, call: Call) -> Reply:
        started.append(question.text)
        await gate.wait()
        return Reply(question.text)

    async def run() -> list[httpx.Response]:
        async with running(service(held, max_in_flight=1, max_queue_ms=50)) as client:
            first = asyncio.create_task(client.post("/echo", json={"text": "first"}))
            while not started:
                await asyncio.sleep(0)
            second = await client.post("/echo", json={"text": "second"})
            gate.set()
            await first
            third = await client.post("/echo", json={"text": "third"})
            return [await first, second, third]

    first, second, third = asyncio.run(run())
    assert [answer.status_code for answer in (first, second, third)] == [200, 503, 200]
    assert (second.headers["retry-after"], second.json()["type"]) == ("1", "urn:aisle:overloaded")
    assert started == ["first", "third"]


def test_time_in_the_queue_counts_against_the_deadline() -> None:
    left: list[float] = []
    gate = asyncio.Event()

    async def held(question: Question, call: Call) -> Reply:
        left.append(call.deadline.remaining_ms())
        await gate.wait()
        return Reply("")

    async def run() -> None:
        async with running(service(held, max_in_flight=1, max_queue_ms=60_000)) as client:
            asked = [asyncio.create_task(client.post("/echo", json={"text": "a"}, headers={"x-deadline-ms": "50000"})) for _ in range(2)]
            while not left:
                await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            gate.set()
            await asyncio.gather(*asked)

    asyncio.run(run())
    assert left[0] - left[1] >= 99


def test_readiness_names_each_dependency() -> None:
    made = service()
    made.check("index", lambda: {"generation": 1})

    def broken() -> None:
        raise ConnectionError("no route")

    made.check("graph", broken)
    response = ask("GET", "/readyz", of=made)
    assert response.status_code == 503
    assert response.json()["checks"] == {
        "index": {"ok": True, "detail": {"generation": 1}},
        "graph": {"ok": False, "detail": "ConnectionError: no route"},
    }


def test_metrics_count_by_route_template() -> None:
    async def run() -> str:
        async with running(service()) as client:
            await client.get("/echo/a")
            await client.get("/echo/b")
            return (await client.get("/metrics")).text

    assert 'aisle_requests_total{route="/echo/{text}",status="200"} 2.0' in asyncio.run(run())


def test_the_openapi_document_has_every_route() -> None:
    document = ask("GET", "/openapi.json").json()
    assert set(document["paths"]) == {"/echo", "/echo/{text}"}
    assert {p["in"] for p in document["paths"]["/echo/{text}"]["get"]["parameters"]} == {"path", "query"}


def test_a_client_joins_the_callees_stages_and_raises_its_errors() -> None:
    async def unavailable(question: Question, call: Call) -> Reply:
        raise Unavailable("the index is closed")

    async def run() -> tuple[set[str], str]:
        good, bad = service().asgi(), service(unavailable).asgi()
        call = Call(deadline=Deadline(60_000))
        async with good.router.lifespan_context(good), bad.router.lifespan_context(bad):
            client = ServiceClient("echo", "http://echo", transport=httpx.ASGITransport(good))
            assert await client.post("/echo", Question("a"), Reply, call) == Reply("a")
            try:
                await ServiceClient("echo", "http://echo", transport=httpx.ASGITransport(bad)).post("/echo", Question("a"), Reply, call)
            except Unavailable as error:
                return {name for name, _, _ in call.timing.entries}, error.detail
        raise AssertionError

    names, detail = asyncio.run(run())
    assert {"echo", "echo.net", "echo.work", "echo.queue"} <= names
    assert detail == "the index is closed"


def test_a_client_gives_up_at_its_budget_and_opens_the_breaker() -> None:
    async def slow(question: Question, call: Call) -> Reply:
        await asyncio.sleep(10)
        raise AssertionError

    async def run() -> list[type[Exception]]:
        app = service(slow).asgi()
        seen: list[type[Exception]] = []
        async with app.router.lifespan_context(app):
            client = ServiceClient("echo", "http://echo", transport=httpx.ASGITransport(app), breaker=Breaker(pause_s=1000))
            for _ in range(6):
                try:
                    await client.post("/echo", Question("a"), Reply, Call(deadline=Deadline(60_000)), budget_ms=10)
                except (DeadlineExceeded, Unavailable) as error:
                    seen.append(type(error))
        return seen

    assert asyncio.run(run()) == [DeadlineExceeded] * 5 + [Unavailable]


def test_a_body_that_is_nested_too_deeply_is_a_400() -> None:
    class Anything(msgspec.Struct):
        value: Any = None

    made = Service("any", ServiceSettings(), description="takes anything")

    async def took(request: Anything, call: Call) -> Reply:
        return Reply("took it")

    made.post("/any", Anything, Reply, took)
    assert ask("POST", "/any", of=made, content=b'{"value":' * 50_000).status_code == 400


def test_the_documentation_page_needs_no_other_host() -> None:
    page = ask("GET", "/docs").text
    assert "swagger-ui-bundle.js" in page
    assert "https://" not in page
