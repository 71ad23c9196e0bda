"""`POST /rank`."""

from collections.abc import Callable

import numpy as np

from ranker.explanation import explain, preferences
from ranker.pairs import Pair, Pairs
from ranker.ranking import check_candidates, items, missing_products, ordered, personalise, preferences_of, score, strategy_of
from services.app import Service
from services.calls import Call
from services.contracts import RankAnswer, RankRequest
from services.errors import InvalidRequest
from services.features import FEATURE_SCHEMA
from services.matches import matched
from services.timing import Timing


class Routes:
    """Ranking is done on the event loop: it takes a third of a millisecond, less than to hand it to a thread under load."""

    def __init__(self, service: Service, pairs: Pairs, now_ms: Callable[[], int]) -> None:
        self._pairs, self._now_ms, self._telemetry = pairs, now_ms, service.telemetry
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
        return rank(request, pair, self._now_ms(), call.timing)


def rank(request: RankRequest, pair: Pair, now_ms: int, timing: Timing) -> RankAnswer:
    """The answer of one generation and release."""
    strategy = strategy_of(request.strategy, pair)
    candidates = request.candidates
    with timing.stage("features"):
        features = items(pair, request.terms, request.categories, candidates, now_ms)
    with timing.stage("user"):
        user = preferences_of(pair, request.scores, request.weights, request.vector)
        if request.scores is not None or request.vector is not None:
            personalise(features, pair, candidates, user)
    with timing.stage("inference"):
        ranked = ordered(score(strategy, pair, features, user), missing_products(pair, candidates))
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
