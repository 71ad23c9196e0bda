"""Commands about what a shop is made of: data, build, train, models, rollback, forget."""

import datetime
import os
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import click
import httpx
import msgspec

from deploy import layout, real_engines, setup
from deploy.console import Terminal, columns
from deploy.preflight import check_disk, require_shop
from deploy.running import run_through, running_planner
from deploy.state import StateFile
from services.artifacts import Manifest, Versions
from services.errors import ConfigurationError
from services.shop import Shop, home, open_shop, operator_token

shop_option = click.option("--shop", default=setup.DEMO, envvar="AISLE_SHOP", show_default=True, help="Which shop.")

LOOKS = ("report", "sample", "honesty")
"""Commands of datagen that look at a world."""


def run(shop: Shop, steps: Sequence[setup.Step]) -> None:
    """With the engines of the shop, when it runs on servers."""
    check_disk(home())
    environment = layout.child_environment(home(), os.environ) | real_engines.of_running(StateFile(home()), shop)
    setup.run_steps(steps, environment, StateFile(home()).logs, Terminal())


@click.command(context_settings={"ignore_unknown_options": True})
@shop_option
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[WORLD OPTIONS]...")
def data(shop: str, more: tuple[str, ...]) -> None:
    """Make a demo world: products, users and their history (what `aisle up` does first).

    World options are those of `python -m datagen world --help`: --products, --users, --days, --seed, ... Three words look at a world
    that is there: `report` (numbers, with --out a page of plots), `sample` (random products, users, queries, sessions), `honesty`.

    \b
    Examples:
      aisle data
      aisle data --shop small --products 2000 --users 300
      aisle data report --out world.png
      aisle data sample --seed 7
    """
    if more and more[0] in LOOKS:
        root = require_shop(shop, home()).root
        raise SystemExit(run_through([sys.executable, "-m", "datagen", more[0], str(root), *more[1:]]))
    target = open_shop(shop, home())
    if setup.look(target).world:
        raise ConfigurationError(
            f"shop {shop!r} has its world already; remove {target.root} to make another, or choose another --shop name"
        )
    run(target, [setup.world(target, more)])
    Terminal().say(f"made; `aisle up --shop {shop}` builds, trains and serves it")


@click.command()
@shop_option
def build(shop: str) -> None:
    """Build a new generation: popularity and tiers from the log, then each service's part of it. A running shop takes it over by itself.

    \b
    Example:
      aisle build --shop electronics
    """
    target = require_shop(shop, home())
    run(target, [setup.build(target)])
    Terminal().say(f"generation {Versions(target.generations).current()} is current")


@click.command()
@shop_option
def train(shop: str) -> None:
    """Train a new release from the event log; it becomes current when it passes its gate. A running shop takes it over by itself.

    \b
    Example:
      aisle train && aisle models
    """
    target = require_shop(shop, home())
    run(target, [setup.train(target)])
    Terminal().say(f"release {Versions(target.releases).current()} is current")


@click.command()
@shop_option
def models(shop: str) -> None:
    """The releases of a shop: version, when, strategy, metrics, and which one is current.

    \b
    Example:
      aisle models --shop electronics
    """
    target = require_shop(shop, home())
    releases = Versions(target.releases)
    if not releases.complete():
        raise ConfigurationError(
            f"shop {shop!r} has no release yet: `aisle train` makes one from its logs, `aisle up` makes what is missing"
        )
    table = columns(f"releases of shop {shop!r}", "version", "made (UTC)", "strategy", "metrics", "")
    for version in releases.complete():
        manifest = releases.manifest(version)
        table.add_row(
            str(version),
            _when(manifest.created_ms),
            _fact(manifest, "strategy"),
            _metrics(manifest),
            "current" if version == releases.current() else "",
        )
    Terminal().table(table)


def _when(ms: int) -> str:
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M")


def _fact(manifest: Manifest, name: str) -> str:
    return str(msgspec.json.decode(manifest.facts[name])) if name in manifest.facts else "?"


def _metrics(manifest: Manifest) -> str:
    """One metric a line."""
    metrics = msgspec.json.decode(manifest.facts["metrics"]) if "metrics" in manifest.facts else {}
    return "\n".join(metric(name, value) for name, value in metrics.items()) or "-"


def metric(name: str, value: Any) -> str:
    """`click AUC vs popularity: 0.634 against 0.608, difference +0.026 [+0.016, +0.035]`, or whatever else a release says of itself."""
    if isinstance(value, dict) and {"network", "baseline", "low", "high"} <= value.keys():
        ours, other = value["network"], value["baseline"]
        return f"{name}: {ours:.3f} against {other:.3f}, difference {ours - other:+.3f} [{value['low']:+.3f}, {value['high']:+.3f}]"
    return f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"


@click.command()
@shop_option
@click.option("--to", "version", type=int, default=None, help="Which release; the one before the current one when not said.")
def rollback(shop: str, version: int | None) -> None:
    """Make an earlier release the current one. A running shop takes it over by itself, without a restart.

    \b
    Examples:
      aisle rollback
      aisle rollback --to 3
    """
    target = require_shop(shop, home())
    releases = Versions(target.releases)
    before = releases.current()
    chosen = previous(releases.complete(), before) if version is None else version
    if chosen not in releases.complete():
        raise ConfigurationError(f"shop {shop!r} has no release {chosen}; there are: {', '.join(map(str, releases.complete())) or 'none'}")
    releases.activate(chosen)
    Terminal().say(f"release {chosen} is current (it was {before}); services take it over within seconds")


def previous(complete: list[int], current: int | None) -> int:
    earlier = [v for v in complete if current is not None and v < current]
    if not earlier:
        raise ConfigurationError(f"there is no release before {current}; `aisle models` lists them, --to chooses one")
    return earlier[-1]


@click.command()
@click.argument("user")
def forget(user: str) -> None:
    """Remove a user from the running shop: from its event log, its user graph, and from the next training.

    USER is the id that the shop sends as `user_id`.

    \b
    Example:
      aisle forget u-1234
    """
    run, url = running_planner(StateFile(home()))
    headers = {"authorization": f"Bearer {operator_token(home())}", "x-deadline-ms": "30000"}
    try:
        answer = httpx.delete(f"{url}/users/{quote(user, safe='')}", headers=headers, timeout=60.0)
    except httpx.HTTPError as error:
        raise ConfigurationError(
            f"the planner at {url} does not answer ({type(error).__name__}): `aisle status` shows what is wrong"
        ) from None
    if answer.status_code >= 400:
        raise ConfigurationError(f"the planner refused: {answer.status_code} {answer.text[:500]}")
    Terminal().say(f"forgotten in shop {run.shop!r}: {answer.text}")
