"""`python -m datagen world SHOP_ROOT` and `python -m datagen import SHOP_ROOT`."""

import sys
import time
from pathlib import Path

import click

from datagen import history, honesty, import_cli, make, plots, report, sample, settings, shards
from datagen.world import open_world
from services.errors import ConfigurationError
from services.shop import Shop


def _say(line: str) -> None:
    print(line, flush=True)


@click.group()
def main() -> None:
    """Catalogues for shops: a generated world, or an import."""


@main.command("world")
@click.argument("shop_root", type=click.Path(path_type=Path))
@click.option("--settings", "file", type=click.Path(path_type=Path), help="TOML with any of the knobs of docs/world.md")
@click.option("--seed", type=int)
@click.option("--products", type=int)
@click.option("--users", type=int)
@click.option("--days", type=int)
@click.option("--pages", type=int)
def world(shop_root: Path, file: Path | None, **knobs: int | None) -> None:
    """Make a generated world (nothing happens when it is there already)."""
    chosen, started = settings.load(file, **knobs), time.monotonic()
    made = make.world(Shop(shop_root), chosen, say=_say)
    _say(f"world {chosen.hash()} {f'made in {time.monotonic() - started:.1f} s' if made else 'is there already'}: {shop_root}")


@main.command("shard")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--settings", "file", type=click.Path(path_type=Path), help="TOML with any of the knobs of docs/world.md")
@click.option("--seed", type=int)
@click.option("--products", type=int)
@click.option("--number", type=click.IntRange(0), default=0, show_default=True, help="which shard, from 0 (JOB_COMPLETION_INDEX, say)")
@click.option("--of", type=click.IntRange(1), default=1, show_default=True, help="how many shards there are")
def shard(folder: Path, file: Path | None, number: int, of: int, **knobs: int | None) -> None:
    """Make one shard of a world's products, in memory that does not grow with it; what is there already stays."""
    if number >= of:
        raise click.BadParameter(f"--number {number} is not among 0 to {of - 1}")
    chosen = settings.load(file, **knobs)
    made = shards.write(folder, chosen, number, of, say=_say)
    _say(f"shard {number} of {of} {'made' if made else 'is there already'}: {shards.paths(folder, number)[0]}")


@main.command("report")
@click.argument("shop_root", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Also draw a page of plots: a .png, .svg or .pdf file (needs matplotlib)")
def report_(shop_root: Path, out: Path | None) -> None:
    """Say what the history of a world looks like, and what there is to learn in it."""
    if out is not None:
        plots.check(out)
    seen = report.look(shop_root)
    for line in report.lines(seen):
        _say(line)
    if out is not None:
        plots.draw(seen, out)
        _say(f"drawn: {out}")


@main.command("sample")
@click.argument("shop_root", type=click.Path(path_type=Path))
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--count", type=click.IntRange(1, 200), default=20, show_default=True)
def sample_(shop_root: Path, seed: int, count: int) -> None:
    """Random products, users, queries and sessions of a world, as Markdown."""
    for line in sample.lines(shop_root, seed, count):
        _say(line)


@main.command("honesty")
@click.argument("shop_root", type=click.Path(path_type=Path))
def honesty_(shop_root: Path) -> None:
    """Look for what a history must not have: truth in the log, the future in the past. Exit code 1 when something is found."""
    findings = honesty.check(Shop(shop_root).world / history.HISTORY, open_world(shop_root))
    for finding in findings:
        _say(finding)
    if findings:
        raise click.ClickException("the history is not honest")
    _say("nothing found: the history has what a shop would have")


for command in (import_cli.import_, import_cli.guess, import_cli.logs):
    main.add_command(command)


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except ConfigurationError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error}; nothing was replaced, run the command again when that is mended")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
