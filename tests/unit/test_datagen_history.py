"""The history is the same however it is made; click models change it and not the truth."""

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from datagen import history, intents, make, products, reading, truth, users
from datagen.policy import Policy
from datagen.records import in_order
from datagen.sessions import Chronicler, no_counts
from datagen.settings import WorldSettings, parse
from datagen.words import vocabulary
from datagen.world import World
from services import forward
from services.catalogue import Catalogue
from services.features import FEATURES
from services.shop import Shop, ShopInfo

KNOBS: dict[str, Any] = {"products": 600, "users": 70, "days": 4, "pages": 600}


def a_world(**knobs: Any) -> World:
    settings, words = parse(KNOBS | knobs), vocabulary()
    items = products.make(settings, words, np.arange(settings.products))
    return World(settings, words, items, users.make(settings, np.arange(settings.users)), intents.make(settings, items))


@lru_cache(maxsize=1)
def index_folder() -> Path:
    """A world in the making, with the index of its logging policy."""
    import tempfile

    folder = Path(tempfile.mkdtemp())
    settings = parse(KNOBS)
    catalogue, made = make._world(folder, settings, lambda line: None, 1)
    make._index(folder / make.WORK, catalogue, made.words, make._info(Shop(folder), settings), lambda line: None)
    return folder


def chronicler(world: World) -> Chronicler:
    return Chronicler(world, Policy(forward.load(index_folder() / make.WORK / "index"), world.settings.popularity_weight))


@given(st.lists(st.integers(1, 69), max_size=6, unique=True), st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=15, deadline=None)
def test_users_in_any_parts_and_any_order_give_the_same_day(cuts: list[int], random: Any) -> None:
    bounds = [0, *sorted(cuts), 70]
    parts = [range(a, b) for a, b in pairwise(bounds)]
    random.shuffle(parts)
    writer, counts = chronicler(a_world()), no_counts(600)
    whole = writer.day(1, range(70), counts)
    made = [writer.day(1, part, counts) for part in parts]
    assert in_order([day.history for day in made]).equals(in_order([whole.history]))
    assert np.array_equal(sum(day.counts for day in made), whole.counts)
    by_id = [("query_id", "ascending")]
    assert pa.concat_tables([day.queries for day in made]).sort_by(by_id).equals(whole.queries.sort_by(by_id))


def test_a_killed_run_goes_on_with_the_day_that_was_missing(tmp_path: Path) -> None:
    settings, whole, broken = parse(KNOBS), Shop(tmp_path / "whole"), Shop(tmp_path / "broken")
    make.world(whole, settings, processes=1)
    with pytest.raises(KeyboardInterrupt):
        make.world(broken, settings, processes=1, say=_killed_after_two_days(broken))
    kept = {path.name: path.stat().st_mtime_ns for path in (broken.root / make.MAKING / "history").glob("*.parquet")}
    assert 2 <= len(kept) < 4
    make.world(broken, settings, processes=1)
    assert _bytes(broken) == _bytes(whole)
    assert {name: (broken.world / "history" / name).stat().st_mtime_ns for name in kept} == kept


def _killed_after_two_days(shop: Shop) -> Callable[[str], None]:
    """Stands for a kill: no code of ours runs after it (the exception is raised where a file is written)."""
    original = history._write_counts

    def killed(path: Path, days: int, counts: Any) -> None:
        history._write_counts = original
        original(path, days, counts)
        history._write_counts = killing

    def killing(path: Path, days: int, counts: Any) -> None:
        history._write_counts = original
        original(path, days, counts)
        raise KeyboardInterrupt

    history._write_counts = killed
    return lambda line: None


def _bytes(shop: Shop) -> dict[str, bytes]:
    hidden = {"shop.json"}  # has the name of the folder
    return {str(p.relative_to(shop.root)): p.read_bytes() for p in sorted(shop.root.rglob("*")) if p.is_file() and p.name not in hidden}


def test_what_another_world_left_is_not_taken_over(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "demo")
    (shop.root / make.MAKING).mkdir(parents=True)
    (shop.root / make.MAKING / make.HASH_FILE).write_text("0123 features 4567\n")
    (shop.root / make.MAKING / "rubbish").write_text("")
    make.world(shop, parse(KNOBS), processes=1)
    assert not list(shop.root.rglob("rubbish"))


def test_a_history_with_other_features_is_not_taken_for_this_world_s(tmp_path: Path) -> None:
    shop = Shop(tmp_path / "demo")
    shop.world.mkdir(parents=True)
    (shop.world / make.HASH_FILE).write_text(f"{parse(KNOBS).hash()} features 0123456789abcdef\n")
    with pytest.raises(make.ConfigurationError, match="features of another version"):
        make.world(shop, parse(KNOBS))


