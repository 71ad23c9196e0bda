"""The history of a world, day by day: shoppers look at pages of the logging policy, and the log gets what a shop would have. Nothing of the truth.

Users are split over processes; every evening the counts of all are added up, and the next day's policy starts from them. Each session
has a generator of its own, so the history is the same for any number of processes.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datagen import draws
from datagen.behaviour import Query, Reading, Shopper
from datagen.policy import COUNTED, Counts, Policy, Ranking
from datagen.progress import Progress, Say
from datagen.settings import DAY_MS
from datagen.wording import FORMS
from datagen.world import World
from services.contracts import EventRecord, PageRecord
from services.features import FEATURE_SCHEMA

HISTORY_SCHEMA = pa.schema([("ts_ms", pa.int64()), ("kind", pa.string()), ("user_id", pa.string()), ("payload", pa.binary())])
QUERIES_SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("ts_ms", pa.int64()),
        ("user", pa.int32()),
        ("intent", pa.int32()),
        ("text", pa.string()),
        ("right", pa.string()),
        ("form", pa.string()),
        ("phrase", pa.string()),
        ("again", pa.bool_()),
    ]
)
"""The truth about the history's queries, for evaluation; it is no part of the history."""

PAGES_PER_SESSION = 2.3
"""About: sets the number of sessions from the number of pages."""
ANOTHER_QUERY = 0.42
LANDING = 0.2
"""Sessions that begin on a product's own page, from an advertisement or a mail."""
HOURS = np.cumsum([1, 1, 1, 1, 1, 2, 3, 5, 6, 6, 6, 6, 7, 6, 6, 6, 7, 8, 9, 11, 12, 10])
"""Relative number of sessions by hour, 0 to 21; none later, so that a day's sessions end within it."""
WEEKDAYS = np.array([1.0, 0.95, 0.95, 0.95, 0.9, 1.05, 1.2])
MAX_QUERIES = 12

Row = tuple[int, int, int, str, str | None, bytes]  # ts_ms, user and number within the session (they order it), kind, user_id, payload


class Day(NamedTuple):
    """What one process made of one day."""

    rows: list[Row]
    queries: list[tuple[object, ...]]  # as QUERIES_SCHEMA
    counts: Counts  # float64[products, COUNTED]


@dataclass(slots=True)
class Session:
    """One visit while it is being written down."""

    user: int
    user_id: str | None
    client: str
    session: str
    at_ms: int
    rng: np.random.Generator
    rows: list[Row] = field(default_factory=list)
    queries: list[tuple[object, ...]] = field(default_factory=list)

    def name(self) -> str:
        return self.rng.bytes(16).hex()

    def add(self, ts_ms: int, kind: str, record: msgspec.Struct) -> None:
        self.rows.append((ts_ms, self.user, len(self.rows), kind, self.user_id, msgspec.json.encode(record)))


