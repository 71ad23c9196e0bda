"""Locust's side of a load: its command line and web page, its users, its processes.

With users.py, all that imports Locust, which patches the process that it is in (gevent). When requests are sent is decided in schedules.py,
what they are in asks.py, what is done with answers in crew.py; lead.py and judge.py make the run of it.
"""

import logging
import os
import sys
import time
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any

import gevent
import msgspec
from gevent.event import Event
from gevent.lock import RLock
from locust import events
from locust.runners import STATE_INIT, STATE_MISSING, STATE_RUNNING, STATE_SPAWNING, MasterRunner, WorkerRunner
from rich.console import Console

from loadgen import page
from loadgen.asks import Pool, mixed, probes
from loadgen.cast import Cast, plain, shoppers
from loadgen.collector import Totals
from loadgen.crew import Crew
from loadgen.lead import Lead
from loadgen.options import OPTIONS, refused, watched, wish
from loadgen.report import show
from loadgen.run import Run, calibration, save
from loadgen.seen import Seen
from loadgen.shelf import current, known
from loadgen.shoppers import Habits
from loadgen.users import Connections, Dispatcher, ShopperUser
from services.errors import ConfigurationError

PROGRESS_S = 5.0
BATCH_S = 1.0
WIDTH = 220
IN_STEP_S = 1.0
"""Between the word to begin and the beginning, so that all processes hear it before."""
LEAVING_S = 5.0
PATIENCE_S = 15.0
"""How long the end of a load waits for what its processes have to report, and the next one for them to be free."""
MISSED_S, SILENT_S = 10.0, 30.0
"""A worker says something every second (but while it reads the shop); one that says nothing for so long is lost."""


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust's
def _arguments(parser: Any) -> None:
    group = parser.add_argument_group("AIsle's load")
    about = "Folder of the shop: who its shoppers are, what they look for"
    group.add_argument("--shop-root", required=True, env_var="AISLE_LOAD_SHOP_ROOT", help=about)
    for option in OPTIONS:
        more = {"choices": list(option.choices)} if option.choices else {"type": type(option.default)}
        text = f"{option.help} (default: {option.default})".replace("%", "%%")
        group.add_argument(option.flag, default=option.default, env_var=option.variable, help=text, **more)


