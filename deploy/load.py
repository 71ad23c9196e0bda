"""`aisle load`: finds what runs and passes the rest on to `python -m loadgen`."""

import sys
from collections.abc import Sequence

import click

from deploy.layout import CALIBRATION
from deploy.running import run_through, running_planner
from deploy.state import StateFile
from services.errors import ConfigurationError
from services.shop import home, open_shop

AGAINST_RUNNING = ("run", "peak", "beyond", "calibrate")
ABOUT_RUNS = ("show", "compare")


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND] [OPTIONS]...")
@click.pass_context
def load(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Put the running system under load, check every answer, and say VALID or INVALID: which rule was broken, and what to do.

    Alone: 20 shoppers for 60 s after a warm-up (aisle load run). Exit code 0: VALID; 1: INVALID; 2: it could not be done. Runs are kept
    as JSON in <home>/run/loads, with the answers graded (ids only) beside them. `aisle load COMMAND --help` has all settings.

    \b
    Commands:
      run        one load: --profile report | closed | open | sessions | ramp | spike | soak, --rate, --users, --think, --processes, ...
      peak       the highest rate that stays VALID within an objective (--slo p99=100ms)
      beyond     twice the peak for 60 s: does goodput stay, does it recover
      show       the report of a run again (last, last~1, or the beginning of its name)
      compare    whether two runs differ, in words, with intervals
      calibrate  the generator alone against a server that does nothing (done by itself once a day)

    \b
    Examples:
      aisle load
      aisle load --users 100 --seconds 30 --think 0.5
      aisle load run --profile open --rate 100 --seconds 60 --pin
      aisle load peak --slo p99=100ms --profile open
      aisle load compare last~1 last
    """
    if arguments in (("--help",), ("-h",)):
        click.echo(context.get_help())
        return
    command, rest = split(arguments)
    results = StateFile(home()).folder / "loads"
    argv = [sys.executable, "-m", "loadgen", command]
    if command in ABOUT_RUNS:
        raise SystemExit(run_through([*argv, *rest, "--results", str(results)]))
    if "--help" not in rest and "-h" not in rest:
        try:
            argv += _running(str(results))
        except ConfigurationError as error:
            click.echo(f"load: {error}", err=True)  # 1 would mean a load that is INVALID
            raise SystemExit(2) from None
    else:
        argv += ["--url", "", "--shop-root", "."]
    raise SystemExit(run_through([*argv, *rest]))


def split(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command (run, when none is named) and its options."""
    if arguments and arguments[0] in (*AGAINST_RUNNING, *ABOUT_RUNS):
        return arguments[0], list(arguments[1:])
    if arguments and not arguments[0].startswith("-"):
        raise click.UsageError(f"{arguments[0]!r} is no command of aisle load: {', '.join((*AGAINST_RUNNING, *ABOUT_RUNS))}")
    return "run", list(arguments)


def _running(results: str) -> list[str]:
    """What every load against the running system is told. Raises ConfigurationError when nothing runs."""
    run, url = running_planner(StateFile(home()))
    pids = ",".join(f"{s.name}={s.process.pid}" for s in run.services if s.process and s.name != "locust")
    shop_root = str(open_shop(run.shop, home()).root)
    return ["--url", url, "--shop-root", shop_root, "--results", results, "--watch", pids, "--calibration", f"{results}/{CALIBRATION}"]
