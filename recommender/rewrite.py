"""Synonyms, mined from the log: what people typed instead, and different words that led to the same products. Pure.

Two witnesses, each with a support and a lift threshold:
- *reformulations*: within a visit, query A without a click is followed by query B with clicks, and they differ in one term;
- *co-clicks*: two terms that are hardly ever typed together lead to the same products far more often than chance would have it.

Both must also close a gap: the products that were clicked hardly ever say the term, and mostly say its synonym. Without that, whatever
popular products have in common (a brand and its category, "dining" and "kitchen") would pass for synonyms.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from recommender.history import Search
from services.contracts import Term
from services.text import QueryTerm, query_terms

Terms = tuple[str, ...]
Synonyms = dict[str, list[list[str]]]
"""Term -> what may stand in for it, best first: phrases of one or more terms."""
Said = Callable[[int], frozenset[str]]
"""Product number -> the terms that it says (of title, brand, categories and attributes)."""

MAX_SYNONYMS = 3
MIN_LENGTH = 3
MAX_REFORMULATION_MS = 5 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """What counts as evidence."""

    reformulations: int = 2
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
    said: float = 0.2
    """Share of the clicks for a term on products that say it, at most: more, and it needs no synonym."""
    says_synonym: float = 0.6
    """Share of the clicks for a term on products that say all of the synonym, at least."""


def mine(visits: Iterable[list[Search]], language: str, said: Said, limits: Limits | None = None) -> Synonyms:
    """Synonyms of terms, at most MAX_SYNONYMS each."""
    limits = limits or Limits()
    parsed = [[(search, _terms(search.text, language)) for search in visit] for visit in visits]
    changes = _reformulations(parsed, limits)
    clicks = _clicks(p for visit in parsed for p in visit)
    scores = {(old, new): share for (old, new), (share, clicked) in changes.items() if _closes_gap(old, new, clicked, said, limits)}
    for (one, other), score in _co_clicks(clicks, limits).items():
        if _closes_gap(one, (other,), clicks.of[one], said, limits):
            scores[one, (other,)] = scores.get((one, (other,)), 0.0) + score
    ranked: dict[str, list[tuple[float, Terms]]] = defaultdict(list)
    for (term, phrase), score in scores.items():
        if not any(similar(term, t) for t in phrase):
            ranked[term].append((score, phrase))
    return {term: [list(p) for _, p in sorted(found, key=lambda s: (-s[0], s[1]))[:MAX_SYNONYMS]] for term, found in sorted(ranked.items())}


def query(asked: Iterable[QueryTerm], synonyms: Mapping[str, list[list[str]]]) -> list[Term]:
    """The terms of a query; a compound's parts and mined synonyms may stand in for a term."""
    terms = []
    for term in asked:
        phrases = [list(term.parts)] if term.parts else []
        terms.append(Term(term.text, phrases + synonyms.get(term.text, [])))
    return terms


def similar(one: str, other: str) -> bool:
    """True for terms at most two edits apart (one for short ones): that is spelling or inflection, not another word."""
    return _distance(one, other) <= (1 if min(len(one), len(other)) <= 4 else 2)


def _terms(text: str, language: str) -> Terms:
    return tuple(term.text for term in query_terms(text, language))


def _closes_gap(term: str, phrase: Terms, clicked: Counter[int], said: Said, limits: Limits) -> bool:
    says_it = sum(n for product, n in clicked.items() if term in said(product))
    says_phrase = sum(n for product, n in clicked.items() if said(product).issuperset(phrase))
    total = clicked.total()
    return total > 0 and says_it <= limits.said * total and says_phrase >= limits.says_synonym * total


def _reformulations(
    visits: Iterable[Sequence[tuple[Search, Terms]]], limits: Limits
) -> dict[tuple[str, Terms], tuple[float, Counter[int]]]:
    """(old term, new terms) -> its share of the changes away from the old term, and what was clicked after it."""
    pairs: Counter[tuple[str, Terms]] = Counter()
    clicked: dict[tuple[str, Terms], Counter[int]] = defaultdict(Counter)
    for visit in visits:
        changes = {change: after[0] for before, after in pairwise(visit) if (change := _change(before, after))}
        pairs.update(changes.keys())
        for change, search in changes.items():
            clicked[change].update(search.clicked)
    total = sum(pairs.values())
    left, right = Counter[str](), Counter[Terms]()
    for (old, new), n in pairs.items():
        left[old] += n
        right[new] += n
    found = {}
    for (old, new), n in pairs.items():
        share, lift = n / left[old], n * total / (left[old] * right[new])
        if n >= limits.reformulations and share >= limits.reformulation_share and lift >= limits.reformulation_lift:
            found[old, new] = (share, clicked[old, new])
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


@dataclass(slots=True)
class _Clicks:
    """Clicks per term and in all, in how many searches with clicks a term was, and in how many two (alphabetical) were together."""

    of: dict[str, Counter[int]]
    everything: Counter[int]
    searched: Counter[str]
    together: Counter[tuple[str, str]]


def _clicks(searches: Iterable[tuple[Search, Terms]]) -> _Clicks:
    clicks = _Clicks(defaultdict(Counter), Counter(), Counter(), Counter())
    for search, terms in searches:
        if not search.clicked:
            continue
        clicks.everything.update(search.clicked)
        asked = sorted(t for t in terms if _is_word(t))
        clicks.searched.update(asked)
        clicks.together.update((a, b) for i, a in enumerate(asked) for b in asked[i + 1 :])
        for term in asked:
            clicks.of[term].update(search.clicked)
    return clicks


def _co_clicks(clicks: _Clicks, limits: Limits) -> dict[tuple[str, str], float]:
    """Pairs in both directions with their cosine."""
    frequent = {term: products for term, products in clicks.of.items() if products.total() >= limits.clicks}
    found: dict[tuple[str, str], float] = {}
    for (a, b), shared in _sharing(frequent).items():
        rarer = min(clicks.searched[a], clicks.searched[b])
        if shared < limits.shared_products or clicks.together[a, b] > limits.together * rarer:
            continue
        cosine, lift = agreement(frequent[a], frequent[b], clicks.everything)
        if cosine >= limits.cosine and lift >= limits.click_lift:
            found[a, b] = found[b, a] = cosine
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
