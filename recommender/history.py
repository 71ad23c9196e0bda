"""The log as searches: what was asked, by whom, and which products were then clicked. What dictionaries, synonyms and categories learn from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from services.eventlog.port import EventLogReader, LogRecord

CLICKS = frozenset({"click", "cart", "purchase"})
VISIT_GAP_MS = 30 * 60 * 1000
READ_AT_ONCE = 10_000


class PagePart(msgspec.Struct, frozen=True):
    """The fields of a contracts.PageRecord that are read here; the others are skipped undecoded."""

    query_id: str
    ts_ms: int
    query: str
    corrected: str | None = None
    user: str | None = None
    client: str | None = None
    session: str | None = None


class EventPart(msgspec.Struct, frozen=True):
    """The fields of a contracts.EventRecord that are read here."""

    ts_ms: int
    kind: str | None = None
    query_id: str | None = None
    product_no: int | None = None


@dataclass(slots=True)
class Search:
    """One query of one visitor with the distinct products that were clicked for it, in the order of the clicks."""

    query_id: str
    ts_ms: int
    visitor: str
    """Session, else user, else client; the query itself when nothing is known, which makes it a visit of its own."""
    text: str
    """What was searched: the corrected text where spelling was corrected."""
    clicked: list[int] = field(default_factory=list)


def records(log: EventLogReader, end: int) -> Iterator[LogRecord]:
    """Pages and events up to and including offset `end`, in order."""
    after = 0
    while batch := log.read(after, READ_AT_ONCE, ("page", "event")):
        for record in batch:
            if record.offset > end:
                return
            yield record
        after = batch[-1].offset


def searches(log_records: Iterable[LogRecord]) -> list[Search]:
    """Searches in order of time. Pages of one query count once; browsing (a blank query) is left out; a click needs its page before it."""
    page, event = msgspec.json.Decoder(PagePart), msgspec.json.Decoder(EventPart)
    found: dict[str, Search] = {}
    for record in log_records:
        if record.kind == "page":
            _add_page(found, page.decode(record.payload), record.user)
        elif record.kind == "event":
            _add_click(found, event.decode(record.payload))
    return sorted(found.values(), key=lambda s: s.ts_ms)


def visits(all_searches: Iterable[Search]) -> Iterator[list[Search]]:
    """Consecutive searches of one visitor, at most VISIT_GAP_MS apart. Takes searches in order of time."""
    open_visits: dict[str, list[Search]] = {}
    for search in all_searches:
        visit = open_visits.get(search.visitor)
        if visit and search.ts_ms - visit[-1].ts_ms <= VISIT_GAP_MS:
            visit.append(search)
            continue
        if visit:
            yield visit
        open_visits[search.visitor] = [search]
    yield from open_visits.values()


def _add_page(found: dict[str, Search], page: PagePart, user: str | None) -> None:
    text = page.corrected or page.query
    if text.strip() and page.query_id not in found:
        visitor = page.session or user or page.user or page.client or page.query_id
        found[page.query_id] = Search(page.query_id, page.ts_ms, visitor, text)


def _add_click(found: dict[str, Search], event: EventPart) -> None:
    search = found.get(event.query_id or "")
    if search and event.kind in CLICKS and event.product_no is not None and event.product_no not in search.clicked:
        search.clicked.append(event.product_no)
