"""fastText as a category model: a small supervised model with word pairs and subwords (Joulin et al., arXiv 1607.01759)."""

import tempfile
from pathlib import Path

import fasttext
import numpy as np

from recommender.categories import F64, Examples
from services.text import words

KIND = "fasttext"
FILE = "fasttext.bin"
EXAMPLES_SEEN = 250_000
"""Training goes over few examples more often: 8 to 50 times."""
_LABEL = "__label__"


class FastText:
    """Logits are taken from the matrices: the hidden vector times the output vectors, which is what its softmax is made of."""

    kind = KIND

    def __init__(self, model: "fasttext.FastText._FastText") -> None:
        self._model, self._vector = model, model.get_sentence_vector
        self.category_ids = np.array([int(label.removeprefix(_LABEL)) for label in model.get_labels()], np.int64)
        self._output = np.array(model.get_output_matrix(), np.float32)

    @staticmethod
    def train(examples: Examples, *, seed: int = 1, threads: int = 2) -> "FastText":
        """Two threads share the weights without locks, so two builds of the same data differ slightly."""
        epochs = min(50, max(8, EXAMPLES_SEEN // max(1, len(examples))))
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.writelines(f"{_LABEL}{c} {line(t)}\n" for t, c in zip(examples.texts, examples.categories.tolist(), strict=True))
            file.flush()
            model = fasttext.train_supervised(
                file.name, dim=32, bucket=50_000, wordNgrams=2, minn=3, maxn=5, epoch=epochs, lr=0.5, thread=threads, seed=seed, verbose=0
            )
        return FastText(model)

    def logits(self, text: str) -> F64:
        logits: F64 = (self._output @ self._vector(line(text))).astype(np.float64)
        return logits

    def save(self, folder: Path) -> None:
        self._model.save_model(str(folder / FILE))

    @staticmethod
    def load(folder: Path) -> "FastText":
        return FastText(fasttext.load_model(str(folder / FILE)))


def line(text: str) -> str:
    """The text as fastText reads it: folded words, one space between."""
    return " ".join(words(text))
