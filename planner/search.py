"""The order of the path of one search: analyse, retrieve beside preferences, rank, fetch; a cursor's page starts at preferences.

One generation is pinned for the whole query (planner/versions.py). What does not come back in its time (planner/budget.py) is left out
and named in `degraded`, as DESIGN.md section 6 says.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from planner import cursor
from planner.budget import Budget
from planner.cursor import State
from planner.degrade import ANALYSIS, LOST, nothing_found, plain_analysis, retrieval_order
from planner.experiments import Experiments, assign
from planner.pages import PageQueue
from planner.paging import Rows, check_page, split
from planner.personal import Dependencies, Personal
from planner.plan import Plan, check_cursor_alone, plan_of
from planner.products.cache import CachedProducts
from planner.products.port import Summary
from planner.results import Page, items, page_record, searched
from planner.versions import pinned, to_try
from services.artifacts import Served
from services.calls import Call
from services.client import ServiceClient
from services.contracts import (
    AnalyseAnswer,
    AnalyseRequest,
    Candidates,
    FacetCount,
    RetrieveAnswer,
    RetrieveRequest,
    SearchAnswer,
    SearchRequest,
    Total,
)
from services.errors import DeadlineExceeded, Unauthorised, Unavailable

Facets = dict[str, list[FacetCount]]


@dataclass(frozen=True, slots=True)
class Options:
    """What a search is told once, at start. `key` signs cursors, `user_key` hashes a shop's user id."""

    language: str
    candidates: int
    key: bytes
    user_key: Callable[[str], str]
    experiments: Experiments
    salt: str
    patience_ms: float = 400.0
    """A search that came with less time than this may be too late without anybody's fault."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One request on its way: what it asks, what time it has, where it is timed."""

    request: SearchRequest
    call: Call
    budget: Budget

    def before_ranking_ms(self) -> float:
        return self.budget.before_ranking_ms(self.call.deadline.remaining_ms())


