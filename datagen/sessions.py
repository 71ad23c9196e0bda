"""A day of shopping sessions, all at once: at each step every session reads one page of the logging policy. The log gets what a shop would have.

Everything random is a function of the session and of how far it has come (`datagen.draws`), so that a day is the same however its
sessions are spread over processes and batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datagen import draws, reading, truth
from datagen.behaviour import MAX_PAGES, Query, second_attempt
from datagen.draws import Floats
from datagen.policy import COUNTED, Counts, Policy, Ranking
from datagen.reading import Readings
from datagen.records import Asked, Rows
from datagen.settings import DAY_MS, WorldSettings
from datagen.world import World
from services.contracts import EventKind, EventRecord, PageRecord
from services.features import FEATURE_SCHEMA

PAGES_PER_SESSION = 2.3
"""About: sets the number of sessions from the number of pages."""
ANOTHER_QUERY = 0.42
LANDING = 0.2
"""Sessions that begin on a product's own page, from an advertisement or a mail."""
HOURS = np.cumsum([1, 1, 1, 1, 1, 2, 3, 5, 6, 6, 6, 6, 7, 6, 6, 6, 7, 8, 9, 11, 12, 10])
"""Relative number of sessions by hour, 0 to 21; none later, so that a day's sessions end within it."""
WEEKDAYS = np.array([1.0, 0.95, 0.95, 0.95, 0.9, 1.05, 1.2])
MAX_QUERIES, MAX_VISITS, MAX_RECORDS = 12, 20, 4096
BATCH = 4_000
"""Sessions at a time: bounds the memory, changes nothing else."""

Ints = npt.NDArray[np.intp]
Keys = npt.NDArray[np.uint64]


class Day(NamedTuple):
    """What was made of one day for some users."""

    history: pa.Table  # records.Rows.table
    queries: pa.Table  # QUERIES_SCHEMA
    counts: Counts  # float64[products, COUNTED]


@dataclass(slots=True)
class _Made:
    history: Rows
    queries: Asked
    counts: Counts


