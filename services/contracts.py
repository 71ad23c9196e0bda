"""What services say to each other and to the public, as msgspec structs. Arrays travel as little-endian bytes (base64 in JSON)."""

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

Sort = Literal["relevance", "price_asc", "price_desc", "newest"]
EventKind = Literal["view", "click", "cart", "purchase"]
Strategy = Literal["network", "popularity", "bm25", "lightgbm"]
EVENT_KINDS: tuple[EventKind, ...] = ("view", "click", "cart", "purchase")

CANDIDATES = 200
"""Candidates that the tier walk looks for, by default."""
MAX_PAGE_SIZE = 100
MAX_EVENTS = 500


# ---- shared parts --------------------------------------------------------------------------------------------------------------


class Category(Struct, frozen=True):
    """A predicted category of a query with its calibrated probability."""

    id: int
    name: str
    probability: float


class Term(Struct, frozen=True):
    """A term of the query; each synonym is one or more terms that all have to occur to stand in for it."""

    text: str
    synonyms: list[list[str]] = []


class PriceRange(Struct, frozen=True, forbid_unknown_fields=True):
    """Inclusive bounds in cents of the shop's currency."""

    min: Annotated[int, Meta(ge=0, le=10**12)] | None = None
    max: Annotated[int, Meta(ge=0, le=10**12)] | None = None


FilterValues = Annotated[list[Annotated[str, Meta(max_length=200)]], Meta(min_length=1, max_length=50)]


