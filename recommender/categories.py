"""Which categories a query means: the model's port, its naive Bayes baseline, calibration and the choice between them. Pure.

Every model gives one logit per leaf category; a temperature fitted on held-out queries makes calibrated probabilities of them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from services.text import stem, words

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

TOP = 3
MIN_PROBABILITY = 0.05
BASELINE = "naive_bayes"
TRAIN_SHARE, CALIBRATE_SHARE = 0.7, 0.1
"""Shares of the logged clicks by time; what remains, the last 20 %, measures."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Texts, the leaf category of each, and who said it (examples of one group are not independent)."""

    texts: Sequence[str]
    categories: I64
    groups: Sequence[str]

    def __len__(self) -> int:
        return len(self.texts)

    def part(self, first: float, last: float) -> "Examples":
        """The examples between two shares of the whole."""
        a, b = round(first * len(self)), round(last * len(self))
        return Examples(self.texts[a:b], self.categories[a:b], self.groups[a:b])

    def where(self, mask: npt.NDArray[np.bool_]) -> "Examples":
        """The examples for which bool[n] holds."""
        rows = np.flatnonzero(mask)
        return Examples([self.texts[i] for i in rows.tolist()], self.categories[rows], [self.groups[i] for i in rows.tolist()])

    def __add__(self, other: "Examples") -> "Examples":
        return Examples([*self.texts, *other.texts], np.concatenate([self.categories, other.categories]), [*self.groups, *other.groups])


class CategoryModel(Protocol):
    """Something that tells leaf categories apart by text."""

    kind: str
    category_ids: I64  # [C]

    def logits(self, text: str) -> F64:
        """float64[C], larger is likelier; an empty text or one without known words gives what is likely anyway."""

    def save(self, folder: Path) -> None: ...


class Calibrated:
    """A model with its temperature: probabilities that mean what they say."""

    def __init__(self, model: CategoryModel, temperature: float) -> None:
        self.model, self.temperature = model, temperature

    def probabilities(self, text: str) -> F64:
        """float64[C], sums to 1."""
        return softmax(self.model.logits(text) / self.temperature)

    def top(self, text: str) -> list[tuple[int, float]]:
        """At most TOP (category id, probability), likeliest first, none below MIN_PROBABILITY."""
        probabilities = self.probabilities(text)
        rows = (probabilities >= MIN_PROBABILITY).nonzero()[0]  # a few: cheaper to sort than to partition all
        likely = sorted(zip(probabilities[rows].tolist(), self.model.category_ids[rows].tolist(), strict=True), key=lambda p: -p[0])
        return [(category, probability) for probability, category in likely[:TOP]]


class NaiveBayes:
    """Multinomial naive Bayes on stemmed words: the named baseline, with the interface of the model that has to beat it."""

    kind = BASELINE

    def __init__(self, parts: "BayesParts", language: str) -> None:
        self._parts, self._language = parts, language
        self._rows = {word: row for row, word in enumerate(parts.words)}
        self.category_ids = np.array(parts.category_ids, np.int64)
        self._prior = np.array(parts.log_prior)
        self._unseen = np.array(parts.log_unseen)
        self._indptr = np.array(parts.indptr, np.int64)
        self._columns, self._gains = np.frombuffer(parts.columns, "<i4"), np.frombuffer(parts.gains, "<f4")

    @staticmethod
    def train(examples: Examples, language: str, smoothing: float = 0.1) -> "NaiveBayes":
        """Counts words per category; `smoothing` is added to each count (Lidstone)."""
        category_ids, labels = np.unique(examples.categories, return_inverse=True)
        counts: dict[str, Counter[int]] = {}
        for text, label in zip(examples.texts, labels.tolist(), strict=True):
            for word in bayes_words(text, language):
                counts.setdefault(word, Counter())[label] += 1
        total = np.zeros(len(category_ids))
        for per_category in counts.values():
            for label, n in per_category.items():
                total[label] += n
        columns = np.array([label for c in counts.values() for label in c], "<i4")
        seen = np.array([n for c in counts.values() for n in c.values()], np.float64)
        parts = BayesParts(
            words=list(counts),
            category_ids=category_ids.tolist(),
            log_prior=np.log(np.bincount(labels, minlength=len(category_ids)) / max(1, len(labels))).tolist(),
            log_unseen=np.log(smoothing / (total + smoothing * len(counts))).tolist() if counts else [0.0] * len(category_ids),
            indptr=np.cumsum([0, *map(len, counts.values())]).tolist(),
            columns=columns.tobytes(),
            gains=np.log((seen + smoothing) / smoothing).astype("<f4").tobytes(),
        )
        return NaiveBayes(parts, language)

    def logits(self, text: str) -> F64:
        scores = self._prior.copy()
        for word in bayes_words(text, self._language):
            row = self._rows.get(word)
            if row is not None:
                scores += self._unseen
                where = slice(self._indptr[row], self._indptr[row + 1])
                scores[self._columns[where]] += self._gains[where]
        return scores

    def save(self, folder: Path) -> None:
        (folder / "naive_bayes.msgpack").write_bytes(msgspec.msgpack.encode(self._parts))

    @staticmethod
    def load(folder: Path, language: str) -> "NaiveBayes":
        return NaiveBayes(msgspec.msgpack.decode((folder / "naive_bayes.msgpack").read_bytes(), type=BayesParts), language)


