"""The measures of a ranking against judgments, through `ir-measures`; one value per query.

nDCG uses the gain 2^grade - 1 (Burges et al. 2005) and takes unjudged products for bad; condensed nDCG leaves them out instead (Sakai
2007), and judged@k is the share of the page that was judged at all: the three are read together. Queries without any good product have
no nDCG, no MRR and no recall: they are counted, and left out of those means.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ir_measures
import numpy as np
from ir_measures import RR, Judged, R, nDCG

from evaluation.judgments import Grades

RECALL_AT = 200
Rankings = Mapping[str, Sequence[str]]
"""Query text -> product ids, best first."""


def names(k: int) -> list[str]:
    """What is measured, in the order in which it is shown."""
    return [f"nDCG@{k}", f"condensed nDCG@{k}", f"judged@{k}", "MRR", f"recall@{RECALL_AT}"]


def per_query(grades: Grades, rankings: Rankings, k: int) -> dict[str, dict[str, float]]:
    """Measure -> query -> value. Only judged@k has a value for queries without a grade above 0. Raises ValueError for k < 1."""
    if k < 1:
        raise ValueError(f"k is {k}, must be at least 1")
    measures = _measures(k, max((g for by_id in grades.values() for g in by_id.values()), default=0))
    ids = {query: str(number) for number, query in enumerate(grades)}
    queries = {number: query for query, number in ids.items()}
    qrels = [ir_measures.Qrel(ids[q], doc, grade) for q, by_id in grades.items() for doc, grade in by_id.items()]
    run = [
        ir_measures.ScoredDoc(ids[query], doc, float(-place))
        for query in grades
        for place, doc in enumerate(dict.fromkeys(rankings.get(query, ())))
    ]
    answerable = {query for query, by_id in grades.items() if max(by_id.values(), default=0) > 0}
    found: dict[str, dict[str, float]] = {name: {} for name in measures}
    name_of = {str(measure): name for name, measure in measures.items()}
    for value in ir_measures.iter_calc(list(measures.values()), qrels, run):
        name, query = name_of[str(value.measure)], queries[value.query_id]
        if query in answerable or name.startswith("judged"):
            found[name][query] = float(value.value)
    for values in found.values():  # ir-measures is silent about queries for which nothing was retrieved
        for query in answerable - values.keys():
            values[query] = 0.0
    return {name: {query: found[name][query] for query in grades if query in found[name]} for name in names(k)}


def means(values: Mapping[str, Mapping[str, float]]) -> dict[str, float | None]:
    """Measure -> mean over its queries; None without any."""
    return {name: float(np.mean(list(by_query.values()))) if by_query else None for name, by_query in values.items()}


def _measures(k: int, highest: int) -> dict[str, Any]:
    gains = {grade: min(2**grade - 1, 2**31 - 1) for grade in range(highest + 1)} if highest <= 10 else None
    gain = {"gains": gains} if gains else {}  # on a scale of 0 to 100 the grade is the gain
    return {
        f"nDCG@{k}": nDCG(cutoff=k, **gain),
        f"condensed nDCG@{k}": nDCG(cutoff=k, judged_only=True, **gain),
        f"judged@{k}": Judged(cutoff=k),
        "MRR": RR(rel=1),
        f"recall@{RECALL_AT}": R(cutoff=RECALL_AT, rel=1),
    }
