"""Bad input to the public API: a problem document that names the field, or a sensible result; never a 500."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from planner import cursor
from services.contracts import Candidates
from services.eventlog.sqlite import SqliteReader
from services.shop import secret
from tests.planner_shop import World, world

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture
def shop(opened: World) -> World:
    """The one planner of this file, with nothing asked yet."""
    opened.services.asked.clear()
    return opened


def problem(answer: httpx.Response, status: int = 400) -> dict[str, Any]:
    """The problem document of a refused request."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(found)
    return found


# ---- queries ----

QUERIES = {
    "query syntax": '+title:(shoe -red) AND price:[1 TO *] OR "x~2^3',
    "sql": "'; DROP TABLE products; --",
    "cypher": "MATCH (n) DETACH DELETE n //",
    "script": "<script>alert(1)</script>",
    "regular expression": "(a+)+$ .* [",
    "format": "{0} %s %n ${jndi:ldap://x}",
    "path": "../../etc/passwd",
    "right to left": "\u202eحذاء أحمر",
    "hebrew": "נעליים אדומות",
    "nul": "red\x00shoe",
    "control characters": "red\x01\x1b[31m shoe\x7f",
    "emoji among words": "red 👟 shoe",
    "combining": "e\u0301" * 100,
    "zero width": "sh\u200boe",
    "astral": "𝒮𝒽ℴℯ",
    "one letter": "a",
    "digits": "1234567890",
    "stop words": "the of and",
}


@pytest.mark.parametrize("name", QUERIES)
async def test_any_text_is_just_text(shop: World, name: str) -> None:
    answer = await shop.search(query=QUERIES[name], user_id="ann")
    assert answer["query"]["text"] == QUERIES[name]
    assert answer["degraded"] == []
    by_get = await shop.client.get("/search", params={"q": QUERIES[name]})
    assert by_get.status_code == 200
    assert by_get.json()["query"] == answer["query"]


@pytest.mark.parametrize("query", ["😀", "👟👟👟", "!!!", "?", "---", "\x00", "\u202e"])
async def test_a_query_of_signs_finds_nothing(shop: World, query: str) -> None:
    answer = await shop.search(query=query, facets=["brand"])
    assert (answer["items"], answer["total"], answer.get("cursor")) == ([], {"value": 0, "relation": "eq"}, None)
    assert "/retrieve" not in shop.services.asked


async def test_a_query_of_ten_thousand_characters_is_cut_and_says_so(shop: World) -> None:
    answer = await shop.search(query="shoe " * 2000)
    assert answer["query"]["cut"] is True
    assert answer["query"]["text"] == ("shoe " * 51).strip(), "whole words of 256 characters"
    assert shop.services.asked["/analyse"][0].query == answer["query"]["text"]
    assert (await shop.search(query=" ".join(f"w{n}" for n in range(40))))["query"]["cut"] is True
    assert "cut" not in (await shop.search(query="shoe"))["query"]


@pytest.mark.parametrize("body", [b'{"query":"\\ud800"}', b'{"query":"\xff\xfe"}', b'{"query":"\\udc00 shoe"}'])
async def test_text_that_is_no_unicode_is_refused(shop: World, body: bytes) -> None:
    assert "JSON" in problem(await shop.client.post("/search", content=body))["detail"]


async def test_a_query_string_that_is_no_unicode_is_refused(shop: World) -> None:
    assert "UTF-8" in problem(await shop.client.get("/search?q=%ff%fe"))["detail"]


