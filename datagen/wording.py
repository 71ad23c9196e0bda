"""How an intent is said: nouns or words for them that the catalogue does not use, constraints before or after, singular or plural."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from datagen import draws
from datagen.copywriting import model_number
from datagen.draws import Dice
from datagen.intents import BRAND, MODEL, Intents
from datagen.products import Products
from datagen.settings import WorldSettings
from datagen.typos import misspell
from datagen.words import Vocabulary

NOUN, SYNONYM, SHORT, NAME = range(4)
"""What stands for the category: its noun, a word the catalogue does not use, one that several categories share, or nothing (a brand or model)."""
FORMS = ("noun", "synonym", "short", "name")


@dataclass(frozen=True, slots=True)
class Wording:
    """A query as typed, and the truth about it."""

    text: str
    right: str  # the right spelling
    form: int  # FORMS
    phrase: str  # what stands for the category, singular; "" for NAME

    @property
    def misspelt(self) -> bool:
        return self.text != self.right


class Speaker:
    """Says intents. Everything random comes from the generator that is passed."""

    def __init__(self, settings: WorldSettings, words: Vocabulary, items: Products, intents: Intents) -> None:
        self._settings, self._words, self._items, self._intents = settings, words, items, intents

    def say(self, intent: int, rng: Dice, *, plain: bool = False, ts_ms: int | None = None) -> Wording:
        """Words for an intent at a time (None: after the history); `plain`: in the catalogue's own words and without a misspelling."""
        kind = self._intents.kind[intent]
        if kind == MODEL:
            form, phrase, right = NAME, "", self._model(int(self._intents.product[intent]), rng)
        elif kind == BRAND:
            form, phrase, right = NAME, "", self._words.brands[self._intents.brand[intent]].name.lower()
        else:
            form, phrase = self._phrase(int(self._intents.category[intent]), rng, plain, ts_ms)
            right = " ".join(self._ordered(intent, phrase, form, rng, plain))
        wrong = not plain and rng.random() < self._settings.typo_rate
        return Wording(misspell(right, rng, self.known) if wrong else right, right, form, phrase)

    def phrase_chances(self, leaf: int, ts_ms: int | None = None) -> dict[tuple[int, str], float]:
        """The probability of each (form, phrase) for a category at a time: what `say` draws from."""
        words, settings = self._words.leaves[leaf], self._settings
        synonym = settings.synonym_rate
        short = settings.ambiguous_rate if words.short else 0.0
        share = _noun_shares(len(words.nouns))
        chances = {(NOUN, noun): (1 - synonym - short) * share[i] for i, noun in enumerate(words.nouns)}
        asked = self.in_use(leaf, ts_ms)
        chances |= {(SYNONYM, phrase): synonym / len(asked) for phrase in asked}
        return chances | {(SHORT, phrase): short / len(words.short) for phrase in words.short}

    def in_use(self, leaf: int, ts_ms: int | None) -> tuple[str, ...]:
        """The shoppers' own words for a category at a time: each but the first may have come up during the history (`new_words`)."""
        asked = self._words.leaves[leaf].asked
        if ts_ms is None or ts_ms >= self._settings.end_ms:
            return asked
        return tuple(phrase for phrase, since in zip(asked, self._since[leaf], strict=True) if since <= ts_ms)

    @cached_property
    def _since(self) -> list[list[float]]:
        """Per leaf and phrase the moment from which it is in use."""
        settings, since = self._settings, []
        for code, leaf in enumerate(self._words.leaves):
            numbers = np.arange(len(leaf.asked))
            moment = settings.start_ms + draws.uniform(settings.seed, "word/since", code, numbers) * (settings.end_ms - settings.start_ms)
            new = (draws.uniform(settings.seed, "word/new", code, numbers) < settings.new_words) & (numbers > 0)
            since.append(np.where(new, moment, -math.inf).tolist())
        return since

    @cached_property
    def known(self) -> frozenset[str]:
        """Every word that queries are made of, right spelling."""
        leaves = [text for leaf in self._words.leaves for text in (*leaf.nouns, *leaf.asked, *leaf.short)]
        plain = [*self._words.colors, *self._words.materials, *self._words.features, *(b.name.lower() for b in self._words.brands)]
        singular = {word for text in (*leaves, *plain) for word in text.split()}
        return frozenset(singular | {plural(word) for word in singular})

    def _phrase(self, code: int, rng: Dice, plain: bool, ts_ms: int | None) -> tuple[int, str]:
        leaf, u = self._words.leaves[code], 1.0 if plain else rng.random()
        if u < self._settings.synonym_rate:
            asked = self.in_use(code, ts_ms)
            return SYNONYM, asked[int(rng.integers(len(asked)))]
        if leaf.short and u < self._settings.synonym_rate + self._settings.ambiguous_rate:
            return SHORT, leaf.short[int(rng.integers(len(leaf.short)))]
        return NOUN, leaf.nouns[_noun(len(leaf.nouns), rng.random())]

    def _ordered(self, intent: int, phrase: str, form: int, rng: Dice, plain: bool) -> list[str]:
        noun = phrase if form == SYNONYM or rng.random() < 0.55 else plural(phrase)
        before, after = self._constraints(intent, rng, plain)
        if len(before) > 1 and rng.random() < 0.35:
            before = [word for _, word in sorted((rng.random(), word) for word in before)]
        if before and rng.random() < 0.15:
            return [noun, *before, *after]
        return [*before, noun, *after]

    def _constraints(self, intent: int, rng: Dice, plain: bool) -> tuple[list[str], list[str]]:
        """Words before and after the noun, in the usual order."""
        intents, words = self._intents, self._words
        before: list[str] = []
        after: list[str] = []
        if (brand := intents.brand[intent]) >= 0:
            before.append(words.brands[brand].name.lower())
        if (audience := intents.audience[intent]) >= 0:
            said = words.audience_words[audience][1:]
            word = said[0] if plain else said[int(rng.integers(len(said)))]
            (after if word.startswith("for ") else before).append(word)
        if (feature := intents.feature[intent]) >= 0:
            word = self._said(words.features[feature], words.asked_features, rng, plain)
            (after if word.startswith("with ") else before).append(word)
        if (color := intents.color[intent]) >= 0:
            before.append(self._said(words.colors[color], words.asked_colors, rng, plain))
        if (material := intents.material[intent]) >= 0:
            before.append(words.materials[material])
        if (spec := intents.spec[intent]) >= 0:
            value = words.specs[spec][1]
            (before if rng.random() < 0.5 else after).append(value if plain or rng.random() < 0.7 else value.replace(" ", ""))
        if (size := intents.size[intent]) >= 0:
            name = words.sizes[words.leaves[intents.category[intent]].size][size].lower()
            after.append(f"size {name}" if plain or rng.random() < 0.7 else name)
        if (cap := intents.cap[intent]) >= 0:
            after.append(f"{('under', 'below', 'up to')[int(rng.integers(3))]} {cap}")
        return before, after

    def _said(self, word: str, others: dict[str, tuple[str, ...]], rng: Dice, plain: bool) -> str:
        """The catalogue's word, or at the synonym rate one of the shoppers' own."""
        if plain or word not in others or rng.random() >= self._settings.synonym_rate * 2:
            return word
        return others[word][int(rng.integers(len(others[word])))]

    def _model(self, product: int, rng: Dice) -> str:
        brand = int(self._items.brand[product])
        number = model_number(self._words, brand, int(self._items.model[product])).lower()
        if rng.random() < 0.3:
            number = number.replace("-", " " if rng.random() < 0.5 else "")
        return number if rng.random() < 0.5 else f"{self._words.brands[brand].name.lower()} {number}"


def plural(phrase: str) -> str:
    """English plural of a phrase's last word; words that are plural already stay."""
    if phrase.endswith(("s", "wear")) and not phrase.endswith("ss"):
        return phrase
    if phrase.endswith(("ch", "sh", "x", "ss")):
        return f"{phrase}es"
    if phrase.endswith("fe"):
        return f"{phrase[:-2]}ves"
    if phrase.endswith("f") and phrase.endswith(("shelf", "scarf")):
        return f"{phrase[:-1]}ves"
    if phrase.endswith("mouse"):
        return f"{phrase[:-5]}mice"
    if phrase.endswith("y") and phrase[-2] not in "aeiou":
        return f"{phrase[:-1]}ies"
    return f"{phrase}s"


def _noun(count: int, u: float) -> int:
    """Which noun: the first one seven times in ten, the others alike."""
    return 0 if u < 0.7 or count == 1 else min(1 + int((u - 0.7) / 0.3 * (count - 1)), count - 1)


def _noun_shares(count: int) -> list[float]:
    """Seven in ten take the first noun."""
    return [1.0] if count == 1 else [0.7, *[0.3 / (count - 1)] * (count - 1)]
