import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline.dataset import Dataset, dataset, groups, parts, vocabulary
from offline.records import Behaviours, Log, Pages, read_log
from services.features import FEATURE_SCHEMA, FEATURES
from services.models.port import MAX_STEPS, events_of
from tests.planted import MemoryReader, history

Seen = tuple[int, int, int]  # user, ts, product


def log_of(pages: list[tuple[int, int]], events: list[Seen]) -> Log:
    """Pages (user, ts) of one item, and clicks (user, ts, product) that belong to no query."""
    n, e = len(pages), np.array(events, np.int64).reshape(-1, 3)
    zeros = np.zeros(n)
    user, ts = np.array([p[0] for p in pages], np.int32), np.array([p[1] for p in pages], np.int64)
    clicks = Behaviours(e[:, 0].astype(np.int32), np.full(len(e), -1), e[:, 2].astype(np.int32), np.full(len(e), 2, np.int32), e[:, 1])
    return Log(
        clicks,
        Pages(user, np.arange(n), ts, zeros > 0, np.full((n, 3), -1), np.zeros((n, 3), np.float32), np.arange(n + 1), zeros.astype(int), zeros + 1,
              np.zeros((n, 0), np.float32), 0),
        0, 10,
    )  # fmt: skip


COLUMNS = np.arange(1, 101, dtype=np.int32).reshape(100, 1)  # the property of product p is p + 1


@given(
    st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 50)), min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 50), st.integers(0, 99)), max_size=120),
)
def test_a_page_sees_its_users_newest_behaviours_strictly_before_it_and_no_others(pages: list[tuple[int, int]], events: list[Seen]) -> None:
    data = dataset(log_of(pages, sorted(events, key=lambda e: e[1])))
    sequences = data.histories(np.arange(len(pages)), COLUMNS)
    for row, (user, ts) in enumerate(pages):
        before = sorted([e for e in events if e[0] == user and e[1] < ts and user >= 0], key=lambda e: e[1])[-MAX_STEPS:]
        seen = sequences.events(row)
        assert sorted(seen.properties[:, 0] - 1) == sorted(e[2] for e in before)
        served = events_of(
            COLUMNS, *(np.array([e[i] for e in before], np.int64) for i in (2, 0)), np.array([e[1] for e in before], np.int64)
        )
        assert len(before) == MAX_STEPS or np.allclose(seen.gaps, served.gaps)


def test_training_and_serving_make_the_same_events_of_a_long_history() -> None:
    clicks = [(0, 1_000 * t * t, t) for t in range(80)]
    sequences = dataset(log_of([(0, 10**9)], clicks)).histories(np.array([0]), COLUMNS)
    products, ts_ms = np.arange(80), np.array([c[1] for c in clicks], np.int64)
    served, trained = events_of(COLUMNS, products, np.full(80, 2), ts_ms), sequences.events(0)
    for name in ("properties", "kinds", "gaps"):
        np.testing.assert_allclose(getattr(trained, name), getattr(served, name), rtol=1e-6)


def test_a_behaviour_at_the_very_time_of_the_page_would_be_a_leak() -> None:
    data = dataset(log_of([(0, 100)], [(0, 99, 1), (0, 100, 2), (0, 101, 3)]))
    assert data.histories(np.array([0]), COLUMNS).events(0).properties.tolist() == [[2]]


def test_behaviours_towards_products_that_are_gone_have_unknown_properties() -> None:
    assert dataset(log_of([(0, 100)], [(0, 1, 5_000)])).histories(np.array([0]), COLUMNS).events(0).properties.tolist() == [[0]]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200))
def test_no_page_of_a_part_is_older_than_one_of_the_part_before(times: list[int]) -> None:
    ts = np.array(times)
    part = parts(ts)
    for late in (1, 2):
        assert not (part == late).any() or not (part < late).any() or ts[part >= late].min() > ts[part < late].max()


@pytest.fixture(scope="module")
def planted() -> Dataset:
    return dataset(read_log(MemoryReader(history(600)), FEATURE_SCHEMA, len(FEATURES)))


def test_parts_have_their_shares(planted: Dataset) -> None:
    assert [len(planted.pages(part)) for part in range(3)] == [360, 150, 90]


def test_every_behaviour_is_the_grade_of_the_item_it_names(planted: Dataset) -> None:
    assert (planted.grade > 0).sum() == len(planted.log.behaviours)
    assert np.bincount(planted.grade)[[2, 4]].tolist() == np.bincount(planted.log.behaviours.kind)[[2, 4]].tolist()


def test_the_highest_behaviour_counts_once() -> None:
    log = read_log(MemoryReader(history(50)), FEATURE_SCHEMA, len(FEATURES))
    b = log.behaviours
    twice = Behaviours(*(np.concatenate([getattr(b, n)] * 2) for n in ("user", "query", "product_no")), np.append(b.kind, np.full(len(b), 3, np.int32)),
                       np.append(b.ts_ms, b.ts_ms + 1))  # fmt: skip
    again = dataset(Log(twice, log.pages, log.watermark, log.users))
    assert set(again.grade[again.grade > 0]) == {3, 4}


def test_clicked_pages_are_those_with_a_grade(planted: Dataset) -> None:
    pages, indptr = planted.pages(2), planted.log.pages.indptr
    assert planted.clicked(pages).tolist() == [p for p in pages if planted.grade[indptr[p] : indptr[p + 1]].any()]


def test_examination_falls_as_it_was_planted() -> None:
    examination = dataset(read_log(MemoryReader(history(2_000)), FEATURE_SCHEMA, len(FEATURES))).examination()
    assert examination[1] == 1
    assert 0.25 < examination[8] < 0.5  # 0.35


def test_the_vocabulary_is_what_was_shown_often_enough_in_the_first_part(planted: Dataset) -> None:
    values = [f"brand:{i % 4}" for i in range(118)] + ["color:red", "brand:rare"]
    ids = np.arange(120, dtype=np.int32)[:, None]
    known = vocabulary(planted, ids, values)
    shown = planted.log.pages.product_no[: 360 * 8]
    assert known[0] == "<unknown>"
    assert ("color:red" in known) == ((shown == 118).sum() >= 3)
    assert [value.split(":")[0] for value in known[1:]] == sorted(value.split(":")[0] for value in known[1:])


def test_groups_are_the_runs_of_a_property() -> None:
    assert groups(["<unknown>", "brand:a", "brand:b", "color:red"]) == [(1, 3), (3, 4)]
    assert groups(["<unknown>"]) == []
