"""`python -m tests.bench.spelling`: how many misspellings are put right, and how many right words are changed.

Misspellings are `datagen.typos` of the beginnings of titles (not the corrector's edit rules); right words that a catalogue lacks are those of
another shop's catalogue. Both are cut in halves by hash: rules are chosen on one, and reported on the other.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as pq

from datagen.typos import misspell
from evaluation.judgments import half_of
from recommender.spelling import Speller, Vocabulary, ordinary_words
from recommender.understanding import FOLDER, SPELLING
from services.artifacts import Versions
from services.errors import ConfigurationError
from services.shop import Shop, home, open_shop
from services.text import query_terms, words

TITLE_WORDS = 4
TITLES = 4_000
SUPPORT = 3
"""Products that have a word of the other catalogue: not a misspelling of theirs."""


@click.command()
@click.option("--shop", default="demo", show_default=True)
@click.option("--other", required=True, help="A shop with another catalogue: its words are right, and mostly unknown here.")
@click.option("--half", type=click.Choice(["0", "1"]), default="1", show_default=True, help="0 to choose by, 1 to report.")
@click.option("--seed", default=1, show_default=True)
def main(shop: str, other: str, half: str, seed: int) -> None:
    """Spelling of a shop: misspellings put right, right words changed."""
    folder, language = _generation(open_shop(shop, home())), open_shop(shop, home()).info().language
    counts = _vocabulary(folder)
    plain, knowing = Speller(counts, language), Speller(counts, language, (), ordinary_words(language))
    wrong = [pair for pair in _misspelt(folder, counts, seed) if half_of(pair[1]) == int(half)]
    foreign = _vocabulary(_generation(open_shop(other, home()))).counts
    right = sorted(w for w, count in foreign.items() if count >= SUPPORT and w.isalpha() and half_of(w) == int(half))
    for name, speller in (("with the language's words", knowing), ("catalogue alone", plain)):
        put_right = sum(_terms(speller.correct(typed) or typed, language) == _terms(meant, language) for typed, meant in wrong)
        changed = [(word, found) for word in right if (found := speller.correct(word)) and found.replace(" ", "") != word]
        print(
            f"{name}: {put_right / len(wrong):.1%} of {len(wrong):,} misspellings put right, "
            f"{len(changed) / len(right):.1%} of {len(right):,} words of {other} become another ({_shown(changed)})"
        )


def _generation(shop: Shop) -> Path:
    version = Versions(shop.generations).current()
    if version is None:
        raise ConfigurationError(f"shop {shop.name!r} has no generation: run `aisle import` or `aisle build`")
    return shop.generations / str(version)


def _vocabulary(folder: Path) -> Vocabulary:
    return Vocabulary.loads((folder / FOLDER / SPELLING).read_bytes())


def _misspelt(folder: Path, counts: Vocabulary, seed: int) -> Iterator[tuple[str, str]]:
    """(typed, meant), one thing wrong in each."""
    rng, known = np.random.default_rng(seed), frozenset(counts.counts)
    titles = pq.read_table(folder / "catalogue.parquet", columns=["title"])["title"].to_pylist()
    beginnings = dict.fromkeys(" ".join(words(title)[:TITLE_WORDS]) for title in titles)
    for meant in list(beginnings)[:: max(1, len(beginnings) // TITLES)]:
        if (typed := misspell(meant, rng, known)) != meant:
            yield typed, meant


def _terms(text: str, language: str) -> list[str]:
    return [term.text for term in query_terms(text, language)]


def _shown(changed: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{word} > {found}" for word, found in changed[:: max(1, len(changed) // 5)][:5])


if __name__ == "__main__":
    try:
        main()
    except ConfigurationError as error:
        sys.exit(f"bench: {error}")
