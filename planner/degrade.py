"""What the planner puts in the place of an answer that did not come. Pure."""

import numpy as np
import numpy.typing as npt

from services.catalogue import TIERS
from services.contracts import AnalyseAnswer, Candidates, RetrieveAnswer, Term, TierCount, Total
from services.errors import DeadlineExceeded, Overloaded, Unavailable
from services.text import ANALYZER_VERSION, query_terms

LOST = (Unavailable, Overloaded, DeadlineExceeded)
"""Errors of a dependency that a fall-back stands in for; any other is a mistake of the request or of ours, and is not hidden."""

ANALYSIS, PREFERENCES, RANKING = "analysis", "preferences", "ranking"


def plain_analysis(text: str, language: str, generation: int) -> AnalyseAnswer:
    """The query's own terms, as the catalogue's text was made into terms: no spelling, no synonyms (but a compound's parts), no categories."""
    terms = [Term(t.text, [list(t.parts)] if t.parts else []) for t in query_terms(text, language)]
    return AnalyseAnswer(generation, ANALYZER_VERSION, terms, [])


def retrieval_order(candidates: int) -> npt.NDArray[np.uint16]:
    """The order without a ranker. Candidates come from retrieval in it: strict before relaxed, then tier, score, product."""
    return np.arange(candidates, dtype=np.uint16)


def nothing_found(generation: int) -> RetrieveAnswer:
    """For a query of signs only (emoji, punctuation): it has no terms, so no product matches, and no tier has to be asked."""
    tiers = [TierCount(tier, False, 0, 0) for tier in TIERS]
    return RetrieveAnswer(generation, Candidates(b"", b"", b"", b""), tiers, Total(0, "eq"))
