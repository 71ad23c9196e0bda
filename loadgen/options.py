"""The settings of a load as one table: Locust's command line and web page, `aisle load run --help` and the run file are made of it. Pure."""

import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from loadgen.asks import Mix
from loadgen.rules import Limits, least_searches, needed
from loadgen.schedules import Rate, Slot, chained, constant, fixed, in_sessions, poisson, ramp, read_trace, replay, spike
from loadgen.seen import GRADED
from loadgen.shoppers import Habits
from services.contracts import MAX_PAGE_SIZE
from services.errors import ConfigurationError

Profile = Literal["report", "closed", "open", "sessions", "ramp", "spike", "soak"]
PROFILES: dict[str, str] = {
    "report": "the report's: 1,000 users who think 10 s, 30 s warm-up, 20,000 requests",
    "closed": "shoppers who wait for answers and think (closed loop)",
    "open": "requests at a rate, whether answers come or not",
    "sessions": "sessions of Taobao's shape at a rate (open loop)",
    "ramp": "a rate that rises from --rate to --top",
    "spike": "--rate, with --top for --spike-seconds in the middle",
    "soak": "a rate for a long time (an hour by default)",
}
REQUESTS_A_SESSION = 10.66
"""Of the fitted distribution (loadgen/sessions.py)."""


@dataclass(frozen=True, slots=True)
class Option:
    name: str
    default: str | int | float
    help: str
    choices: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return f"AISLE_LOAD_{self.name.upper()}"


OPTIONS = (
    Option("load_profile", "closed", "; ".join(f"{n}: {h}" for n, h in PROFILES.items()), tuple(PROFILES)),
    Option("seconds", 0.0, "Length of the measured part; 0: as the profile has it (60; soak 3600; report: until its requests are sent)"),
    Option(
        "warm_up",
        -1.0,
        "Seconds before the measured part, left out of every figure; -1: as the profile has it (report and sessions 30, else 5)",
    ),
    Option("requests", 0, "End after so many measured searches; 0: as the profile has it (report 20,000, else no limit)"),
    Option("think", 0.0, "Closed: mean seconds between a shopper's steps, exponential; 0: as the profile has it (report 10, closed 1)"),
    Option("rate", 20.0, "Open loops: requests a second over all processes"),
    Option("arrivals", "poisson", "Open loops: how requests arrive", ("poisson", "fixed", "trace")),
    Option("trace", "", "File with one time in seconds a line, for --arrivals trace"),
    Option("pace", 1.0, "So many times as fast: traces, and the time between the requests of a session"),
    Option("top", 0.0, "Ramp and spike: the highest rate; 0: twice --rate"),
    Option("spike_start", 20.0, "Spike: seconds of the measured part before it"),
    Option("spike_seconds", 20.0, "Spike: how long it lasts"),
    Option("turn", 0.3, "Share of page turns (open, ramp, spike, soak); closed, shops without a world: probability to turn the page"),
    Option("click", Habits().click, "Closed, shops without a world: probability to click an item. Open loops: share of pages clicked"),
    Option("page_size", 10, "Items a page"),
    Option("max_pages", 5, "Closed: pages of one query, at most"),
    Option("misspelt", -1.0, "Share of misspelt queries; -1: as the shop's shoppers misspell"),
    Option("rare", 0.05, "Share of queries for rare products: exact titles from the low tier"),
    Option("empty", 0.02, "Share of empty queries (browsing)"),
    Option("probes", 0.15, "Share of queries whose right answer is known; 0 leaves the rules that need them open"),
    Option("pool", 2000, "Different queries that are drawn before the load"),
    Option("seed", 1, "Seed of schedule, queries and decisions"),
    Option("timeout", 10.0, "Seconds after which a request counts as not answered"),
    Option("deadline_ms", 0.0, "x-deadline-ms of every request; 0: none is sent"),
    Option("graded", GRADED, "Records that are graded after the load, at most (3 KB of memory each); all requests are counted"),
    Option("good_ms", 500.0, "Second by second, and beyond the peak: an answer that takes longer is not goodput"),
    Option("max_lag", Limits().lag_p99_ms, "Rule: p99 of the generator's own lag, ms"),
    Option("max_failed", Limits().failed, "Rule: share of failed requests"),
    Option("max_degraded", Limits().degraded, "Rule: share of degraded answers"),
    Option("claim", Limits().claim, "Rule: the highest percentile that is to be quoted"),
    Option("quality_margin", Limits().quality_margin, "Rule: nDCG@10 below, and regret above, the idle system's by at most so much"),
    Option("watch", "", "Processes of the system whose CPU and memory are followed: name=pid,name=pid"),
    Option("pinned", "", "Said in the report: how processes are bound to cores"),
    Option("results", "", "Folder that runs are kept in"),
    Option("calibration", "", "File with what the generator does alone (python -m loadgen calibrate), for the report"),
    Option("judged", "yes", "Whether answers are graded; `no` for measuring the generator itself", ("yes", "no")),
)


