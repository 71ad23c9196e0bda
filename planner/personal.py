"""Preferences and ranking of one page: asked for beside retrieval, tied to one model release, neutral when they do not come in time."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from planner.budget import Budget
from planner.cursor import State
from planner.degrade import LOST, PREFERENCES, RANKING
from planner.fallbacks import Fallbacks
from planner.pending import Pending
from planner.projection import Projection
from services.calls import Call
from services.client import ServiceClient
from services.contracts import Candidates, PreferencesAnswer, PreferencesRequest, RankAnswer, RankRequest
from services.errors import Unavailable, VersionGone

T = TypeVar("T")


@dataclass(slots=True)
class Dependencies:
    """`preferences` is the recommender again with a breaker of its own: a user graph or a model server that fails says nothing about /analyse.
    `ranked_release` is the release that the ranker last answered with: while a new one arrives, the one that both services have."""

    recommender: ServiceClient
    preferences: ServiceClient
    ranker: ServiceClient
    pending: Pending
    projection: Projection
    fallbacks: Fallbacks
    ranked_release: int | None = None


@dataclass(slots=True)
class Personal:
    """Of one request. After `rank`: `preferences` as they were used (None: neutral) and `lost`, the reasons for the answer's `degraded`."""

    on: Dependencies
    state: State
    call: Call
    budget: Budget
    preferences: PreferencesAnswer | None = None
    lost: list[str] = field(default_factory=list)
    _task: "asyncio.Task[PreferencesAnswer | None] | None" = None

    @property
    def ranked(self) -> bool:
        """Pages in an order that the shopper chose are not ranked."""
        return self.state.sort == "relevance"

    @property
    def personalised(self) -> bool:
        return self.ranked and self.state.user is not None

    async def beside(self, retrieval: Coroutine[Any, Any, T]) -> T:
        """Run retrieval with the question for preferences beside it; gives what retrieval gave."""
        if not self.personalised:
            return await retrieval
        self._task = asyncio.create_task(self._ask(self.state.release))
        try:
            return await retrieval
        except BaseException:
            await self._cancel()
            raise

    async def rank(self, candidates: Candidates, *, first: int, count: int, explain: bool) -> RankAnswer | None:
        """The candidates' order, with the features of `count` of them from rank `first`; None: keep retrieval's order. Raises VersionGone
        when a service does not have the generation."""
        if not self.ranked or not len(candidates):
            await self._cancel()
            return None
        if self.personalised:
            self.preferences = await (self._task or self._ask(self.state.release))
        answer = await self._rank(lambda: self._request(candidates, first, count, explain))
        if self.personalised and self.preferences is None:
            self.lost.insert(0, PREFERENCES)
        if answer is not None:
            self.on.ranked_release = answer.release
        return answer

    async def _rank(self, request: Callable[[], RankRequest]) -> RankAnswer | None:
        """As asked for; when the ranker does not have that release, with preferences of the one it has; at last without any."""
        for attempt in (1, 2, 3):
            try:
                return await self._post(request())
            except VersionGone as gone:
                if gone.field != "release":
                    raise
                if attempt == 3:  # the ranker has no release at all
                    self.lost.append(self.on.fallbacks.note(RANKING, gone))
                    return None
            self.state = msgspec.structs.replace(self.state, release=None)
            known = self.on.ranked_release
            again = attempt == 1 and self.preferences is not None and known is not None
            self.preferences = await self._ask(known) if again else None
        raise AssertionError("the third attempt returns or raises")

    def _request(self, candidates: Candidates, first: int, count: int, explain: bool) -> RankRequest:
        state, preferences = self.state, self.preferences
        return RankRequest(
            terms=state.terms,
            categories=state.categories,
            candidates=candidates,
            scores=preferences.scores if preferences else None,
            weights=preferences.weights if preferences else None,
            vector=preferences.vector if preferences else None,
            generation=state.generation,
            release=preferences.release if preferences else state.release,
            first=first,
            count=count,
            explain=explain,
        )

    async def _post(self, request: RankRequest) -> RankAnswer | None:
        budget_ms = self.budget.rank_ms(self.call.deadline.remaining_ms())
        try:
            answer = await self.on.ranker.post("/rank", request, RankAnswer, self.call, budget_ms=budget_ms)
            if len(answer.order) != 2 * len(request.candidates):
                raise Unavailable(f"the ranker ordered {len(answer.order) // 2} of {len(request.candidates)} candidates")
            return answer
        except LOST as error:
            self.lost.append(self.on.fallbacks.note(RANKING, error))
            return None

    async def _ask(self, release: int | None) -> PreferencesAnswer | None:
        state, user = self.state, self.state.user
        assert user is not None
        pending = self.on.pending.of(user)
        if pending:
            self.on.projection.nudge()
        request = PreferencesRequest(user, state.categories, pending, state.generation, release)
        budget_ms = self.budget.before_ranking_ms(self.call.deadline.remaining_ms())
        try:
            return await self.on.preferences.post("/preferences", request, PreferencesAnswer, self.call, budget_ms=budget_ms)
        except VersionGone as gone:
            if gone.field != "release":
                raise
            if release is None:  # the recommender has no release at all
                self.on.fallbacks.note(PREFERENCES, gone)
                return None
        except LOST as error:
            self.on.fallbacks.note(PREFERENCES, error)
            return None
        return await self._ask(None)  # a cursor's release is a wish: the current one will do

    async def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
