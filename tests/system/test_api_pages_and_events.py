"""The planner's whole public API in process: pages, events, what is logged. The other services are a stand-in (tests/planner_shop.py)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from planner import cursor
from services.contracts import EventRecord, PreferencesRequest
from services.errors import VersionGone
from services.eventlog.sqlite import SqliteReader
from services.identity import user_key
from services.shop import secret
from tests.planner_shop import StandIn, World, add_generation, names, page_records, world

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as opened:
        yield opened


async def all_pages(shop: World, first: dict[str, Any]) -> list[dict[str, Any]]:
    pages = [first]
    while "cursor" in pages[-1] and pages[-1]["cursor"]:
        pages.append(await shop.search(cursor=pages[-1]["cursor"]))
    return pages


# ---- the path ----


async def test_a_search_goes_through_all_four_services_and_says_where_the_time_went(shop: World) -> None:
    response = await shop.client.post("/search", json={"query": "sheos", "user_id": "ann"})
    answer = response.json()
    assert names(answer) == [f"p{n}" for n in range(59, 49, -1)]
    assert answer["query"]["corrected"] == "shoes"
    assert (answer["degraded"], answer["generation"], answer["release"]) == ([], 1, 5)
    assert [i["position"] for i in answer["items"]] == list(range(1, 11))
    assert answer["items"][0]["summary"]["title"] == "Shoe 59"
    stages = {entry.partition(";")[0] for entry in response.headers["server-timing"].split(", ")}
    hops = {"analyse", "retrieve", "preferences", "rank"}
    assert hops | {f"{h}.net" for h in hops} | {f"{h}.work" for h in hops} | {"queue", "fetch", "cursor", "serialise", "total"} <= stages


async def test_one_generation_is_pinned_for_all_calls_of_a_query(shop: World) -> None:
    await shop.search(query="shoe", user_id="ann")
    assert {asked[0].generation for path, asked in shop.services.asked.items()} == {1}


async def test_the_shops_user_id_never_leaves_the_planner(shop: World) -> None:
    await shop.search(query="shoe", user_id="ann")
    assert shop.services.asked["/preferences"][0].user == user_key("ann", secret(shop.home))


async def test_who_is_nobody_gets_the_neutral_ranking_and_that_is_no_loss(shop: World) -> None:
    answer = await shop.search(query="shoe")
    assert answer["degraded"] == []
    assert "/preferences" not in shop.services.asked


@pytest.mark.parametrize("request_", [{}, {"query": ""}, {"query": " \t"}, {"filters": {"brand": ["Acme"]}}])
async def test_an_empty_query_browses_popular_products_personalised(shop: World, request_: dict[str, Any]) -> None:
    answer = await shop.search(user_id="ann", **request_)
    assert len(answer["items"]) == 10
    assert "/analyse" not in shop.services.asked
    assert shop.services.asked["/retrieve"][0].terms == []
    assert len(shop.services.asked["/preferences"]) == len(shop.services.asked["/rank"]) == 1


async def test_an_order_that_the_shopper_chose_is_not_ranked(shop: World) -> None:
    answer = await shop.search(query="shoe", user_id="ann", sort="price_desc")
    assert names(answer)[:2] == ["p59", "p58"]
    assert {"/rank", "/preferences"} & set(shop.services.asked) == set()
    pages = await all_pages(shop, answer)
    assert [n for page in pages for n in names(page)] == [f"p{n}" for n in range(59, -1, -1)]
    assert all(page["degraded"] == [] for page in pages)


async def test_facets_stand_on_the_first_page(shop: World) -> None:
    answer = await shop.search(query="shoe", facets=["brand"])
    assert answer["facets"] == {"brand": [{"value": "acme", "count": 60}]}
    assert (await shop.search(cursor=answer["cursor"])).get("facets") is None


async def test_get_search_is_the_same_search(shop: World) -> None:
    by_get = (await shop.client.get("/search", params={"q": "shoe", "page_size": "3"})).json()
    assert names(by_get) == names(await shop.search(query="shoe", page_size=3))


async def test_explain_and_preferences_need_the_operator_token(shop: World) -> None:
    refused = await shop.client.post("/search", json={"query": "shoe", "user_id": "ann", "explain": True})
    assert (refused.status_code, refused.json()["field"]) == (401, "explain")
    told = await shop.client.post("/search", json={"query": "shoe", "user_id": "ann", "explain": True}, headers=shop.operator)
    assert told.json()["items"][0]["explanation"] == {"no": 59}
    assert told.json()["preferences"]["strategy"] == "network"
    assert "preferences" not in await shop.search(query="shoe", user_id="ann")


async def test_suggestions_and_products(shop: World) -> None:
    assert (await shop.client.get("/suggest?q=sh&limit=3")).json()["suggestions"] == [{"text": "shoes", "kind": "phrase"}]
    assert shop.services.asked["/suggest"] == [{"q": "sh", "limit": "3"}]
    assert (await shop.client.get("/products/p7")).json()["attributes"] == {"color": "red"}
    for unknown in ("p700", "AB%2F12"):  # a shop's ids may hold slashes
        missing = await shop.client.get(f"/products/{unknown}")
        assert (missing.status_code, missing.json()["field"]) == (404, "product_id")


# ---- pages ----


async def test_the_cursor_alone_shows_every_candidate_once_and_then_ends(shop: World) -> None:
    pages = await all_pages(shop, await shop.search(query="shoe", user_id="ann", page_size=7))
    shown = [n for page in pages for n in names(page)]
    assert sorted(shown) == sorted(f"p{n}" for n in range(60))
    assert [i["position"] for page in pages for i in page["items"]] == list(range(1, 61))
    assert {page["query_id"] for page in pages} == {pages[0]["query_id"]}
    assert len(shop.services.asked["/analyse"]) == len(shop.services.asked["/retrieve"]) == 1
    assert all(page["total"] == pages[0]["total"] and page["query"] == pages[0]["query"] for page in pages)


async def test_a_click_changes_the_next_page(shop: World) -> None:
    first = await shop.search(query="shoe", user_id="ann")
    shop.services.projects = False  # the user graph has not followed yet: the click travels along
    assert (await shop.click("ann", "p3"))["projected"] is False
    second = await shop.search(cursor=first["cursor"])
    assert names(second)[0] == "p3"
    assert names(await shop.search(query="shoe", user_id="bob"))[0] == "p59"


async def test_another_replica_with_the_same_secret_gives_the_next_page(shop: World, tmp_path: Path) -> None:
    first = await shop.search(query="shoe")
    (tmp_path / "other").mkdir()
    for name in ("secret", "operator.token"):
        (tmp_path / "other" / name).write_bytes((shop.home / name).read_bytes())
    async with world(tmp_path / "other") as replica:
        assert names(await replica.search(cursor=first["cursor"])) == [f"p{n}" for n in range(49, 39, -1)]


async def test_pages_by_number_go_up_to_the_candidates(shop: World) -> None:
    third = await shop.search(query="shoe", page=3, page_size=25)
    assert names(third) == [f"p{n}" for n in range(9, -1, -1)]
    assert [i["position"] for i in third["items"]] == list(range(51, 61))
    assert third.get("cursor") is None
    second = await shop.search(query="shoe", page=2, page_size=25)
    assert names(await shop.search(cursor=second["cursor"])) == names(third)


async def test_a_cursor_outlives_its_generation_and_deleted_products_are_dropped(shop: World) -> None:
    first = await shop.search(query="shoe")
    add_generation(shop.shop, [n for n in range(60) if n % 2])
    add_generation(shop.shop, [n for n in range(60) if n % 2])
    shop.services.generations = {3}
    await _until_generation(shop, 3)
    pages = await all_pages(shop, await shop.search(cursor=first["cursor"]))
    assert [n for page in pages for n in names(page)] == [f"p{n}" for n in range(49, 0, -2)]
    assert {page["generation"] for page in pages} == {3}


async def test_a_cursor_outlives_its_release(shop: World) -> None:
    first = await shop.search(query="shoe", user_id="ann")
    shop.services.release = 6
    second = await shop.search(cursor=first["cursor"])
    assert (second["release"], second["degraded"]) == (6, [])


async def test_while_a_new_generation_arrives_searches_go_on_with_the_old_one(shop: World) -> None:
    add_generation(shop.shop, range(60))
    await _until_generation(shop, 2)
    shop.services.generations = {1}
    answer = await shop.search(query="shoe", user_id="ann")
    assert (answer["generation"], answer["degraded"]) == (1, [])


async def test_while_a_new_release_arrives_preferences_follow_the_ranker(shop: World) -> None:
    await shop.search(query="shoe", user_id="ann")
    shop.services.release, shop.services.ranker_release = 6, 5  # the recommender was first
    answer = await shop.search(query="shoe", user_id="ann")
    assert (answer["release"], answer["degraded"]) == (5, [])
    assert [r.release for r in shop.services.asked["/rank"]] == [5, 6, 5]


async def test_without_a_common_release_the_ranking_is_neutral_and_says_so(tmp_path: Path) -> None:
    services = StandIn()
    services.release, services.ranker_release = 6, 4
    async with world(tmp_path, services=services) as shop:
        answer = await shop.search(query="shoe", user_id="ann")
        assert (answer["release"], answer["degraded"]) == (4, ["preferences"])


async def _until_generation(shop: World, generation: int) -> None:
    while (await shop.client.get("/readyz")).json()["checks"]["products"]["detail"]["current"] != generation:
        pass


# ---- events ----


async def test_events_are_on_disk_when_the_answer_comes(shop: World) -> None:
    answer = await shop.click("ann", "p3")
    (record,) = SqliteReader(shop.shop.log_file).read(0, 10)
    event = msgspec.json.decode(record.payload, type=EventRecord)
    assert (event.kind, event.product_no, event.user) == ("click", 3, user_key("ann", secret(shop.home)))
    assert answer["event_ids"] == [event.event_id]
    assert (answer["accepted"], answer["position"], answer["projected"]) == (1, {"0": record.offset}, True)
    assert b"ann" not in record.payload


async def test_events_travel_with_preferences_until_they_are_projected(shop: World) -> None:
    shop.services.projects = False
    answer = await shop.click("ann", "p3")
    await shop.search(query="shoe", user_id="ann")
    asked: PreferencesRequest = shop.services.asked["/preferences"][0]
    assert [(e.event_id, e.kind, e.product_no) for e in asked.pending] == [(answer["event_ids"][0], "click", 3)]
    shop.services.projects = True
    assert (await shop.click("bob", "p4"))["projected"] is True  # the log up to here holds ann's click too
    await shop.search(query="shoe", user_id="ann")
    assert shop.services.asked["/preferences"][-1].pending == []


async def test_a_recommender_that_is_away_does_not_keep_events_from_being_logged(shop: World) -> None:
    for fault in ("down", "slow"):
        shop.services.faults["/project"] = fault
        assert (await shop.click("ann", "p3"))["projected"] is False
    assert len(SqliteReader(shop.shop.log_file).read(0, 10)) == 2


async def test_a_slow_projection_does_not_close_the_way_to_preferences(shop: World) -> None:
    shop.services.faults["/project"] = "slow"
    for _ in range(7):
        await shop.click("ann", "p3")
    assert (await shop.search(query="shoe", user_id="ann"))["degraded"] == []


async def test_events_about_products_that_do_not_exist_are_logged_and_counted(shop: World) -> None:
    answer = await shop.click("ann", "no such product")
    assert (answer["accepted"], answer["unknown_products"]) == (1, 1)
    await shop.search(query="shoe", user_id="ann")
    assert shop.services.asked["/preferences"][0].pending == []
    assert 'aisle_events_total{outcome="unknown_product"} 1.0' in (await shop.client.get("/metrics")).text


async def test_events_are_accepted_all_or_not_at_all(shop: World) -> None:
    answer = await shop.client.post("/events", json=[{"action_name": "click"}, {"action_name": "click", "timestamp": "never"}])
    assert (answer.status_code, answer.json()["field"]) == (400, "[1].timestamp")
    assert SqliteReader(shop.shop.log_file).end() == 0


async def test_forgetting_a_user_empties_the_log_of_them(shop: World) -> None:
    shop.services.projects = False
    await shop.click("ann", "p3")
    await shop.click("bob", "p4")
    assert (await shop.client.delete("/users/ann")).status_code == 401
    answer = await shop.client.delete("/users/ann", headers=shop.operator)
    assert answer.json() == {"position": {"0": 3}, "projected": False}
    assert [(r.kind, r.offset) for r in SqliteReader(shop.shop.log_file).read(0, 10)] == [("event", 2), ("forget", 3)]
    await shop.search(query="shoe", user_id="ann")
    assert shop.services.asked["/preferences"][0].pending == []


# ---- what training learns from ----


async def test_every_page_is_recorded_with_its_features_as_served(tmp_path: Path) -> None:
    async with world(tmp_path, experiments='{"button":["old","new"]}') as shop:
        first = await shop.search(query="shoe", user_id="ann", client_id="c", session_id="s", page_size=4)
        await shop.search(cursor=first["cursor"])
        await shop.search(query="shoe", sort="price_desc", page_size=2, client_id="c")
    one, two, three = page_records(shop.shop)
    assert (one.query_id, one.product_no, one.positions, one.page) == (first["query_id"], [59, 58, 57, 56], [1, 2, 3, 4], 1)
    assert np.frombuffer(one.features, np.float32).reshape(4, -1)[:, 0].tolist() == [59, 58, 57, 56]
    assert (one.user, one.client, one.session) == (user_key("ann", secret(shop.home)), "c", "s")
    assert (one.feature_schema, one.generation, one.release, one.strategy) == ("v1", 1, 5, "network")
    assert one.experiments == first["experiments"] != {}
    assert (two.query_id, two.product_no, two.positions, two.page, two.user) == (one.query_id, [55, 54, 53, 52], [5, 6, 7, 8], 2, one.user)
    assert (three.sort, three.features, three.strategy) == ("price_desc", b"", None)


async def test_a_failed_attempt_with_an_old_generation_leaves_no_record(shop: World) -> None:
    shop.services.faults["/rank"] = VersionGone("gone", field="generation")
    assert (await shop.client.post("/search", json={"query": "shoe"})).status_code == 503
    assert page_records(shop.shop) == []


async def test_a_cursor_carries_no_id_that_the_shop_sent(shop: World) -> None:
    first = await shop.search(query="shoe", user_id="ann-with-a-long-name")
    state, _ = cursor.decode(first["cursor"], secret(shop.home), 0)
    assert state.user == user_key("ann-with-a-long-name", secret(shop.home))
