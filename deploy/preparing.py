"""`aisle prepare`: what `aisle up` makes before it starts processes, alone; the one-shot job of compose and Kubernetes."""

import os

import click

from deploy import layout, setup
from deploy.console import Terminal
from deploy.preflight import check_disk, require_shop
from deploy.state import StateFile
from services.artifacts import Versions
from services.shop import home, open_shop


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--shop", default=setup.DEMO, envvar="AISLE_SHOP", show_default=True, help="Which shop; `demo` is made when it does not exist."
)
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[WORLD OPTIONS]...")
def prepare(shop: str, more: tuple[str, ...]) -> None:
    """Make what a shop lacks to be served (world, log, generation, release) and end; what is there already is kept.

    Interrupted, it goes on with the step where it was. World options are those of `aisle data`, and count only for a world that is not
    there yet.

    \b
    Example:
      aisle prepare --products 2000 --users 300
    """
    terminal = Terminal()
    check_disk(home())
    target = open_shop(shop, home()) if shop == setup.DEMO else require_shop(shop, home())
    steps = [setup.world(target, more) if step.name == "world" else step for step in setup.steps_to_serve(target, setup.look(target))]
    setup.run_steps(steps, layout.child_environment(home(), os.environ), StateFile(home()).logs, terminal)
    terminal.say(
        f"shop {shop!r} is ready to be served: generation {Versions(target.generations).current()}, "
        f"release {Versions(target.releases).current()}"
    )
