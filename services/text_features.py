"""Text features of products and queries: which of a query's terms occur in which part of a product, and how much that is worth.

Computed from the forward index's postings, by catalogue-wide statistics, for whole candidate lists at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.contracts import Term
from services.forward import ASKED, ATTRIBUTES, BRAND, CATEGORY, K1, SYNONYM, TITLE, B, Floats, ForwardIndex, Rows

TEXT_FEATURES = (
    "bm25",  # of the whole text
    "bm25_share",  # of the most that these terms could score
    "title_coverage",  # idf-weighted share of the query's terms that occur in the title, in the brand, ...
    "brand_coverage",
    "category_coverage",
    "attributes_coverage",
    "title_bm25",  # of the title alone, each term once, as a share of the most it could be
    "title_asked",  # share of the title's terms that the query asks for
    "title_exact",  # all of them
    "terms_matched",  # share of the query's terms that occur
)

_COVERED = np.array([TITLE, BRAND, CATEGORY, ATTRIBUTES], np.uint8)[:, None, None]  # [4, t, n]
_OCCURS = 1 << 6  # beside the bits of parts: a phrase whose terms occur in different parts still occurs
_column = TEXT_FEATURES.index
_BM25, _BM25_SHARE, _TITLE_BM25, _TITLE_ASKED = _column("bm25"), _column("bm25_share"), _column("title_bm25"), _column("title_asked")
_TITLE_EXACT, _MATCHED = _column("title_exact"), _column("terms_matched")
_COVERAGE = slice(_column("title_coverage"), _column("attributes_coverage") + 1)


@dataclass(frozen=True, slots=True)
class Query:
    """A query's terms as ids of the index; numbers in `own` and `synonyms` are places in `wanted`."""

    wanted: list[int]  # distinct term ids
    own: list[int]  # per term; -1: no product has it
    synonyms: list[tuple[int, list[int]]]  # (term, phrase): only phrases of which every term is in the catalogue
    idf: Floats  # per term, of itself

    @staticmethod
    def of(index: ForwardIndex, terms: Sequence[Term]) -> "Query":
        known = index.vocabulary
        places: dict[int, int] = {}
        ids = [known.get(term.text, -1) for term in terms]
        own = [places.setdefault(i, len(places)) if i >= 0 else -1 for i in ids]
        synonyms: list[tuple[int, list[int]]] = []
        for number, term in enumerate(terms):
            for phrase in term.synonyms:
                found = [known[text] for text in phrase if text in known]
                if found and len(found) == len(phrase):
                    synonyms.append((number, [places.setdefault(i, len(places)) for i in found]))
        return Query(list(places), own, synonyms, index.idf[ids])  # the idf at -1 is that of an unknown term

    def shape(self) -> tuple[object, ...]:
        """What queries have in common that are looked up together."""
        return len(self.wanted), tuple(self.own), tuple((term, tuple(phrase)) for term, phrase in self.synonyms)


def text_features(index: ForwardIndex, queries: Sequence[Query], rows: Rows) -> Floats:
    """float32[q, len(TEXT_FEATURES), n] of n products, `rows` intp[q, n], for each of q queries of one shape."""
    idf, wanted = np.stack([query.idf for query in queries]), np.array([query.wanted for query in queries], np.intp)
    tf, fields = _occurrences(index, wanted, rows)
    weight = index.idf[wanted] * np.float32(K1 + 1)
    length = (index.doc_len[rows] * np.float32(K1 * B / index.average_length) + np.float32(K1 * (1 - B)))[:, None]
    scores, found = _per_term(queries[0], np.asarray(weight[:, :, None] * tf / (tf + length), np.float32), fields)
    total = idf.sum(axis=1, keepdims=True)
    bm25 = scores.sum(axis=1)
    covered = (found[:, None] & _COVERED != 0).astype(np.float32)
    text = np.empty((len(queries), len(TEXT_FEATURES), rows.shape[1]), np.float32)
    text[:, _BM25] = np.arcsinh(bm25 / 8.0)
    text[:, _BM25_SHARE] = np.minimum(bm25 / (total * np.float32(K1 + 1)), 2.0)  # a rare synonym of a common term can pass 1
    text[:, _COVERAGE] = coverage = ((idf / total)[:, None, None] @ covered)[:, :, 0]
    titles = index.title_len[rows] * np.float32(K1 * B / index.average_title) + np.float32(1 + K1 * (1 - B))
    text[:, _TITLE_BM25] = coverage[:, 0] / titles
    asked = (fields & np.uint8(ASKED) != 0).sum(axis=1)
    askable = index.title_asked[rows]
    text[:, _TITLE_ASKED] = asked / np.maximum(askable, 1)
    text[:, _TITLE_EXACT] = (asked == askable) & (askable > 0)
    text[:, _MATCHED] = (found != 0).sum(axis=1) / len(queries[0].own)
    return text


def _occurrences(index: ForwardIndex, wanted: Rows, rows: Rows) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Frequencies and parts, uint8[q, m, n] each, of m wanted terms, intp[q, m], in n rows, intp[q, n]."""
    at = np.empty((*wanted.shape, rows.shape[1]), np.intp)
    if at.size == 0:
        return np.zeros(at.shape, np.uint8), np.zeros(at.shape, np.uint8)
    numbers = rows.astype(np.uint32)  # of the postings' type, or bisection would convert the postings
    starts, ends = index.posting_starts[wanted], index.posting_starts[wanted + 1]
    for found, sought, begin, end in zip(at, numbers, starts.tolist(), ends.tolist(), strict=True):
        for place, (a, b) in enumerate(zip(begin, end, strict=True)):
            found[place] = index.posting_rows[a:b].searchsorted(sought)
    at += starts[:, :, None]
    np.minimum(at, ends[:, :, None] - 1, out=at)
    occurs = index.posting_rows[at] == numbers[:, None]
    return index.posting_tf[at] * occurs, index.posting_fields[at] * occurs


def _per_term(query: Query, scores: Floats, fields: npt.NDArray[np.uint8]) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Scores float32[q, t, n] and parts uint8[q, t, n] of the t terms of queries of this shape, each the best (all) of itself and its synonyms."""
    if -1 in query.own:  # terms that no product has: a row of zeros at the end stands for them
        nothing = np.zeros((len(scores), 1, scores.shape[2]))
        scores = np.concatenate((scores, nothing), axis=1, dtype=np.float32)
        fields = np.concatenate((fields, nothing), axis=1, dtype=np.uint8, casting="unsafe")
    best, found = scores[:, query.own], fields[:, query.own]
    for term, phrase in query.synonyms:
        if len(phrase) == 1:
            score, parts = scores[:, phrase[0]], fields[:, phrase[0]]
        else:
            complete = (fields[:, phrase] != 0).all(axis=1)
            score = scores[:, phrase].mean(axis=1) * complete
            parts = np.bitwise_and.reduce(fields[:, phrase], axis=1) | complete.astype(np.uint8) * np.uint8(_OCCURS)
        best[:, term] = np.maximum(best[:, term], np.float32(SYNONYM) * score)
        found[:, term] |= parts
    return best, found