class Chronicler:
    """Writes the days of some users."""

    def __init__(self, world: World, policy: Policy) -> None:
        self._world, self._policy = world, policy
        self._settings = world.settings
        self._sessions_a_day = _sessions_a_day(world)

    def day(self, number: int, users: range, counts: Counts) -> Day:
        """All sessions of these users on the `number`-th day; `counts` is what was counted on the days before, of all users."""
        start_ms = self._settings.start_ms + number * DAY_MS
        self._policy.begin_day(counts, start_ms)
        day = Day([], [], np.zeros_like(counts))
        ids = np.arange(users.start, users.stop)
        expected = self._sessions_a_day[ids] * WEEKDAYS[(start_ms // DAY_MS + 3) % 7]
        here = self._world.users.first_ms[ids] < start_ms + DAY_MS
        visits = _poisson(expected, draws.uniform(self._settings.seed, "visits", ids, number)) * here
        for user, many in zip(ids[visits > 0].tolist(), visits[visits > 0].tolist(), strict=True):
            for visit in range(many):
                session = self._begin(user, number * 64 + visit, start_ms)
                self._visit(session, day.counts)
                day.rows.extend(session.rows)
                day.queries.extend(session.queries)
        return day

    def _begin(self, user: int, number: int, start_ms: int) -> Session:
        seed, rng = self._settings.seed, draws.generator(self._settings.seed, "session", user, number)
        hour = float(np.interp(rng.random() * HOURS[-1], [0, *HOURS], np.arange(len(HOURS) + 1)))
        known = rng.random() >= self._settings.anonymous
        device = int(rng.random() < 0.3)  # people have two
        client = f"{int(draws.bits(seed, 'client', user, device)):016x}"
        return Session(
            user, self._world.user_id(user) if known else None, client, rng.bytes(16).hex(), start_ms + int(hour * 3_600_000), rng
        )

    def _visit(self, session: Session, counts: Counts) -> None:
        shopper = Shopper(self._world, session.user, session.rng, session.at_ms)
        if session.rng.random() < LANDING:
            self._land(session)
        for _ in range(MAX_QUERIES):
            self._search(session, shopper, counts)
            if not shopper.wants_another_try and session.rng.random() >= ANOTHER_QUERY:
                break

    def _land(self, session: Session) -> None:
        """A product's page, seen without a search: of interest to many, not to this user."""
        product = self._world.draw_popular(session.rng.random())
        if self._world.items.created_ms[product] <= session.at_ms:
            self._event(session, "view", session.at_ms, product)
            session.at_ms += int(15_000 + 30_000 * session.rng.random())

    def _search(self, session: Session, shopper: Shopper, counts: Counts) -> None:
        query, settings = shopper.next_query(), self._settings
        ranking = self._policy.rank(query.text)
        order, explored = np.arange(len(ranking.product_no)), bool(session.rng.random() < settings.exploration)
        depth = min(settings.exploration_depth, len(order))
        if explored:
            order[:depth] = session.rng.permutation(depth)
        query_id = session.name()
        session.queries.append(_query_row(query_id, session, query))
        for first in range(0, max(len(order), 1), settings.page_size):
            shown = order[first : first + settings.page_size]
            self._page(session, query, query_id, ranking, shown, first, depth if explored else 0)
            numbers = ranking.product_no[shown]
            reading = shopper.read_page(numbers, np.arange(first + 1, first + 1 + len(shown)))
            self._count(counts, numbers, reading)
            for action in reading.actions:
                self._event(session, action.kind, session.at_ms + int(action.after_s * 1000), action.product_no, query_id, action.position)
            session.at_ms += int(reading.seconds * 1000)
            if not reading.turn_page:
                break

    def _page(
        self, session: Session, query: Query, query_id: str, ranking: Ranking, shown: npt.NDArray[np.intp], first: int, depth: int
    ) -> None:
        """`depth`: how many places were shuffled; 0 when none was."""
        positions = list(range(first + 1, first + 1 + len(shown)))
        shuffled = first < depth
        record = PageRecord(
            query_id=query_id,
            ts_ms=session.at_ms,
            query=query.text,
            terms=ranking.terms,
            categories=[],
            product_no=ranking.product_no[shown].tolist(),
            positions=positions,
            features=ranking.features[shown].tobytes(),
            feature_schema=FEATURE_SCHEMA,
            generation=0,
            client=session.client,
            session=session.session,
            page=first // self._settings.page_size + 1,
            exploration="random" if shuffled else "none",
            propensity=[1.0 / depth if p <= depth else 1.0 for p in positions] if shuffled else None,
        )
        session.add(session.at_ms, "page", record)

    def _event(
        self, session: Session, kind: str, ts_ms: int, product: int, query_id: str | None = None, position: int | None = None
    ) -> None:
        record = EventRecord(
            event_id=session.name(),
            action=kind,
            ts_ms=ts_ms,
            kind=kind,  # type: ignore[arg-type]
            client=session.client,
            session=session.session,
            query_id=query_id,
            product_id=self._world.product_id(product),
            product_no=product,
            position=position,
        )
        session.add(ts_ms, "event", record)

    @staticmethod
    def _count(counts: Counts, numbers: npt.NDArray[np.uint32], reading: Reading) -> None:
        counts[numbers, 0] += 1.0  # a page shows a product once
        for action in reading.actions:
            counts[action.product_no, {"click": 1, "cart": 2, "purchase": 3}[action.kind]] += 1.0


def _query_row(query_id: str, session: Session, query: Query) -> tuple[object, ...]:
    said = query.wording
    return (query_id, session.at_ms, session.user, query.intent, query.text, said.right, FORMS[said.form], said.phrase, query.again)


def _sessions_a_day(world: World) -> npt.NDArray[np.float64]:
    """float64[users]: expected sessions on an average day after the first visit."""
    settings, users = world.settings, world.users
    active_days = (settings.end_ms - users.first_ms) / DAY_MS
    wanted = settings.pages / PAGES_PER_SESSION
    return np.asarray(users.activity * wanted / max(float((users.activity * active_days).sum()), 1e-9))


def _poisson(expected: npt.NDArray[np.float64], u: npt.NDArray[np.float64], most: int = 20) -> npt.NDArray[np.int64]:
    """int64[n]: Poisson numbers by inversion, one uniform number each, at most `most`."""
    number, term = np.zeros(len(expected), np.int64), np.exp(-expected)
    reached = term.copy()
    for k in range(1, most + 1):
        number[u >= reached] = k
        term = term * expected / k
        reached += term
    return number


# ---- processes -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    number: int
    users: range
    counts: Counts


Open = Callable[[Path], Chronicler]
_chronicler: Chronicler | None = None


def _open(open_: Open, folder: Path) -> None:
    global _chronicler
    _chronicler = open_(folder)


def _run(task: Task) -> Day:
    assert _chronicler is not None
    return _chronicler.day(task.number, task.users, task.counts)


def days(open_: Open, folder: Path, world: World, say: Say, processes: int = 2) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Each day's records (HISTORY_SCHEMA, in time order) and the truth about its queries. `open_` opens a chronicler in each process."""
    settings, counts = world.settings, np.zeros((len(world.items), len(COUNTED)))
    parts = [r for r in _split(len(world.users), processes) if len(r)]
    progress = Progress(say, "days of history written", settings.days)
    with _workers(open_, folder, len(parts)) as work:
        for number in range(settings.days):
            made = work([Task(number, users, counts) for users in parts])
            counts = counts + sum(day.counts for day in made)
            yield _tables(made)
            progress.at(number + 1)
    progress.done(settings.days)


@contextmanager
def _workers(open_: Open, folder: Path, processes: int) -> Iterator[Callable[[list[Task]], list[Day]]]:
    """Runs a day's tasks, each in a process of its own; a single one in this process."""
    if processes == 1:
        chronicler = open_(folder)
        yield lambda tasks: [chronicler.day(t.number, t.users, t.counts) for t in tasks]
        return
    with multiprocessing.get_context("spawn").Pool(processes, _open, (open_, folder)) as pool:
        yield lambda tasks: pool.map(_run, tasks, chunksize=1)


def _split(total: int, parts: int) -> list[range]:
    bounds = [total * i // parts for i in range(parts + 1)]
    return [range(a, b) for a, b in pairwise(bounds)]


def _tables(made: list[Day]) -> tuple[pa.Table, pa.Table]:
    rows = sorted(row for day in made for row in day.rows)
    columns = list(zip(*rows, strict=True)) or [()] * 6
    history = pa.table([pa.array(columns[i], t) for i, t in zip((0, 3, 4, 5), HISTORY_SCHEMA.types, strict=True)], schema=HISTORY_SCHEMA)
    queries = sorted((row for day in made for row in day.queries), key=lambda row: (row[1], row[0]))
    table = pa.table(
        [pa.array(c, t) for c, t in zip(list(zip(*queries, strict=True)) or [()] * 9, QUERIES_SCHEMA.types, strict=True)],
        schema=QUERIES_SCHEMA,
    )
    return history, table
