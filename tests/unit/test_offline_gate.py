import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline.gate import MARGIN, Comparison, Judged, auc, compare, decide, ndcg, table

PAGE = st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0.0, 0.0, 1.0, 2.0, 4.0])), min_size=1, max_size=14)


def arrays(pages: list[list[tuple[int, float]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    flat = [item for page in pages for item in page]
    return np.array([i[0] for i in flat], float), np.array([i[1] for i in flat]), np.concatenate([[0], np.cumsum([len(p) for p in pages])])


@given(st.lists(PAGE, min_size=1, max_size=8))
def test_auc_is_the_share_of_pairs_in_the_right_order(pages: list[list[tuple[int, float]]]) -> None:
    for page, got in zip(pages, auc(*arrays(pages)), strict=True):
        pairs = [(g, 1.0 if s > t else 0.5 if s == t else 0.0) for i, (s, g) in enumerate(page) for j, (t, _) in enumerate(page) if i != j]
        total = sum(g for g, _ in pairs)
        assert np.isnan(got) if total == 0 else got == pytest.approx(sum(g * won for g, won in pairs) / total)


@given(st.lists(PAGE, min_size=1, max_size=8))
def test_ndcg_is_the_discounted_gain_over_the_best_possible(pages: list[list[tuple[int, float]]]) -> None:
    def dcg(gains: list[float]) -> float:
        return sum(gain / np.log2(rank + 2) for rank, gain in enumerate(gains[:10]))

    for page, got in zip(pages, ndcg(*arrays(pages)), strict=True):
        gains = [gain for _, gain in page]
        ranked = [gain for _, gain in sorted(page, key=lambda item: -item[0])]
        assert np.isnan(got) if not any(gains) else got == pytest.approx(dcg(ranked) / dcg(sorted(gains, reverse=True)))


def judged(pages: int, examination: float = 1.0) -> Judged:
    return Judged(np.arange(pages + 1), np.ones(pages), np.full(pages, examination), np.arange(pages) // 2)


def test_the_interval_covers_a_planted_difference() -> None:
    random = np.random.default_rng(3)
    ours, theirs = random.normal(0.6, 0.2, 4_000), random.normal(0.5, 0.2, 4_000)
    found = compare("m", "x", ours, theirs, judged(4_000))
    assert found.low < 0.1 < found.high
    assert found.low > 0.08


def test_equal_scores_differ_by_nothing() -> None:
    values = np.random.default_rng(1).random(100)
    found = compare("m", "x", values, values, judged(100))
    assert (found.low, found.difference, found.high) == (0, 0, 0)


def test_pages_of_one_user_are_not_so_many_proofs() -> None:
    random = np.random.default_rng(5)
    ours, theirs = np.repeat(random.normal(0.5, 0.3, 50), 40), np.full(2_000, 0.5)
    one = Judged(np.arange(2_001), np.ones(2_000), np.ones(2_000), np.repeat(np.arange(50), 40))
    many = Judged(one.indptr, one.gain, one.examination, np.full(2_000, -1))
    by_user, by_page = (compare("m", "x", ours, theirs, pages) for pages in (one, many))
    assert by_user.high - by_user.low > 4 * (by_page.high - by_page.low)


def test_no_pages_prove_nothing() -> None:
    nothing = np.full(3, np.nan)
    found = compare("m", "x", nothing, nothing, judged(3))
    assert (found.pages, found.low) == (0, -1)
    assert "no such pages" in table([found])[-1]


def test_what_only_ordered_the_logged_pages_gains_nothing_by_it() -> None:
    """Clicks by position alone, pages ordered by a score: uncorrected that score looks good; corrected it is as good as chance."""
    random = np.random.default_rng(7)
    pages, size = 6_000, 8
    examination = np.concatenate([[1.0], 1.0 / np.arange(1, size + 1)])
    position = np.tile(np.arange(1, size + 1), pages)
    clicked = random.random(pages * size) < 0.3 * examination[position]
    some = np.repeat(clicked.reshape(pages, size).any(axis=1), size)
    position, gain = position[some], clicked[some].astype(float)
    shown = len(gain) // size
    indptr, users = np.arange(shown + 1) * size, np.full(shown, -1)
    corrected, raw = Judged(indptr, gain, examination[position], users), Judged(indptr, gain, np.ones(len(gain)), users)
    by_position = [pages_.auc(-position.astype(float)) for pages_ in (corrected, raw)]
    found = [
        compare("m", "x", ours, np.full(shown, 0.5), pages_).network for ours, pages_ in zip(by_position, (corrected, raw), strict=True)
    ]
    assert found[0] == pytest.approx(0.5, abs=0.03)
    assert found[1] > 0.65


def comparison(difference: float, half: float, metric: str = "nDCG@10", other: str = "bm25") -> Comparison:
    return Comparison(metric, other, 1_000, 0.5 + difference, 0.5, difference - half, difference + half)


GOOD, BAD = comparison(0.05, 0.01), comparison(0.005, 0.01)


def test_a_network_above_both_baselines_ships() -> None:
    assert decide(GOOD, GOOD, 0.4, None, False).ship == "network"


@pytest.mark.parametrize(("clicks", "ranking"), [(BAD, GOOD), (GOOD, BAD), (BAD, BAD)])
def test_one_lower_bound_not_above_zero_is_enough_to_fail(clicks: Comparison, ranking: Comparison) -> None:
    assert decide(clicks, ranking, 0.4, None, False).ship == "bm25"
    assert decide(clicks, ranking, 0.6, None, False).ship == "popularity"


def test_a_failed_network_does_not_displace_one_that_passes() -> None:
    assert decide(GOOD, BAD, 0.4, None, True).ship is None


def test_a_network_below_the_served_one_by_more_than_the_margin_stays_out() -> None:
    assert decide(GOOD, GOOD, 0.4, comparison(-MARGIN - 0.001, 0.01, other="release 3"), True).ship is None
    assert decide(GOOD, GOOD, 0.4, comparison(-MARGIN + 0.001, 0.01, other="release 3"), True).ship == "network"
