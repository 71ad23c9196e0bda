"""One process of a load: sends what its share of the schedule or its shoppers say, and gathers what it sees. Needs gevent, not Locust."""

import datetime
import gc
import itertools
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import gevent
from gevent.event import Event
from gevent.lock import Semaphore
from gevent.pool import Pool as Greenlets

from loadgen import client
from loadgen.asks import Ask, Known, Pool, instead
from loadgen.cast import Cast, ask_of
from loadgen.checks import Pages, check_events, check_page, decode, prices
from loadgen.collector import Collector
from loadgen.options import Wish
from loadgen.schedules import Slot, share, thinking
from loadgen.seen import REQUESTS, Request, Seen, Shown
from loadgen.shoppers import Action, Visit
from services.contracts import SearchAnswer

JSON = {"content-type": "application/json", "accept-encoding": "identity"}
OUTSTANDING = 2000
"""Requests under way at once in one process, at most; more wait, which counts as the generator's lag."""
WRONG = "not what was promised (AIsle's report says how)"
"""To Locust, which keeps every different text for ever."""
CHAINS = 100_000
COLLECT_S = 1.0
PRICES_OF_EVERY = 10
TIMINGS = 20_000
"""Server-Timing headers that a process keeps, at most, evenly spread over the load."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. Times are `time.perf_counter()`; status 0: nothing did, for the reason `error`."""

    status: int
    body: bytes
    timing: str
    sent: float
    ended: float
    error: str = ""


Look = Callable[[Reply], tuple[str | None, float]]
Post = Callable[[str, bytes, str, dict[str, str], Look], None]
"""Path, body, name, headers, and what looks at the reply: it returns what is wrong (or None) and the latency in ms."""


@dataclass(slots=True)
class Chain:
    """One shopper's requests, one after the other."""

    ask: Ask
    who: client.Who
    pages: Pages
    number: int = 0
    page: int = 0
    cursor: str | None = None
    turn: Semaphore = field(default_factory=Semaphore)


@dataclass(frozen=True, slots=True)
class Due:
    """When a request was meant to be sent: `at_s` on the clock of the load, `intended` on this process' own; how late we are."""

    at_s: float
    intended: float
    lag_ms: float = 0.0
    idle: bool = False


class GoneHome(Exception):
    """A shopper who was thinking when the load ended."""