class Chronicler:
    """Writes the days of some users."""

    def __init__(self, world: World, policy: Policy) -> None:
        self._world, self._policy = world, policy
        self._sessions_a_day = _sessions_a_day(world)

    def day(self, number: int, users: range, counts: Counts) -> Day:
        """All sessions of these users on the `number`-th day; `counts` is what was counted on the days before, of all users."""
        self._policy.begin_day(counts, self._world.settings.start_ms + number * DAY_MS)
        made = _Made(Rows(), Asked(), np.zeros_like(counts))
        for user, visit in self._visits(number, np.arange(users.start, users.stop)):
            _Sessions(self._world, self._policy, number, user, visit, made).run()
        return Day(made.history.table(), made.queries.table(), made.counts)

    def _visits(self, number: int, ids: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Users and numbers of their visits on that day, BATCH at a time."""
        settings = self._world.settings
        start_ms = settings.start_ms + number * DAY_MS
        expected = self._sessions_a_day[ids] * WEEKDAYS[(start_ms // DAY_MS + 3) % 7]
        here = self._world.users.first_ms[ids] < start_ms + DAY_MS
        visits = _poisson(expected, draws.uniform(settings.seed, "visits", ids, number)) * here
        user = np.repeat(ids, visits)
        visit = np.arange(len(user)) - np.repeat(np.cumsum(visits) - visits, visits)
        for first in range(0, len(user), BATCH):
            yield user[first : first + BATCH], visit[first : first + BATCH]


class _Sessions:
    """n sessions that go on side by side."""

    def __init__(self, world: World, policy: Policy, day: int, user: Ints, visit: Ints, made: _Made) -> None:
        self._world, self._policy, self._settings, self._made = world, policy, world.settings, made
        self.n, self.user = len(user), user
        self.key: Keys = draws.bits(self._settings.seed, "session", user, day * 64 + visit)
        hour = np.interp(self._u("hour") * HOURS[-1], [0, *HOURS], np.arange(len(HOURS) + 1))
        self.at_ms = (self._settings.start_ms + day * DAY_MS + hour * 3_600_000).astype(np.int64)
        self.interest = world.tastes.interest(user, self.at_ms)
        self.number = visit * MAX_RECORDS  # of the next record
        known = self._u("known") >= self._settings.anonymous
        self.user_id = [world.user_id(u) if k else None for u, k in zip(user.tolist(), known.tolist(), strict=True)]
        device = (self._u("device") < 0.3).astype(np.int64)  # people have two
        self.client = [f"{c:016x}" for c in draws.bits(self._settings.seed, "client", user, device).tolist()]
        self.session = _names(self._settings, "session id", self.key)
        self.asked, self.pages = np.zeros(self.n, np.intp), np.zeros(self.n, np.intp)  # queries, pages in the session so far
        self.first, self.clicked, self.depth = np.zeros(self.n, np.intp), np.zeros(self.n, np.bool_), np.zeros(self.n, np.intp)
        self.on_page = np.zeros(self.n, np.intp)  # pages of the present query so far
        self.query: list[Query | None] = [None] * self.n
        self.next: list[Query | None] = [None] * self.n
        self.query_id = [""] * self.n
        self.dice: list[draws.Stream | None] = [None] * self.n
        self.ranking: list[Ranking | None] = [None] * self.n
        self.order: list[Ints] = [np.zeros(0, np.intp)] * self.n

    def _u(self, name: str, of: Ints | slice = slice(None), index: npt.ArrayLike = 0) -> Floats:
        return draws.uniform(self._settings.seed, f"session/{name}", self.key[of], index)

    def run(self) -> None:
        self._land()
        searching, turning = np.arange(self.n), np.zeros(0, np.intp)
        while len(searching) or len(turning):
            self._search(searching)
            searching, turning = self._read(np.concatenate([turning, searching]))

    def _land(self) -> None:
        """A product's page, seen without a search: of interest to many, not to this user."""
        landing = np.flatnonzero(self._u("landing") < LANDING)
        for s, u, v in zip(landing.tolist(), self._u("product", landing).tolist(), self._u("stay", landing).tolist(), strict=True):
            product = self._world.draw_popular(u)
            if self._world.items.created_ms[product] <= self.at_ms[s]:
                self._event(s, "view", int(self.at_ms[s]), product)
                self.at_ms[s] += int(15_000 + 30_000 * v)

    # ---- a query ----

    def _search(self, of: Ints) -> None:
        """The sessions `of` type their next query."""
        self.asked[of] += 1
        number = self.asked[of]
        fresh = np.array([self.next[s] is None for s in of.tolist()], np.bool_)
        new = of[fresh]
        u, v = self._u("intent", new, number[fresh]), self._u("intent/in category", new, number[fresh])
        intents = dict(zip(new.tolist(), self._world.draw_intents(self.user[new], self.interest[new], u, v).tolist(), strict=True))
        names = draws.bits(self._settings.seed, "query", self.key[of], number)
        dice = draws.streams(self._settings.seed, "say", names)
        explored = (self._u("explore", of, number) < self._settings.exploration).tolist()
        asked = {s: self.next[s] or self._say(intents[s], stream, int(self.at_ms[s])) for s, stream in zip(of.tolist(), dice, strict=True)}
        self._policy.prepare(query.text for query in asked.values())
        for (s, query), stream, name, shuffled in zip(
            asked.items(), dice, _names(self._settings, "query id", names), explored, strict=True
        ):
            self.query[s], self.next[s], self.dice[s], self.query_id[s] = query, None, stream, name
            self._made.queries.add(name, int(self.at_ms[s]), int(self.user[s]), query)
            ranking = self.ranking[s] = self._policy.rank(query.text)
            self.order[s], self.depth[s] = self._order(s, len(ranking.product_no), shuffled)
        self.first[of], self.on_page[of], self.clicked[of] = 0, 0, False

    def _say(self, intent: int, dice: draws.Stream, ts_ms: int) -> Query:
        wording = self._world.speaker.say(intent, dice, ts_ms=ts_ms)
        return Query(wording.text, intent, wording)

    def _order(self, s: int, length: int, shuffled: bool) -> tuple[Ints, int]:
        """The places of the ranking in the order shown, and how many were shuffled."""
        order = np.arange(length)
        if not shuffled:
            return order, 0
        depth = min(self._settings.exploration_depth, length)
        number = int(self.asked[s]) * 1000
        order[:depth] = np.argsort(self._u("shuffle", slice(s, s + 1), np.arange(number, number + depth)), kind="stable")
        return order, depth

    # ---- a page ----

    def _read(self, of: Ints) -> tuple[Ints, Ints]:
        """The sessions `of` read a page each; returns those that search again and those that turn the page."""
        size = self._settings.page_size
        rows = np.full((len(of), size), -1, np.intp)
        places = [self.order[s][first : first + size] for s, first in zip(of.tolist(), self.first[of].tolist(), strict=True)]
        known = self._policy.features([(ranking, at) for s, at in zip(of.tolist(), places, strict=True) if (ranking := self.ranking[s])])
        for row, s, at, features in zip(rows, of.tolist(), places, known, strict=True):
            row[: len(at)] = self._show(s, at, features)
        read = self._behave(of, rows)
        self._count(rows, read)
        self._events(of, rows, read)
        self.pages[of] += 1
        self.on_page[of] += 1
        self.clicked[of] |= read.clicked.any(axis=1)
        self.at_ms[of] += (read.seconds * 1000).astype(np.int64)
        more = np.array([len(self.order[s]) for s in of.tolist()]) > self.first[of] + size
        turn = read.turn & more & (self.on_page[of] < MAX_PAGES)
        self.first[of[turn]] += size
        return self._after(of[~turn]), of[turn]

    def _show(self, s: int, places: Ints, features: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
        """Write down the page that a session sees, these places of its ranking; returns its products."""
        ranking, query, first = self.ranking[s], self.query[s], int(self.first[s])
        assert ranking is not None and query is not None
        numbers = ranking.product_no[places]
        positions, depth = list(range(first + 1, first + 1 + len(places))), int(self.depth[s])
        shuffled = first < depth
        record = PageRecord(
            query_id=self.query_id[s],
            ts_ms=int(self.at_ms[s]),
            query=query.text,
            terms=ranking.terms,
            categories=[],
            product_no=numbers.tolist(),
            positions=positions,
            features=features.tobytes(),
            feature_schema=FEATURE_SCHEMA,
            generation=0,
            client=self.client[s],
            session=self.session[s],
            page=first // self._settings.page_size + 1,
            exploration="random" if shuffled else "none",
            propensity=[1.0 / depth if p <= depth else 1.0 for p in positions] if shuffled else None,
        )
        self._write(s, int(self.at_ms[s]), record)
        return numbers

    def _behave(self, of: Ints, rows: Ints) -> Readings:
        intents = np.array([query.intent if (query := self.query[s]) else 0 for s in of.tolist()], np.intp)
        worth = truth.utility(self._world, self.user[of, None], intents[:, None], rows, self.at_ms[of, None])
        wanted, page = rows.shape[1] * reading.PER_PLACE, self.pages[of, None]
        u = draws.uniform(self._settings.seed, "session/read", self.key[of, None], page * wanted + np.arange(wanted))
        v = draws.uniform(self._settings.seed, "session/turn", self.key[of, None], page * reading.PER_PAGE + np.arange(reading.PER_PAGE))
        places = u.reshape(*rows.shape, reading.PER_PLACE)
        return reading.read(self._settings, worth.total, worth.quality, rows >= 0, self.clicked[of], places, v)

    def _count(self, rows: Ints, read: Readings) -> None:
        for column, which in enumerate((rows >= 0, read.clicked, read.carted, read.bought)):
            np.add.at(self._made.counts[:, column], rows[which], 1.0)

    def _events(self, of: Ints, rows: Ints, read: Readings) -> None:
        at, place = np.nonzero(read.clicked)
        sessions, numbers = of[at], rows[at, place].tolist()
        positions = (self.first[sessions] + place + 1).tolist()
        kinds: tuple[tuple[EventKind, npt.NDArray[np.bool_], Floats], ...] = (
            ("click", read.clicked, read.clicked_s),
            ("cart", read.carted, read.carted_s),
            ("purchase", read.bought, read.bought_s),
        )
        now = self.at_ms[sessions]
        columns = [(kind, did[at, place].tolist(), (now + (when[at, place] * 1000).astype(np.int64)).tolist()) for kind, did, when in kinds]
        for i, s in enumerate(sessions.tolist()):
            for kind, did, when in columns:
                if did[i]:
                    self._event(s, kind, when[i], numbers[i], self.query_id[s], positions[i])

    def _after(self, of: Ints) -> Ints:
        """Which of the sessions, done with a query, type another one; `next` has it when it is another attempt."""
        another = (self._u("another", of, self.asked[of]) < ANOTHER_QUERY).tolist()
        again = []
        for s, more in zip(of.tolist(), another, strict=True):
            query, dice = self.query[s], self.dice[s]
            if query is not None and dice is not None and not self.clicked[s]:
                self.next[s] = second_attempt(self._world.speaker, query, dice, int(self.at_ms[s]))
            if (more or self.next[s] is not None) and self.asked[s] < MAX_QUERIES:
                again.append(s)
        return np.array(again, np.intp)

    # ---- the log ----

    def _event(self, s: int, kind: EventKind, ts_ms: int, product: int, query_id: str | None = None, position: int | None = None) -> None:
        record = EventRecord(
            event_id=f"{self.session[s]}-{int(self.number[s])}",
            action=kind,
            ts_ms=ts_ms,
            kind=kind,
            client=self.client[s],
            session=self.session[s],
            query_id=query_id,
            product_id=self._world.product_id(product),
            product_no=product,
            position=position,
        )
        self._write(s, ts_ms, record)

    def _write(self, s: int, ts_ms: int, record: PageRecord | EventRecord) -> None:
        self._made.history.add(ts_ms, int(self.user[s]), int(self.number[s]), self.user_id[s], record)
        self.number[s] += 1


def _names(settings: WorldSettings, stream: str, keys: Keys) -> list[str]:
    """128 bits each, in hexadecimal."""
    first, second = draws.bits(settings.seed, stream, keys), draws.bits(settings.seed, stream, keys, 1)
    return [f"{a:016x}{b:016x}" for a, b in zip(first.tolist(), second.tolist(), strict=True)]


def _sessions_a_day(world: World) -> Floats:
    """float64[users]: expected sessions on an average day after the first visit."""
    settings, users = world.settings, world.users
    active_days = (settings.end_ms - users.first_ms) / DAY_MS
    wanted = settings.pages / PAGES_PER_SESSION
    return np.asarray(users.activity * wanted / max(float((users.activity * active_days).sum()), 1e-9))


def _poisson(expected: Floats, u: Floats, most: int = MAX_VISITS) -> npt.NDArray[np.int64]:
    """int64[n]: Poisson numbers by inversion, one uniform number each, at most `most`."""
    number, term = np.zeros(len(expected), np.int64), np.exp(-expected)
    reached = term.copy()
    for k in range(1, most + 1):
        number[u >= reached] = k
        term = term * expected / k
        reached += term
    return number


def no_counts(products: int) -> Counts:
    return np.zeros((products, len(COUNTED)))
