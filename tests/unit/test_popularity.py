import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.popularity import DAY_MS, Counts, examination, scores, tiers, undivided

NOW = 1_700_000_000_000
OLD = NOW - 400 * DAY_MS


def counts(examined: list[float], clicks: list[float], purchases: list[float] | None = None) -> Counts:
    zeros = [0.0] * len(clicks)
    return Counts(*(np.array(v, float) for v in (examined, examined, clicks, zeros, purchases or zeros)))


def test_one_lucky_click_does_not_beat_a_steady_seller() -> None:
    many = [100.0] * 20
    score = scores(counts([1, 500, *many], [1, 100, *[5.0] * 20]), np.zeros(22, int))
    assert score[1] > score[0]


def test_a_product_never_shown_takes_its_categorys_rate() -> None:
    category = np.array([1, 1, 2, 2])
    score = scores(counts([1000, 0, 1000, 0], [300, 0, 10, 0]), category)
    assert score[1] > score[3]


def test_a_purchase_counts_more_than_a_click() -> None:
    score = scores(counts([100, 100, 100], [5, 5, 1], [0, 5, 0]), np.zeros(3, int))
    assert score[1] > score[0]


def test_a_click_far_down_the_page_counts_more_at_equal_impressions() -> None:
    impressions, clicks, zeros = np.full(3, 100.0), np.array([10.0, 10.0, 1.0]), np.zeros(3)
    examined = np.array([100.0, 30.0, 100.0])
    per_examined = scores(Counts(impressions, examined, clicks, zeros, zeros), np.zeros(3, int)) / (examined + 1)
    assert per_examined[1] > per_examined[0]


def test_examination_is_read_off_randomised_pages() -> None:
    truth = np.array([1.0, 0.7, 0.5, 0.35, 0.25])
    position = np.tile(np.arange(1, 6), 20_000)
    clicked = np.random.default_rng(1).random(len(position)) < 0.3 * truth[position - 1]
    assert np.abs(examination(position, clicked)[1:] - truth).max() < 0.05


def test_examination_is_not_estimated_from_a_handful_of_clicks() -> None:
    assert examination(np.array([1, 2, 3]), np.array([True, False, False])).tolist() == [1, 1, 1, 1]


def test_without_any_action_the_catalogue_is_one_tier() -> None:
    assert undivided(100).tolist() == [1] * 100


def test_equally_popular_products_are_cut_by_age_the_newest_in_front() -> None:
    created = OLD + np.arange(100) * DAY_MS
    tier = tiers(np.zeros(100), created, NOW)
    assert tier.tolist() == [2] * 50 + [1] * 35 + [0] * 15


def test_new_products_get_reserved_places_and_bestsellers_keep_theirs() -> None:
    created = np.full(1000, OLD)
    created[-20:] = NOW - DAY_MS
    tier = tiers(np.arange(1000, 0, -1).astype(float), created, NOW)
    new = tier[-20:]
    assert (new == 0).sum() == 8  # 5 % of 150 places
    assert (new == 1).sum() == 12
    assert (tier[:142] == 0).all()


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 800)), min_size=1, max_size=300))
def test_tiers_have_their_shares_whatever_the_catalogue(products: list[tuple[float, int]]) -> None:
    score, age = np.array([p[0] for p in products]), np.array([p[1] for p in products])
    tier = tiers(score, NOW - age * DAY_MS, NOW)
    assert np.bincount(tier, minlength=3).tolist() == [
        round(0.15 * len(products)),
        round(0.5 * len(products)) - round(0.15 * len(products)),
        len(products) - round(0.5 * len(products)),
    ]


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1)), min_size=1, max_size=50))
def test_scores_are_finite_and_not_negative(rows: list[tuple[float, float]]) -> None:
    examined = [float(r[0]) for r in rows]
    score = scores(counts(examined, [n * r for n, r in zip(examined, [r[1] for r in rows], strict=True)]), np.arange(len(rows)) % 3)
    assert np.isfinite(score).all()
    assert (score >= 0).all()
