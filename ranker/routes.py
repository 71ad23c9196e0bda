"""`POST /rank`."""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from ranker.engine import LEAD, Weights
from ranker.explanation import explain, preferences
from ranker.pairs import Pair, Pairs
from ranker.ranking import WEIGHTS, check_candidates, items, missing_products, ordered, personalise, preferences_of, score, strategy_of
from services.app import Service
from services.calls import Call
from services.contracts import RankAnswer, RankRequest
from services.errors import InvalidRequest
from services.features import FEATURE_SCHEMA, matches_first
from services.matches import matched
from services.timing import Timing


class Routes:
    """Ranking is done on the event loop: it takes a third of a millisecond, less than to hand it to a thread under load. What waits for a
    server (`remote_models`, strategy `weights`) is done in one."""

    def __init__(
        self,
        service: Service,
        pairs: Pairs,
        now_ms: Callable[[], int],
        *,
        weights: Weights | None = None,
        strategy: str | None = None,
        remote_models: bool = False,
    ) -> None:
        self._pairs, self._now_ms, self._telemetry = pairs, now_ms, service.telemetry
        self._weights, self._strategy, self._remote = weights, strategy, remote_models
        service.post("/rank", RankRequest, RankAnswer, self.rank, summary="Put candidates in order")

    async def rank(self, request: RankRequest, call: Call) -> RankAnswer:
        check_candidates(request.candidates)
        if request.first < 0 or request.count < 0:
            raise InvalidRequest("a page cannot start or end before the first item", field="first", accepted="0 or more")
        call.deadline.check()
        pair = self._pairs.ready(request.generation, request.release)
        if pair is None:
            with call.timing.stage("bind"):
                pair = await call.run(self._pairs.bind, request.generation, request.release)
        self._telemetry.observe("aisle_model_batch_rows", len(request.candidates), "rank")
        strategy = strategy_of(request.strategy or self._strategy, pair, weights=self._weights is not None)
        work = partial(rank, request, pair, self._now_ms(), call.timing, strategy, self._weights)
        if strategy == WEIGHTS or (self._remote and strategy == "network"):
            return await call.run(work)
        return work()


def rank(
    request: RankRequest, pair: Pair, now_ms: int, timing: Timing, strategy: str | None = None, weights: Weights | None = None
) -> RankAnswer:
    """The answer of one generation and release, by a strategy that `strategy_of` gave (None: what request and release say)."""
    strategy = strategy or strategy_of(request.strategy, pair)
    if request.explain and strategy == WEIGHTS:
        raise InvalidRequest("strategy weights is not explained by features", field="explain", accepted="false")
    candidates = request.candidates
    with timing.stage("features"):
        features = items(pair, request.terms, request.categories, candidates, now_ms)
    with timing.stage("user"):
        user = preferences_of(pair, request.scores, request.weights, request.vector)
        if request.scores is not None or request.vector is not None:
            personalise(features, pair, candidates, user)
    with timing.stage("inference"):
        scores: npt.NDArray[np.floating]
        if weights and strategy == WEIGHTS:
            scores = matches_first(weights.score(request, pair, user), features, LEAD)
        else:
            scores = score(strategy, pair, features, user)
        ranked = ordered(scores, missing_products(pair, candidates))
    page = ranked.order[request.first : request.first + request.count].astype(np.intp)
    explanation = None
    if request.explain:
        with timing.stage("explain"):
            explanation = explain(lambda rows: score(strategy, pair, rows, user), features, page)
            numbers = candidates.numbers()[page].tolist()
            for item, number, matches in zip(explanation, numbers, matched(pair.index, request.terms, numbers), strict=True):
                item["matched"] = matches
                item["preferences"] = preferences(pair.index, pair.model.vocabulary, user.scores, number)
                item |= {"strategy": strategy, "release": pair.release, "generation": pair.generation}
    return RankAnswer(
        generation=pair.generation,
        release=pair.release,
        strategy=strategy,
        order=ranked.order.tobytes(),
        scores=ranked.scores.tobytes(),
        features=features[page].tobytes(),
        feature_schema=FEATURE_SCHEMA,
        explanation=explanation,
    )
