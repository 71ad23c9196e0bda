"""A shopper of the world searches, clicks what she likes, turns the page: the next page is another one than without the clicks."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from datagen.world import World, open_world
from services.shop import open_shop
from tests.system.stack import Stack


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small world with strong preferences, of which a network learns enough to pass its gate; `aisle up` does the rest."""
    home = tmp_path_factory.mktemp("aisle")
    knobs = ["--products", "600", "--users", "100", "--days", "10", "--pages", "8000"]
    settings = home / "strong.toml"
    settings.write_text("preference_strength = 4.0\ngroups = 3\nhidden_strength = 0.2\ndrift = 0.0\n")
    shop = home / "shops" / "demo"
    argv = [sys.executable, "-m", "datagen", "world", str(shop), "--settings", str(settings), *knobs]
    subprocess.run(argv, check=True, env={**os.environ, "AISLE_HOME": str(home)}, stdout=subprocess.DEVNULL, timeout=200)
    return home


def test_clicks_change_the_next_page_of_a_shopper_with_strong_preferences(home: Path) -> None:
    with (
        Stack.start(home, limit_s=280) as stack,
        httpx.Client(base_url=stack.url, timeout=30.0, headers={"x-deadline-ms": "20000"}) as client,
    ):
        world = open_world(open_shop("demo", home).root)
        user, query = shopper(world)
        without = pages(client, world, f"{user}-without", query, clicks=False)
        with_clicks = pages(client, world, f"{user}-with", query, clicks=True)
    assert without[0] == with_clicks[0]  # nothing is known of either before the first click
    assert without[1] != with_clicks[1]
    assert not set(with_clicks[0]) & set(with_clicks[1])  # and no product comes again


def shopper(world: World) -> tuple[str, str]:
    """A user, and the noun of the category with the most products."""
    leaf = int(np.bincount(world.items.category).argmax())
    return "fresh", world.words.leaves[leaf].nouns[0]


def pages(client: httpx.Client, world: World, user: str, query: str, *, clicks: bool) -> list[list[str]]:
    """Two pages of five, between which the products of one brand are clicked, put in the cart and bought, or nothing is."""
    first = page(client, {"query": query, "user_id": user, "page_size": 5})
    if clicks:
        liked = [item for item in first["items"] if brand(world, item) == brand(world, first["items"][-1])]
        events = [event(first["query_id"], user, item, action) for item in liked for action in ("click", "add_to_cart", "purchase")]
        answer = client.post("/events", json=events)
        assert answer.status_code == 202, answer.text
    second = page(client, {"cursor": first["cursor"], "user_id": user})
    return [[item["product_id"] for item in page["items"]] for page in (first, second)]


def page(client: httpx.Client, asked: dict[str, object]) -> dict[str, Any]:
    """An answer of which nothing was left out."""
    answer = client.post("/search", json=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["degraded"] == []
    return found


def brand(world: World, item: dict[str, str]) -> int:
    return int(world.items.brand[world.product_no(item["product_id"])])


def event(query_id: str, user: str, item: dict[str, str], action: str) -> dict[str, object]:
    return {
        "application": "test",
        "action_name": action,
        "query_id": query_id,
        "user_id": user,
        "event_attributes": {
            "object": {"object_id": item["product_id"], "object_id_field": "product_id"},
            "position": {"ordinal": item["position"]},
        },
    }
