"""Shoppers of a generated shop behave as the world's users do, on whatever pages they get."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec import structs

from datagen import make, settings
from datagen.world import open_world
from loadgen.cast import plain, shoppers
from loadgen.grading import Grader, Page
from loadgen.quality import measure, rule
from loadgen.seen import Seen, Shown
from loadgen.shoppers import Habits, Shopper
from services.contracts import Item
from services.errors import ConfigurationError
from services.shop import Shop, ShopInfo


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("home") / "shops" / "tiny")
    make.world(shop, settings.load(None, products=300, users=50, days=3, pages=100), processes=1)
    return shop


def visits(shopper: Shopper, count: int, rng: np.random.Generator) -> list[tuple[str, str | None, list[str]]]:
    """Visits that each read one page of ten products, positions 11 to 20, and what was done there."""
    seen = []
    for _ in range(count):
        visit = shopper.visit()
        page = [Item(place, f"p{n:07d}", msgspec.Raw(b"{}"), 1.0, "high", True) for place, n in enumerate(rng.integers(300, size=10), 11)]
        reaction = visit.read(page)
        shown = {item.position: item.product_id for item in page}
        assert all(shown[a.position] == a.product_id for a in reaction.actions)
        seen.append((visit.query, visit.user_id, [a.kind for a in reaction.actions]))
    return seen


def test_shoppers_search_as_users_of_the_world_and_click_on_what_they_were_shown(shop: Shop) -> None:
    seen = visits(shoppers(shop.root, Habits(), seed=1)(0), 200, np.random.default_rng(0))
    users = {user for _, user, _ in seen if user is not None}
    assert 5 < len(users) <= 50
    assert all(query for query, _, _ in seen)
    assert any(user is None for _, user, _ in seen)  # some are not signed in
    assert any("click" in kinds for _, _, kinds in seen)


def test_the_same_seed_and_number_give_the_same_shopper(shop: Shop) -> None:
    make_shopper = shoppers(shop.root, Habits(), seed=1)
    first, again, other = (visits(make_shopper(n), 20, np.random.default_rng(0)) for n in (3, 3, 4))
    assert first == again
    assert first != other


def test_products_that_the_world_does_not_know_are_read_over(shop: Shop) -> None:
    visit = shoppers(shop.root, Habits(), seed=1)(0).visit()
    visit.read([Item(1, "somebody-elses", msgspec.Raw(b"{}"), 1.0, "high", True)])


def test_a_shop_without_a_generation_says_what_to_do(tmp_path: Path) -> None:
    empty = Shop(tmp_path / "shops" / "empty")
    empty.write_info(ShopInfo(name="empty"))
    with pytest.raises(ConfigurationError, match="aisle build --shop empty"):
        shoppers(empty.root, Habits(), seed=1)


def test_the_same_queries_answered_worse_under_load_show_in_ndcg_and_regret(shop: Shop) -> None:
    world, ask = open_world(shop.root), plain(shoppers(shop.root, Habits(), seed=1))
    asks = [a for a in map(ask, range(90)) if a.user_id and a.intent >= 0][:20]
    grader = Grader(world)

    def answered(number: int, *, idle: bool, best: bool) -> Seen:
        asked = structs.replace(asks[number], kind="user", probe=number)
        ideal = grader.ideal(Page(world.user_no(asked.user_id or ""), asked.intent, [], world.settings.end_ms)).tolist()
        shown = Shown([f"p{no:07d}" for no in (ideal if best else range(10))], 10, "eq", 1)
        return Seen(request="first", at_s=1, chain=number, page=1, latency_ms=1, service_ms=1, idle=idle, ask=asked, shown=shown)

    idle = [answered(n, idle=True, best=True) for n in range(len(asks))]
    same = measure(shop.root, [*idle, *(answered(n, idle=False, best=True) for n in range(len(asks)))])
    worse = measure(shop.root, [*idle, *(answered(n, idle=False, best=False) for n in range(len(asks)))])
    assert same
    assert worse
    assert (same.queries, same.ndcg_idle, same.ndcg_load) == (len(asks), pytest.approx(1), pytest.approx(1))
    assert (rule(same, 0.02).state, rule(worse, 0.02).state) == ("kept", "broken")
    assert worse.ndcg_load < worse.ndcg_idle
    assert worse.regret_load > worse.regret_idle
    assert measure(shop.root, idle) is None, "nothing to compare with"