class BayesParts(msgspec.Struct, frozen=True):
    """Naive Bayes as data. A word's row r has columns[indptr[r]:indptr[r + 1]] (category numbers) and as many gains: log of how much
    likelier the word is there than a word that was never seen there."""

    words: list[str]
    category_ids: list[int]
    log_prior: list[float]
    log_unseen: list[float]  # per category, of a word never seen there
    indptr: list[int]
    columns: bytes  # int32
    gains: bytes  # float32


def bayes_words(text: str, language: str) -> list[str]:
    return [stem(word, language) for word in words(text)]


def softmax(logits: F64) -> F64:
    exponentials: F64 = np.exp(logits - logits.max())
    exponentials /= exponentials.sum()
    return exponentials


def fit_temperature(model: CategoryModel, held_out: Examples) -> float:
    """The temperature (0.2 ... 20) with the least log loss on held-out examples, to 1 %; 1.0 when there are none."""
    rows = {int(category): row for row, category in enumerate(model.category_ids)}
    pairs = [(t, rows[c]) for t, c in zip(held_out.texts, held_out.categories.tolist(), strict=True) if c in rows]
    if not pairs:
        return 1.0
    logits = np.stack([model.logits(text) for text, _ in pairs])
    truth = np.array([row for _, row in pairs])

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(truth)), truth]).mean())

    low, high = np.log(0.2), np.log(20.0)
    golden = (5**0.5 - 1) / 2
    while high - low > 0.01:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


class Measured(msgspec.Struct, frozen=True):
    """Top-1 accuracy with a 95 % bootstrap interval over groups."""

    top1: float
    low: float
    high: float


def hits(model: CategoryModel, examples: Examples) -> npt.NDArray[np.bool_]:
    """bool[n]: the likeliest category is the clicked product's."""
    likeliest: dict[str, int] = {}  # queries repeat
    for text in set(examples.texts):
        likeliest[text] = int(model.category_ids[int(np.argmax(model.logits(text)))])
    return np.array([likeliest[t] == c for t, c in zip(examples.texts, examples.categories.tolist(), strict=True)], np.bool_)


def measure(hit: npt.NDArray[np.bool_] | F64, groups: Sequence[str], *, resamples: int = 1000, seed: int = 0) -> Measured:
    """Mean of `hit` and its percentile interval; whole groups (visitors) are drawn, because their queries resemble each other."""
    _, group = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    sums, sizes = np.bincount(group, weights=hit), np.bincount(group)
    draws = np.random.default_rng(seed).integers(0, len(sums), (resamples, len(sums)))
    means = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Measured(float(np.mean(hit)), float(low), float(high))


def choose(hit: dict[str, npt.NDArray[np.bool_]], groups: Sequence[str], preferred: str) -> str:
    """The kind that ships: the preferred model, unless a baseline's top-1 is higher beyond chance (95 % interval of the paired
    difference above 0); then the best of the baselines that are."""
    ahead = {
        kind: difference.top1
        for kind, hits_ in hit.items()
        if kind != preferred and (difference := measure(hits_.astype(float) - hit[preferred], groups)).low > 0
    }
    return max(ahead, key=ahead.__getitem__, default=preferred)


def clicked_queries(searches: Iterable[tuple[str, str, Sequence[int]]], category_of: npt.NDArray[np.int32], limit: int) -> Examples:
    """One example per click with a known category, of (text, visitor, clicked product numbers) in order of time; the newest `limit`."""
    rows = [
        (text, int(category_of[product]), visitor)
        for text, visitor, clicked in searches
        for product in clicked
        if 0 <= product < len(category_of) and category_of[product] >= 0
    ][-limit:]
    texts, categories, groups = zip(*rows, strict=True) if rows else ((), (), ())
    return Examples(texts, np.array(categories, np.int64), groups)