class Search:
    """Answers /search over the other services' clients and the planner's own stores."""

    def __init__(
        self,
        services: Dependencies,
        searcher: ServiceClient,
        products: Served[CachedProducts],
        pages: PageQueue,
        options: Options,
    ) -> None:
        self._services, self._searcher, self._products = services, searcher, products
        self._pages, self._options = pages, options
        self._recommender, self._fallbacks = services.recommender, services.fallbacks

    async def answer(self, request: SearchRequest, call: Call) -> SearchAnswer:
        """Raises InvalidRequest, Unauthorised, Unavailable, DeadlineExceeded."""
        if request.explain and not call.operator:
            raise Unauthorised(
                "explain needs `Authorization: Bearer <operator token>`", field="explain", accepted="false without the token"
            )
        turn = Turn(request, call, Budget(call.deadline.remaining_ms()))
        if request.cursor is not None:
            return await self._next(turn, request.cursor)
        plan = plan_of(request, language=self._options.language, candidates=self._options.candidates)
        return await pinned(self._generations(None), lambda generation: self._first(turn, plan, generation))

    def _personal(self, turn: Turn, state: State) -> Personal:
        return Personal(self._services, state, turn.call, turn.budget)

    def _generations(self, preferred: int | None) -> list[int]:
        return to_try(preferred, self._products.current, self._products.loaded)

    # ---- a query's first page (or one named by number) ----

    async def _first(self, turn: Turn, plan: Plan, generation: int) -> SearchAnswer:
        analysis, degraded = await self._analyse(turn, plan, generation)
        state = self._state(turn.request, plan, analysis, degraded)
        personal = self._personal(turn, state)
        found = await personal.beside(self._retrieve(turn, plan, analysis))
        lost = [self._fallbacks.note(f"tier:{tier}") for tier in found.unavailable]
        state = msgspec.structs.replace(state, total=found.total, tiers=found.tiers, degraded=[*degraded, *lost])
        facets = found.facets if plan.facets else None
        return await self._page(turn, state, found.candidates, first=plan.first, personal=personal, facets=facets)

    async def _analyse(self, turn: Turn, plan: Plan, generation: int) -> tuple[AnalyseAnswer, list[str]]:
        if plan.browse:
            return plain_analysis("", self._options.language, generation), []
        request = AnalyseRequest(plan.text, generation, plan.verbatim)
        budget_ms = turn.budget.analyse_ms(turn.call.deadline.remaining_ms())
        try:
            return await self._recommender.post("/analyse", request, AnalyseAnswer, turn.call, budget_ms=budget_ms), []
        except LOST as error:
            reason = self._fallbacks.note(ANALYSIS, error)
            return plain_analysis(plan.text, self._options.language, generation), [reason]

    async def _retrieve(self, turn: Turn, plan: Plan, analysis: AnalyseAnswer) -> RetrieveAnswer:
        if not plan.browse and not analysis.terms:
            found = nothing_found(analysis.generation)
        else:
            found = await self._candidates(turn, plan, analysis)
        check_page(plan.page, plan.page_size, len(found.candidates))
        return found

    async def _candidates(self, turn: Turn, plan: Plan, analysis: AnalyseAnswer) -> RetrieveAnswer:
        request = RetrieveRequest(
            terms=analysis.terms,
            categories=analysis.categories,
            filters=plan.filters,
            wanted=self._options.candidates,
            sort=plan.sort,
            facets=plan.facets,
            generation=analysis.generation,
        )
        try:
            return await self._searcher.post("/retrieve", request, RetrieveAnswer, turn.call, budget_ms=turn.before_ranking_ms())
        except DeadlineExceeded:
            if turn.budget.total_ms < self._options.patience_ms:
                raise  # the client was in a hurry; a searcher that had the usual time and did not answer has failed
            raise Unavailable("the searcher did not answer in time") from None

    def _state(self, request: SearchRequest, plan: Plan, analysis: AnalyseAnswer, degraded: list[str]) -> State:
        return State(
            query_id=str(uuid.uuid4()),
            text=plan.text,
            terms=analysis.terms,
            categories=analysis.categories,
            generation=analysis.generation,
            release=None,
            total=Total(0, "eq"),
            tiers=[],
            page_size=plan.page_size,
            shown=plan.first,
            page=plan.page,
            corrected=analysis.corrected,
            cut=plan.cut,
            sort=plan.sort,
            filters=plan.filters,
            user=self._options.user_key(request.user_id) if request.user_id else None,
            client=request.client_id,
            session=request.session_id,
            degraded=degraded,
            off=analysis.off,
        )

    # ---- the next page of an earlier answer ----

    async def _next(self, turn: Turn, text: str) -> SearchAnswer:
        check_cursor_alone(turn.request)
        with turn.call.timing.stage("cursor"):
            state, rest = cursor.decode(text, self._options.key, _now_ms())
            state = self._continued(state, turn.request)
        return await pinned(self._generations(state.generation), lambda generation: self._turned(turn, state, rest, generation))

    async def _turned(self, turn: Turn, state: State, rest: Candidates, generation: int) -> SearchAnswer:
        if generation != state.generation:
            numbers = rest.numbers()
            left = await turn.call.run(self._products.get(generation)[1].summaries, numbers.tolist())
            rest = rest.take(np.flatnonzero(np.isin(numbers, list(left))))
            state = msgspec.structs.replace(state, generation=generation)
        return await self._page(turn, state, rest, first=0, personal=self._personal(turn, state))

    def _continued(self, state: State, request: SearchRequest) -> State:
        return msgspec.structs.replace(
            state,
            page=state.page + 1,
            user=self._options.user_key(request.user_id) if request.user_id else state.user,
            client=request.client_id or state.client,
            session=request.session_id or state.session,
        )

    # ---- any page ----

    async def _page(
        self, turn: Turn, state: State, candidates: Candidates, *, first: int, personal: Personal, facets: Facets | None = None
    ) -> SearchAnswer:
        count = max(0, min(state.page_size, len(candidates) - first))
        ranking = await personal.rank(candidates, first=first, count=count, explain=turn.request.explain)
        order = np.frombuffer(ranking.order, np.uint16) if ranking else retrieval_order(len(candidates))
        rows, rest = split(order, first, state.page_size)
        page = Page(state, candidates, rows, first, ranking)
        with turn.call.timing.stage("fetch"):
            summaries = await self._fetch(turn.call, page)
        with turn.call.timing.stage("cursor"):
            following = self._cursor(page, rest, personal) if len(rest) else None
        degraded = [*state.degraded, *personal.lost]
        experiments = assign(self._options.experiments, state.user or state.client, self._options.salt)
        self._pages.offer(page_record(page, summaries, _now_ms(), experiments, degraded))
        return SearchAnswer(
            query_id=state.query_id,
            query=searched(state, explain=turn.request.explain),
            total=state.total,
            tiers=state.tiers,
            items=items(page, summaries),
            facets=facets,
            generation=state.generation,
            release=ranking.release if ranking else None,
            degraded=degraded,
            off=state.off,
            experiments=experiments,
            cursor=following,
            preferences=personal.preferences if turn.request.explain else msgspec.UNSET,
        )

    async def _fetch(self, call: Call, page: Page) -> dict[int, Summary]:
        if not len(page.rows):
            return {}
        _, store = self._products.get(page.state.generation)
        numbers = page.product_nos()
        ready = store.ready(numbers)
        return await call.run(store.summaries, numbers) if ready is None else ready

    def _cursor(self, page: Page, rest: Rows, personal: Personal) -> str:
        used = page.ranking.release if page.ranking else personal.state.release
        state = msgspec.structs.replace(page.state, release=used, shown=page.state.shown + len(page.rows))
        return cursor.encode(state, page.candidates.take(rest), self._options.key, _now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