NOT_BELOW_0 = ("seconds", "think", "top", "requests", "spike_start", "deadline_ms", "quality_margin")
ABOVE_0 = ("rate", "page_size", "max_pages", "pool", "pace", "timeout", "graded", "spike_seconds", "good_ms", "max_lag")


class Wish(Struct, frozen=True, kw_only=True):
    """A load that was asked for, with what the profile sets filled in."""

    profile: Profile
    seconds: float
    warm_up_s: float
    requests: int
    think_s: float
    rate: float
    arrivals: str
    trace: str
    pace: float
    top: float
    spike_start_s: float
    spike_s: float
    turn: float
    click: float
    page_size: int
    max_pages: int
    mix: Mix
    pool: int
    seed: int
    timeout_s: float
    deadline_ms: float
    graded: int = GRADED
    good_ms: float = 500.0
    limits: Limits
    judged: bool

    @property
    def open(self) -> bool:
        return self.profile not in ("report", "closed")

    def slots(self) -> Iterator[Slot]:
        """The schedule of an open loop, warm-up included. Raises ConfigurationError for a trace that cannot be read."""
        total = self.warm_up_s + self.seconds
        if self.profile == "sessions":
            return in_sessions(self.rate / REQUESTS_A_SESSION, total, self.seed, pace=self.pace, warm_up_s=self.warm_up_s)
        if self.arrivals == "trace":
            arrivals = replay(read_trace(Path(self.trace)), total, self.pace)
        elif self.arrivals == "fixed":
            arrivals = fixed(self.rates(), total)
        else:
            arrivals = poisson(self.rates(), total, self.seed)
        return chained(arrivals, self.turn, self.seed)

    def rates(self) -> Rate:
        if self.profile == "ramp":
            rising = ramp(self.rate, self.top, self.seconds).points
            return Rate(tuple((at + self.warm_up_s, rate) for at, rate in rising))
        if self.profile == "spike":
            return spike(self.rate, self.top, self.warm_up_s + self.spike_start_s, self.spike_s)
        return constant(self.rate)


def wish(options: Any) -> Wish:
    """The load that a namespace of OPTIONS asks for. Raises ConfigurationError for values that make no load."""
    _check(options)
    o, profile = options, options.load_profile
    report = profile == "report"
    limits = Limits(failed=o.max_failed, degraded=o.max_degraded, lag_p99_ms=o.max_lag, claim=o.claim, quality_margin=o.quality_margin)
    return Wish(
        profile=profile,
        seconds=o.seconds or (3600.0 if profile == "soak" else 0.0 if report else 60.0),
        warm_up_s=o.warm_up if o.warm_up >= 0 else 30.0 if profile in ("report", "sessions") else 5.0,
        requests=int(o.requests) or (20_000 if report else 0),
        think_s=o.think or (10.0 if report else 1.0),
        rate=o.rate,
        arrivals=o.arrivals,
        trace=o.trace,
        pace=o.pace,
        top=o.top or 2 * o.rate,
        spike_start_s=o.spike_start,
        spike_s=o.spike_seconds,
        turn=o.turn,
        click=o.click,
        page_size=int(o.page_size),
        max_pages=int(o.max_pages),
        mix=Mix(o.misspelt if o.misspelt >= 0 else None, o.rare, o.empty, o.probes),
        pool=int(o.pool),
        seed=int(o.seed),
        timeout_s=o.timeout,
        deadline_ms=o.deadline_ms,
        graded=int(o.graded),
        good_ms=o.good_ms,
        limits=limits,
        judged=o.judged == "yes",
    )


