"""Category models: probabilities that sum to one and mean what they say, and the better model ships."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.categories import (
    BASELINE,
    Calibrated,
    Examples,
    NaiveBayes,
    choose,
    clicked_queries,
    fit_temperature,
    hits,
    measure,
    softmax,
)
from recommender.fasttext_model import KIND, FastText, line

TEXTS = ["red sofa", "leather sofas", "usb cable", "black cable", "gaming laptop"] * 8
LABELS = [2, 2, 5, 5, 9] * 8
EXAMPLES = Examples(TEXTS, np.array(LABELS), [str(n) for n in range(len(TEXTS))])
BAYES = NaiveBayes.train(EXAMPLES, "en")
FAST = FastText.train(EXAMPLES, threads=1)


@pytest.mark.parametrize("model", [BAYES, FAST], ids=["bayes", "fasttext"])
def test_the_likeliest_category_of_a_title_word_is_its_own(model: NaiveBayes | FastText) -> None:
    assert hits(model, Examples(["sofa", "Black CABLE", "laptop"], np.array([2, 5, 9]), ["a", "b", "c"])).tolist() == [True, True, True]


@given(st.text(max_size=80), st.floats(0.2, 20))
def test_probabilities_sum_to_one_and_the_top_is_sorted_and_not_improbable(text: str, temperature: float) -> None:
    for model in (BAYES, FAST):
        calibrated = Calibrated(model, temperature)
        assert math.isclose(calibrated.probabilities(text).sum(), 1.0, abs_tol=1e-9)
        top = calibrated.top(text)
        assert len(top) <= 3
        assert [p for _, p in top] == sorted((p for _, p in top), reverse=True)
        assert all(p >= 0.05 for _, p in top)


def test_naive_bayes_gives_the_posterior_of_the_textbook() -> None:
    model = NaiveBayes.train(Examples(["a b", "a", "c"], np.array([1, 1, 2]), ["", "", ""]), "en", smoothing=1.0)
    one = 2 / 3 * (2 + 1) / (3 + 3) * (0 + 1) / (3 + 3)
    two = 1 / 3 * (0 + 1) / (1 + 3) * (1 + 1) / (1 + 3)
    assert softmax(model.logits("a c")).tolist() == pytest.approx([one / (one + two), two / (one + two)])
    assert softmax(model.logits("nothing known")).tolist() == pytest.approx([2 / 3, 1 / 3])


def test_logits_of_fasttext_are_those_of_its_own_prediction() -> None:
    labels, probabilities = zip(*[(lab, p) for p, lab in FAST._model.f.predict(line("black sofa") + "\n", 3, 0.0, "strict")], strict=True)
    ours = dict(zip(FAST.category_ids.tolist(), softmax(FAST.logits("black sofa")).tolist(), strict=True))
    assert [ours[int(label.removeprefix("__label__"))] for label in labels] == pytest.approx(probabilities, abs=1e-3)


@pytest.mark.parametrize("model", [BAYES, FAST], ids=["bayes", "fasttext"])
def test_a_saved_model_is_the_same_model(model: NaiveBayes | FastText, tmp_path: Path) -> None:
    model.save(tmp_path)
    loaded = FastText.load(tmp_path) if isinstance(model, FastText) else NaiveBayes.load(tmp_path, "en")
    assert loaded.category_ids.tolist() == model.category_ids.tolist()
    assert loaded.logits("red cable").tolist() == pytest.approx(model.logits("red cable").tolist())


class Confident:
    """Says category 0 with a logit of 6, and is right with a given rate: the temperature has to find that rate."""

    kind = "confident"
    category_ids = np.array([0, 1])

    def logits(self, text: str) -> np.ndarray:
        return np.array([6.0, 0.0])

    def save(self, folder: Path) -> None: ...


@pytest.mark.parametrize("rate", [0.6, 0.8, 0.95])
def test_the_temperature_makes_confidence_equal_to_the_rate_of_being_right(rate: float) -> None:
    truth = np.array([0] * round(1000 * rate) + [1] * round(1000 * (1 - rate)))
    calibrated = Calibrated(Confident(), fit_temperature(Confident(), Examples(["x"] * 1000, truth, ["g"] * 1000)))
    assert calibrated.probabilities("x")[0] == pytest.approx(rate, abs=0.01)


def test_without_held_out_examples_probabilities_stay_as_they_are() -> None:
    assert fit_temperature(BAYES, Examples([], np.zeros(0, np.int64), [])) == 1.0


def test_the_interval_holds_the_mean_and_is_wider_when_few_visitors_made_the_queries() -> None:
    hit = np.random.default_rng(0).random(1000) < 0.7
    many = measure(hit, [str(n) for n in range(1000)])
    few = measure(np.repeat(hit[:10], 100), [str(n // 100) for n in range(1000)])
    assert many.low < many.top1 < many.high
    assert few.high - few.low > 3 * (many.high - many.low)


def test_the_preferred_model_ships_unless_a_baseline_is_better_beyond_chance() -> None:
    groups = [str(n) for n in range(1000)]

    def right(share: float) -> np.ndarray:
        return np.arange(1000) < 1000 * share

    assert choose({KIND: right(0.7), BASELINE: right(0.5)}, groups, KIND) == KIND
    assert choose({KIND: right(0.7), BASELINE: right(0.701)}, groups, KIND) == KIND  # chance
    assert choose({KIND: right(0.7), BASELINE: right(0.72), "other": right(0.71)}, groups, KIND) == BASELINE


def test_every_click_on_a_product_with_a_category_is_an_example_the_newest_count() -> None:
    searched = [("old", "v1", [0]), ("sofa", "v2", [1, 2, 99]), ("cable", "v3", [0])]
    examples = clicked_queries(searched, np.array([5, 2, -1], np.int32), limit=2)
    assert (list(examples.texts), examples.categories.tolist(), list(examples.groups)) == (["sofa", "cable"], [2, 5], ["v2", "v3"])
    assert len(clicked_queries([], np.zeros(0, np.int32), 9)) == 0


def test_parts_of_examples_follow_each_other_without_gap_or_overlap() -> None:
    parts = [EXAMPLES.part(0, 0.7), EXAMPLES.part(0.7, 0.8), EXAMPLES.part(0.8, 1)]
    assert [t for p in parts for t in p.texts] == TEXTS
