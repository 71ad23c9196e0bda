"""`aisle`: the one command. What runs is in `running.py`, what a shop is made of in `shops.py`."""

import sys
from typing import Any

import click

from deploy import importing, judging, load, preparing, running, shops, top
from services.errors import ConfigurationError

HELP = """AIsle: an e-commerce search that can be run, loaded and retrained.

\b
  aisle up                 make what is missing, start everything, print the addresses
  aisle status             what runs, where, since when, with how much memory
  aisle top                what it does now: rate, latency by service and stage, degradations
  aisle load               60 seconds of shoppers: valid or not, and where the milliseconds went
  aisle down               stop everything

Everything is kept under AISLE_HOME (default: .aisle in the working directory)."""


class Cli(click.Group):
    """Errors that somebody can act on are one line and exit code 1, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            raise click.ClickException(_operating_system(error)) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order in which they are needed, not by alphabet


def _operating_system(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}; free disk space, fix permissions, or set AISLE_HOME to another folder"


@click.group(cls=Cli, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="aisle", message="%(version)s")
def main() -> None:
    pass


for command in (running.up, running.down, running.status, running.logs, load.load, top.top):
    main.add_command(command)
for command in (preparing.prepare, shops.data, importing.import_, shops.build, shops.train, shops.models, shops.rollback, shops.forget):
    main.add_command(command)
for command in (judging.evaluate, judging.explain):
    main.add_command(command)

if __name__ == "__main__":
    sys.exit(main(prog_name="aisle"))
