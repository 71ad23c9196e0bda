"""Asks a system every judged query and measures what it answers."""

import time
from collections.abc import Mapping

from evaluation import measures
from evaluation.judgments import Judgments
from evaluation.result import Answered, QueryResult, Result
from evaluation.systems import System, ask_all, latency


def evaluate(system: System, judgments: Judgments, k: int) -> Result:
    """Ask the system every judged query and measure the answers. Raises ConfigurationError when it does not answer."""
    answers = ask_all(system, judgments.grades)
    return result_of(system, judgments, answers, k)


def result_of(system: System, judgments: Judgments, answers: Mapping[str, Answered], k: int) -> Result:
    values = measures.per_query(judgments.grades, {query: a.product_ids for query, a in answers.items()}, k)
    queries = {
        query: QueryResult(
            measures={name: round(by_query[query], 6) for name, by_query in values.items() if query in by_query},
            shown=answer.shown,
            grades=[judgments.grades[query].get(s.product_id) for s in answer.shown],
            found=len(answer.product_ids),
            latency_ms=answer.latency_ms,
            corrected=answer.corrected,
            degraded=answer.degraded,
        )
        for query, answer in answers.items()
    }
    return Result(
        name=system.name,
        judgments=judgments.source,
        made_ms=int(time.time() * 1000),
        k=k,
        pairs=judgments.pairs,
        queries=queries,
        without_good=[q for q, by_id in judgments.grades.items() if not any(by_id.values())],
        means={name: None if mean is None else round(mean, 6) for name, mean in measures.means(values).items()},
        zero_results=sum(not a.product_ids for a in answers.values()) / len(answers),
        latency_ms=latency(answers.values()),
        system=system.facts(),
        notes=_notes(judgments, answers),
    )


def _notes(judgments: Judgments, answers: Mapping[str, Answered]) -> list[str]:
    notes = []
    if judgments.skipped:
        notes.append(f"{len(judgments.skipped)} judgments could not be used: {'; '.join(judgments.skipped[:3])}")
    if judgments.repeated:
        notes.append(f"{judgments.repeated} ratings repeat a pair: their mean counts")
    if not any(id_ in judgments.grades[query] for query, answer in answers.items() for id_ in answer.product_ids):
        notes.append("no judged product was found for any query: are the list's ids those of the catalogue?")
    if degraded := [query for query, answer in answers.items() if answer.degraded]:
        notes.append(f"{len(degraded)} answers were degraded ({', '.join(degraded[:3])}): measure again when the system is whole")
    return notes
