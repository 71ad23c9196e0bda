"""Locust's side: shoppers as Locust users. `aisle up` serves it as a web page, `aisle load` runs it headless. One process.

The only file that imports Locust, which patches the process that it is in (gevent). Decisions, checks and sums are in the files beside it.
"""

import datetime
import itertools
import logging
import random
import secrets
from io import StringIO
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust import FastHttpUser, constant, events, task
from locust.exception import StopUser
from rich.console import Console

from loadgen import client
from loadgen.cast import shoppers
from loadgen.checks import Pages, check_events, check_page, decode
from loadgen.recorder import Recorder
from loadgen.report import Result, save, show
from loadgen.shoppers import Habits, Visit
from services.contracts import SearchAnswer

PROGRESS_S = 5.0
WIDTH = 140
JSON = {"content-type": "application/json"}
FIRST, NEXT, EVENTS = "POST /search", "POST /search (next page)", "POST /events"


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust's
def _arguments(parser: Any) -> None:
    group = parser.add_argument_group("AIsle's shoppers")
    group.add_argument(
        "--shop-root", required=True, env_var="AISLE_LOAD_SHOP_ROOT", help="Folder of the shop: who its shoppers are, what they look for"
    )
    group.add_argument(
        "--think", type=float, default=1.0, env_var="AISLE_LOAD_THINK", help="Mean seconds between the steps of a shopper (exponential)"
    )
    group.add_argument("--seed", type=int, default=1, env_var="AISLE_LOAD_SEED", help="Seed of the shoppers' decisions")
    group.add_argument("--page-size", type=int, default=10, env_var="AISLE_LOAD_PAGE_SIZE", help="Items a page")
    group.add_argument("--max-pages", type=int, default=5, env_var="AISLE_LOAD_MAX_PAGES", help="Pages of one query, at most")
    group.add_argument(
        "--turn", type=float, default=Habits().turn, env_var="AISLE_LOAD_TURN", help="Shops without a world: probability to turn the page"
    )
    group.add_argument(
        "--click",
        type=float,
        default=Habits().click,
        env_var="AISLE_LOAD_CLICK",
        help="Shops without a world: probability to click an item",
    )
    group.add_argument("--results", default="", env_var="AISLE_LOAD_RESULTS", help="Folder that results are kept in, as JSON")


class Session:
    """What all shoppers of one Locust process share."""

    def __init__(self, environment: Any) -> None:
        self.options = environment.parsed_options
        habits = Habits(turn=self.options.turn, click=self.options.click)
        self.make = shoppers(Path(self.options.shop_root), habits, self.options.seed)
        self.numbers = itertools.count()
        self.stopping = Event()
        self.start()

    def start(self) -> None:
        self.stopping.clear()
        names = ("host", "num_users", "spawn_rate", "shop_root", "think", "seed", "page_size", "max_pages", "turn", "click")
        self.recorder = Recorder({n: getattr(self.options, n) for n in names if getattr(self.options, n, None) is not None})

    def finish(self) -> Result:
        result = self.recorder.result()
        if self.options.results:
            save(result, Path(self.options.results))
        return result


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust's
def _init(environment: Any, **_: Any) -> None:
    session = environment.aisle = Session(environment)
    gevent.get_hub().loop.update_now()  # the run time would else begin before the catalogue was read
    environment.events.request.add_listener(_request(session))
    environment.events.test_start.add_listener(lambda **_: session.start())
    environment.events.test_stopping.add_listener(lambda **_: session.stopping.set())
    if environment.web_ui:
        environment.events.test_stop.add_listener(lambda **_: session.finish())
        environment.web_ui.app.add_url_rule("/stages", "stages", lambda: _stages_page(session))
    else:
        logging.getLogger("locust.stats_logger").disabled = True  # our report takes the place of Locust's
        gevent.spawn(_progress, environment, session)
        environment.events.quitting.add_listener(lambda **_: _report(environment, session))


def _request(session: Session) -> Any:
    def ended(name: str, response_time: float, exception: BaseException | None, **_: Any) -> None:
        session.recorder.request(name, response_time, None if exception is None else str(exception) or type(exception).__name__)

    return ended


def _progress(environment: Any, session: Session) -> None:
    while True:
        gevent.sleep(PROGRESS_S)
        print(session.recorder.line(environment.runner.user_count), flush=True)


def _report(environment: Any, session: Session) -> None:
    result = session.finish()
    show(result, Console(highlight=False, soft_wrap=True, width=max(WIDTH, Console().width)))
    environment.process_exit_code = 0 if result.ok else 1


def _stages_page(session: Session) -> tuple[str, dict[str, str]]:
    console = Console(record=True, width=WIDTH, file=StringIO())
    show(session.recorder.result(), console)
    return console.export_text(), {"content-type": "text/plain; charset=utf-8"}


class ShopperUser(FastHttpUser):
    """Searches, reads, clicks, turns pages; thinks before each step."""

    wait_time = constant(0)  # thinking is between the steps of a visit, not only between visits

    def on_start(self) -> None:
        self.session: Session = self.environment.aisle
        number = next(self.session.numbers)
        options = self.session.options
        self.shopper = self.session.make(number)
        self.thinking = random.Random(f"{options.seed}:think:{number}")
        self.client_id = f"load-client-{number}"

    @task
    def visit(self) -> None:
        visit = self.shopper.visit()
        who = client.Who(visit.user_id, self.client_id, secrets.token_hex(8))
        pages = Pages(self.session.options.page_size)
        self.think()
        answer = self.search(FIRST, client.first_page(visit.query, who, pages.page_size), pages)
        for _ in range(1, self.session.options.max_pages):
            cursor = self.react(answer, visit, who) if answer else None
            if not cursor:
                return
            self.think()
            answer = self.search(NEXT, client.next_page(cursor, who), pages)
        if answer:
            self.react(answer, visit, who)

    def react(self, answer: SearchAnswer, visit: Visit, who: client.Who) -> str | None:
        """Read the page and do what there is to do; returns the cursor when the shopper wants more and there is more."""
        reaction = visit.read(answer.items)
        if reaction.actions:
            self.think()
            ids = [secrets.token_hex(8) for _ in reaction.actions]
            now = datetime.datetime.now(datetime.UTC)
            body = client.events(reaction.actions, answer.query_id, who, now, ids)
            with self.post("/events", body, EVENTS) as response:
                if wrong := check_events(response.status_code, response.content or b"", len(ids)):
                    response.failure("; ".join(wrong))
        return answer.cursor if reaction.more else None

    def search(self, name: str, body: bytes, pages: Pages) -> SearchAnswer | None:
        """One page, checked; None when it is no answer at all."""
        with self.post("/search", body, name) as response:
            if response.status_code != 200:
                response.failure(f"status {response.status_code} {(response.text or '')[:200]}".strip())
                return None
            try:
                answer = decode(response.content)
            except ValueError as error:
                response.failure(str(error))
                return None
            wrong = check_page(answer, pages) + self.session.recorder.answer(answer, response.headers.get("server-timing", ""))
            if wrong:
                response.failure("; ".join(wrong))
            return answer

    def post(self, path: str, body: bytes, name: str) -> Any:
        return self.client.post(path, data=body, headers=JSON, name=name, catch_response=True)  # type: ignore[arg-type]  # bytes are documented

    def think(self) -> None:
        """Time passes; a shopper who thinks when the load ends goes home."""
        mean = self.session.options.think
        if self.session.stopping.wait(self.thinking.expovariate(1 / mean) if mean else 0):
            raise StopUser