class Crew:
    """Process `index` of `of`. `begun` is set when the load begins, `ended` when this process has done its part."""

    def __init__(self, wish: Wish, pool: Pool, cast: Cast, known: Known) -> None:
        self.wish, self.pool, self._cast, self._known = wish, pool, cast, known
        self.index, self.of = 0, 1
        self.collector = Collector(wish.warm_up_s)
        self.begun, self.stopping, self.ended = Event(), Event(), Event()
        self.began = self.cpu_began = 0.0
        self._chains: OrderedDict[int, Chain] = OrderedDict()
        self._visits: Iterator[int] = itertools.count()
        self._shoppers: Iterator[int] = itertools.count()
        self._answers = self._under_way = 0
        expected = max(1.0, (wish.seconds + wish.warm_up_s) * wish.rate) if wish.open else 1.0
        self._keep_timing = max(1, round(expected / TIMINGS))

    # ---- before and after ----

    def ask_probes_idle(self, post: Post) -> None:
        """Each probe once, one after the other: what the system answers when it has nothing else to do."""
        for probe in self.pool.probes:
            if self.stopping.is_set():
                return
            chain = Chain(probe, self._who(probe, -1 - probe.probe), Pages(self.wish.page_size))
            self._search(post, chain, -1 - probe.probe, Due(0.0, time.perf_counter(), idle=True), "first")

    def begin(self, index: int, of: int, in_s: float, post: Post | None) -> None:
        """Start the clock in `in_s` seconds; with `post`, this process sends its share of the schedule."""
        self.index, self.of = index, of
        self._visits, self._shoppers = itertools.count(index, of), itertools.count(index, of)
        gc.collect()
        gc.freeze()  # what was read for the load does not move: collecting it again and again would make the generator late
        gc.disable()
        self.began, self.cpu_began = time.perf_counter() + in_s, time.process_time()
        gevent.spawn(self._run, post)

    def _run(self, post: Post | None) -> None:
        gevent.spawn(self._collect)
        try:
            self._sleep_until(self.began)
            self.begun.set()
            if self.wish.open and post:
                self._dispatch(post)
            else:
                self.stopping.wait(self.wish.warm_up_s + self.wish.seconds if self.wish.seconds else None)
            self.stopping.set()
            self._let_finish()
        finally:  # whatever went wrong: a load that is waited for ends
            self.stopping.set()
            self.ended.set()
            gc.enable()

    def _collect(self) -> None:
        """What came and went in the last second. All that the load keeps would take 0.1 s, in which nothing is sent; requests leave no cycles."""
        while not self.ended.wait(COLLECT_S):
            gc.collect(1)

    def _let_finish(self) -> None:
        """Who waits for an answer gets it: else slow requests would be missing at the end of a closed loop, and they alone."""
        until = time.perf_counter() + self.wish.timeout_s + 1
        while self._under_way and time.perf_counter() < until:
            gevent.sleep(0.01)

    def cpu_s(self) -> float:
        return time.process_time() - self.cpu_began

    # ---- open loop ----

    def _dispatch(self, post: Post) -> None:
        under_way = Greenlets(OUTSTANDING)
        for slot in share(self.wish.slots(), self.index, self.of):
            due = self.began + slot.at_s
            self._sleep_until(due)
            if self.stopping.is_set():
                break
            self.collector.planned += 1
            under_way.spawn(self._send, post, slot, due)
        if not self.stopping.is_set():
            self._sleep_until(self.began + self.wish.warm_up_s + self.wish.seconds)
        under_way.join(timeout=self.wish.timeout_s + 1)
        under_way.kill()

    def _sleep_until(self, due: float) -> None:
        while not self.stopping.is_set() and (wait := due - time.perf_counter()) > 0:
            if wait > 0.5:
                self.stopping.wait(wait - 0.25)
            else:
                gevent.sleep(wait)

    def _send(self, post: Post, slot: Slot, intended: float) -> None:
        due = Due(slot.at_s, intended, (time.perf_counter() - intended) * 1000)
        chain = self._chain(slot)
        with chain.turn:  # a page can be turned when it has come; waiting for it is latency, not the generator's lag
            if slot.turn and chain.cursor:
                answer = self._search(post, chain, slot.chain, due, "next")
            else:
                self.collector.left_alone += slot.turn
                self._ask_anew(chain, slot.chain)
                answer = self._search(post, chain, slot.chain, due, "first")
        if answer and answer.items and not self.stopping.is_set():
            self._maybe_click(post, chain, slot, answer)
        self._enough()

    def _chain(self, slot: Slot) -> Chain:
        chain = self._chains.get(slot.chain)
        if chain is None:
            ask = self.pool.ask(slot.chain, 0)
            chain = self._chains[slot.chain] = Chain(ask, self._who(ask, slot.chain), Pages(self.wish.page_size))
            while len(self._chains) > CHAINS:
                self._chains.popitem(last=False)
        self._chains.move_to_end(slot.chain)
        return chain

    def _ask_anew(self, chain: Chain, number: int) -> None:
        chain.ask = self.pool.ask(number, chain.number)
        chain.number, chain.page, chain.cursor = chain.number + 1, 0, None
        chain.pages = Pages(self.wish.page_size)

    def _maybe_click(self, post: Post, chain: Chain, slot: Slot, answer: SearchAnswer) -> None:
        """A share of the pages is clicked on, high places more often than low ones; probes stay without a past."""
        rng = random.Random(f"{self.wish.seed}:{slot.chain}:{slot.at_s}")
        if chain.ask.probe >= 0 or chain.ask.user_id is None or rng.random() >= self.wish.click:
            return
        item = answer.items[min(int(rng.expovariate(0.5)), len(answer.items) - 1)]
        now = time.perf_counter()
        self._events(post, [Action("click", item.product_id, item.position)], answer.query_id, chain, slot.chain, now)

    # ---- closed loop ----

    def shopper(self) -> "ShopperLoop":
        return ShopperLoop(self, next(self._shoppers))

    def visit(self, post: Post, loop: "ShopperLoop") -> None:
        """One query of a shopper, from the first page to the last one read."""
        number = next(self._visits)
        visit = loop.shopper.visit()
        probe = self.pool.probe(number)
        ask = probe or instead(ask_of(visit), self._known, self.wish.mix, random.Random(f"{self.wish.seed}:mix:{number}"))
        chain = Chain(ask, self._who(ask, number), Pages(self.wish.page_size))
        due = self._now(loop.think())
        answer = self._search(post, chain, number, due, "first")
        for _ in range(1, self.wish.max_pages):
            if not self._react(post, answer, visit, chain, number, loop):
                return
            answer = self._search(post, chain, number, self._now(loop.think()), "next")
        self._react(post, answer, visit, chain, number, loop)

    def _react(self, post: Post, answer: SearchAnswer | None, visit: Visit, chain: Chain, number: int, loop: "ShopperLoop") -> bool:
        """Read the page and do what there is to do; whether there is, and the shopper wants, more."""
        if answer is None or chain.ask.probe >= 0:
            return False
        reaction = visit.read(answer.items)
        if reaction.actions:
            loop.think()
            self._events(post, reaction.actions, answer.query_id, chain, number, time.perf_counter())
        return bool(answer.cursor and reaction.more)

    def _now(self, lag_ms: float) -> Due:
        now = time.perf_counter()
        self.collector.planned += 1
        return Due(now - self.began, now, lag_ms)

    # ---- one request ----

    def _search(self, post: Post, chain: Chain, number: int, due: Due, request: Request) -> SearchAnswer | None:
        chain.page += 1
        found: list[SearchAnswer] = []
        if request == "next" and chain.cursor:
            body = client.next_page(chain.cursor, chain.who)
        else:
            body = client.first_page(chain.ask.query, chain.who, self.wish.page_size, chain.ask.filters)

        def look(reply: Reply) -> tuple[str | None, float]:
            latency_ms = (reply.ended - due.intended) * 1000
            failure, wrong, shown, timing = self._look(reply, chain, found)
            seen = Seen(
                request=request,
                at_s=round(due.at_s, 6),
                chain=number,
                page=chain.page,
                latency_ms=round(latency_ms, 4),
                service_ms=round((reply.ended - reply.sent) * 1000, 4),
                lag_ms=round(due.lag_ms, 4),
                status=reply.status,
                failure=failure,
                wrong=wrong,
                bytes=len(reply.body),
                ask=chain.ask,
                shown=shown,
                timing=timing,
                idle=due.idle,
            )
            self.collector.add(seen)
            return failure or (WRONG if wrong else None), latency_ms

        chain.cursor = None
        headers = JSON if not self.wish.deadline_ms else {**JSON, "x-deadline-ms": f"{self.wish.deadline_ms:.0f}"}
        self._under_way += 1
        try:
            post("/search", body, "probes, idle" if due.idle else REQUESTS[request], headers, look)
        finally:
            self._under_way -= 1
        return found[0] if found else None

    def _look(self, reply: Reply, chain: Chain, found: list[SearchAnswer]) -> tuple[str | None, list[str], Shown | None, str]:
        if reply.status != 200:
            return failure_of(reply), [], None, ""
        if not self.wish.judged:
            return None, [], None, ""
        self._answers += 1
        try:
            answer = decode(reply.body)
        except ValueError as error:
            return None, [str(error)], None, ""
        found.append(answer)
        chain.cursor = answer.cursor
        wrong = check_page(answer, chain.pages)
        if "total;dur=" not in reply.timing:
            wrong.append("no `total` in Server-Timing")
        sampled = prices(answer.items) if self._answers % PRICES_OF_EVERY == 1 or chain.ask.kind in ("title", "rare") else []
        return None, wrong, _shown(answer, sampled), reply.timing if self._answers % self._keep_timing == 0 else ""

    def _events(self, post: Post, actions: list[Action], query_id: str, chain: Chain, number: int, intended: float) -> None:
        at_s = intended - self.began
        ids = [f"{chain.who.session_id}-{number}-{chain.page}-{n}-{at_s:.6f}" for n in range(len(actions))]
        body = client.events(actions, query_id, chain.who, datetime.datetime.now(datetime.UTC), ids)

        def look(reply: Reply) -> tuple[str | None, float]:
            ok = reply.status == 202
            wrong = check_events(reply.status, reply.body, len(ids)) if ok and self.wish.judged else []
            ms = (reply.ended - reply.sent) * 1000
            seen = Seen(
                request="events",
                at_s=round(at_s, 6),
                chain=number,
                page=chain.page,
                latency_ms=round(ms, 4),
                service_ms=round(ms, 4),
                status=reply.status,
                failure=None if ok else failure_of(reply),
                wrong=wrong,
                bytes=len(reply.body),
                actor=chain.who.user_id or chain.who.client_id,
            )
            self.collector.add(seen)
            return seen.failure or (WRONG if wrong else None), ms

        post("/events", body, REQUESTS["events"], JSON, look)

    def _who(self, ask: Ask, chain: int) -> client.Who:
        return client.Who(ask.user_id, f"load-client-{chain}", f"load-{self.wish.seed}-{chain}")

    def _enough(self) -> None:
        if self.wish.requests and self.collector.measured * self.of >= self.wish.requests:
            self.stopping.set()


