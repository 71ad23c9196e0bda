"""The public API: what stands on which path, and nothing else."""

from typing import Annotated
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from planner.events import UbiEvent, UbiEvents
from planner.intake import Intake
from planner.products.cache import CachedProducts
from planner.search import Options, Search
from services.app import Service
from services.artifacts import Served
from services.calls import Call
from services.client import ServiceClient
from services.contracts import (
    MAX_PAGE_SIZE,
    EventsAnswer,
    ForgetAnswer,
    Identifier,
    ProductAnswer,
    SearchAnswer,
    SearchRequest,
    Sort,
    SuggestAnswer,
)
from services.errors import NotFound

DESCRIPTION = """The public API of AIsle.

* A query is cut to the words within 256 characters and to 32 terms (`query.cut` says so). An empty one browses: popular products, personalised. One of signs
  only (emoji, punctuation) has no terms and finds nothing.
* `cursor` of an answer, alone, gives the next page within 30 minutes, on any replica, never repeating a product; an answer without it is
  the last page. `page` stands alone too, up to the candidates (200 by default).
* `degraded` names what was left out of an answer because a part of the system did not do its work in time: `analysis` (spelling, synonyms,
  categories), `preferences`, `ranking`, `tier:<name>`. `off` names what this shop does not have.
* `POST /events` takes UBI 1.3.0 events. The 202 follows the write to disk. Without `event_attributes.event_id` an event is given one, and
  sending it again makes a second event; with it, the repetition is recognised.
* Times: send `x-deadline-ms` (default 500). `Server-Timing` shows where the time went. Errors are problem documents (RFC 9457).
"""


class SearchParameters(Struct, frozen=True, kw_only=True):
    """The same as the body of POST /search, without filters and facets."""

    q: str | None = None
    user_id: Identifier | None = None
    client_id: Identifier | None = None
    session_id: Identifier | None = None
    cursor: Annotated[str, Meta(min_length=1, max_length=16_384)] | None = None
    page: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    page_size: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] | None = None
    sort: Sort | None = None
    verbatim: bool = False
    explain: bool = False


class SuggestParameters(Struct, frozen=True):
    """What was typed so far; fewer than two letters suggest nothing."""

    q: Annotated[str, Meta(max_length=10_000)] = ""
    limit: Annotated[int, Meta(ge=1, le=50)] = 10


class ProductPath(Struct, frozen=True):
    product_id: Annotated[str, Meta(min_length=1, max_length=256)]


class UserPath(Struct, frozen=True):
    user_id: Identifier


class Routes:
    """Handlers over the search, the intake of events and the product store."""

    def __init__(
        self, service: Service, search: Search, intake: Intake, products: Served[CachedProducts], searcher: ServiceClient, options: Options
    ) -> None:
        self._search, self._intake, self._products = search, intake, products
        self._searcher, self._options = searcher, options
        service.post("/search", SearchRequest, SearchAnswer, search.answer, summary="Search, browse, turn pages")
        service.get("/search", SearchParameters, SearchAnswer, self.get_search, summary="The same by query parameters")
        service.post("/events", UbiEvents, EventsAnswer, self.events, status=202, summary="Log UBI 1.3.0 events: all of them or none")
        service.get("/suggest", SuggestParameters, SuggestAnswer, self.suggest, summary="Completions of what was typed so far")
        service.get(
            "/products/{product_id:path}", ProductPath, ProductAnswer, self.product, summary="All that the catalogue says about a product"
        )
        service.delete(
            "/users/{user_id:path}", UserPath, ForgetAnswer, self.forget, summary="Forget a user: log, user graph, next training"
        )

    async def get_search(self, parameters: SearchParameters, call: Call) -> SearchAnswer:
        given = {name: getattr(parameters, name) for name in SearchParameters.__struct_fields__ if name != "q"}
        return await self._search.answer(SearchRequest(query=parameters.q, **given), call)

    async def events(self, events: list[UbiEvent], call: Call) -> EventsAnswer:
        return await self._intake.events(events, call)

    async def suggest(self, parameters: SuggestParameters, call: Call) -> SuggestAnswer:
        path = "/suggest?" + urlencode({"q": parameters.q, "limit": parameters.limit})
        return await self._searcher.get(path, SuggestAnswer, call)

    async def product(self, path: ProductPath, call: Call) -> msgspec.Raw:
        _, store = self._products.get()
        found = await call.run(store.product, path.product_id)
        if found is None:
            raise NotFound(f"there is no product {path.product_id!r} in the current generation", field="product_id")
        return msgspec.Raw(found)

    async def forget(self, path: UserPath, call: Call) -> ForgetAnswer:
        return await self._intake.forget(self._options.user_key(path.user_id), call)
