"""From what the services answered to the page that is served and the record that training learns from. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from planner.cursor import State
from planner.paging import Rows
from planner.products.port import Summary
from services.catalogue import TIERS
from services.contracts import Candidates, Item, PageRecord, RankAnswer, SearchedQuery


@dataclass(frozen=True, slots=True)
class Page:
    """One page: `rows` of the candidates that are on it, in order; `first` is its first one's place in the ranking; `ranking` None: not ranked."""

    state: State
    candidates: Candidates
    rows: Rows
    first: int
    ranking: RankAnswer | None

    def product_nos(self) -> list[int]:
        numbers: list[int] = self.candidates.numbers()[self.rows].tolist()
        return numbers


def items(page: Page, summaries: Mapping[int, Summary]) -> list[Item]:
    """The page's items; products without a summary (deleted since they were found) are left out."""
    tiers, stricts = page.candidates.tiers()[page.rows].tolist(), page.candidates.stricts()[page.rows].tolist()
    explained = page.ranking.explanation if page.ranking else None
    explanations: Sequence[dict[str, Any] | None] = explained if explained is not None else [None] * len(tiers)
    found: list[Item] = []
    for number, score, tier, strict, explanation in zip(page.product_nos(), _scores(page), tiers, stricts, explanations, strict=True):
        if (summary := summaries.get(number)) is not None:
            position = page.state.shown + len(found) + 1
            found.append(Item(position, summary.product_id, msgspec.Raw(summary.json), score, TIERS[tier], bool(strict), explanation))
    return found


def searched(state: State, *, explain: bool) -> SearchedQuery:
    synonyms = {term.text: term.synonyms for term in state.terms if term.synonyms} if explain else None
    return SearchedQuery(state.text, [t.text for t in state.terms], state.categories, state.corrected, state.cut, synonyms)


def page_record(page: Page, summaries: Mapping[int, Summary], now_ms: int, experiments: dict[str, str], degraded: list[str]) -> PageRecord:
    """What was shown, with the features as the ranker served them (none on pages that were not ranked)."""
    state, ranking = page.state, page.ranking
    kept = [row for row, number in enumerate(page.product_nos()) if number in summaries]
    product_nos = page.product_nos()
    return PageRecord(
        query_id=state.query_id,
        ts_ms=now_ms,
        query=state.text,
        terms=state.terms,
        categories=state.categories,
        product_no=[product_nos[row] for row in kept],
        positions=[state.shown + place + 1 for place in range(len(kept))],
        features=_features(ranking, len(product_nos), kept) if ranking else b"",
        feature_schema=ranking.feature_schema if ranking else "",
        generation=state.generation,
        release=ranking.release if ranking else None,
        strategy=ranking.strategy if ranking else None,
        user=state.user,
        client=state.client,
        session=state.session,
        corrected=state.corrected,
        filters=state.filters,
        sort=state.sort,
        page=state.page,
        experiments=experiments,
        degraded=degraded,
    )


def _scores(page: Page) -> list[float]:
    if page.ranking is None:
        scores: list[float] = page.candidates.scores()[page.rows].tolist()
        return scores
    ranked: list[float] = np.frombuffer(page.ranking.scores, np.float32)[page.first : page.first + len(page.rows)].tolist()
    return ranked


def _features(ranking: RankAnswer, shown: int, kept: list[int]) -> bytes:
    if len(kept) == shown:
        return ranking.features
    return np.frombuffer(ranking.features, np.float32).reshape(shown, -1)[kept].tobytes()