# ---- fields ----


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": 5}, "query"),
        ({"query": ["shoe"]}, "query"),
        ({"query": {"$ne": 1}}, "query"),
        ({"page": 0}, "page"),
        ({"page": -1}, "page"),
        ({"page": 10**9}, "page"),
        ({"page": 10**30}, "page"),
        ({"page": 1.5}, "page"),
        ({"page": "1"}, "page"),
        ({"page": 21}, "page"),
        ({"page": 7}, "page"),
        ({"page_size": 0}, "page_size"),
        ({"page_size": 101}, "page_size"),
        ({"sort": "random"}, "sort"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "u" * 129}, "user_id"),
        ({"user_id": 7}, "user_id"),
        ({"facets": "brand"}, "facets"),
        ({"facets": ["f"] * 21}, "facets"),
        ({"filters": {"size": ["9"]}}, "filters.size"),
        ({"filters": {"brand": []}}, "filters.brand"),
        ({"filters": {"brand": "acme"}}, "filters.brand"),
        ({"filters": {"category": [-5]}}, "filters.category[0]"),
        ({"filters": {"category": ["shoes"]}}, "filters.category[0]"),
        ({"filters": {"price_cents": {"min": -1}}}, "filters.price_cents.min"),
        ({"filters": {"price_cents": {"min": 9, "max": 3}}}, "filters.price_cents"),
        ({"filters": {"price_cents": {"from": 9}}}, "filters.price_cents.from"),
        ({"limit": 5}, "limit"),
        ({"Query": "shoe"}, "Query"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "c" * 16_385}, "cursor"),
        ({"explain": "yes"}, "explain"),
    ],
)
async def test_a_wrong_field_is_named(shop: World, body: dict[str, Any], field: str) -> None:
    found = problem(await shop.client.post("/search", json={"query": "shoe", **body}))
    assert found["field"] == field
    assert "/rank" not in shop.services.asked


async def test_a_page_past_the_candidates_names_the_last_page(shop: World) -> None:
    found = problem(await shop.client.post("/search", json={"query": "shoe", "page": 7}))
    assert "last page is 6" in found["detail"]
    assert found["accepted"].startswith("1 to 6")
    problem(await shop.client.post("/search", json={"query": "😀", "page": 2}))


async def test_a_field_that_is_given_twice_counts_as_the_last_one(shop: World) -> None:
    answer = await shop.client.post("/search", content=b'{"query":"boot","query":"shoe"}')
    assert answer.json()["query"]["text"] == "shoe"


@pytest.mark.parametrize(
    "path", ["/search?q=a&q=b", "/search?query=a", "/search?q=a&page=x", "/search?page=0", "/suggest?limit=1000", "/suggest?x=1"]
)
async def test_a_wrong_parameter_is_named(shop: World, path: str) -> None:
    assert problem(await shop.client.get(path))["field"] in ("q", "query", "page", "limit", "x")


async def test_unknown_users_are_like_new_ones(shop: World) -> None:
    for user in ("nobody", "x' OR 1=1", "ünï", "\x00", "u" * 128):
        assert len((await shop.search(query="shoe", user_id=user))["items"]) == 10


# ---- cursors ----


