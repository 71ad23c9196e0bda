"""How people misspell: slips of the fingers, sounds, doubled, missing, swapped letters, words split and joined. Not the edit rules of a corrector."""

from bisect import bisect_right
from itertools import accumulate

from datagen.draws import Dice

_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SOUNDS = (
    ("ph", "f"), ("ck", "k"), ("ea", "ee"), ("ie", "ei"), ("ei", "ie"), ("er", "ar"), ("ou", "u"), ("c", "k"), ("s", "z"), ("y", "i"),
    ("oa", "o"), ("ai", "ay"), ("ss", "s"), ("tt", "t"), ("ll", "l"), ("pp", "p"), ("le", "el"), ("ent", "ant"), ("f", "ph"), ("oo", "u"),
)  # fmt: skip
SLIP, SOUND, DOUBLED, MISSING, SWAPPED, SPLIT, JOINED = range(7)
SHARES = (0.2, 0.2, 0.12, 0.2, 0.16, 0.06, 0.06)
"""Shares of the kinds, in the order of their names."""
_CUMULATIVE = list(accumulate(SHARES))
SHORTEST = 4
"""Shorter words and words with digits are spelt right."""


def misspell(text: str, rng: Dice, known: frozenset[str] = frozenset()) -> str:
    """The text with one thing wrong; unchanged when it has no word that could be. A misspelling is never one of the `known` words."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if len(word) >= SHORTEST and word.isalpha() and word.isascii()]
    if not places:
        return text
    for _ in range(8):  # most attempts give a word that differs; some words have no sound to mistake
        at = places[int(rng.integers(len(places)))]
        kind = min(bisect_right(_CUMULATIVE, rng.random()), JOINED)
        if kind == JOINED and len(words) > 1:
            at = min(at, len(words) - 2)
            return " ".join([*words[:at], words[at] + words[at + 1], *words[at + 2 :]])
        wrong = _wrong(words[at], kind, rng)
        if wrong != words[at] and wrong not in known:
            return " ".join([*words[:at], wrong, *words[at + 1 :]])
    return text


def _wrong(word: str, kind: int, rng: Dice) -> str:
    at = int(rng.integers(1, len(word)))  # the first letter is seldom wrong
    if kind == SLIP:
        return word[:at] + _neighbour(word[at], rng) + word[at + 1 :]
    if kind == SOUND:
        fitting = [(heard, written) for heard, written in _SOUNDS if heard in word[1:]]
        if not fitting:
            return word
        heard, written = fitting[int(rng.integers(len(fitting)))]
        return word[0] + word[1:].replace(heard, written, 1)
    if kind == DOUBLED:
        return word[:at] + word[at] + word[at:]
    if kind == MISSING:
        return word[:at] + word[at + 1 :]
    if kind == SWAPPED:
        at = min(at, len(word) - 2)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == SPLIT and len(word) >= 6:
        middle = int(rng.integers(3, len(word) - 2))
        return f"{word[:middle]} {word[middle:]}"
    return word


def _neighbour(letter: str, rng: Dice) -> str:
    for row in _KEYBOARD:
        if (place := row.find(letter)) >= 0:
            near = row[max(0, place - 1) : place] + row[place + 1 : place + 2]
            return near[int(rng.integers(len(near)))]
    return letter
