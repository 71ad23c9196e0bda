"""The generated world: believable, the same for the same settings, and honest about what the shop could know."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from datagen import intents as intent_table
from datagen import make, products, shards, truth, users
from datagen.behaviour import Reading, Shopper
from datagen.settings import parse
from datagen.typos import misspell
from datagen.wording import NOUN, SYNONYM, plural
from datagen.words import Vocabulary, vocabulary
from datagen.world import World, open_world
from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA
from services.contracts import EventRecord, PageRecord
from services.errors import ConfigurationError
from services.features import FEATURE_SCHEMA, FEATURES
from services.shop import Shop, ShopInfo
from services.text import query_terms, words

SMALL = parse({"products": 1200, "users": 60, "days": 6, "pages": 500, "exploration": 0.3})


def a_world(**knobs: Any) -> World:
    """A world without history, in memory."""
    settings, words_ = parse({"products": 1500, "users": 80} | knobs), vocabulary()
    items = products.make(settings, words_, np.arange(settings.products))
    return World(settings, words_, items, users.make(settings, np.arange(settings.users)), intent_table.make(settings, items))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(tmp_path_factory.mktemp("shops") / "demo")
    assert make.world(made, SMALL, processes=1)
    return made


@pytest.fixture(scope="module")
def world(shop: Shop) -> World:
    return open_world(shop.root)


@pytest.fixture(scope="module")
def log(shop: Shop) -> list[tuple[str | None, PageRecord | EventRecord]]:
    """The history as the log would have it: user ids and records, in order."""
    types = {"page": PageRecord, "event": EventRecord}
    rows = [row for path in sorted((shop.world / "history").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert [row["ts_ms"] for row in rows] == sorted(row["ts_ms"] for row in rows)
    return [(row["user_id"], msgspec.json.decode(row["payload"], type=types[row["kind"]])) for row in rows]


@pytest.fixture(scope="module")
def pages(log: list[tuple[str | None, Any]]) -> list[PageRecord]:
    return [record for _, record in log if isinstance(record, PageRecord)]


# ---- vocabulary and catalogue --------------------------------------------------------------------------------------------------


def test_there_are_15_departments_and_at_least_150_leaf_categories() -> None:
    found = vocabulary()
    assert len(found.departments) == 15
    assert len({leaf.name for leaf in found.leaves}) == len(found.leaves) >= 150


def tokens(text: str) -> set[str]:
    return {term.text for term in query_terms(text, "en")}


def test_words_that_shoppers_alone_use_are_not_in_the_products_of_their_category() -> None:
    settings, found = parse({"products": 6000}), vocabulary()
    table, items = shards.catalogue_rows(settings, found, range(6000))
    texts: dict[int, set[str]] = {}
    for leaf, title, description in zip(items.category.tolist(), table["title"].to_pylist(), table["description"].to_pylist(), strict=True):
        texts.setdefault(leaf, set()).update(words(f"{title} {description} {found.leaves[leaf].name}"))
    stems = {leaf: {term for word in seen for term in tokens(word)} for leaf, seen in texts.items()}
    known = [(found.leaves[leaf].name, phrase) for leaf in stems for phrase in found.leaves[leaf].asked if tokens(phrase) <= stems[leaf]]
    assert known == []


def test_products_have_at_least_32_attributes_between_them_and_prices_above_zero() -> None:
    table, _ = shards.catalogue_rows(parse({}), vocabulary(), range(4000))
    names = {name for attributes in table["attributes"].to_pylist() for name, _ in attributes}
    assert len(names) >= 32
    assert min(table["price_cents"].to_pylist()) >= 99


@given(st.lists(st.integers(1, 299), max_size=6, unique=True))
@hypothesis_settings(max_examples=20, deadline=None)
def test_any_split_into_shards_gives_the_same_products_and_users(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), 300]
    parts = [range(a, b) for a, b in pairwise(bounds)]
    found = vocabulary()
    whole, _ = shards.catalogue_rows(SMALL, found, range(300))
    assert pa.concat_tables([shards.catalogue_rows(SMALL, found, part)[0] for part in parts]).equals(whole)
    people = [users.make(SMALL, np.arange(part.start, part.stop)).table() for part in parts]
    assert pa.concat_tables(people).equals(users.make(SMALL, np.arange(300)).table())


def test_shards_written_in_any_order_are_the_whole_and_are_not_taken_for_others(tmp_path: Path) -> None:
    assert shards.write(tmp_path / "one", SMALL, 0, 1)
    assert all(shards.write(tmp_path / "many", SMALL, number, 3) for number in (2, 0, 1))
    (whole, columns), (parts, parted) = shards.read(tmp_path / "one", 1), shards.read(tmp_path / "many", 3)
    assert parts.equals(whole) and parted.table().equals(columns.table())
    assert not shards.write(tmp_path / "one", SMALL, 0, 1)
    for settings, of in ((SMALL, 2), (msgspec.structs.replace(SMALL, seed=9), 1)):
        with pytest.raises(ConfigurationError, match="is shard 0 of 1 of world"):
            shards.write(tmp_path / "one", settings, 0, of)


@pytest.mark.parametrize(
    ("one", "many"),
    [("knife", "knives"), ("brush", "brushes"), ("computer mouse", "computer mice"), ("jeans", "jeans"), ("battery", "batteries"), ("toy", "toys")],
)  # fmt: skip
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many


# ---- queries -------------------------------------------------------------------------------------------------------------------


def test_a_fifth_share_gives_queries_with_four_constraints() -> None:
    """As in: waterproof mens trail runner size 44 under 80 (feature, audience, size and price beside the noun)."""
    asked = a_world(constraints=[0, 0, 0, 0, 1], brand_queries=0, model_queries=0)
    named = np.stack([getattr(asked.intents, name) >= 0 for name in intent_table.CONSTRAINTS]).sum(axis=0)
    assert named.max() == 4
    assert (named == 4).mean() > 0.5  # the others are of products that have less to ask for
    intent = int(np.flatnonzero((named == 4) & (asked.intents.size >= 0) & (asked.intents.cap >= 0))[0])
    said = asked.speaker.say(intent, np.random.default_rng(1), plain=True).text
    assert "size" in said and str(int(asked.intents.cap[intent])) in said
    assert truth.grade(asked, intent, asked.intents.product[intent]) == 3


def test_without_typos_nothing_is_misspelt() -> None:
    world, rng = a_world(typo_rate=0.0), np.random.default_rng(1)
    assert not any(world.speaker.say(i, rng).misspelt for i in range(len(world.intents)))


def test_with_typos_about_that_share_is_misspelt() -> None:
    world, rng = a_world(typo_rate=0.5), np.random.default_rng(1)
    assert np.mean([world.speaker.say(i, rng).misspelt for i in range(len(world.intents))]) == pytest.approx(0.48, abs=0.07)


def test_without_synonyms_the_catalogue_s_nouns_are_used() -> None:
    world, rng = a_world(synonym_rate=0.0), np.random.default_rng(1)
    assert all(world.speaker.say(i, rng).form != SYNONYM for i in range(len(world.intents)))


@given(st.text("abcdefghijklmnopqrstuvwxyz0123456789 ", max_size=30), st.integers(0, 2**32))
def test_a_misspelling_leaves_short_words_and_words_with_digits_alone(text: str, seed: int) -> None:
    wrong = misspell(text, np.random.default_rng(seed))
    if not any(len(word) >= 4 and word.isalpha() for word in text.split(" ")):
        assert wrong == text
    assert [c for c in wrong if c.isdigit()] == [c for c in text if c.isdigit()]


def test_a_misspelling_is_no_other_word() -> None:
    assert all(misspell("boots", np.random.default_rng(i), frozenset({"boot"})) != "boot" for i in range(200))


def test_a_short_word_means_several_categories_and_their_probabilities_sum_to_one(world: World) -> None:
    rng, several = np.random.default_rng(5), 0
    for intent in range(0, len(world.intents), 2):
        said = world.speaker.say(intent, rng)
        shares = world.category_distribution(intent, said)
        assert sum(shares.values()) == pytest.approx(1.0)
        assert int(world.intents.category[intent]) in shares
        several += len(shares) > 1
    assert several > 0


# ---- truth ---------------------------------------------------------------------------------------------------------------------


def test_the_product_that_an_intent_came_from_has_grade_3(world: World) -> None:
    assert [int(truth.grade(world, i, [world.intents.product[i]])[0]) for i in range(len(world.intents))] == [3] * len(world.intents)


def test_a_missed_constraint_costs_a_grade_and_the_wrong_audience_two(world: World) -> None:
    items, intents = world.items, world.intents
    intent = next(i for i in range(len(intents)) if intents.brand[i] >= 0 and intents.audience[i] >= 0)
    same = np.flatnonzero(items.category == intents.category[intent])
    only_brand_and_audience = all(getattr(intents, n)[intent] < 0 for n in ("color", "material", "feature", "spec", "size", "cap"))
    grades = truth.grade(world, intent, same)
    wrong_audience = ~np.isin(items.audience[same], [intents.audience[intent], 3])
    assert grades[wrong_audience].max(initial=0) <= 1
    if only_brand_and_audience:
        assert set(grades[~wrong_audience & (items.brand[same] != intents.brand[intent])].tolist()) <= {2}


def test_products_that_do_not_exist_are_worth_nothing(world: World) -> None:
    assert truth.grade(world, 0, [-1, 10**6]).tolist() == [0, 0]
    assert truth.utility(world, 0, 0, [-1, 10**6], world.settings.end_ms).total.tolist() == [0.0, 0.0]


def test_with_preference_strength_0_utility_is_the_same_for_everybody() -> None:
    world, rows = a_world(preference_strength=0.0), np.arange(300)
    totals = [truth.utility(world, user, 3, rows, world.settings.end_ms).total for user in range(10)]
    assert all(np.array_equal(total, totals[0]) for total in totals)


def test_what_depends_on_the_user_grows_with_preference_strength() -> None:
    rows, spreads = np.arange(300), []
    for strength in (0.5, 1.0, 2.0):
        world = a_world(preference_strength=strength)
        totals = np.array([truth.utility(world, u, 3, rows, world.settings.end_ms).preference for u in range(40)])
        spreads.append(float(totals.std(axis=0).mean()))
    assert spreads[1] == pytest.approx(2 * spreads[0]) and spreads[2] == pytest.approx(2 * spreads[1])


def test_without_drift_likings_stay_and_with_it_they_turn() -> None:
    still, turning = a_world(drift=0.0), a_world(drift=1.0)
    for world, same in ((still, True), (turning, False)):
        before, after = (world.tastes.liking(4, ts).brand for ts in (world.settings.start_ms, world.settings.end_ms))
        assert np.allclose(before, after) == same


def test_users_of_a_group_are_more_alike_than_others() -> None:
    world = a_world(users=400)
    taste, group = world.users.taste, world.users.group
    likeness = np.asarray(np.corrcoef(taste))
    same = group[:, None] == group[None, :]
    np.fill_diagonal(same, False)
    assert likeness[same].mean() > likeness[group[:, None] != group[None, :]].mean() + 0.2


# ---- shoppers ------------------------------------------------------------------------------------------------------------------


def visit(world: World, seed: int) -> list[tuple[str, Reading]]:
    shopper = Shopper(world, 3, np.random.default_rng(seed))
    return [(shopper.next_query().text, shopper.read_page(np.arange(i * 10, i * 10 + 10))) for i in range(20)]


def test_the_same_generator_gives_the_same_behaviour(world: World) -> None:
    assert visit(world, 7) == visit(world, 7)
    assert visit(world, 7) != visit(world, 8)


def test_nobody_buys_what_is_not_in_the_cart_nor_puts_there_what_was_not_clicked(world: World) -> None:
    for seed in range(40):
        for _, reading in visit(world, seed):
            clicked, carted, bought = ({a.product_no for a in reading.of(kind)} for kind in ("click", "cart", "purchase"))
            assert bought <= carted <= clicked


def test_a_page_is_read_after_a_query() -> None:
    with pytest.raises(ValueError, match="next_query"):
        Shopper(a_world(), 0, np.random.default_rng(0)).read_page([1])


def test_positions_are_reported_as_given(world: World) -> None:
    shopper = Shopper(world, 3, np.random.default_rng(0))
    seen = set()
    for _ in range(60):
        shopper.next_query()
        seen |= {a.position for a in shopper.read_page(np.arange(10), np.arange(11, 21)).actions}
    assert seen and seen <= set(range(11, 21))


def test_an_empty_page_is_read_too(world: World) -> None:
    shopper = Shopper(world, 3, np.random.default_rng(0))
    shopper.next_query()
    assert shopper.read_page([]).actions == []


def test_unusual_words_without_success_are_sometimes_followed_by_the_catalogue_s(world: World) -> None:
    again = []
    for seed in range(300):
        shopper = Shopper(world, seed % 50, np.random.default_rng(seed))
        first = shopper.next_query()
        shopper.read_page([-1] * 10)
        if first.wording.form == SYNONYM and not first.wording.misspelt and shopper.wants_another_try:
            again.append((first, shopper.next_query()))
    assert again
    assert all(second.intent == first.intent and second.again and second.wording.form == NOUN for first, second in again)


def test_position_decides_whether_a_product_is_looked_at() -> None:
    """With every product alike, clicks fall with the place as planted."""
    world = a_world(examination=1.0)
    shopper, clicks = Shopper(world, 1, np.random.default_rng(0)), np.zeros(11)
    wanted = int(world.intents.product[shopper.next_query().intent])
    for _ in range(6000):
        for action in shopper.read_page([wanted] * 10).of("click"):
            clicks[action.position] += 1
    assert clicks[1] / clicks[2] == pytest.approx(2.0, rel=0.25)


# ---- history -------------------------------------------------------------------------------------------------------------------


def files(shop: Shop) -> dict[str, bytes]:
    return {str(p.relative_to(shop.root)): p.read_bytes() for p in sorted(shop.root.rglob("*")) if p.is_file()}


def test_the_same_settings_give_the_same_bytes_with_any_number_of_processes(shop: Shop, tmp_path: Path) -> None:
    other = Shop(tmp_path / "demo")
    make.world(other, SMALL, processes=2)
    assert files(other) == files(shop)


def test_a_world_that_is_there_is_not_made_again_and_another_one_is_refused(shop: Shop) -> None:
    before = files(shop)
    assert make.world(shop, SMALL) is False
    with pytest.raises(ConfigurationError, match="use another shop"):
        make.world(shop, msgspec.structs.replace(SMALL, seed=2))
    assert files(shop) == before


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "demo")
    (shop.root / ".staged.99999").mkdir(parents=True)
    make.world(shop, parse({"products": 200, "users": 10, "days": 2, "pages": 100}), processes=1)
    assert [p.name for p in shop.root.iterdir() if p.name.startswith(".")] == [".lock"]


def test_the_catalogue_is_staged_as_builders_read_it(shop: Shop) -> None:
    table = pq.read_table(shop.root / "staged" / "catalogue.parquet")
    assert table.schema.equals(CATALOGUE_SCHEMA)
    assert table["product_no"].to_pylist() == list(range(SMALL.products))
    categories = set(pq.read_table(shop.root / "staged" / "categories.parquet", schema=CATEGORIES_SCHEMA)["category_id"].to_pylist())
    assert set(table["category_id"].to_pylist()) <= categories


def test_the_log_has_nothing_of_the_truth(shop: Shop) -> None:
    """Columns and fields of the records are those of a shop's log, and none of the truth's names is among them."""
    allowed = {"page": set(PageRecord.__struct_fields__), "event": set(EventRecord.__struct_fields__)}
    for path in (shop.world / "history").glob("*.parquet"):
        table = pq.read_table(path)
        assert table.column_names == ["ts_ms", "kind", "user_id", "payload"]
        for row in table.to_pylist():
            fields = set(msgspec.json.decode(row["payload"]))
            assert fields <= allowed[row["kind"]] - {"user", "corrected"}


def test_pages_have_features_as_served(pages: list[PageRecord]) -> None:
    for page in pages:
        assert page.feature_schema == FEATURE_SCHEMA
        assert len(page.features) == 4 * len(FEATURES) * len(page.product_no)
        assert np.isfinite(np.frombuffer(page.features, np.float32)).all()


def test_popularity_is_that_of_the_evening_before(pages: list[PageRecord]) -> None:
    """On the first day nothing was clicked yet; later something was."""
    column = FEATURES.index("clicks")
    shown = [np.frombuffer(p.features, np.float32).reshape(-1, len(FEATURES))[:, column] for p in pages if p.product_no]
    first_day = [f for p, f in zip([p for p in pages if p.product_no], shown, strict=True) if p.ts_ms < SMALL.start_ms + 86_400_000]
    assert first_day and not np.concatenate(first_day).any()
    assert np.concatenate(shown).max() > 0


def test_nothing_is_shown_before_it_exists(pages: list[PageRecord], world: World) -> None:
    for page in pages:
        assert (world.items.created_ms[page.product_no] <= page.ts_ms).all()


def test_shuffled_pages_are_marked_with_their_propensity(pages: list[PageRecord]) -> None:
    shuffled = [p for p in pages if p.exploration == "random"]
    assert 0.15 < len(shuffled) / len(pages) < 0.45
    for page in shuffled:
        assert page.propensity and len(page.propensity) == len(page.product_no) and max(page.propensity) <= 1
    assert all(p.propensity is None for p in pages if p.exploration == "none")


def test_events_belong_to_pages_of_the_log(log: list[tuple[str | None, Any]], pages: list[PageRecord]) -> None:
    shown = {(p.query_id, n, position) for p in pages for n, position in zip(p.product_no, p.positions, strict=True)}
    events = [e for _, e in log if isinstance(e, EventRecord)]
    assert {e.kind for e in events} == {"view", "click", "cart", "purchase"}
    assert all((e.query_id, e.product_no, e.position) in shown for e in events if e.kind != "view")
    assert len({e.event_id for e in events}) == len(events)


def test_some_users_are_never_in_the_history_and_some_sessions_have_no_user(log: list[tuple[str | None, Any]], world: World) -> None:
    seen = {user for user, _ in log}
    assert None in seen
    assert not seen & {world.user_id(int(u)) for u in np.flatnonzero(world.users.activity == 0)}


def test_a_shop_without_a_world_says_so(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "electronics")
    shop.write_info(ShopInfo(name="electronics"))
    with pytest.raises(ConfigurationError, match="has no world"):
        open_world(shop.root)


def test_the_vocabulary_is_read_once() -> None:
    assert vocabulary() is vocabulary()
    assert isinstance(vocabulary(), Vocabulary)
