"""Which terms of a query occur in which part of a product: for explanations, off the path of ordinary searches."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.contracts import Term
from services.forward import PARTS, ForwardIndex

Matches = dict[str, list[str]]
"""Part of the product's text -> terms that occur there, in the order of the query; a synonym as "term~synonym"."""


def matched(index: ForwardIndex, terms: Sequence[Term], rows: Sequence[int]) -> list[Matches]:
    """Per product (row = product_no): parts without any term are left out. Products that the index does not have match nothing."""
    found: list[Matches] = [{} for _ in rows]
    for term in terms:
        for phrase, name in [([term.text], term.text), *((words, f"{term.text}~{' '.join(words)}") for words in term.synonyms)]:
            for matches, bits in zip(found, _parts(index, phrase, rows), strict=True):
                for bit, part in enumerate(PARTS):
                    if bits >> bit & 1:
                        matches.setdefault(part, []).append(name)
    return [{part: matches[part] for part in PARTS if part in matches} for matches in found]


def missing(index: ForwardIndex, terms: Sequence[Term], row: int) -> list[str]:
    """The terms that occur nowhere in the product, neither themselves nor by a synonym."""
    return [
        term.text
        for term in terms
        if not any(_parts(index, phrase, [row])[0] for phrase in ([term.text], *(words for words in term.synonyms if words)))
    ]


def _parts(index: ForwardIndex, phrase: Sequence[str], rows: Sequence[int]) -> list[int]:
    """Bits of PARTS per row; of several terms all must occur somewhere, and the parts of each count."""
    each = [_of_term(index, text, rows) for text in phrase]
    return [int(np.bitwise_or.reduce(bits)) if all(bits) else 0 for bits in zip(*each, strict=True)]


def _of_term(index: ForwardIndex, text: str, rows: Sequence[int]) -> list[int]:
    number = index.vocabulary.get(text)
    if number is None:
        return [0] * len(rows)
    span = slice(int(index.posting_starts[number]), int(index.posting_starts[number + 1]))
    holders: npt.NDArray[np.uint32] = index.posting_rows[span]
    places = np.searchsorted(holders, np.asarray(rows, np.uint32))
    inside = np.minimum(places, len(holders) - 1)
    held = (places < len(holders)) & (holders[inside] == np.asarray(rows, np.uint32))
    mask = (1 << len(PARTS)) - 1
    bits: list[int] = np.where(held, index.posting_fields[span][inside] & mask, 0).tolist()
    return bits
