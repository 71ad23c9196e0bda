"""Synonyms, mined from the log: what people typed instead, and different words that led to the same products. Pure.

Two witnesses, each with a support and a lift threshold:
- *reformulations*: within a visit, query A without a click is followed by query B with clicks, and they differ in one term;
- *co-clicks*: two terms that are hardly ever typed together lead to the same products far more often than chance would have it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from recommender.history import Search
from services.contracts import Term
from services.text import query_terms

Terms = tuple[str, ...]
Synonyms = dict[str, list[list[str]]]
"""Term -> what may stand in for it, best first: phrases of one or more terms."""

MAX_SYNONYMS = 3
MIN_LENGTH = 3
MAX_REFORMULATION_MS = 5 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as evidence."""

    reformulations: int = 3
    """Visits in which the change was seen."""
    reformulation_share: float = 0.1
    """... of all changes away from the term."""
    reformulation_lift: float = 3.0
    """How much likelier the new term is after the old one than after any."""
    clicks: int = 10
    """Clicks of each of the two terms."""
    shared_products: int = 3
    cosine: float = 0.3
    """Agreement of the two terms' clicks over products."""
    click_lift: float = 5.0
    """How much likelier two clicks, one of each term, meet on a product than one of them and any other click."""
    together: float = 0.1
    """Share of the rarer term's searches that may have both: words that are typed together complete each other."""


def mine(visits: Iterable[list[Search]], language: str, known: Callable[[str], bool], limits: Limits | None = None) -> Synonyms:
    """Synonyms of terms; a phrase is kept when the catalogue knows all its terms (`known`)."""
    limits = limits or Limits()
    parsed = [[(search, _terms(search.text, language)) for search in visit] for visit in visits]
    scores = _reformulations(parsed, limits)
    for pair, score in _co_clicks((p for visit in parsed for p in visit), limits).items():
        scores[pair] = scores.get(pair, 0.0) + score
    ranked: dict[str, list[tuple[float, Terms]]] = defaultdict(list)
    for (term, phrase), score in scores.items():
        if all(known(t) for t in phrase) and not any(similar(term, t) for t in phrase):
            ranked[term].append((score, phrase))
    return {term: [list(p) for _, p in sorted(found, key=lambda s: (-s[0], s[1]))[:MAX_SYNONYMS]] for term, found in sorted(ranked.items())}


def query(text: str, language: str, synonyms: Mapping[str, list[list[str]]]) -> list[Term]:
    """The terms of a query; a compound's parts and mined synonyms may stand in for a term."""
    terms = []
    for term in query_terms(text, language):
        phrases = [list(term.parts)] if term.parts else []
        terms.append(Term(term.text, phrases + synonyms.get(term.text, [])))
    return terms


def similar(one: str, other: str) -> bool:
    """True for terms at most two edits apart (one for short ones): that is spelling or inflection, not another word."""
    return _distance(one, other) <= (1 if min(len(one), len(other)) <= 4 else 2)


def _terms(text: str, language: str) -> Terms:
    return tuple(term.text for term in query_terms(text, language))


def _reformulations(visits: Iterable[Sequence[tuple[Search, Terms]]], limits: Limits) -> dict[tuple[str, Terms], float]:
    pairs: Counter[tuple[str, Terms]] = Counter()
    for visit in visits:
        pairs.update({p for before, after in pairwise(visit) if (p := _change(before, after))})
    total = sum(pairs.values())
    left, right = Counter[str](), Counter[Terms]()
    for (old, new), n in pairs.items():
        left[old] += n
        right[new] += n
    found = {}
    for (old, new), n in pairs.items():
        share, lift = n / left[old], n * total / (left[old] * right[new])
        if n >= limits.reformulations and share >= limits.reformulation_share and lift >= limits.reformulation_lift:
            found[old, new] = share
    return found


def _change(before: tuple[Search, Terms], after: tuple[Search, Terms]) -> tuple[str, Terms] | None:
    """The term that was replaced, and by which one or two; None when this was no such step."""
    (first, old), (second, new) = before, after
    if first.clicked or not second.clicked or second.ts_ms - first.ts_ms > MAX_REFORMULATION_MS:
        return None
    gone, come = [t for t in old if t not in new], tuple(t for t in new if t not in old)
    kept = len(old) - len(gone)
    if len(gone) != 1 or not come or len(come) > (2 if kept else 1) or not _is_word(gone[0]) or not all(map(_is_word, come)):
        return None
    return gone[0], come


def _co_clicks(searches: Iterable[tuple[Search, Terms]], limits: Limits) -> dict[tuple[str, Terms], float]:
    clicks: dict[str, Counter[int]] = defaultdict(Counter)
    everything: Counter[int] = Counter()
    searched: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for search, terms in searches:
        if not search.clicked:
            continue
        everything.update(search.clicked)
        asked = sorted(t for t in terms if _is_word(t))
        searched.update(asked)
        together.update((a, b) for i, a in enumerate(asked) for b in asked[i + 1 :])
        for term in asked:
            clicks[term].update(search.clicked)
    frequent = {term: products for term, products in clicks.items() if products.total() >= limits.clicks}
    found: dict[tuple[str, Terms], float] = {}
    for (a, b), shared in _sharing(frequent).items():
        if shared < limits.shared_products or together[a, b] > limits.together * min(searched[a], searched[b]):
            continue
        cosine, lift = agreement(frequent[a], frequent[b], everything)
        if cosine >= limits.cosine and lift >= limits.click_lift:
            found[a, (b,)] = found[b, (a,)] = cosine
    return found


def _sharing(clicks: Mapping[str, Counter[int]]) -> Counter[tuple[str, str]]:
    """How many products two terms (in alphabetical order) have in common."""
    terms_of: dict[int, list[str]] = defaultdict(list)
    for term in sorted(clicks):
        for product in clicks[term]:
            terms_of[product].append(term)
    pairs: Counter[tuple[str, str]] = Counter()
    for terms in terms_of.values():
        pairs.update((a, b) for i, a in enumerate(terms) for b in terms[i + 1 :])
    return pairs


def agreement(one: Counter[int], other: Counter[int], everything: Counter[int]) -> tuple[float, float]:
    """Cosine of two click distributions over products, and lift: the chance that a click of each meets, against one and any click."""
    shared = one.keys() & other.keys()
    meets = float(sum(one[p] * other[p] for p in shared))
    norm = float(np.sqrt(sum(n * n for n in one.values()) * sum(n * n for n in other.values())))
    chance = sum(n * everything[p] for p, n in one.items()) * other.total() / everything.total()
    return (meets / norm if norm else 0.0), (meets / chance if chance else 0.0)


def _is_word(term: str) -> bool:
    return len(term) >= MIN_LENGTH and term.isalpha()


def _distance(one: str, other: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]
