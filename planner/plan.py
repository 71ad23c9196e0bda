"""From a request to what will be done: cut, checked, defaults filled in. Pure."""

from dataclasses import dataclass

from planner.paging import check_page
from services.contracts import Filters, SearchRequest, Sort
from services.errors import InvalidRequest
from services.text import MAX_QUERY_CHARS, MAX_QUERY_TERMS, query_terms

PAGE_SIZE = 10
_BESIDE_CURSOR = ("user_id", "client_id", "session_id", "explain")
_NOT_BESIDE_CURSOR = ("query", "page", "page_size", "filters", "sort", "facets", "verbatim")


@dataclass(frozen=True, slots=True)
class Plan:
    """One search without a cursor. `browse`: nothing was typed, so the most popular products are wanted."""

    text: str
    cut: bool
    browse: bool
    page: int
    page_size: int
    filters: Filters | None
    sort: Sort
    facets: list[str]
    verbatim: bool

    @property
    def first(self) -> int:
        """Rank (from 0) of the first product of the page."""
        return (self.page - 1) * self.page_size


def plan_of(request: SearchRequest, *, language: str, candidates: int) -> Plan:
    """Raises InvalidRequest for a page past the candidates that are looked for, and for an empty price range."""
    page, page_size = request.page or 1, request.page_size or PAGE_SIZE
    check_page(page, page_size, candidates)
    _check_price(request.filters)
    text, cut = cut_query(request.query or "", language)
    return Plan(
        text=text,
        cut=cut,
        browse=not text.strip(),
        page=page,
        page_size=page_size,
        filters=request.filters,
        sort=request.sort or "relevance",
        facets=list(dict.fromkeys(request.facets or ())) if page == 1 else [],
        verbatim=request.verbatim,
    )


def cut_query(text: str, language: str) -> tuple[str, bool]:
    """The words within the first 256 characters (a longer one is cut), and whether that, or the limit of 32 terms, leaves anything out."""
    cut = len(text) > MAX_QUERY_CHARS
    text, goes_on = text[:MAX_QUERY_CHARS], text[MAX_QUERY_CHARS : MAX_QUERY_CHARS + 1].strip() != ""
    if goes_on and len(words := text.rsplit(maxsplit=1)) == 2 and not text[-1].isspace():
        text = words[0]  # half a word finds nothing, or something else
    if not cut and len(text) > 2 * MAX_QUERY_TERMS:  # 33 terms need at least 65 characters
        cut = len(query_terms(text, language, MAX_QUERY_TERMS + 1)) > MAX_QUERY_TERMS
    return text, cut


def check_cursor_alone(request: SearchRequest) -> None:
    """Raises InvalidRequest when something stands beside the cursor that the cursor already says."""
    for name in _NOT_BESIDE_CURSOR:
        if getattr(request, name) not in (None, False):
            accepted = f"cursor with nothing but {', '.join(_BESIDE_CURSOR)}"
            raise InvalidRequest(f"{name} cannot be given with a cursor, which continues its own query", field=name, accepted=accepted)


def _check_price(filters: Filters | None) -> None:
    price = filters.price_cents if filters else None
    if price and price.min is not None and price.max is not None and price.min > price.max:
        raise InvalidRequest(
            f"no price is at least {price.min} and at most {price.max}", field="filters.price_cents", accepted="min at most as large as max"
        )
