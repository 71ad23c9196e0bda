"""One call of one engine at a time: what it costs the process that asks and the server that answers."""

from collections.abc import Callable, Sequence
from functools import partial

from recommender.profile import BEHAVIOURS
from searcher import plan
from searcher.retrieve import retrieve
from searcher.walk import MEDIUM
from services.catalogue import TIERS
from services.contracts import CANDIDATES, RankRequest
from services.identity import user_key
from tests.bench.engines import Engines, Unwatched
from tests.bench.workload import PAGE

FACETS = ("brand", "category", "price_cents")


def prepared(engines: Engines, kind: str, asks: Sequence[tuple[str, str]]) -> list[Callable[[], object]]:
    """The calls of a kind that these searches would make, ready to be made; what leads up to them is done here."""
    requests = [request for query, _ in asks if (request := engines.understood(query)[0]).terms]
    users = [user_key(user, engines.secret) for _, user in asks]
    queries = [plan.levels(request)[-1].query for request in requests]
    if kind in TIERS:
        return [partial(engines.part.index(kind).search, query, CANDIDATES, count=True) for query in queries]
    if kind == "facets":
        questions = list(engines.part.fields.questions(FACETS).values())
        return [partial(engines.part.indexes[MEDIUM].facets, query, questions) for query in queries]
    if kind == "graph":
        return [partial(engines.graph.recent, user, BEHAVIOURS) for user in users]
    if kind == "preferences":
        behaviours = [engines.behaviours(user) for user in users]
        return [partial(engines.model.preference, b, r.categories) for b, r in zip(behaviours, requests, strict=False)]
    candidates = [retrieve(engines.part, engines.generation, request, Unwatched()).candidates for request in requests]
    if kind == "products":
        pages = [found.numbers()[:PAGE].tolist() for found in candidates]
        return [partial(engines.products.summaries, page) for page in pages if page]
    assert kind == "ranking" and engines.weights
    rankings = [RankRequest(r.terms, r.categories, found) for r, found in zip(requests, candidates, strict=True)]
    known = [engines.model.preference(engines.behaviours(user), r.categories) for user, r in zip(users, requests, strict=False)]
    return [partial(engines.weights.score, r, engines.pair, user) for r, user in zip(rankings, known, strict=False)]