# ---- click models --------------------------------------------------------------------------------------------------------------


def read_many(settings: WorldSettings, total: float, pages: int = 4000, places: int = 10) -> reading.Readings:
    """Pages on which every product is worth the same."""
    rng, worth = np.random.default_rng(0), np.full((pages, places), total)
    shown, u, v = np.ones((pages, places), np.bool_), rng.random((pages, places, reading.PER_PLACE)), rng.random((pages, reading.PER_PAGE))
    return reading.read(settings, worth, np.zeros((pages, places)), shown, np.zeros(pages, np.bool_), u, v)


def test_a_changed_click_model_changes_the_log_and_not_the_truth() -> None:
    worlds = {model: a_world(click_model=model) for model in ("position", "cascade", "trust")}
    asked, rows = np.arange(100)[:, None], np.arange(600)
    worth = [truth.utility(world, 5, asked, rows, world.settings.end_ms) for world in worlds.values()]
    assert all((getattr(worth[0], part) != 0).any() for part in ("relevance", "preference", "quality", "appeal", "hidden"))
    assert all(np.array_equal(w.total, worth[0].total) for w in worth)
    days = [chronicler(world).day(0, range(70), no_counts(600)) for world in worlds.values()]
    assert all(not days[0].history["payload"].equals(day.history["payload"]) for day in days[1:])


def test_by_position_clicks_fall_as_planted_whatever_is_above() -> None:
    settings = parse({"examination": 1.0})
    rates = read_many(settings, 2.0, 40_000).clicked.mean(axis=0)
    assert rates[0] / rates[4] == pytest.approx(5.0, rel=0.2)


def test_a_cascade_is_read_from_the_top_and_ended_by_clicks() -> None:
    settings = parse({"click_model": "cascade", "satisfaction": 1.0})
    clicked = read_many(settings, 5.0).clicked
    assert clicked.sum(axis=1).max() == 1
    patient = read_many(parse({"click_model": "cascade", "satisfaction": 0.0, "continuation": 1.0}), 3.0).clicked
    assert patient.mean(axis=0)[9] == pytest.approx(patient.mean(axis=0)[0], abs=0.03)


def test_trust_clicks_near_the_top_on_what_does_not_attract() -> None:
    rates = read_many(parse({"click_model": "trust", "trust_bias": 0.3, "examination": 0.0}), -20.0, 40_000).clicked.mean(axis=0)
    assert rates[0] == pytest.approx(0.3, abs=0.02)
    assert rates[9] == pytest.approx(0.03, abs=0.01)


# ---- the policy ----------------------------------------------------------------------------------------------------------------


def test_features_of_some_products_are_those_of_the_whole_list() -> None:
    folder = index_folder()
    index = forward.build(Catalogue(folder / make.WORK), ShopInfo(name="demo"))
    policy = Policy(index, 0.5)
    policy.begin_day(no_counts(index.size), 2**60)
    ranking = policy.rank("wireless headphones")
    other = policy.rank("black leather boots")
    places = np.array([25, 3, 7])
    [whole] = policy.features([(ranking, np.arange(len(ranking.product_no)))])
    late, early, of_other, none = policy.features([(ranking, places), (ranking, places[1:]), (other, places), (other, places[:0])])
    assert np.array_equal(late, whole[places])
    assert np.array_equal(early, whole[places[1:]])
    assert np.array_equal(of_other, policy.features([(other, np.arange(len(other.product_no)))])[0][places])
    assert none.shape == (0, len(FEATURES))


def test_what_is_ranked_together_is_ranked_as_it_would_be_alone() -> None:
    index = forward.build(Catalogue(index_folder() / make.WORK), ShopInfo(name="demo"))
    queries = ["wireless headphones", "boots", "nothing-of-the-kind", "", "usb-c charger for phones", "red boots"]
    together, alone = Policy(index, 0.5), Policy(index, 0.5)
    for policy in (together, alone):
        policy.begin_day(no_counts(index.size), 2**60)
    together.prepare([*queries, *queries])
    for query in queries:
        one, other = together.rank(query), alone.rank(query)
        assert np.array_equal(one.product_no, other.product_no)
        assert one.known.tobytes() == other.known.tobytes()


def test_new_words_are_said_only_when_they_have_come_up() -> None:
    world = a_world(new_words=1.0, synonym_rate=1.0, ambiguous_rate=0.0)
    leaf = next(i for i, found in enumerate(world.words.leaves) if len(found.asked) > 1)
    assert world.speaker.in_use(leaf, world.settings.start_ms) == world.words.leaves[leaf].asked[:1]
    assert world.speaker.in_use(leaf, None) == world.words.leaves[leaf].asked
    chances = world.speaker.phrase_chances(leaf, world.settings.start_ms)
    assert sum(chances.values()) == pytest.approx(1.0)
