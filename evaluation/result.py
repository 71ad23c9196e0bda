"""What an evaluation found, as a JSON file that can be compared later."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from evaluation import measures
from evaluation.judgments import Judgments
from evaluation.systems import Answered, Shown, System, ask_all, latency
from services.errors import ConfigurationError
from services.shop import write_atomically

FORMAT = 1


class QueryResult(Struct, frozen=True, kw_only=True):
    """One query: its measures, and its first page with grades (None: not judged)."""

    measures: dict[str, float]
    shown: list[Shown]
    grades: list[int | None]
    found: int
    latency_ms: float
    corrected: str | None = None
    degraded: list[str] = []


class Result(Struct, frozen=True, kw_only=True):
    """`means` over the queries that have the measure; `zero_results` is the share of all queries that found nothing."""

    format: int = FORMAT
    name: str
    judgments: str
    made_ms: int
    k: int
    pairs: int
    queries: dict[str, QueryResult]
    without_good: list[str]  # queries without any grade above 0
    means: dict[str, float | None]
    zero_results: float
    latency_ms: dict[str, float]
    system: dict[str, Any] = {}
    notes: list[str] = []


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


def save(result: Result, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.format(msgspec.json.encode(result), indent=1))


def load(path: Path) -> Result:
    """Raises ConfigurationError for a file that is none of ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except OSError as error:
        raise ConfigurationError(f"result {path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{path.name} is no result of `aisle evaluate`: {error}") from None


def _notes(judgments: Judgments, answers: Mapping[str, Answered]) -> list[str]:
    notes = []
    if judgments.skipped:
        notes.append(f"{len(judgments.skipped)} judgments could not be used: {'; '.join(judgments.skipped[:3])}")
    if judgments.repeated:
        notes.append(f"{judgments.repeated} ratings repeat a pair: their mean counts")
    if degraded := [query for query, answer in answers.items() if answer.degraded]:
        notes.append(f"{len(degraded)} answers were degraded ({', '.join(degraded[:3])}): measure again when the system is whole")
    return notes
