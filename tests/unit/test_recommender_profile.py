"""Profiles merge what the graph has with what is on its way, and the cache is never older than the graph."""

import random
import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recommender.graph.port import Behaved, GraphCatalogue
from recommender.profile import BEHAVIOURS, MAX_STATES, Profile, ProfileCache
from services.contracts import UserEvent
from services.models.port import MAX_STEPS
from tests.recommender_fakes import MemoryGraph

COLUMNS = np.arange(40, dtype=np.int32).reshape(10, 4)


def behaviour(number: int, *, product: int = 1, ts_ms: int | None = None) -> UserEvent:
    return UserEvent(f"e{number:03}", "click", product, 1_000 * number if ts_ms is None else ts_ms)


def test_pending_behaviours_join_in_order_of_time_and_each_event_counts_once() -> None:
    profile = Profile.of([behaviour(1), behaviour(3, product=3)])
    merged = profile.with_pending([behaviour(4, product=4), behaviour(3, product=9), behaviour(2, product=2), behaviour(4, product=4)])
    assert merged.event_ids == ("e001", "e002", "e003", "e004")
    assert merged.product_no.tolist() == [1, 2, 3, 4]
    assert merged.ts_ms.tolist() == [1_000, 2_000, 3_000, 4_000]


def test_a_profile_to_which_nothing_is_new_stays_the_same_and_keeps_its_states() -> None:
    profile = Profile.of([behaviour(1)])
    profile.keep((1, 1), np.zeros((1, 2), np.float32))
    assert profile.with_pending([behaviour(1)]) is profile
    assert profile.with_pending([behaviour(2)]).states == {}


@given(st.lists(st.integers(0, 200), unique=True), st.lists(st.integers(0, 200), max_size=80))
def test_a_merge_is_what_the_graph_will_say_once_everything_is_projected(stored: list[int], pending: list[int]) -> None:
    newest = sorted({behaviour(n) for n in stored}, key=lambda e: e.ts_ms)[-BEHAVIOURS:]
    merged = Profile.of(newest).with_pending([behaviour(n) for n in pending])
    later = sorted({behaviour(n) for n in stored + pending}, key=lambda e: e.ts_ms)[-BEHAVIOURS:]
    assert merged.event_ids == tuple(e.event_id for e in later)


def test_the_model_sees_the_newest_behaviours_with_the_time_before_the_first_of_them() -> None:
    events = Profile.of([behaviour(n, product=n % 10) for n in range(BEHAVIOURS)]).events(COLUMNS)
    assert len(events) == MAX_STEPS
    assert events.properties[0].tolist() == COLUMNS[1].tolist()
    assert np.allclose(events.gaps, np.log1p(1.0))


def test_behaviours_towards_products_that_the_generation_does_not_have_are_left_out() -> None:
    events = Profile.of([behaviour(1, product=10), behaviour(2, product=9)]).events(COLUMNS)
    assert events.properties.tolist() == [COLUMNS[9].tolist()]
    assert len(Profile.of([]).events(COLUMNS)) == 0


def test_only_a_few_encoded_states_are_kept() -> None:
    profile = Profile.of([behaviour(1)])
    for release in range(10):
        profile.keep((1, release), np.zeros((1, 1), np.float32))
    assert list(profile.states) == [(1, n) for n in range(10 - MAX_STATES, 10)]


def test_the_least_recently_used_profile_goes_first() -> None:
    cache = ProfileCache(2)
    for user in ("ann", "bob"):
        cache.put(user, Profile.of([]), cache.epoch)
    cache.get("ann")
    cache.put("cid", Profile.of([]), cache.epoch)
    assert [cache.get(user) is not None for user in ("ann", "bob", "cid")] == [True, False, True]


def test_nothing_is_put_in_for_a_user_whose_projection_is_under_way() -> None:
    cache = ProfileCache(9)
    cache.put("ann", Profile.of([]), cache.epoch)
    cache.hold({"ann"})
    assert cache.get("ann") is None
    assert not cache.put("ann", Profile.of([]), cache.epoch)
    assert cache.put("bob", Profile.of([]), cache.epoch)
    cache.release()
    assert cache.put("ann", Profile.of([]), cache.epoch)


def test_what_was_read_before_a_projection_ended_is_not_put_in_after_it() -> None:
    cache = ProfileCache(9)
    before, _ = cache.epoch, cache.hold({"ann"})
    during, _ = cache.epoch, cache.release()
    assert not cache.put("ann", Profile.of([]), before)
    assert not cache.put("ann", Profile.of([]), during)


def test_a_projection_of_everything_holds_everybody() -> None:
    cache = ProfileCache(9)
    cache.put("ann", Profile.of([]), cache.epoch)
    cache.hold(None)
    assert cache.get("ann") is None
    assert not cache.put("bob", Profile.of([]), cache.epoch)


def test_the_cache_is_never_older_than_the_graph_while_readers_and_a_writer_race() -> None:
    """The writer adds one behaviour per step; a reader that knows the graph at n must find n or more in cache or graph."""
    graph, cache, done = MemoryGraph(), ProfileCache(9), threading.Event()
    graph.load(GraphCatalogue(1, np.array([1]), np.array([1]), [""]))
    stale: list[tuple[int, int]] = []

    def read() -> None:
        chance = random.Random(0)
        while not done.is_set():
            known = graph.position()
            profile = cache.get("ann")
            if profile is None:
                epoch = cache.epoch
                profile = Profile.of(graph.recent("ann", 10_000))
                if chance.random() < 0.5:
                    done.wait(0.0002)  # so that a projection comes between the read and the put
                cache.put("ann", profile, epoch)
            if len(profile) < known:
                stale.append((len(profile), known))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(1, 400):
        cache.hold({"ann"})
        graph.project([Behaved(n, "ann", f"e{n}", "click", 1, n)], n)
        cache.release()
    done.set()
    for reader in readers:
        reader.join()
    assert stale == []
