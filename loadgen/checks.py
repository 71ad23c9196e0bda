"""Whether an answer is what was promised. Pure: what is wrong comes back as sentences; [] means all is well."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from services.contracts import Item, SearchAnswer


class Summary(msgspec.Struct):
    """What is looked at of a product's summary; the rest of it is passed over."""

    title: str = ""
    price_cents: int = -1


_answers = msgspec.json.Decoder(SearchAnswer)
_summaries = msgspec.json.Decoder(Summary)


@dataclass(slots=True)
class Pages:
    """The pages of one query so far: what may not come again, and where the next page has to begin."""

    page_size: int
    seen: set[str] = field(default_factory=set)
    next_position: int = 1


def decode(body: bytes) -> SearchAnswer:
    """Raises ValueError that says what does not fit the schema."""
    try:
        return _answers.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"the answer does not fit its schema: {error}") from None


def check_page(answer: SearchAnswer, pages: Pages) -> list[str]:
    """What is wrong with the next page of a query; takes note of what it showed."""
    ids = [item.product_id for item in answer.items]
    positions = [item.position for item in answer.items]
    expected = list(range(pages.next_position, pages.next_position + len(ids)))
    wrong = []
    if len(ids) > pages.page_size:
        wrong.append(f"{len(ids)} items on a page of {pages.page_size}")
    if positions != expected:
        wrong.append(f"positions {positions[:3]}... instead of {expected[:3]}...")
    if len(set(ids)) < len(ids):
        wrong.append("page shows a product twice")
    if again := pages.seen.intersection(ids):
        wrong.append(f"page turned: {len(again)} products of earlier pages came again ({sorted(again)[0]})")
    if pages.next_position == 1 and len(ids) < min(pages.page_size, answer.total.value):
        wrong.append(f"{len(ids)} items on the first page, though {answer.total.value} products match")
    if answer.cursor and len(ids) < pages.page_size:
        wrong.append("a cursor after a page that was not full")
    if any(not _summary(item).title for item in answer.items):
        wrong.append("an item without a title")
    if not answer.query_id:
        wrong.append("no query_id")
    pages.seen.update(ids)
    pages.next_position += len(ids)
    return wrong


def prices(items: Sequence[Item]) -> list[int]:
    """Prices (cents) as the summaries of a page say them; -1 where there is none."""
    return [_summary(item).price_cents for item in items]


def check_events(status: int, body: bytes, sent: int) -> list[str]:
    """An acknowledgement names how many events it took and where in the log they stand."""
    if status != 202:
        return [f"/events answered {status}"]
    try:
        answer = msgspec.json.decode(body)
    except msgspec.MsgspecError as error:
        return [f"the acknowledgement is not JSON: {error}"]
    wrong = []
    if not isinstance(answer.get("projected"), bool) or not isinstance(answer.get("position"), dict):
        wrong.append("the acknowledgement has no `projected` or no `position`")
    if answer.get("accepted", sent) != sent:
        wrong.append(f"{answer['accepted']} of {sent} events accepted")
    return wrong


def _summary(item: Item) -> Summary:
    try:
        return _summaries.decode(item.summary)
    except msgspec.MsgspecError:
        return Summary()