class Session:
    """What one Locust process is in a load: alone, the lead of others, or one of those."""

    def __init__(self, environment: Any) -> None:
        self.environment, self.runner = environment, environment.runner
        self.crew: Crew | None = None
        self.lead: Lead | None = None
        self.run: Run | None = None
        self.ready = Event()
        self._finishing = RLock()
        self._ends = Event()
        self._handed: Crew | None = None
        self._took_part: set[str] = set()
        self._unready: set[str] = set()
        self._all_ready = Event()
        self._heard: dict[str, float] = {}
        self._root = Path(environment.parsed_options.shop_root)
        self._read()

    @property
    def leads(self) -> bool:
        return not isinstance(self.runner, WorkerRunner)

    @property
    def works(self) -> bool:
        return not isinstance(self.runner, MasterRunner)

    @property
    def results(self) -> Path | None:
        folder = self.environment.parsed_options.results
        return Path(folder) if folder else None

    # ---- the beginning ----

    def start(self) -> None:
        options = self.environment.parsed_options
        self.wish = wish(options)
        if current(self._root) != self._generation:  # a page stays open while the shop is built again
            self._read()
        self.run = None
        self._ends = Event()
        if isinstance(self.runner, MasterRunner):
            self._unready, self._all_ready = set(self.runner.clients.keys()), Event()
            self._heard = dict.fromkeys(self._unready, time.monotonic())
        self._dispatcher = Dispatcher(self.environment)
        for user in (Connections, ShopperUser):
            user.network_timeout = user.connection_timeout = self.wish.timeout_s
        if self.leads:
            self.lead = Lead(self.wish, self.shelf, self._root, self.results, watched(options.watch))
            gevent.spawn(self._follow, self.lead)
        if self.works:
            habits = Habits(turn=options.turn, click=options.click)
            cast = shoppers(self._root, habits, self.wish.seed)
            self.crew = Crew(self.wish, self._pool(cast), cast, self.known)
            gevent.spawn(self._batches, self.crew)
        self.ready.set()
        gevent.get_hub().loop.update_now()  # the time would else be that before everything was read
        if self.leads:
            gevent.spawn(self._conduct)
        else:
            self.runner.send_message("aisle-ready")

    def refused(self, given: Mapping[str, str]) -> str | None:
        """Why what was filled in on the page makes no load, or why none can start now."""
        return refused(self.environment.parsed_options, given) or self._not_free()

    def _not_free(self) -> str | None:
        """Waits until all who took part in the load before are back: Locust gives no users to a worker that is not, and does not say so."""
        if self.runner.state in (STATE_SPAWNING, STATE_RUNNING):
            return "a load is running, with the settings that it began with: stop it first"
        if not isinstance(self.runner, MasterRunner):
            return None
        give_up = time.monotonic() + PATIENCE_S
        while True:
            states = {client_id: worker.state for client_id, worker in self.runner.clients.items()}
            busy = [client_id for client_id, state in states.items() if state not in (STATE_INIT, STATE_MISSING)]
            away = self._took_part - states.keys()  # between two loads a worker leaves and comes again
            if not busy and not away:
                return None
            if time.monotonic() >= give_up:
                break
            gevent.sleep(0.1)
        self._took_part -= away  # ended, with or without a word
        return f"still in the load before after {PATIENCE_S:g} s: {', '.join(busy)}; end these workers or try again" if busy else None

    def _read(self) -> None:
        self._generation = current(self._root)
        self.shelf, self.known = known(self._root)

    def _pool(self, cast: Cast) -> Pool:
        w, ask = self.wish, plain(cast)
        asks = mixed(ask, self.known, w.mix, w.pool, w.seed) if w.open else []
        return Pool(asks, probes(ask, self.known, w.seed) if w.mix.probes else [], w.mix.probes)

    def _conduct(self) -> None:
        """The probes while nothing else is asked, then the word to begin, then the end."""
        assert self.lead
        lead = self.lead
        if isinstance(self.runner, MasterRunner):
            workers = list(self._heard)
            self._expected, self._asked, self._took_part = set(workers), Event(), set(workers)
            self._wait(self._all_ready, self._unready)  # what is said to one that has not begun to listen is lost
            self.runner.send_message("aisle-probe", None, workers[0])
            self._wait(self._asked, {workers[0]})
            at = time.time() + IN_STEP_S
            lead.begin(IN_STEP_S, len(workers))
            for index, client_id in enumerate(workers):
                self.runner.send_message("aisle-begin", {"index": index, "of": len(workers), "at": at}, client_id)
            self._wait(self._ends, self._expected)
            self._ends.set()
        else:
            assert self.crew
            self.crew.ask_probes_idle(self._dispatcher.post)
            lead.begin(0.1)
            self.crew.begin(0, 1, 0.1, self._dispatcher.post)
            self.crew.ended.wait()
            self._hand_over(self.crew)
        if self.environment.web_ui:
            self.finish()  # before the page is told that it is over: then it asks no more
            self.runner.stop()
        else:
            self.runner.quit()

    def _wait(self, event: Event, who: set[str]) -> None:
        """Until it happens, or all workers are silent who could make it happen."""
        while who and not event.wait(BATCH_S):
            who -= {worker for worker in who if time.monotonic() - self._heard[worker] > (MISSED_S if self._missed(worker) else SILENT_S)}

    def _missed(self, worker: str) -> bool:
        """Locust's own heartbeats of it do not come either."""
        node = self.runner.clients.get(worker)
        return node is None or node.state == STATE_MISSING

    def probe(self) -> None:
        """A worker was told to ask the probes."""
        if not self.ready.wait(SILENT_S):
            return  # it got no users: not this load's
        assert self.crew
        self.crew.ask_probes_idle(self._dispatcher.post)
        self._send_batch(self.crew)
        self.runner.send_message("aisle-asked")

    def begin(self, index: int, of: int, at: float) -> None:
        """A worker was told to begin."""
        if not self.ready.wait(SILENT_S):
            return
        assert self.crew
        self.crew.begin(index, of, at - time.time(), self._dispatcher.post)
        self.crew.ended.wait()
        self._hand_over(self.crew)

    # ---- while it runs, and its end ----

    def _follow(self, lead: Lead) -> None:
        last = time.perf_counter()
        while True:
            gevent.sleep(BATCH_S)
            if self.lead is not lead or self.run is not None:
                return
            lead.watch.sample(lead.clock_s)
            if not self.environment.web_ui and time.perf_counter() - last >= PROGRESS_S:
                last = time.perf_counter()
                print(lead.line(self.runner.user_count), flush=True)

    def _batches(self, crew: Crew) -> None:
        while not crew.ended.is_set():
            gevent.sleep(BATCH_S)
            self._send_batch(crew)

    def _send_batch(self, crew: Crew) -> None:
        batch = crew.collector.take()
        if self.lead:
            self.lead.take(batch)
        else:
            self.runner.send_message("aisle-seen", msgspec.msgpack.encode(batch))  # an empty one says that the worker is there

    def _hand_over(self, crew: Crew) -> None:
        if self._handed is crew:
            return
        self._handed = crew
        self._send_batch(crew)
        totals = crew.collector.totals(crew.cpu_s())
        if self.lead:
            self.lead.end(totals)
        else:
            self.runner.send_message("aisle-end", msgspec.msgpack.encode(totals))

    def heard(self, kind: str, client_id: str, data: Any) -> None:
        """The lead of others heard from one of them."""
        if not self.lead or self.run is not None:
            return  # too late for the run
        if client_id in self._heard:
            self._heard[client_id] = time.monotonic()
        if kind == "aisle-seen":
            self.lead.take(msgspec.msgpack.decode(data, type=list[Seen]))
        elif kind == "aisle-ready":
            self._unready.discard(client_id)
            if not self._unready:
                self._all_ready.set()
        elif kind == "aisle-asked":
            self._asked.set()
        else:
            self.lead.end(msgspec.msgpack.decode(data, type=Totals))
            self._expected.discard(client_id)
            if not self._expected:
                self._ends.set()

    def stop(self) -> None:
        """Somebody or the schedule ends the load: all processes, then the run is made of what they saw."""
        if self.crew:
            self.crew.stopping.set()
        self._tell_workers("aisle-stop")
        if self.leads and self.environment.web_ui:
            self.finish()
        if not self.leads:
            if self.crew and not self.crew.begun.is_set():
                self._hand_over(self.crew)  # it is waited for, and has nothing to tell
            self.ready.clear()  # the word to begin the next load may come before Locust's to start it: it has to wait for that load's crew

    def _tell_workers(self, kind: str) -> None:
        if isinstance(self.runner, MasterRunner):
            for client_id in list(self.runner.clients.keys()):
                self.runner.send_message(kind, None, client_id)

    def leave(self) -> None:
        """A worker goes: what it saw must not go with it."""
        if self.crew and self.crew.begun.is_set():
            self.crew.stopping.set()
            self.crew.ended.wait(LEAVING_S)
            self._hand_over(self.crew)

    def finish(self) -> Run | None:
        """The run, made once. What was stopped before its time counts as far as it came."""
        with self._finishing:  # a SIGTERM and the end of the load may both ask for it
            return self._finish()

    def _finish(self) -> Run | None:
        lead = self.lead
        if lead is None or self.run is not None:
            return self.run
        interrupted = self.crew is not None and not self.crew.ended.is_set()
        if isinstance(self.runner, MasterRunner):
            interrupted = not self._ends.is_set()
            if interrupted:
                self._tell_workers("aisle-stop")  # somebody ended this process, not the load: Locust has not told them yet
                self._ends.wait(PATIENCE_S)
        elif self.crew and interrupted:
            self.crew.stopping.set()
            if self.crew.ended.wait(PATIENCE_S):
                self._hand_over(self.crew)
        stats = self.environment.stats.total
        locust = {f"p{q * 100:g}": float(stats.get_response_time_percentile(q)) for q in (0.5, 0.99)} if stats.num_requests else {}
        options = self.environment.parsed_options
        users = int(options.num_users or 0)
        self.run = lead.finish(users, locust, options.pinned, calibration(options.calibration), interrupted=interrupted)
        if self.results:
            save(self.run, self.results)
        return self.run


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust's
def _init(environment: Any, **_: Any) -> None:
    try:
        session = environment.aisle = Session(environment)
        wish(environment.parsed_options)  # what makes no load is said before anything starts
    except ConfigurationError as error:
        print(f"load: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    hub = gevent.get_hub()
    hub.NOT_ERROR = (*hub.NOT_ERROR, KeyboardInterrupt)  # Ctrl-C ends a load; nothing went wrong
    environment.events.test_start.add_listener(lambda **_: session.start())
    environment.events.test_stopping.add_listener(lambda **_: session.stop())
    _listen(environment.runner, session)
    if environment.web_ui:
        page.extend(environment.web_ui, lambda: session.run, lambda: _page(session), session.refused)
    elif session.leads:
        sys.excepthook = _before_it_began
        if isinstance(environment.runner, MasterRunner) and not environment.parsed_options.processes:
            options = environment.parsed_options
            print(f"lead: waits for {options.expect_workers} workers at port {options.master_bind_port}", flush=True)
        logging.getLogger("locust.stats_logger").disabled = True  # our report takes the place of Locust's
        environment.events.quitting.add_listener(lambda **_: _report(environment, session))


def _before_it_began(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ctrl-C while a lead waits for its workers, where Locust does not expect it."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print("load: interrupted before it began", file=sys.stderr)
    sys.stdout.flush()
    os._exit(2)


def _listen(runner: Any, session: Session) -> None:
    if isinstance(runner, MasterRunner):
        for kind in ("aisle-ready", "aisle-seen", "aisle-asked", "aisle-end"):
            runner.register_message(kind, lambda environment, msg, **_: session.heard(msg.type, msg.node_id, msg.data))
    elif isinstance(runner, WorkerRunner):
        runner.register_message("aisle-probe", lambda **_: session.probe(), concurrent=True)
        runner.register_message("aisle-begin", lambda msg, **_: session.begin(**msg.data), concurrent=True)
        runner.register_message("aisle-stop", lambda **_: session.stop())
        session.environment.events.quitting.add_listener(lambda **_: session.leave())
        if runner.worker_state != STATE_INIT:
            session.start()  # the lead was quicker than this file: Locust has begun already


def _report(environment: Any, session: Session) -> None:
    environment.process_exit_code = 2
    run = session.finish()
    if run is None:
        return
    console = Console(highlight=False, soft_wrap=True, width=max(WIDTH, Console().width))
    show(run, console)
    if session.results:
        console.print(f"kept in {os.path.relpath(session.results)}; `aisle load show` prints it again")
    environment.process_exit_code = 0 if run.ok else 1


def _page(session: Session) -> str:
    if session.run is None:
        return session.lead.line(session.runner.user_count) if session.lead else "no load has run yet"
    console = Console(record=True, width=WIDTH, file=StringIO())
    show(session.run, console)
    return console.export_text()
