"""Oracles and controls on small worlds: what there is to gain follows from the settings."""

from typing import Any

import numpy as np
import pytest

from datagen import intents, products, users
from datagen.settings import parse
from datagen.slices import earlier_queries
from datagen.words import vocabulary
from datagen.world import World
from loadgen.grading import AT, Grader, Page
from loadgen.world_cases import LABELS, Past, cases
from loadgen.world_evaluation import Evaluation, evaluate, interval
from loadgen.world_rankers import NO_HIDDEN, NOBODY, ORACLE, oracles

NEVER = Past(frozenset(), np.zeros(300, np.int64), np.zeros(1500, np.bool_))


def a_world(**knobs: Any) -> World:
    settings, words = parse({"products": 1500, "users": 300} | knobs), vocabulary()
    items = products.make(settings, words, np.arange(settings.products))
    return World(settings, words, items, users.make(settings, np.arange(settings.users)), intents.make(settings, items))


def scored(world: World, count: int = 60) -> Evaluation:
    grader = Grader(world)
    return evaluate(world, cases(world, NEVER, count, 1), oracles(grader), baseline=NOBODY)


def test_the_oracle_is_perfect_and_loses_nothing() -> None:
    oracle = scored(a_world()).of(ORACLE)
    assert (oracle.ndcg, oracle.regret) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-9))


def test_what_is_gained_by_knowing_the_user_is_0_without_preferences_and_rises_with_them() -> None:
    gains = [scored(a_world(preference_strength=strength)).of(ORACLE).difference for strength in (0.0, 0.5, 1.0, 2.0)]
    assert gains[0] == pytest.approx(0.0, abs=1e-9)
    assert gains[0] < gains[1] < gains[2] < gains[3]


def test_without_a_hidden_part_seeing_it_gains_nothing() -> None:
    assert scored(a_world(hidden_strength=0.0)).of(NO_HIDDEN).ndcg == pytest.approx(1.0)
    assert scored(a_world(hidden_strength=1.0)).of(NO_HIDDEN).ndcg < 0.99


def test_worse_pages_are_graded_lower_in_every_measure() -> None:
    world = a_world()
    grader = Grader(world)
    best = grader.ideal(Page(1, 2, [], world.settings.end_ms)).tolist()
    good, reverse, nothing = (grader.measure(Page(1, 2, shown, world.settings.end_ms)) for shown in (best, best[::-1], []))
    assert good[0] == pytest.approx(1.0) and good[2] == pytest.approx(0.0, abs=1e-9)
    assert good[0] > reverse[0] > nothing[0] == 0.0
    assert good[3] > reverse[3] > nothing[3] == 0.0
    assert nothing[2] > reverse[2] > good[2]
    assert len(best) == AT


def test_products_that_do_not_exist_yet_are_not_in_the_ideal() -> None:
    world = a_world(new_products=0.9)
    ideal = Grader(world).ideal(Page(1, 2, [], world.settings.start_ms))
    assert (world.items.created_ms[ideal] <= world.settings.start_ms).all()


def test_an_unknown_product_is_worth_nothing() -> None:
    world = a_world()
    assert Grader(world).measure(Page(1, 2, [-1] * 10, world.settings.end_ms))[0] == 0.0


def test_cases_are_after_the_history_and_half_of_unseen_users_in_labelled_slices() -> None:
    world = a_world(cold_users=0.3, new_words=0.5, synonym_rate=0.4)
    past = Past(frozenset(["phone"]), np.where(world.users.activity > 0, 20, 0), np.arange(1500) % 2 == 0)
    asked = cases(world, past, 400, 1)
    assert all(case.ts_ms >= world.settings.end_ms for case in asked)
    unseen = [case for case in asked if "unseen user" in case.slices]
    assert 0.4 < len(unseen) / len(asked) < 0.6
    assert all(("cold user" in case.slices) == ("unseen user" in case.slices) for case in asked)
    assert all(("unseen product" in case.slices) == (world.intents.product[case.intent] % 2 == 1) for case in asked)
    assert {label for case in asked for label in case.slices} >= set(LABELS) - {"new product"}
    assert asked == cases(world, past, 400, 1) != cases(world, past, 400, 2)


def test_the_interval_of_a_difference_covers_it_and_shrinks_with_users() -> None:
    rng = np.random.default_rng(0)
    few, many = (interval(0.1 + rng.normal(size=n), np.arange(n), 1) for n in (50, 5000))
    assert few[0] < 0.1 < few[1] and many[0] < 0.1 < many[1]
    assert many[1] - many[0] < (few[1] - few[0]) / 3


def test_one_user_with_many_queries_counts_as_one() -> None:
    values = np.array([1.0] * 50 + [0.0, 0.1] * 5)
    wide = interval(values, np.array([0] * 50 + list(range(1, 11))), 1)
    narrow = interval(values, np.arange(60), 1)
    assert wide[1] - wide[0] > narrow[1] - narrow[0]


def test_earlier_queries_count_those_of_the_same_user() -> None:
    assert earlier_queries(np.array([3, 1, 3, 3, 1], np.int32)).tolist() == [0, 0, 1, 2, 1]
