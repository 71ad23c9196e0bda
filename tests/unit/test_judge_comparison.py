"""Comparing two results: the interval knows what is chance, and both pages can be read side by side."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation import result
from evaluation.compare import compare, interval
from evaluation.judge import result_of
from evaluation.judgments import Judgments
from evaluation.report import comparison_lines, html, lines
from evaluation.result import Answered, Result, Shown
from services.errors import ConfigurationError

QUERIES = [f"query {n}" for n in range(30)]
JUDGED = Judgments("list.csv", {q: {"good": 3, "bad": 0} for q in QUERIES})


class Known:
    """A system whose answers are known."""

    def __init__(self, name: str) -> None:
        self.name = name

    def answer(self, query: str) -> Answered:
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        return {"system": "known"}

    def close(self) -> None: ...


def judged(name: str, good_first: set[str], **extra: Any) -> Result:
    answers = {}
    for q in QUERIES:
        ids = ["good", "bad"] if q in good_first else ["bad", "good"]
        answers[q] = Answered(product_ids=ids, shown=[Shown(i, f"<{i}> & co") for i in ids], latency_ms=5.0, **extra)
    return result_of(Known(name), JUDGED, answers, 10)


def test_a_system_that_is_better_everywhere_is_better_beyond_chance() -> None:
    found = compare(judged("new", set(QUERIES)), judged("old", set()))
    ndcg = found.differences[0]
    assert (len(ndcg.wins), len(ndcg.losses), ndcg.ties) == (30, 0, 0)
    assert 0 < ndcg.low <= ndcg.difference <= ndcg.high
    assert any("better" in line for line in comparison_lines(found))


def test_as_many_wins_as_losses_are_no_difference() -> None:
    ndcg = compare(judged("new", set(QUERIES[:15])), judged("old", set(QUERIES[15:]))).differences[0]
    assert (len(ndcg.wins), len(ndcg.losses)) == (15, 15)
    assert ndcg.low < 0 < ndcg.high


def test_a_system_compared_with_itself_differs_by_nothing() -> None:
    one = judged("one", set(QUERIES[:7]))
    assert all((d.difference, d.low, d.high, d.ties) == (0, 0, 0, 30) for d in compare(one, one).differences)


def test_results_of_a_list_that_changed_in_between_are_not_compared() -> None:
    before = judged("before", set())
    grades = {q: {"good": 3, "bad": 1 if q == "query 7" else 0} for q in QUERIES}
    answers = {q: Answered(product_ids=["good", "bad"], shown=[Shown("good", "g"), Shown("bad", "b")], latency_ms=1.0) for q in QUERIES}
    after = result_of(Known("after"), Judgments("list.csv", grades), answers, 10)
    with pytest.raises(ConfigurationError, match="'bad' for 'query 7' has another grade"):
        compare(after, before)


def test_a_list_with_the_ids_of_another_catalogue_is_noticed() -> None:
    answers = {q: Answered(product_ids=["1", "2"], shown=[], latency_ms=1.0) for q in QUERIES}
    assert any("are the list's ids those of the catalogue?" in note for note in result_of(Known("x"), JUDGED, answers, 10).notes)
    assert judged("right", set()).notes == []


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(200):
        low, high = interval(rng.normal(0.1, 0.3, 60), resamples=500, seed=seed)
        hits += low <= 0.1 <= high
    assert 176 <= hits <= 199


def test_only_queries_of_both_are_compared_and_the_others_are_named() -> None:
    ours, other = judged("ours", set()), judged("other", set())
    del ours.queries["query 3"], other.queries["query 4"]
    found = compare(ours, other)
    assert (found.only_ours, found.only_other) == (["query 4"], ["query 3"])
    assert found.differences[0].queries == 28


def test_results_of_another_k_are_not_compared() -> None:
    other = judged("other", set())
    with pytest.raises(ConfigurationError, match="@10 and @5"):
        compare(judged("ours", set()), result.msgspec.structs.replace(other, k=5))


def test_a_result_is_the_same_after_it_was_kept(tmp_path: Path) -> None:
    one = judged("one", set(QUERIES[:3]), corrected="something")
    result.save(one, tmp_path / "deep" / "one.json")
    assert result.load(tmp_path / "deep" / "one.json") == one
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(ConfigurationError, match="no result"):
        result.load(tmp_path / "other.json")


def test_zero_results_latency_and_degraded_answers_are_told() -> None:
    answers = {q: Answered(product_ids=[], shown=[], latency_ms=float(n), degraded=["tier:high"]) for n, q in enumerate(QUERIES)}
    found = result_of(Known("empty"), JUDGED, answers, 10)
    assert found.zero_results == 1.0
    assert (found.latency_ms["median"], found.latency_ms["max"]) == (14.5, 29.0)
    assert any("degraded" in line for line in lines(found))


def test_the_page_shows_both_and_lets_no_title_be_markup() -> None:
    ours, other = judged("ours", set(QUERIES[:2])), judged("other", set())
    page = html(ours, other, compare(ours, other))
    assert "&lt;good&gt; &amp; co" in page
    assert "<good>" not in page
    assert page.index("query 0") < page.index("query 9")
    assert "http" not in page
