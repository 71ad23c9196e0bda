"""Spelling: which words of a query are meant differently. Pure: vocabulary in, corrections out.

The known-word check comes first and settles most queries; only unknown words reach SymSpell (symmetric deletes, Damerau-Levenshtein).
Known are the catalogue's words and, in a language that has a list, its ordinary words and well-known names: who types "dad" in a shop without
any does not mean "dab". (`python -m tests.bench.spelling` measures what that costs and saves; the rules were chosen on one half of it.)
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

from symspellpy import SymSpell, Verbosity

from services.catalogue import Categories, Product
from services.text import MAX_TERM_CHARS, fold, stem, stop_words, words

MAX_DISTANCE = 2
SHORT_WORD = 7
"""Words of at most so many letters are corrected by one edit only: two edits make a word of seven ("nestera") anything."""
SHORTEST_WORD = 3
TINY_WORD, TINY_SUPPORT = 4, 20
"""Words of at most so many letters have neighbours whatever they mean ("sata": "saga"): they are taken for a misspelling only of a word that
so many products or visitors have, that starts with the same letter, and that is missed by a common slip."""
LISTED_RATIO = 50
"""A word of the language's list is taken for a common slip of a word of the catalogue only when that one is so many times as frequent in the
language: lists made of what people write hold misspellings too ("dinning", 1 to 87 of "dining"). Tiny ones never are."""
MAX_UNKNOWN = 8
"""Different unknown words that are looked up per query: bounds what a hostile query costs."""
MIN_QUERY_SUPPORT = 3
"""Visitors who typed it and clicked before a word that the catalogue does not have counts as a word."""
TYPO_RATIO = 20
"""... and it is taken for a typo all the same when a word one edit away was typed so many times as often."""
_SEPARATORS = re.compile(r"[-./&+'’]")
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = frozenset(pair for row in _KEYBOARD for one, two in pairwise(row) for pair in (one + two, two + one))
_VOWELS = frozenset("aeiouy")
_WORD_LISTS = {"en": "frequency_dictionary_en_82_765.txt"}
"""Language -> list of its words that SymSpell comes with (Google Books n-grams that SCOWL has too, so names of firms as well)."""


@dataclass(frozen=True)
class Vocabulary:
    """Folded words with their frequency. Frequency 0: known (only a description has it), but nothing is corrected to it."""

    counts: dict[str, int]

    def dumps(self) -> bytes:
        """One `word<TAB>frequency` per line, sorted by word."""
        return "".join(f"{word}\t{count}\n" for word, count in sorted(self.counts.items())).encode()

    @staticmethod
    def loads(data: bytes) -> "Vocabulary":
        rows = (line.split("\t") for line in data.decode().splitlines())
        return Vocabulary({word: int(count) for word, count in rows})


def catalogue_words(products: Iterable[Product], categories: Categories, searchable: Sequence[str] | None) -> Counter[str]:
    """Frequency (in products) of the words of title, brand, category names and searched attributes; words of descriptions and
    of other attributes alone have 0."""
    counts: Counter[str] = Counter()
    described: set[str] = set()
    for product in products:
        attributes = [value for name, value in product.attributes.items() if searchable is None or name in searchable]
        text = " ".join([product.title, product.brand, *categories.path(product.category_id), *attributes])
        counts.update(_with_parts(text))
        described |= _with_parts(" ".join([product.description, *product.attributes.values()]))
    for word in described:
        counts.setdefault(word, 0)
    return counts


def query_words(searches: Iterable[tuple[str, str]]) -> Counter[str]:
    """How many visitors typed each word in (text, visitor) searches that got clicks."""
    typed = {(word, visitor) for text, visitor in searches for word in _with_parts(text)}
    return Counter(word for word, _ in typed)


def build_vocabulary(catalogue: Counter[str], queries: Counter[str]) -> Vocabulary:
    """Catalogue and query words together. A word that only queries have needs support, and must not look like a typo of a frequent one."""
    counts = {word: count + queries[word] if count else 0 for word, count in catalogue.items() if len(word) <= MAX_TERM_CHARS}
    near = _lookup({word: count for word, count in queries.items() if count >= TYPO_RATIO * MIN_QUERY_SUPPORT}, 1)
    for word, count in queries.items():
        if word in counts or count < MIN_QUERY_SUPPORT or not word.isalpha() or len(word) < SHORTEST_WORD:
            continue
        if not any(s.distance == 1 and s.count >= TYPO_RATIO * count for s in near.lookup(word, Verbosity.ALL, max_edit_distance=1)):
            counts[word] = count
    return Vocabulary(counts)


class Speller:
    """Corrects words with one vocabulary. Calls are independent and may come from several threads."""

    def __init__(
        self, vocabulary: Vocabulary, language: str, rewritten: Iterable[str] = (), ordinary: Mapping[str, int] | None = None
    ) -> None:
        """`rewritten` are stems that have synonyms, `ordinary` words of the language with their frequency: known, though no product may say
        them."""
        self._language, self.counts, self._ordinary = language, vocabulary.counts, ordinary or {}
        self._stems = {stem(word, language) for word in (*vocabulary.counts, *stop_words(language))} | set(rewritten)
        self._symspell = _lookup({w: n for w, n in vocabulary.counts.items() if w not in stop_words(language)}, MAX_DISTANCE)

    def knows(self, word: str) -> bool:
        """True for words that are never changed: known ones (another inflection counts), short ones, and those with a digit."""
        if len(word) < SHORTEST_WORD or not word.isalpha() or word in self.counts or stem(word, self._language) in self._stems:
            return True
        return word in self._ordinary and self._listed(word) is None

    def needs_work(self, text: str) -> bool:
        """False when every word is known, which costs a few microseconds and is what most queries are."""
        return not all(self.knows(word) for word in self._words(text))

    def correct(self, text: str) -> str | None:
        """The corrected text, or None when nothing is changed. What stays keeps its spelling; what changes is in lower case."""
        chunks = [(chunk, self._words(chunk)) for chunk in text.split()]
        flat = [(number, word) for number, (_, chunk_words) in enumerate(chunks) for word in chunk_words]
        replaced = self._replacements([word for _, word in flat])
        if not replaced:
            return None
        by_chunk: dict[int, list[str]] = {number: [] for number in range(len(chunks))}
        changed = {flat[place][0] for place in replaced}
        for place, (number, word) in enumerate(flat):
            by_chunk[number].extend(replaced.get(place, [word]))
        parts = [" ".join(by_chunk[number]) if number in changed else chunk for number, (chunk, _) in enumerate(chunks)]
        return " ".join(part for part in parts if part)

    def _words(self, text: str) -> list[str]:
        """The words of a text; compounds in parts when they are not known as a whole."""
        whole = words(text)
        return whole if all(self.knows(word) for word in whole) else words(_SEPARATORS.sub(" ", fold(text)))

    def _replacements(self, all_words: list[str]) -> dict[int, list[str]]:
        """Place -> words that stand there instead; [] for a word that was joined to its neighbour."""
        replaced: dict[int, list[str]] = {}
        alone: dict[str, list[str] | None] = {}
        for place, word in enumerate(all_words):
            if place in replaced or self.knows(word):
                continue
            if joined := self._joined(all_words, place, replaced):
                replaced |= joined
                continue
            if word not in alone and len(alone) < MAX_UNKNOWN:
                alone[word] = self._alone(word)
            if better := alone.get(word):
                replaced[place] = better
        return replaced

    def _joined(self, all_words: list[str], place: int, replaced: dict[int, list[str]]) -> dict[int, list[str]]:
        """The unknown word joined with the one after it, or before it, when that is a word ("head phones")."""
        for left in (place, place - 1):
            if left < 0 or left + 1 >= len(all_words) or left in replaced or left + 1 in replaced:
                continue
            if self.counts.get(all_words[left] + all_words[left + 1]):
                return {left: [all_words[left] + all_words[left + 1]], left + 1: []}
        return {}

    def _alone(self, word: str) -> list[str] | None:
        """One edit, else two words that were typed as one, else two edits."""
        if word in self._ordinary:
            return [meant] if (meant := self._listed(word)) else None
        one = self._nearest(word, 1)
        if one or len(word) <= SHORT_WORD:
            return [one] if one else None
        if parts := self._split(word):
            return parts
        two = self._nearest(word, MAX_DISTANCE)
        return [two] if two else None

    def _listed(self, word: str) -> str | None:
        """What an ordinary word is a misspelling of: something so much more frequent that its slips look like a word."""
        if len(word) <= TINY_WORD:
            return None
        needed = LISTED_RATIO * self._ordinary[word]
        found = self._symspell.lookup(word, Verbosity.CLOSEST, max_edit_distance=1)
        likely = [s for s in found if s.term[0] == word[0] and self._ordinary.get(s.term, 0) >= needed and common_slip(word, s.term)]
        best = max(likely, key=lambda s: s.count, default=None)
        return None if best is None else str(best.term)

    def _nearest(self, word: str, distance: int) -> str | None:
        """Of the words at the smallest distance the likeliest: that keeps the first letter, is missed by a common slip, is most frequent."""
        if len(word) > MAX_TERM_CHARS:
            return None
        found = self._symspell.lookup(word, Verbosity.CLOSEST, max_edit_distance=distance)
        if len(word) <= TINY_WORD:
            found = [s for s in found if s.count >= TINY_SUPPORT and s.term[0] == word[0] and common_slip(word, s.term)]
        best = max(found, key=lambda s: (s.term[0] == word[0], s.distance == 1 and common_slip(word, s.term), s.count), default=None)
        return None if best is None else str(best.term)

    def _split(self, word: str) -> list[str] | None:
        """The split into two known words whose rarer one is the most frequent ("runningshoes")."""
        cuts = range(SHORTEST_WORD, len(word) - SHORTEST_WORD + 1)
        best = max(cuts, key=lambda i: min(self.counts.get(word[:i], 0), self.counts.get(word[i:], 0)), default=0)
        parts = [word[:best], word[best:]]
        return parts if best and all(self.counts.get(part) for part in parts) else None


@cache
def ordinary_words(language: str) -> Mapping[str, int]:
    """Ordinary words and well-known names of a language, folded, with their frequency; none of one without a list."""
    if language not in _WORD_LISTS:
        return {}
    lines = files("symspellpy").joinpath(_WORD_LISTS[language]).read_text(encoding="utf-8-sig").splitlines()
    return {fold(word): int(count) for word, count in (line.split() for line in lines)}


def common_slip(typed: str, meant: str) -> bool:
    """Whether the one edit between two words is a usual one (Damerau 1964): a letter missing, typed twice or swapped with its neighbour, the
    key beside it, a vowel for a vowel."""
    if len(typed) < len(meant) or sorted(typed) == sorted(meant):
        return True
    at = next((i for i, (one, two) in enumerate(zip(typed, meant, strict=False)) if one != two), len(meant))
    if len(typed) > len(meant):
        return typed[at] in typed[max(at - 1, 0) : at] + typed[at + 1 : at + 2]
    return typed[at] + meant[at] in _BESIDE or {typed[at], meant[at]} <= _VOWELS


def _with_parts(text: str) -> set[str]:
    """The words of a text, compounds whole and in parts, as the index has them."""
    folded = fold(text)
    return {*words(folded), *words(_SEPARATORS.sub(" ", folded))}


def _lookup(counts: dict[str, int], distance: int) -> SymSpell:
    symspell = SymSpell(max_dictionary_edit_distance=distance)
    for word, count in counts.items():
        if count > 0 and word.isalpha() and len(word) >= SHORTEST_WORD:
            symspell.create_dictionary_entry(word, count)
    return symspell
