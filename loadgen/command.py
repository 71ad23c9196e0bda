"""The commands about loads; `aisle load` passes its arguments on to them."""

import argparse
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from loadgen import calibrate, report, searching
from loadgen.compare import compare, words
from loadgen.options import OPTIONS, PROFILES, filled_in, too_few, wish
from loadgen.pinning import pin, unpin
from loadgen.run import find, load
from services.children import run_through
from services.errors import ConfigurationError

WIDTH = 220
MORE = (
    "Other options go to Locust: --processes N; --master --expect-workers N --master-bind-port P, and --worker --master-host H --master-port P for each "
    "worker (docs/load.md); --csv, ..."
)
WORKERS_WAIT_S = 600
"""How long a lead waits for its workers to come."""
LOCUST = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("locustfile.py"))]


def main(argv: Sequence[str]) -> int:
    commands: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
        "run": (run, "one load, headless; VALID: exit code 0, INVALID: 1"),
        "peak": (searching.peak, "the highest rate that stays VALID within an objective"),
        "beyond": (searching.beyond, "what happens at twice the peak, and after"),
        "show": (show, "the report of a load, again"),
        "compare": (compare_command, "whether two loads differ, in words"),
        "calibrate": (calibrate.command, "the generator alone, against a server that does nothing"),
    }
    parser = argparse.ArgumentParser(prog="python -m loadgen", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.description = "Loads that can be trusted.\n\n" + "\n".join(f"  {n:<10} {h}" for n, (_, h) in commands.items())
    parser.add_argument("command", choices=commands)
    if not argv or argv[0] not in commands:
        parser.parse_args(argv or ["--help"])
    try:
        return commands[argv[0]][0](argv[1:])
    except KeyboardInterrupt:
        print("load: interrupted", file=sys.stderr)
        return 2
    except ConfigurationError as error:
        print(f"load: {error}", file=sys.stderr)
        return 2


def run(argv: Sequence[str]) -> int:
    """Becomes Locust, whose exit code is that of the load (waits for it when it has to unpin what it pinned)."""
    about = "One load. Profiles: " + "; ".join(f"{n}: {h}" for n, h in PROFILES.items())
    parser = argparse.ArgumentParser(
        prog="aisle load run",
        usage="aisle load run [options]",
        description=about,
        epilog=MORE,
    )
    told = ("watch", "pinned", "results", "calibration")
    filled_in(parser, *told)
    parser.add_argument("--users", type=int, help="Closed loops: shoppers at once (default 20; report 1,000)")
    parser.add_argument("--pin", action="store_true", help="System and generator on cores of their own")
    for option in (o for o in OPTIONS if o.name not in told):
        more = {"choices": option.choices} if option.choices else {"type": type(option.default)}
        text = f"{option.help} (default: {option.default})".replace("%", "%%")
        flags = [option.flag, "--profile"] if option.name == "load_profile" else [option.flag]  # Locust has a --profile of its own
        parser.add_argument(*flags, dest=option.name, default=option.default, help=text, **more)
    known, more_argv = parser.parse_known_args(argv)
    if known.users is not None and known.users < 1:
        raise ConfigurationError(f"--users {known.users}: at least 1")
    closed = known.load_profile in ("report", "closed")
    if unused := next((flag for flag in ("--rate", "--top") if closed and any(a.partition("=")[0] == flag for a in argv)), None):
        raise ConfigurationError(f"{unused} has no meaning for profile {known.load_profile}: users set the pace; --profile open has a rate")
    if "--worker" in more_argv:
        print("worker: waits for its lead (Locust gives up after five minutes)", flush=True)
        argv = [*LOCUST, "--shop-root", str(known.shop_root), "--loglevel", "WARNING", *more_argv]
        os.execv(argv[0], argv)
    asked_for = wish(known)  # what makes no load is said before anything is measured
    if why := too_few(asked_for, _users(known)):
        print(f"load: {why}; more --seconds, or a lower --claim", file=sys.stderr)
    calibrate.once_a_day(known.calibration, known.shop_root)
    if not known.pin:
        locust = command_line(known, more_argv)
        os.execv(locust[0], locust)
    known.pinned = pin(known.watch)
    try:
        return run_through(command_line(known, more_argv), end=signal.SIGTERM)
    finally:
        unpin(known.watch)


def command_line(known: argparse.Namespace, more: Sequence[str]) -> list[str]:
    """Locust's command line for a load."""
    closed = known.load_profile in ("report", "closed")
    users = _users(known) if closed else _processes(more)
    argv = [*LOCUST, "--headless", "--only-summary", "--host", known.url]
    argv += ["--shop-root", str(known.shop_root), "--users", str(users), "--spawn-rate", str(max(1, min(100, users // 2)))]
    argv += ["--stop-timeout", "5s", "--loglevel", "WARNING"]
    for option in OPTIONS:
        if (value := getattr(known, option.name)) != option.default:
            argv += [option.flag, str(value)]
    if "--master" in more and "--expect-workers-max-wait" not in more:
        argv += ["--expect-workers-max-wait", str(WORKERS_WAIT_S)]
    if "--processes" in more and "--master-bind-port" not in more:
        port = str(_free_port())  # two loads on one machine must not meet on Locust's own 5557
        argv += ["--master-bind-port", port, "--master-port", port]
    return [*argv, *more]


def _users(known: argparse.Namespace) -> int:
    """Shoppers of a closed loop."""
    return int(known.users or (1000 if known.load_profile == "report" else 20))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _processes(more: Sequence[str]) -> int:
    """Open loops need one idle Locust user per process, so that each of them is told to begin."""
    after = next((more[n + 1] for n, word in enumerate(more[:-1]) if word in ("--processes", "--expect-workers")), "1")
    return (os.cpu_count() or 1) if after == "-1" else max(1, int(after)) if after.isdecimal() else 1


def show(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="aisle load show", description="Print the report of a load again.")
    parser.add_argument("run", nargs="?", default="last", help="A file, the beginning of a name, last, last~1, ... (default: last)")
    parser.add_argument("--results", type=Path, default=Path("."))
    known = parser.parse_args(argv)
    found = load(find(known.results, known.run))
    report.show(found, console())
    return 0 if found.ok else 1


def compare_command(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="aisle load compare", description="Whether two loads differ, in words, with intervals.")
    parser.add_argument("a", nargs="?", default="last~1", help="As for `aisle load show` (default: last~1)")
    parser.add_argument("b", nargs="?", default="last", help="The other one (default: last)")
    parser.add_argument("--results", type=Path, default=Path("."))
    parser.add_argument("--json", action="store_true")
    known = parser.parse_args(argv)
    files = [find(known.results, name) for name in (known.a, known.b)]
    if files[0] == files[1]:
        raise ConfigurationError(f"{known.a} and {known.b} are the same run: name two, as in `aisle load compare last~1 last`")
    a, b = (load(file) for file in files)
    differences = compare(a.blocks, b.blocks)
    if known.json:
        print(msgspec.json.encode(differences).decode())
    else:
        console().print(words(a, b, differences))
    return 0


def console() -> Console:
    return Console(highlight=False, soft_wrap=True, width=max(WIDTH, Console().width))
