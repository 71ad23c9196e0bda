"""Shoppers of a shop without a world, and what they send."""

import datetime
import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from loadgen import client
from loadgen.shoppers import Action, Habits, TitleShopper, TitleVisit, Wanted, some_words
from services.contracts import Item, SearchRequest


def items(*ids: str) -> list[Item]:
    return [Item(n, i, msgspec.Raw(b"{}"), 1.0, "high", True) for n, i in enumerate(ids, 1)]


@given(st.lists(st.text("abc", min_size=1), min_size=1, max_size=9), st.integers(0, 99))
def test_a_query_is_words_of_the_title_in_their_order(words: list[str], seed: int) -> None:
    chosen = some_words(" ".join(words), random.Random(seed)).split()
    rest = iter(words)
    assert all(word in rest for word in chosen)
    assert min(2, len(words)) <= len(chosen) <= 4


def test_the_same_seed_gives_the_same_visits() -> None:
    products = [Wanted(str(n), f"red shoe number {n}") for n in range(50)]

    def visits(seed: int) -> list[tuple[str, str | None]]:
        shopper = TitleShopper(products, 10, Habits(), random.Random(seed))
        return [(v.query, v.user_id) for v in (shopper.visit() for _ in range(20))]

    assert visits(1) == visits(1)
    assert visits(1) != visits(2)


def test_what_was_looked_for_is_clicked_and_ends_the_search() -> None:
    habits = Habits(examine=1, click=0, click_wanted=1, cart=1, purchase=1, turn=1)
    reaction = TitleVisit("q", None, "b", habits, random.Random(1)).read(items("a", "b", "c"))
    assert reaction.actions == [Action("click", "b", 2), Action("cart", "b", 2), Action("purchase", "b", 2)]
    assert not reaction.more


def test_without_it_the_page_is_turned() -> None:
    habits = Habits(examine=1, click=0, turn=1)
    reaction = TitleVisit("q", None, "z", habits, random.Random(1)).read(items("a", "b"))
    assert reaction.actions == []
    assert reaction.more


def test_a_first_page_is_a_request_that_the_planner_knows() -> None:
    who = client.Who("u1", "c1", "s1")
    request = msgspec.json.decode(client.first_page("red shoe", who, 10), type=SearchRequest)
    assert request == SearchRequest(query="red shoe", page_size=10, user_id="u1", client_id="c1", session_id="s1")


def test_a_next_page_is_asked_for_by_its_cursor() -> None:
    request = msgspec.json.decode(client.next_page("abc", client.Who(None, "c1", "s1")), type=SearchRequest)
    assert request == SearchRequest(cursor="abc", client_id="c1", session_id="s1")


def test_events_are_ubi_with_an_id_of_ours() -> None:
    now = datetime.datetime(2026, 1, 31, 9, 0, 0, 5000, datetime.UTC)
    [event] = msgspec.json.decode(client.events([Action("cart", "p7", 3)], "q1", client.Who("u1", "c1", "s1"), now, ["e1"]))
    assert event == {
        "application": "aisle-loadgen",
        "action_name": "add_to_cart",
        "query_id": "q1",
        "timestamp": "2026-01-31T09:00:00.005Z",
        "user_id": "u1",
        "client_id": "c1",
        "session_id": "s1",
        "event_attributes": {
            "event_id": "e1",
            "object": {"object_id": "p7", "object_id_field": "product_id"},
            "position": {"ordinal": 3},
        },
    }