class ShopperLoop:
    """One shopper of a closed loop."""

    def __init__(self, crew: Crew, number: int) -> None:
        self._crew = crew
        self.shopper = crew._cast(number)
        self._thoughts = thinking(crew.wish.think_s, crew.wish.seed, number)

    def think(self) -> float:
        """Time passes; returns how many ms too late we woke. Raises GoneHome when the load ends meanwhile."""
        self._crew._enough()
        seconds = next(self._thoughts)
        until = time.perf_counter() + seconds
        stopping = self._crew.stopping
        if stopping.wait(seconds) or stopping.is_set():  # gevent says "in time" of an event that was set as the time was up
            raise GoneHome
        return max(0.0, time.perf_counter() - until) * 1000


def failure_of(reply: Reply) -> str:
    """Why there is no good answer, in few different words."""
    if reply.status == 0:
        return reply.error or "no answer"
    retry = " (refused early: overloaded)" if b"overloaded" in reply.body else ""
    return f"status {reply.status}{retry}"


def _shown(answer: SearchAnswer, sampled: list[int]) -> Shown:
    return Shown(
        ids=[i.product_id for i in answer.items],
        total=answer.total.value,
        relation=answer.total.relation,
        generation=answer.generation,
        release=answer.release,
        terms=answer.query.terms,
        degraded=answer.degraded,
        corrected=answer.query.corrected,
        tiers=answer.tiers,
        item_tiers=[i.tier for i in answer.items],
        prices=sampled,
        query_id=answer.query_id,
    )
