"""`aisle load peak` and `aisle load beyond`: many loads, one conclusion."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from loadgen import calibrate
from loadgen.options import above, filled_in
from loadgen.peak import (
    CLOSE,
    GOOD_AGAIN,
    Beyond,
    Bracket,
    Objective,
    Peak,
    busiest,
    conclude,
    holds,
    latency_ms,
    objective,
    saturates,
    search,
)
from loadgen.peak import beyond as judge_beyond
from loadgen.pinning import pin, unpin
from loadgen.rules import ANSWERED, AS_GOOD, DEGRADED, ENOUGH, IN_TIME, least_searches
from loadgen.run import Run, load
from loadgen.timeline import Second
from services.errors import ConfigurationError
from services.shop import write_atomically

FLAT, RECOVERY_S = 0.9, 5.0
EXPECTED = (ANSWERED, DEGRADED, AS_GOOD, ENOUGH)
"""Rules that beyond the peak are broken on purpose."""


class Loads:
    """Loads one after the other with the same settings but the rate."""

    def __init__(self, known: argparse.Namespace, more: Sequence[str], console: Console) -> None:
        self._known, self._more, self._console = known, list(more), console
        self.runs: list[Run] = []
        self.late: list[float] = []
        """Rates that were refused for the generator alone."""

    def run(self, rate: float, *more: str) -> Run:
        k = self._known
        folder = k.results / "searches" / f"{len(self.runs):03d}-{rate:.1f}"
        argv = [sys.executable, "-m", "loadgen", "run", "--url", k.url, "--shop-root", str(k.shop_root), "--results", str(folder)]
        argv += [
            "--watch",
            k.watch,
            "--calibration",
            k.calibration,
            "--rate",
            f"{rate:.3f}",
            "--pinned",
            k.pinned,
            "--seed",
            str(k.seed + len(self.runs)),
            *self._more,
            *more,
        ]
        done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
        files = sorted(folder.glob("*[0-9].json"), key=lambda p: p.stat().st_mtime)
        if not files:
            raise ConfigurationError(f"a load ended without a run (exit code {done.returncode}): {done.stdout[-500:]}")
        self.runs.append(load(files[-1]))
        return self.runs[-1]

    def held(self, rate: float, slo: Objective) -> bool:
        """Only a rate that fails twice is too high: one bad half minute of a shared machine is not the system's."""
        return self._held(rate, slo) or self._held(rate, slo)

    def _held(self, rate: float, slo: Objective) -> bool:
        seconds = max(self._known.seconds, least_searches(slo.share) / rate)  # fewer could not claim the percentile
        options = ("--profile", self._known.profile, "--seconds", f"{seconds:.1f}", "--warm-up", str(self._known.warm_up))
        run = self.run(rate, *options, "--claim", str(slo.share))
        good = holds(run, slo)
        broken = [f.rule for f in run.findings if f.state == "broken"]
        if broken == [IN_TIME]:
            self.late.append(rate)
        why = "holds" if good else "; ".join(broken) or f"p{100 * slo.share:g} above {slo.limit_ms:g} ms"
        self._console.print(
            f"  {rate:8,.1f}/s  p{100 * slo.share:g} {latency_ms(run, slo.share):8,.1f} ms  lag p99 {run.generator.lag.p99_ms:6.2f} ms  "
            f"load average {run.machine.load_average[1]:.1f}  {why}",
            markup=False,
        )
        return good


def _parser(name: str, about: str) -> argparse.ArgumentParser:
    epilog = "Other options go to each load: `aisle load run --help`."
    parser = argparse.ArgumentParser(prog=f"aisle load {name}", usage=f"aisle load {name} [options]", description=about, epilog=epilog)
    filled_in(parser, "results", "watch", "calibration")
    parser.add_argument("--warm-up", type=above(0), help="Seconds before each (default: 3; of sessions, some of which are under way, 30)")
    parser.add_argument("--seed", type=int, default=1, help="Seed of the first load; each later one has the next (default: 1)")
    parser.add_argument("--pin", action=argparse.BooleanOptionalAction, default=True, help="System and generator on cores of their own")
    return parser


def _refuse(more: Sequence[str], own: Sequence[str], command: str) -> None:
    """Settings of a load that this command decides, and those of several processes that have to be started by hand."""
    given = {word.partition("=")[0] for word in more}
    if wrong := next((flag for flag in own if flag in given), None):
        raise ConfigurationError(f"{wrong} is what `aisle load {command}` decides itself")
    if wrong := next((flag for flag in ("--master", "--worker") if flag in given), None):
        raise ConfigurationError(f"{wrong} is for one load; `aisle load {command}` can have --processes N")


