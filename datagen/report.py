"""What the history of a world looks like, and how much there is to learn in it: for people, never for a trainer."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from datagen import truth
from datagen.history import HISTORY
from datagen.reading import looked_at
from datagen.settings import DAY_MS, WorldSettings
from datagen.slices import SLICES
from datagen.world import QUERIES_FILE, World, open_world
from services.contracts import EventRecord, PageRecord
from services.errors import ConfigurationError
from services.features import BM25, POPULARITY_SCORE
from services.shop import Shop

EVERY = 5
"""Every n-th page with clicks is held against the truth."""
Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class Seen:
    """What was counted over the pages; per position on the page: shown and clicked, on all and on randomised pages."""

    shown: Floats
    clicked: Floats
    shown_random: Floats
    clicked_random: Floats
    events: Counter[str] = field(default_factory=Counter)
    pages: int = 0
    with_clicks: int = 0
    ndcg: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    variance: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    clicks: Counter[int] = field(default_factory=Counter)  # by product
    purchases: list[int] = field(default_factory=list)  # when
    liked: list[float] = field(default_factory=list)  # preference of some shown products, and whether each was clicked
    liked_clicked: list[float] = field(default_factory=list)

    def purchases_by_day(self, settings: WorldSettings) -> npt.NDArray[np.intp]:
        return np.bincount((np.array(self.purchases, np.int64) - settings.start_ms) // DAY_MS, minlength=settings.days)

    def shares(self) -> dict[str, float]:
        """Of the parts of utility: variance within a page, relative to all but the hidden part."""
        explained = sum(float(np.mean(v)) for name, v in self.variance.items() if name != "hidden")
        return {name: float(np.mean(v)) / max(explained, 1e-9) for name, v in self.variance.items()}


@dataclass(frozen=True, slots=True)
class Report:
    """A world, the truth about its history's queries, and what was counted."""

    world: World
    queries: pa.Table
    seen: Seen


def look(root: Path) -> Report:
    """Read the world of the shop at `root` and its history. Raises ConfigurationError when nobody came."""
    world = open_world(root)
    queries = pq.read_table(Shop(root).world / QUERIES_FILE)
    columns = (queries[name].to_pylist() for name in ("query_id", "user", "intent"))
    asked = {query: (user, intent) for query, user, intent in zip(*columns, strict=True)}
    if not asked:
        raise ConfigurationError("the history of this world is empty: no user ever came (the setting cold_users)")
    return Report(world, queries, _look(world, Shop(root).world / HISTORY, asked))


def lines(found: Report) -> Iterator[str]:
    """The report, line by line."""
    world, queries, seen = found.world, found.queries, found.seen
    count, size = len(queries), world.settings.page_size
    texts = queries["text"].to_pylist()
    yield f"world {world.settings.hash()}: {len(world.items):,} products, {len(world.users):,} users, {len(world.intents):,} intents"
    yield f"{count:,} queries ({len(set(texts)):,} different), {seen.pages:,} pages"
    yield "said by " + ", ".join(f"{form} {n / count:.1%}" for form, n in Counter(queries["form"].to_pylist()).most_common())
    labels = Counter(label for row in queries["slices"].to_pylist() for label in row)
    yield "slices: " + ", ".join(f"{name} {labels[name] / count:.1%}" for name in SLICES)
    behaviours = ", ".join(f"{kind} {n:,}" for kind, n in seen.events.most_common())
    yield f"events: {behaviours}; {seen.with_clicks / seen.pages:.0%} of pages have a click"
    yield "examination by position, planted:              " + _row(looked_at(world.settings, size))
    yield "click rate on randomised pages, first = 1:     " + _row(relative(seen.clicked_random, seen.shown_random))
    yield "click rate on all pages, first = 1:            " + _row(relative(seen.clicked, seen.shown))
    shares = ", ".join(f"{name} {share:.0%}" for name, share in seen.shares().items())
    yield f"variance of utility within a page, relative to what features could see: {shares}"
    yield f"nDCG of clicks on {len(seen.ndcg['oracle'])} pages, gains corrected for examination:"
    for name, values in sorted(seen.ndcg.items(), key=lambda item: -float(np.mean(item[1]))):
        yield f"  {name:34} {np.mean(values):.4f} +- {1.96 * np.std(values) / np.sqrt(len(values)):.4f}"