class Filters(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All given filters have to hold; within one, any of its values. A category includes the categories below it."""

    brand: FilterValues | None = None
    category: Annotated[list[Annotated[int, Meta(ge=0, le=2**31 - 1)]], Meta(min_length=1, max_length=50)] | None = None
    price_cents: PriceRange | None = None
    attributes: Annotated[dict[Annotated[str, Meta(max_length=100)], FilterValues], Meta(max_length=20)] | None = None


class Candidates(Struct, frozen=True):
    """n candidates in retrieval order, as parallel arrays."""

    product_no: bytes  # uint32[n]
    score: bytes  # float32[n], BM25 of the tier that found it: not comparable across tiers
    tier: bytes  # uint8[n], index into catalogue.TIERS of the tier that found it
    strict: bytes  # uint8[n], 1: every term occurs

    def __len__(self) -> int:
        return len(self.product_no) // 4

    def numbers(self) -> npt.NDArray[np.uint32]:
        return np.frombuffer(self.product_no, np.uint32)

    def scores(self) -> npt.NDArray[np.float32]:
        return np.frombuffer(self.score, np.float32)

    def tiers(self) -> npt.NDArray[np.uint8]:
        return np.frombuffer(self.tier, np.uint8)

    def stricts(self) -> npt.NDArray[np.uint8]:
        return np.frombuffer(self.strict, np.uint8)

    def take(self, rows: npt.NDArray[np.intp]) -> "Candidates":
        """The candidates at these row numbers, in that order."""
        return Candidates(
            self.numbers()[rows].tobytes(), self.scores()[rows].tobytes(), self.tiers()[rows].tobytes(), self.stricts()[rows].tobytes()
        )


class TierCount(Struct, frozen=True):
    """What one tier gave to the candidates; `searched` is false when enough was found before it."""

    name: str
    searched: bool
    strict: int
    relaxed: int


class Total(Struct, frozen=True):
    """How many products match; `gte` when not every tier was counted."""

    value: int
    relation: Literal["eq", "gte"]


class FacetCount(Struct, frozen=True, omit_defaults=True):
    """`value` is what a filter takes; `name` is for people, where they differ: "Home > Lamps" of a category."""

    value: str
    count: int
    name: str | None = None


class UserEvent(Struct, frozen=True):
    """A behaviour of a user towards a product, as the user graph and the preference model see it."""

    event_id: str
    kind: EventKind
    product_no: int
    ts_ms: int


# ---- recommender ---------------------------------------------------------------------------------------------------------------


class AnalyseRequest(Struct, frozen=True):
    query: str
    generation: int | None = None
    verbatim: bool = False  # no spelling correction


class AnalyseAnswer(Struct, frozen=True):
    generation: int
    analyzer_version: str
    terms: list[Term]
    categories: list[Category]  # at most 3, most probable first
    corrected: str | None = None  # what was searched instead of what was typed
    off: list[str] = []  # stages that this shop does not have ("categories": catalogue without categories)


class PreferencesRequest(Struct, frozen=True):
    user: str  # keyed hash
    categories: list[Category] = []
    pending: list[UserEvent] = []  # acknowledged by the log, maybe not yet in the graph; merged by event_id
    generation: int | None = None
    release: int | None = None


class PreferencesAnswer(Struct, frozen=True):
    release: int
    strategy: str
    scores: bytes  # float32[A], one per attribute value of the release's vocabulary; 0 is neutral
    weights: bytes  # float32[F], added to the release's global ranking weights; 0 is neutral
    vector: bytes  # float32[D], the user vector
    events: int  # behaviours that were used


class ProjectRequest(Struct, frozen=True):
    """Project the log up to this position into the user graph (or as far as the deadline lets)."""

    position: dict[str, int]


class ProjectAnswer(Struct, frozen=True):
    projected: bool
    position: dict[str, int]


# ---- searcher ------------------------------------------------------------------------------------------------------------------


class RetrieveRequest(Struct, frozen=True):
    """No terms: browse, most popular first. Facets and sorts other than relevance run over all products."""

    terms: list[Term]
    categories: list[Category] = []
    filters: Filters | None = None
    wanted: int = CANDIDATES
    sort: Sort = "relevance"
    facets: list[str] = []
    generation: int | None = None


class RetrieveAnswer(Struct, frozen=True):
    generation: int
    candidates: Candidates
    tiers: list[TierCount]
    total: Total
    facets: dict[str, list[FacetCount]] = {}
    unavailable: list[str] = []  # names of tiers that failed


class SuggestRequest(Struct, frozen=True):
    """What was typed so far; fewer than two letters suggest nothing."""

    q: Annotated[str, Meta(max_length=10_000)] = ""
    limit: Annotated[int, Meta(ge=1, le=50)] = 10
    generation: int | None = None


class Suggestion(Struct, frozen=True, omit_defaults=True):
    text: str
    kind: Literal["category", "brand", "phrase"]
    category_id: int | None = None


class SuggestAnswer(Struct, frozen=True):
    generation: int
    suggestions: list[Suggestion]  # best first


# ---- ranker --------------------------------------------------------------------------------------------------------------------


class RankRequest(Struct, frozen=True):
    """`scores`, `weights`, `vector` as `/preferences` gave them; None: neutral. `first` and `count` name the page whose features are wanted."""

    terms: list[Term]
    categories: list[Category]
    candidates: Candidates
    scores: bytes | None = None
    weights: bytes | None = None
    vector: bytes | None = None
    generation: int | None = None
    release: int | None = None
    strategy: str | None = None  # None: the release's own
    first: int = 0
    count: int = 10
    explain: bool = False


class RankAnswer(Struct, frozen=True):
    generation: int
    release: int
    strategy: str
    order: bytes  # uint16[n], row numbers of the candidates, best first
    scores: bytes  # float32[n], in that order
    features: bytes  # float32[count, F] of the page, as served
    feature_schema: str
    explanation: list[dict[str, Any]] | None = None  # per item of the page: features and their shares of the score


# ---- public --------------------------------------------------------------------------------------------------------------------

Identifier = Annotated[str, Meta(min_length=1, max_length=128)]


class SearchRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`cursor` alone gives the next page of an earlier answer; with it, only `user_id`, `client_id`, `session_id` and `explain` may be given."""

    query: str | None = None
    user_id: Identifier | None = None
    client_id: Identifier | None = None
    session_id: Identifier | None = None
    cursor: Annotated[str, Meta(min_length=1, max_length=16_384)] | None = None
    page: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    page_size: Annotated[int, Meta(ge=1, le=MAX_PAGE_SIZE)] | None = None
    filters: Filters | None = None
    sort: Sort | None = None
    facets: Annotated[list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(max_length=20)] | None = None
    verbatim: bool = False
    explain: bool = False


class SearchedQuery(Struct, frozen=True, omit_defaults=True):
    text: str
    terms: list[str]
    categories: list[Category]
    corrected: str | None = None
    cut: bool = False  # longer than 256 characters or 32 terms
    synonyms: dict[str, list[list[str]]] | None = None  # with explain only: what may stand in for a term, all words of one of them


class Item(Struct, frozen=True, omit_defaults=True):
    position: int  # from 1, over all pages
    product_id: str
    summary: msgspec.Raw  # {title, brand, price_cents, category, image_link, attributes}
    score: float
    tier: str
    strict: bool
    explanation: dict[str, Any] | None = None


class SearchAnswer(Struct, frozen=True, kw_only=True):
    query_id: str
    query: SearchedQuery
    total: Total
    tiers: list[TierCount]
    items: list[Item]
    facets: dict[str, list[FacetCount]] | None = None
    generation: int
    release: int | None
    degraded: list[str]
    off: list[str]
    experiments: dict[str, str]
    cursor: str | None = None
    preferences: PreferencesAnswer | msgspec.UnsetType | None = msgspec.UNSET  # with explain only


class EventsAnswer(Struct, frozen=True):
    """The events are on disk. `projected`: searches of these users already know them through the user graph (else they are carried along)."""

    accepted: int
    position: dict[str, int]  # in the event log, {partition: offset}
    projected: bool
    event_ids: list[str]  # in the order of the request; those that came without one have one now
    unknown_products: int = 0  # events about products that the shop does not have: logged, not projected


class ForgetAnswer(Struct, frozen=True):
    """The user's records are gone from the log; the user graph follows (`projected`: it has)."""

    position: dict[str, int]
    projected: bool


class ProductAnswer(Struct, frozen=True, kw_only=True):
    """All that the catalogue says about a product."""

    product_id: str
    title: str
    brand: str
    description: str
    price_cents: int
    currency: str
    category_id: int | None
    category: list[str]  # names from the department down
    image_link: str
    created_ms: int
    attributes: dict[str, str]


# ---- the event log -------------------------------------------------------------------------------------------------------------


class EventRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One UBI event in the log. `user` is the keyed hash; `kind` is None for events that are no behaviour towards a product."""

    event_id: str
    action: str
    ts_ms: int
    kind: EventKind | None = None
    user: str | None = None
    client: str | None = None
    session: str | None = None
    query_id: str | None = None
    product_id: str | None = None
    product_no: int | None = None  # None: unknown product
    position: int | None = None


class PageRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One page that was served: what training learns from. `features` float32[len(product_no), F] as served."""

    query_id: str
    ts_ms: int
    query: str
    terms: list[Term]
    categories: list[Category]
    product_no: list[int]
    positions: list[int]
    features: bytes
    feature_schema: str
    generation: int
    release: int | None = None
    strategy: str | None = None
    user: str | None = None
    client: str | None = None
    session: str | None = None
    corrected: str | None = None
    filters: Filters | None = None
    sort: Sort = "relevance"
    page: int = 1
    exploration: str = "none"  # "none", or how the page was randomised
    propensity: list[float] | None = None  # probability with which each item was put where it stood
    experiments: dict[str, str] = {}
    degraded: list[str] = []