def _parsed(parser: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    known, more = parser.parse_known_args(argv)
    known.results = Path(known.results)
    if known.warm_up is None:
        known.warm_up = 30.0 if getattr(known, "profile", "open") == "sessions" else 3.0
    return known, more


def peak(argv: Sequence[str]) -> int:
    parser = _parser(
        "peak", "The highest rate that stays VALID within an objective: widen, bisect, three times. A rate is too high when it fails twice."
    )
    about = "Requests at a rate, or in sessions of Taobao's shape (default: open)"
    parser.add_argument("--profile", default="open", choices=("open", "sessions"), help=about)
    parser.add_argument("--seconds", type=above(0), default=30.0, help="Measured seconds of each load (default: 30)")
    parser.add_argument("--slo", default="p99=100ms", help="p50, p90 or p99 of the latency of all searches, at most (default: p99=100ms)")
    parser.add_argument("--start", type=above(0), default=50.0, help="First rate (default: 50)")
    about = "Searches from the beginning; the median is the peak, their range its interval (default: 3)"
    parser.add_argument("--repetitions", type=int, default=3, help=about)
    parser.add_argument("--close", type=above(1), default=CLOSE, help=f"Stop when the ends are within this factor (default: {CLOSE})")
    known, more = _parsed(parser, argv)
    _refuse(more, ("--rate", "--top", "--load-profile", "--claim"), "peak")
    if known.repetitions < 1:
        raise ConfigurationError(f"--repetitions {known.repetitions}: at least 1")
    slo, console = objective(known.slo), Console(highlight=False, soft_wrap=True, width=220)
    calibrate.once_a_day(known.calibration, known.shop_root)
    known.pinned = pin(known.watch) if known.pin else "not pinned"
    console.print(f"peak of {known.slo}, profile {known.profile}, {known.seconds:g} s a load; {known.pinned}")
    loads = Loads(known, more, console)
    brackets: list[Bracket] = []
    interrupted = False
    try:
        for number in range(known.repetitions):
            console.print(f"repetition {number + 1} of {known.repetitions}")
            start = known.start if not brackets else brackets[-1].low or known.start
            brackets.append(Bracket(start, close=known.close))
            search(brackets[-1], lambda rate: loads.held(rate, slo))
    except KeyboardInterrupt:
        interrupted = True
        console.print("interrupted: what was found so far")
        brackets = [bracket for bracket in brackets if bracket.low]
    finally:
        unpin(known.watch)
    found = conclude(brackets)
    if not found or not found.rate:
        console.print("no rate holds: see the reasons above")
        return 1
    _say_peak(found, loads.runs, slo, console)
    if loads.late:
        console.print(
            f"the generator itself was late at {', '.join(f'{rate:,.1f}' for rate in loads.late)}/s, which counts as too high: the system's own peak "
            "may be higher (give the generator more processes or a core of its own)"
        )
    if interrupted:
        console.print("not kept for `aisle load beyond`: say --peak RATE there")
        return 2
    write_atomically(known.results / "peak.json", msgspec.json.encode({"peak": found, "slo": known.slo, "profile": known.profile}))
    return 0


def _say_peak(found: Peak, runs: Sequence[Run], slo: Objective, console: Console) -> None:
    table = Table(title="latency over rate (ms)", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("rate", "answered/s", "p50", "p90", "p99", "queue mean", "busiest process", "generator lag p99", "verdict"):
        table.add_column(heading, justify="right")
    for run in sorted(runs, key=lambda r: r.wish.rate):
        t = run.total.latency
        queue = next((r.times.mean_ms for r in run.where if r.part == "queue"), 0.0)
        name, cores, _ = next(iter(busiest(run)), ("", 0.0, 0.0))
        numbers = [f"{ms:,.1f}" for ms in (t.p50_ms, t.p90_ms, t.p99_ms, queue)]
        lag = f"{run.generator.lag.p99_ms:.2f}"
        table.add_row(f"{run.wish.rate:,.1f}", f"{run.total.per_second:,.1f}", *numbers, f"{name} {cores:.2f}", lag, run.verdict)
    console.print(table)
    low, high = min(runs, key=lambda r: r.wish.rate), max(runs, key=lambda r: r.wish.rate)
    for part, before, after, factor in saturates(low, high)[:5]:
        console.print(f"{part}: {before:.2f} ms at {low.wish.rate:,.0f}/s, {after:.2f} ms at {high.wish.rate:,.0f}/s ({factor:.1f} times)")
    for name, cores, mb in busiest(high):
        console.print(f"process {name}: {cores:.2f} cores, {mb:,.0f} MB at {high.wish.rate:,.0f}/s")
    repetitions = ", ".join(f"{rate:,.1f}" for rate in found.repetitions)
    console.print(
        f"peak: {found.rate:,.1f} searches a second with p{100 * slo.share:g} within {slo.limit_ms:g} ms "
        f"({_between(found)}; repetitions {repetitions})"
    )


def _between(found: Peak) -> str:
    return (
        f"at least {found.low:,.1f}: nothing higher had failed" if found.high is None else f"between {found.low:,.1f} and {found.high:,.1f}"
    )


def beyond(argv: Sequence[str]) -> int:
    parser = _parser("beyond", "Twice the peak for a minute: goodput has to stay within 90 % of the peak's, and come back within 5 s.")
    parser.add_argument("--peak", type=float, default=0.0, help="Searches a second; 0: what `aisle load peak` found last")
    parser.add_argument("--spike-seconds", type=above(0), default=60.0, help="How long twice the peak is offered (default: 60)")
    parser.add_argument(
        "--peak-seconds", type=above(0), default=20.0, help="Length of the load at the peak that is compared with (default: 20)"
    )
    parser.add_argument("--around", type=above(0), default=15.0, help="Seconds at half the peak before and after (default: 15)")
    known, more = _parsed(parser, argv)
    _refuse(more, ("--rate", "--top", "--spike-start", "--profile", "--seconds"), "beyond")
    if not 0 <= known.peak < float("inf"):
        raise ConfigurationError(f"--peak {known.peak:g}: searches a second, or 0 for what `aisle load peak` found last")
    rate = known.peak or _last_peak(known.results)
    console = Console(highlight=False, soft_wrap=True, width=220)
    calibrate.once_a_day(known.calibration, known.shop_root)
    known.pinned = pin(known.watch) if known.pin else "not pinned"
    loads = Loads(known, more, console)
    try:
        at_peak = loads.run(rate, "--profile", "open", "--seconds", str(known.peak_seconds), "--warm-up", str(known.warm_up))
        spike = [
            "--profile",
            "spike",
            "--top",
            f"{2 * rate:.3f}",
            "--spike-start",
            str(known.around),
            "--spike-seconds",
            str(known.spike_seconds),
        ]
        run = loads.run(rate / 2, *spike, "--seconds", str(2 * known.around + known.spike_seconds), "--warm-up", str(known.warm_up))
    finally:
        unpin(known.watch)
    measured = [s for s in at_peak.seconds_seen if s.at_s >= known.warm_up]
    good = sum(s.good for s in measured) / max(1, len(measured))
    found = judge_beyond(run.seconds_seen, known.warm_up + known.around, known.spike_seconds, good)
    if wrong := [
        f"{f.rule}: {f.value}" for load in (at_peak, run) for f in load.findings if f.state == "broken" and f.rule not in EXPECTED
    ]:
        console.print(_memory(run.seconds_seen, run))
        console.print(f"INVALID, it proves nothing: {'; '.join(wrong)}", markup=False)
        return 1
    if found.goodput >= GOOD_AGAIN * found.offered:
        console.print(_memory(run.seconds_seen, run))
        console.print(
            f"INVALID, it proves nothing: {found.offered:,.0f}/s were answered well, so {rate:,.1f}/s is not the peak: run `aisle load peak`"
        )
        return 1
    return _say_beyond(found, run, console)


def _say_beyond(found: Beyond, run: Run, console: Console) -> int:
    flat = found.goodput >= FLAT * found.peak_goodput
    back = found.recovered_s is not None and found.recovered_s <= RECOVERY_S
    console.print(_memory(run.seconds_seen, run))
    console.print(
        f"{'[green]kept[/]' if flat else '[red]broken[/]'}: goodput at {found.offered:,.0f}/s is {found.goodput:,.1f}/s, "
        f"{found.goodput / max(1e-9, found.peak_goodput):.0%} of the peak's {found.peak_goodput:,.1f} (at least 90 %); "
        f"{found.refused:,.0f}/s refused early, {found.failed:,.1f}/s failed; load average {run.machine.load_average[1]:.1f}"
    )
    when = "not before the load ended" if found.recovered_s is None else f"after {found.recovered_s:.0f} s"
    console.print(f"{'[green]kept[/]' if back else '[red]broken[/]'}: good again {when} (within {RECOVERY_S:g} s)")
    return 0 if flat and back else 1


def _memory(seconds: Sequence[Second], run: Run) -> Table:
    table = Table(title="beyond the peak", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    names = list(dict.fromkeys(s.process for s in run.resources))
    for heading in ("second", "meant", "good", "refused", "failed", "p50", "p99 ms", *(f"{n} MB" for n in names)):
        table.add_column(heading, justify="right")
    memory = {(int(s.at_s), s.process): s.rss_mb for s in run.resources}
    for s in seconds[:: max(1, len(seconds) // 45)]:
        sizes = [f"{memory.get((s.at_s, n), 0):,.0f}" for n in names]
        table.add_row(*(f"{n:,}" for n in (s.at_s, s.meant, s.good, s.refused, s.failed)), f"{s.p50_ms:,.0f}", f"{s.p99_ms:,.0f}", *sizes)
    return table


def _last_peak(results: Path) -> float:
    try:
        return float(msgspec.json.decode((results / "peak.json").read_bytes())["peak"]["rate"])
    except FileNotFoundError:
        raise ConfigurationError("no peak is known: run `aisle load peak` first, or say --peak RATE") from None