def _look(world: World, folder: Path, asked: dict[str, tuple[int, int]]) -> Seen:
    size = world.settings.page_size
    seen = Seen(np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size))
    for path in sorted(folder.glob("*.parquet")):
        pages, clicks = _read(path, seen)
        for page in pages:
            if page.product_no:
                clicked = np.array([(page.query_id, number) in clicks for number in page.product_no], np.float64)
                _count(seen, page, clicked)
                if clicked.any() and seen.with_clicks % EVERY == 0:
                    _compare(world, seen, page, clicked, *asked[page.query_id])
    return seen


def _read(path: Path, seen: Seen) -> tuple[list[PageRecord], set[tuple[str | None, int | None]]]:
    as_page, as_event = msgspec.json.Decoder(PageRecord).decode, msgspec.json.Decoder(EventRecord).decode
    pages: list[PageRecord] = []
    clicks: set[tuple[str | None, int | None]] = set()
    table = pq.read_table(path, columns=["kind", "payload"])
    for kind, payload in zip(table["kind"].to_pylist(), table["payload"].to_pylist(), strict=True):
        if kind == "page":
            pages.append(as_page(payload))
        else:
            event = as_event(payload)
            seen.events[event.action] += 1
            if event.kind == "purchase":
                seen.purchases.append(event.ts_ms)
            if event.kind == "click" and event.product_no is not None:
                seen.clicks[event.product_no] += 1
                clicks.add((event.query_id, event.product_no))
    seen.pages += len(pages)
    return pages, clicks


def _count(seen: Seen, page: PageRecord, clicked: Floats) -> None:
    n = len(clicked)
    seen.shown[:n] += 1
    seen.clicked[:n] += clicked
    if page.exploration != "none":
        seen.shown_random[:n] += 1
        seen.clicked_random[:n] += clicked
    seen.with_clicks += bool(clicked.any())


def _compare(world: World, seen: Seen, page: PageRecord, clicked: Floats, user: int, intent: int) -> None:
    """Order the page by the truth and by what the shop knew; a click at a place that is seldom looked at counts more."""
    numbers = np.array(page.product_no)
    parts = truth.utility(world, user, intent, numbers, page.ts_ms)
    features = np.frombuffer(page.features, np.float32).reshape(len(numbers), -1)
    seen.liked.extend(parts.preference.tolist())
    seen.liked_clicked.extend(clicked.tolist())
    looked = looked_at(world.settings, len(numbers))
    gains = np.divide(clicked, looked, out=np.zeros(len(numbers)), where=looked > 0)
    anybody = parts.relevance + parts.quality + parts.appeal
    orders: dict[str, Callable[[], Floats]] = {
        "oracle": lambda: parts.total,
        "oracle without the hidden part": lambda: parts.total - parts.hidden,
        "oracle that does not know the user": lambda: anybody,
        "popularity": lambda: features[:, POPULARITY_SCORE].astype(np.float64),
        "BM25": lambda: features[:, BM25].astype(np.float64),
        "as shown": lambda: -np.arange(len(numbers), dtype=np.float64),
    }
    for name, scores in orders.items():
        seen.ndcg[name].append(ndcg(gains, scores()))
    for name in ("relevance", "preference", "quality", "appeal", "hidden"):
        seen.variance[name].append(float(np.var(getattr(parts, name))))


def ndcg(gains: Floats, scores: Floats) -> float:
    """Of one page; gains must not all be 0."""
    discount = 1.0 / np.log2(np.arange(len(gains)) + 2)
    best = np.sort(gains)[::-1] @ discount
    return float(gains[np.argsort(-scores, kind="stable")] @ discount / best)


def relative(clicked: Floats, shown: Floats) -> Floats:
    rate = clicked / np.maximum(shown, 1)
    return np.asarray(rate / max(float(rate[0]), 1e-9))


def _row(values: Floats) -> str:
    return " ".join(f"{v:.2f}" for v in values)
