"""Words written together or apart: "mouse pad" and "mousepad", "10 w" and "10w", "dc 52 c" and "dc52c". Pure.

Both directions are decided when a query comes, so the catalogue's terms stay what they are: neighbours of a query that are one word of the
catalogue may be stood in for by it, and a word that the catalogue also writes apart by its parts.
"""

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from recommender.spelling import ordinary_words
from services.catalogue import Categories, Product
from services.contracts import Term
from services.text import QueryTerm, stem, words


class Compounds(msgspec.Struct, frozen=True):
    """`apart`: folded word written together -> the stems of its parts, as some product has them side by side. `neighbours`: word of letters
    -> how many products write it apart. Only words that more products write together stand in for neighbours of a query: where "mouse pad"
    is the usual way to say it, the few that say "mousepad" would come first, because the word is rare."""

    apart: dict[str, list[str]] = {}
    neighbours: dict[str, int] = {}


MAX_CHARS = 16
"""Longer joins of digits and letters are not one word: "1440 x 900 pixels" is no model number."""
MAX_MODEL_LETTERS = 4
MIN_LETTERS = 3
MIN_PRODUCTS = 2
"""Products that have a word of letters before neighbours count as that word: a slip of the pen joins anything."""
MAX_COMPOUNDS = 500_000
_RUNS = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+")


def build(products: Iterable[Product], categories: Categories, counts: Mapping[str, int], language: str) -> Compounds:
    """What products write apart: digits beside letters, and neighbours whose joined form other products have or the language (a shop that
    only says "mouse pad" is asked for a "mousepad"). counts: products per word."""
    apart: dict[str, list[str]] = {}
    products_apart: Counter[str] = Counter()
    ordinary = ordinary_words(language)
    for product in products:
        pairs: set[str] = set()
        for text in (product.title, *product.attributes.values(), product.description, *categories.path(product.category_id)):
            for parts in _neighbours(words(text)):
                word = "".join(parts)
                if len(word) > MAX_CHARS or not _belong(parts, counts, ordinary):
                    continue
                if word.isalpha():
                    pairs.add(word)
                if word not in apart and len(apart) < MAX_COMPOUNDS:
                    apart[word] = [stem(part, language) for part in parts]
        products_apart.update(pairs)
    return Compounds(apart, dict(products_apart))


def joined(asked: Sequence[QueryTerm], compounds: Compounds, counts: Mapping[str, int]) -> dict[int, list[str]]:
    """Place of a term -> the folded words that it makes together with its neighbours."""
    found: dict[int, list[str]] = {}
    for start in range(len(asked) - 1):
        for end in (start + 2, start + 3):
            parts = [term.surface for term in asked[start:end]]
            word = "".join(parts)
            if len(parts) < end - start or word not in counts or len(word) > MAX_CHARS:
                continue
            if not _numbered(parts) and not (_letters(parts) and counts[word] > max(MIN_PRODUCTS - 1, compounds.neighbours.get(word, 0))):
                continue
            for place in range(start, end):
                found.setdefault(place, []).append(word)
    return found


def stand_ins(
    terms: Sequence[Term], asked: Sequence[QueryTerm], compounds: Compounds, counts: Mapping[str, int], language: str
) -> list[Term]:
    """The terms with what may stand in for them because it is the same written otherwise. terms and asked are parallel."""
    together = joined(asked, compounds, counts)
    found = []
    for place, (term, typed) in enumerate(zip(terms, asked, strict=True)):
        more = [[stem(word, language)] for word in together.get(place, ())]
        if (apart := compounds.apart.get(typed.surface)) is not None:
            more.append(apart)
        fresh = [phrase for phrase in more if phrase not in term.synonyms and phrase != [term.text]]
        found.append(Term(term.text, [*term.synonyms, *fresh]) if fresh else term)
    return found


def _neighbours(spoken: Sequence[str]) -> Iterator[tuple[str, ...]]:
    yield from pairwise(spoken)
    yield from zip(spoken, spoken[1:], spoken[2:], strict=False)


def _belong(parts: Sequence[str], counts: Mapping[str, int], ordinary: Container[str]) -> bool:
    word = "".join(parts)
    return _numbered(parts) or (_letters(parts) and (counts.get(word, 0) >= MIN_PRODUCTS or word in ordinary))


def _letters(parts: Sequence[str]) -> bool:
    return len(parts) == 2 and all(part.isalpha() and len(part) >= MIN_LETTERS for part in parts)


def _numbered(parts: Sequence[str]) -> bool:
    """Numbers and letters in turn: what units and model numbers are made of. Of more than a number and a word, letters come in short runs."""
    if any(one[-1].isdigit() == two[0].isdigit() for one, two in pairwise(parts)):
        return False
    runs = [_RUNS.findall(part) for part in parts]
    if any("".join(found) != part for found, part in zip(runs, parts, strict=True)):
        return False
    flat = [run for found in runs for run in found]
    return len(flat) == 2 or all(run[0].isdigit() or len(run) <= MAX_MODEL_LETTERS for run in flat)