def _check(o: Any) -> None:
    shares = {"turn": o.turn, "click": o.click, "rare": o.rare, "empty": o.empty, "probes": o.probes, "claim": o.claim}
    if wrong := next((n for n, share in shares.items() if not 0 <= share <= 1), None):
        raise ConfigurationError(f"--{wrong} {shares[wrong]}: a share from 0 to 1")
    if o.rare + o.empty + max(0.0, o.misspelt) > 1:
        raise ConfigurationError("--misspelt, --rare and --empty are shares of all queries: together at most 1")
    if wrong := next((x.flag for x in OPTIONS if isinstance(v := getattr(o, x.name), float) and not math.isfinite(v)), None):
        raise ConfigurationError(f"{wrong}: a number, and a finite one")
    if not 0 < o.claim < 1:
        raise ConfigurationError(f"--claim {o.claim}: a percentile above 0 and below 1, as in 0.99")
    if wrong := next((n for n in NOT_BELOW_0 if getattr(o, n) < 0), None):
        raise ConfigurationError(f"{_flag(wrong)} {getattr(o, wrong):g}: not below 0")
    if wrong := next((n for n in ABOVE_0 if getattr(o, n) <= 0), None):
        raise ConfigurationError(f"{_flag(wrong)} {getattr(o, wrong):g}: above 0")
    if o.warm_up < 0 and o.warm_up != -1:
        raise ConfigurationError(f"--warm-up {o.warm_up:g}: seconds, or -1 for what the profile has")
    if o.page_size > MAX_PAGE_SIZE:
        raise ConfigurationError(f"--page-size {o.page_size:g}: at most {MAX_PAGE_SIZE}, as the API has it")
    if o.load_profile in ("ramp", "spike") and o.top and o.top <= o.rate:
        raise ConfigurationError(f"--top {o.top:g}: above --rate ({o.rate:g})")
    if o.load_profile == "spike" and o.spike_start >= (o.seconds or 60.0):
        raise ConfigurationError(f"--spike-start {o.spike_start:g}: within the load's --seconds ({o.seconds or 60.0:g})")
    if o.arrivals == "trace" and not o.trace:
        raise ConfigurationError("--arrivals trace needs --trace FILE")
    if o.arrivals == "trace":
        read_trace(Path(o.trace))


def _flag(name: str) -> str:
    return next(option.flag for option in OPTIONS if option.name == name)


def too_few(w: Wish, users: int) -> str | None:
    """Why this load, even if every answer came at once, could not claim the percentile it is to be quoted for; None when it could."""
    if w.requests:
        most = float(w.requests)
    elif w.arrivals == "trace" and w.open:
        return None
    else:
        most = w.seconds * (max(w.rate, w.top if w.profile in ("ramp", "spike") else 0.0) if w.open else users / w.think_s)
    if most >= needed(w.limits.claim):
        return None
    return f"at most {most:,.0f} searches are too few for p{100 * w.limits.claim:g} (about {least_searches(w.limits.claim):,.0f}): it will be INVALID"


def refused(options: Any, given: Mapping[str, str]) -> str | None:
    """Why these options, with what somebody wrote into a form in their place, make no load; None when they do."""
    changed = Namespace(**vars(options))
    for option in (o for o in OPTIONS if given.get(o.name)):
        try:
            setattr(changed, option.name, type(option.default)(given[option.name]))
        except ValueError:
            return f"{option.flag} {given[option.name]!r}: a number"
        if option.choices and given[option.name] not in option.choices:
            return f"{option.flag} {given[option.name]!r}: one of {', '.join(option.choices)}"
    try:
        wish(changed)
    except ConfigurationError as error:
        return str(error)
    return None


def above(least: float) -> Callable[[str], float]:
    """The type of an argument that is a finite number above `least`."""

    def parse(text: str) -> float:
        number = float(text)
        if not least < number < float("inf"):
            raise ArgumentTypeError(f"{text}: a number above {least:g}")
        return number

    parse.__name__ = "number"  # argparse says "invalid number value" of what is none
    return parse


def filled_in(parser: ArgumentParser, *more: str) -> None:
    """What `aisle load` tells every load about the system that runs; `more`: OPTIONS as well."""
    group = parser.add_argument_group("filled in by `aisle load`")
    group.add_argument("--url", required=True, help="Address of the API")
    group.add_argument("--shop-root", required=True, type=Path, help="Folder of the shop")
    for option in (o for o in OPTIONS if o.name in more):
        group.add_argument(option.flag, default=option.default, help=option.help)


def watched(text: str) -> dict[str, int]:
    """`name=pid,name=pid`. Raises ConfigurationError for anything else."""
    try:
        return {name: int(pid) for name, _, pid in (part.partition("=") for part in text.split(",") if part)}
    except ValueError:
        raise ConfigurationError(f"--watch {text!r}: name=pid,name=pid") from None