async def test_a_forged_cut_or_changed_cursor_is_refused(shop: World) -> None:
    good = (await shop.search(query="shoe"))["cursor"]
    other = cursor.encode(cursor.decode(good, secret(shop.home), 0)[0], Candidates(b"", b"", b"", b""), b"guessed", 2**41)
    for bad in ("x", good[:-1], good[: len(good) // 2], good + "A", "A" + good[1:], good.swapcase(), other, "=" * 40, "é", good + "\n"):
        found = problem(await shop.client.post("/search", json={"cursor": bad}))
        assert (found["type"], found["field"]) == ("urn:aisle:cursor-invalid", "cursor")
    assert len((await shop.search(cursor=good))["items"]) == 10


async def test_a_cursor_older_than_half_an_hour_is_refused_with_a_code_of_its_own(shop: World) -> None:
    key = secret(shop.home)
    state, rest = cursor.decode((await shop.search(query="shoe"))["cursor"], key, 0)
    found = problem(await shop.client.post("/search", json={"cursor": cursor.encode(state, rest, key, 0)}))
    assert found["type"] == "urn:aisle:cursor-expired"


async def test_a_cursor_stands_alone(shop: World) -> None:
    good = (await shop.search(query="shoe"))["cursor"]
    extras: list[dict[str, Any]] = [
        {"query": "boot"},
        {"page": 2},
        {"page_size": 3},
        {"filters": {}},
        {"sort": "newest"},
        {"facets": ["brand"]},
    ]
    for extra in extras:
        found = problem(await shop.client.post("/search", json={"cursor": good, **extra}))
        assert found["field"] in extra
    assert problem(await shop.client.get("/search", params={"cursor": good, "q": "boot"}))["field"] == "query"


# ---- bodies, headers, methods ----


@pytest.mark.parametrize("path", ["/search", "/events"])
@pytest.mark.parametrize("body", [b"", b"shoe", b"{", b"\x00\x01\x02", b"<a/>", b"query=shoe", b'{"query":NaN}', b"[" * 100_000])
async def test_a_body_that_is_no_json_is_refused(shop: World, path: str, body: bytes) -> None:
    problem(await shop.client.post(path, content=body))


@pytest.mark.parametrize("body", [b"null", b"5", b'"shoe"', b"[]"])
async def test_json_that_is_no_search_is_refused(shop: World, body: bytes) -> None:
    problem(await shop.client.post("/search", content=body))


@pytest.mark.parametrize("path", ["/search", "/events"])
async def test_ten_megabytes_are_too_large(shop: World, path: str) -> None:
    found = problem(await shop.client.post(path, content=b'{"query":"' + b"x" * 10_000_000 + b'"}'), 413)
    assert "at most" in found["accepted"]


@pytest.mark.parametrize("value", ["0", "-5", "soon", "nan", "1e9", ""])
async def test_a_deadline_that_is_no_time_is_refused(shop: World, value: str) -> None:
    found = problem(await shop.client.post("/search", json={"query": "shoe"}, headers={"x-deadline-ms": value}))
    assert found["field"] == "x-deadline-ms"


async def test_paths_and_methods_that_do_not_exist(shop: World) -> None:
    problem(await shop.client.get("/nothing"), 404)
    found = problem(await shop.client.put("/search"), 405)
    assert set(found["accepted"].replace(" ", "").split(",")) >= {"GET", "POST"}


# ---- events ----


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({}, "[1].action_name"),
        ({"action_name": 5}, "[1].action_name"),
        ({"action_name": "a" * 101}, "[1].action_name"),
        ({"action_name": "a", "timestamp": "yesterday"}, "[1].timestamp"),
        ({"action_name": "a", "timestamp": 10**15}, "[1].timestamp"),
        ({"action_name": "a", "timestamp": -1}, "[1].timestamp"),
        ({"action_name": "a", "message": "m" * 1025}, "[1].message"),
        ({"action_name": "a", "event_attributes": []}, "[1].event_attributes"),
        ({"action_name": "a", "event_attributes": {"object": {"object_id": {}}}}, "[1].event_attributes.object.object_id"),
        ({"action_name": "a", "event_attributes": {"event_id": ""}}, "[1].event_attributes.event_id"),
        ({"action_name": "a", "event_attributes": {"position": {"ordinal": "first"}}}, "[1].event_attributes.position.ordinal"),
    ],
)
async def test_a_wrong_event_is_named_by_index_and_field_and_nothing_is_kept(shop: World, event: dict[str, Any], field: str) -> None:
    good = {"action_name": "click"}
    before = _events(shop)
    found = problem(await shop.client.post("/events", json=[good, event]))
    assert found["field"] == field
    assert _events(shop) == before


def _events(shop: World) -> int:
    return len(SqliteReader(shop.shop.log_file).read(0, 10_000, ["event"]))


async def test_more_than_five_hundred_events_are_refused(shop: World) -> None:
    problem(await shop.client.post("/events", json=[{"action_name": "click"}] * 501))
    assert (await shop.client.post("/events", json=[{"action_name": "click"}] * 500)).json()["accepted"] == 500


async def test_events_about_what_does_not_exist_are_taken_as_they_are(shop: World) -> None:
    event = {
        "action_name": "click",
        "user_id": "nobody",
        "query_id": "no such query",
        "event_attributes": {"object": {"object_id": "no such product\x00"}, "position": {"ordinal": 999_999}},
    }
    answer = await shop.client.post("/events", json=[event, {**event, "event_attributes": {"object": {"object_id": 7}}}])
    assert (answer.status_code, answer.json()["unknown_products"]) == (202, 2)
    await shop.search(query="shoe", user_id="nobody")
    assert shop.services.asked["/preferences"][0].pending == []


async def test_products_and_users_that_do_not_exist(shop: World) -> None:
    for product in ("nothing", "%00", "..%2F..%2Fetc", "p1'--", "%F0%9F%98%80"):
        problem(await shop.client.get(f"/products/{product}"), 404)
    for user in ("nobody", "a%2Fb", "a/b/"):  # whatever /events takes can be forgotten
        assert (await shop.client.delete(f"/users/{user}", headers=shop.operator)).status_code == 200
    problem(await shop.client.delete("/users/nobody", headers={"authorization": "Bearer guess"}), 401)
