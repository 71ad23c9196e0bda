"""The whole path with real processes: `aisle up` on a small world, searched, clicked, degraded by stopping services for good."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from datagen.world import World, open_world
from deploy.layout import PROJECT
from services.artifacts import Versions
from services.contracts import PageRecord, SearchAnswer
from services.eventlog.sqlite import SqliteReader
from services.features import FEATURE_SCHEMA, FEATURES
from services.shop import Shop
from tests.system.stack import Stack

pytestmark = pytest.mark.timeout(600)
Answer = dict[str, Any]
DEADLINE = {"x-deadline-ms": "20000"}  # a busy test machine is no failure; what depends on deadlines is tested without a clock elsewhere


class Demo:
    """A running demo shop and a client of its public API."""

    def __init__(self, stack: Stack, shop: Shop) -> None:
        self.stack, self.shop = stack, shop
        token = (stack.home / "operator.token").read_text()
        self.operator = {"authorization": f"Bearer {token}"}
        self.http = httpx.Client(base_url=stack.url, headers=DEADLINE, timeout=30)
        self.world: World = open_world(shop.root)

    def search(self, **request: Any) -> Answer:
        response = self.http.post("/search", json=request, headers=self.operator)
        assert response.status_code == 200, response.text
        answer: Answer = response.json()
        return answer

    def do(self, action: str, product_id: str, user_id: str, query_id: str = "q", position: int = 1) -> Answer:
        event = {
            "action_name": action,
            "query_id": query_id,
            "user_id": user_id,
            "client_id": user_id,
            "timestamp": int(time.time() * 1000),
            "event_attributes": {"object": {"object_id": product_id}, "position": {"ordinal": position}},
        }
        response = self.http.post("/events", json=[event])
        assert response.status_code == 202, response.text
        answer: Answer = response.json()
        return answer

    def users_with_history(self) -> Iterator[tuple[str, int]]:
        for number in range(40):
            user = self.world.user_id(number)
            yield user, self.search(user_id=user, explain=True)["preferences"]["events"]


def names(answer: Answer) -> list[str]:
    return [item["product_id"] for item in answer["items"]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home = tmp_path_factory.mktemp("demo")
    made = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "data", "--products", "800", "--users", "150", "--pages", "4000"],
        cwd=PROJECT,
        env={**os.environ, "AISLE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    with Stack.start(home, "demo", limit_s=400) as stack:
        yield Demo(stack, Shop(home / "shops" / "demo"))


def some_word(demo: Demo) -> str:
    """A word of the catalogue that several products have."""
    answer = demo.search(page_size=50)
    words = [w for item in answer["items"] for w in item["summary"]["title"].lower().split() if w.isalpha() and len(w) > 5]
    return max(set(words), key=words.count)


def test_a_search_names_its_parts_and_follows_the_contract(demo: Demo) -> None:
    response = demo.http.post("/search", json={"query": some_word(demo), "facets": ["brand"]})
    answer = msgspec.json.decode(response.content, type=SearchAnswer)
    assert (answer.generation, answer.release, answer.degraded) == (1, 1, [])
    assert len(answer.items) == 10
    assert [tier.name for tier in answer.tiers] == ["high", "medium", "low"]
    assert answer.query.categories
    assert answer.facets and sum(f.count for f in answer.facets["brand"]) > 0
    stages = {entry.split(";")[0] for entry in response.headers["server-timing"].split(", ")}
    assert {"queue", "analyse", "analyse.net", "analyse.spell", "retrieve", "rank", "rank.features", "fetch", "total"} <= stages


def test_a_misspelt_word_is_put_right_and_verbatim_searches_what_was_typed(demo: Demo) -> None:
    word = some_word(demo)
    typed = word[:2] + word[3] + word[2] + word[4:]
    answer = demo.search(query=typed)
    assert answer["query"].get("corrected") == word
    assert names(answer) == names(demo.search(query=word))
    assert "corrected" not in demo.search(query=typed, verbatim=True)["query"]


def test_pages_never_repeat_a_product_and_end(demo: Demo) -> None:
    answer = demo.search(query=some_word(demo), page_size=40)
    seen = names(answer)
    while cursor := answer.get("cursor"):
        answer = demo.search(cursor=cursor)
        seen += names(answer)
    assert len(seen) == len(set(seen))
    assert [item["position"] for item in answer["items"]][-1:] in ([], [len(seen)])


def test_a_click_is_known_to_the_very_next_search(demo: Demo) -> None:
    for n in range(5):
        user = f"newcomer-{n}"
        before = demo.search(user_id=user, explain=True)["preferences"]["events"]
        done = demo.do("click", names(demo.search(query=some_word(demo)))[n], user)
        assert done["accepted"] == 1
        assert (before, demo.search(user_id=user, explain=True)["preferences"]["events"]) == (0, 1)


def test_a_click_is_known_to_the_next_page(demo: Demo) -> None:
    first = demo.search(query=some_word(demo), user_id="page-turner", page_size=5, explain=True)
    demo.do("click", names(first)[0], "page-turner", first["query_id"])
    second = demo.search(cursor=first["cursor"], explain=True)
    assert (first["preferences"]["events"], second["preferences"]["events"]) == (0, 1)
    assert not set(names(first)) & set(names(second))


def test_an_event_that_is_sent_again_counts_once(demo: Demo) -> None:
    event = {
        "action_name": "click",
        "user_id": "again",
        "timestamp": int(time.time() * 1000),
        "event_attributes": {"event_id": "the-same", "object": {"object_id": names(demo.search())[0]}},
    }
    for _ in range(3):
        assert demo.http.post("/events", json=[event]).status_code == 202
    assert demo.search(user_id="again", explain=True)["preferences"]["events"] == 1


def test_events_about_products_that_do_not_exist_are_kept_out_of_the_graph(demo: Demo) -> None:
    assert demo.do("click", "no-such-product", "lost")["accepted"] == 1
    assert demo.search(user_id="lost", explain=True)["preferences"]["events"] == 0


def test_the_users_of_the_history_are_known_by_the_id_that_the_shop_uses(demo: Demo) -> None:
    assert max(events for _, events in demo.users_with_history()) > 3


def test_a_forgotten_user_is_unknown(demo: Demo) -> None:
    user = next(user for user, events in demo.users_with_history() if events > 3)
    assert demo.http.delete(f"/users/{user}").status_code == 401
    response = demo.http.delete(f"/users/{user}", headers=demo.operator)
    assert response.status_code == 200, response.text
    assert demo.search(user_id=user, explain=True)["preferences"]["events"] == 0


def test_browsing_filtering_and_sorting(demo: Demo) -> None:
    popular = demo.search()
    brand = popular["items"][0]["summary"]["brand"]
    cheap = demo.search(filters={"brand": [brand]}, sort="price_asc", page_size=50)
    prices = [item["summary"]["price_cents"] for item in cheap["items"]]
    assert {item["summary"]["brand"] for item in cheap["items"]} == {brand}
    assert prices == sorted(prices)
    capped = demo.search(query=some_word(demo), filters={"price_cents": {"max": prices[-1]}}, page_size=50)
    assert all(item["summary"]["price_cents"] <= prices[-1] for item in capped["items"])


def test_suggestions_and_single_products(demo: Demo) -> None:
    word = some_word(demo)
    suggested = demo.http.get("/suggest", params={"q": word[:3]}).json()["suggestions"]
    assert suggested
    product_id = names(demo.search())[0]
    assert demo.http.get(f"/products/{product_id}").json()["product_id"] == product_id
    assert demo.http.get("/products/nothing").status_code == 404


def test_pages_that_were_served_are_in_the_log_with_their_features(demo: Demo) -> None:
    query_id = demo.search(query=some_word(demo), user_id="logged")["query_id"]
    reader, page = SqliteReader(demo.shop.log_file), None
    give_up = time.monotonic() + 20
    while page is None:  # records of pages are written off the path
        assert time.monotonic() < give_up
        records = reader.read(max(0, reader.end() - 200), 200, ["page"])
        pages = [msgspec.json.decode(r.payload, type=PageRecord) for r in records]
        page = next((p for p in pages if p.query_id == query_id), None)
    reader.close()
    assert (page.feature_schema, page.generation, page.release) == (FEATURE_SCHEMA, 1, 1)
    assert len(page.features) == 4 * len(FEATURES) * len(page.product_no)


def test_readiness_and_metrics_of_every_service(demo: Demo) -> None:
    for name in ("planner", "recommender", "searcher", "ranker"):
        address = demo.stack.service(name).address
        give_up = time.monotonic() + 60
        while not httpx.get(f"{address}/readyz", timeout=30).json()["ready"]:
            assert time.monotonic() < give_up
        assert "aisle_stage_seconds_bucket" in httpx.get(f"{address}/metrics", timeout=10).text


def test_a_new_generation_is_served_without_a_restart_and_old_cursors_go_on(demo: Demo) -> None:
    first = demo.search(query=some_word(demo), page_size=5)
    built = subprocess.run(
        [sys.executable, "-m", "offline.build", str(demo.shop.root)], cwd=PROJECT, capture_output=True, text=True, timeout=300
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert Versions(demo.shop.generations).current() == 2
    give_up = time.monotonic() + 60
    while (answer := demo.search(query=some_word(demo)))["generation"] != 2:
        assert answer["items"]
        assert time.monotonic() < give_up
    second = demo.search(cursor=first["cursor"])
    assert second["items"]
    assert not set(names(first)) & set(names(second))


# From here on services are stopped for good, one after the other: what is left out is named, and the rest goes on.


def test_without_the_ranker_the_order_is_that_of_retrieval(demo: Demo) -> None:
    demo.stack.stop("ranker")
    answer = demo.search(query=some_word(demo), user_id="someone")
    assert answer["degraded"] == ["ranking"]
    assert len(answer["items"]) == 10


def test_without_the_recommender_nothing_is_personal_and_events_are_kept(demo: Demo) -> None:
    demo.stack.stop("recommender")
    answer = demo.search(query=some_word(demo), user_id="someone")
    assert answer["degraded"] == ["analysis", "preferences", "ranking"]
    assert len(answer["items"]) == 10
    done = demo.do("click", names(answer)[0], "someone")
    assert (done["accepted"], done["projected"]) == (1, False)


def test_without_the_searcher_a_search_is_refused_with_a_reason(demo: Demo) -> None:
    demo.stack.stop("searcher")
    response = demo.http.post("/search", json={"query": "anything"})
    assert (response.status_code, response.headers["content-type"]) == (503, "application/problem+json")
    assert "searcher" in response.json()["detail"]
    assert response.headers["retry-after"]
    assert demo.http.get("/healthz").status_code == 200
    assert demo.http.get("/readyz").status_code == 503


def test_a_real_catalogue_is_imported_and_served_without_categories(tmp_path: Path) -> None:
    catalogue = tmp_path / "products.jsonl"
    rows = [
        {"id": f"sku-{n}", "title": f"{brand} {kind} {n}", "maker": brand, "price": 1000 + n}
        for n, (brand, kind) in enumerate((b, k) for b in ("Acme", "Zenith") for k in ("kettle", "toaster", "lamp") * 5)
    ]
    catalogue.write_text("".join(json.dumps(row) + "\n" for row in rows))
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('price_unit = "cents"\n[fields]\nproduct_id = "id"\ntitle = "title"\nbrand = "maker"\nprice = "price"\n')
    home = tmp_path / "home"
    imported = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "import", "--shop", "kitchen", "--catalog", str(catalogue), "--mapping", str(mapping)],
        cwd=PROJECT,
        env={**os.environ, "AISLE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert imported.returncode == 0, imported.stdout + imported.stderr
    with Stack.start(home, "kitchen") as stack:
        answer = httpx.post(f"{stack.url}/search", json={"query": "acme ketle"}, headers=DEADLINE, timeout=30).json()
        assert (answer["off"], answer["degraded"], answer["query"]["corrected"]) == (["categories"], [], "acme kettle")
        assert all("Acme kettle" in item["summary"]["title"] for item in answer["items"][:5])
        ready = httpx.get(f"{stack.service('recommender').address}/readyz", timeout=10).json()
        assert "off" in json.dumps(ready["checks"]["categories"])
        assert answer["release"] == 1
