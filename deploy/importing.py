"""`aisle import`: a catalogue, changes to it, logs; each makes a new generation, or nothing."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from deploy import setup
from deploy.console import Terminal
from deploy.preflight import require_shop
from deploy.running import run_through
from deploy.shops import run
from services.errors import ConfigurationError
from services.shop import Shop, home, open_shop

path = click.Path(path_type=Path)


@click.command("import")
@click.option("--shop", help="Name of the shop: made when it does not exist, given a new generation when it does.")
@click.option(
    "--catalog", type=path, help="Feed: .jsonl .json .csv .tsv .parquet, or a Google Merchant feed (.xml, .tsv); each may be .gz."
)
@click.option("--mapping", type=path, help="Which of the feed's fields is what (TOML). Not needed for Google feeds and for updates.")
@click.option("--guess", is_flag=True, help="Only propose a mapping for --catalog, with reasons, on standard output.")
@click.option("--language", help="Language of the catalogue (ISO 639-1): decides stemming. Default: en, or what the shop has.")
@click.option("--strict", is_flag=True, help="Stop at the first row that cannot be imported (else it is left out, and said).")
@click.option("--upsert", is_flag=True, help="Change and add the feed's products, keep the others (else the feed is the whole catalogue).")
@click.option("--delete", type=path, help="File of product ids to remove, one a line.")
@click.option("--logs", multiple=True, type=path, help="UBI queries and events (.jsonl, .csv, .parquet, ...); may be given several times.")
def import_(
    shop: str | None, catalog: Path | None, mapping: Path | None, guess: bool, language: str | None, strict: bool, upsert: bool,
    delete: Path | None, logs: tuple[Path, ...],
) -> None:  # fmt: skip
    """Make a shop of your own catalogue, update it, give it logs. A running shop takes the new generation over while searches go on.

    \b
    Examples:
      aisle import --catalog products.csv --guess > mapping.toml
      aisle import --shop mine --catalog products.csv --mapping mapping.toml
      aisle import --shop mine --catalog changed.csv --upsert --delete gone.txt
      aisle import --shop mine --logs ubi_queries.jsonl --logs ubi_events.jsonl
    """
    for name, file in (("--catalog", catalog), ("--mapping", mapping), ("--delete", delete), *(("--logs", log) for log in logs)):
        if file is not None and not file.is_file():
            raise ConfigurationError(f"the file {file} does not exist ({name})")
    if guess:
        if catalog is None:
            raise ConfigurationError("--guess needs --catalog FILE")
        raise SystemExit(run_through([sys.executable, "-m", "datagen", "guess", str(catalog)]))
    if not shop:
        raise ConfigurationError("--shop NAME is needed: which shop is imported into")
    if upsert and catalog is None:
        raise ConfigurationError("--upsert needs --catalog FILE, the products to change or add")
    if not (catalog or delete or logs):
        raise ConfigurationError("nothing to import: give --catalog, --delete or --logs")
    target = open_shop(shop, home())
    _catalogue(target, catalog, mapping, language, strict, upsert, delete)
    if logs:
        _logs(require_shop(shop, home()), logs)
    Terminal().say(f"shop {shop!r} is ready; `aisle up --shop {shop}` serves it, a running one takes it over within seconds")


def _catalogue(
    target: Shop, catalog: Path | None, mapping: Path | None, language: str | None, strict: bool, upsert: bool, delete: Path | None
) -> None:
    if catalog is None and delete is None:
        return
    given = {"--catalog": catalog, "--mapping": mapping, "--delete": delete}
    argv = [str(target.root), *(part for name, file in given.items() if file for part in (name, str(file.resolve())))]
    argv += [*(["--language", language] if language else []), *(["--strict"] if strict else []), *(["--upsert"] if upsert else [])]
    what = f"catalogue {catalog.name} into" if catalog else f"{delete.name if delete else ''}: products out of"
    steps = [setup.module("import", f"{what} shop {target.name!r}", "datagen", "import", *argv), setup.build(target)]
    have = setup.look(target)
    if not have.release:
        steps.append(setup.train(target) if have.logs else setup.baseline(target))
    run(target, steps)


def _logs(target: Shop, logs: Sequence[Path]) -> None:
    """Pages get the features of the generation that is there, so it comes first; then the log makes another one, and a release."""
    files = [str(log.resolve()) for log in logs]
    if setup.history_is_loaded(target):
        raise ConfigurationError(
            f"shop {target.name!r} has a history already; logs are imported once. Newer behaviour comes in by POST /events, "
            "or import catalogue and all logs into a new shop"
        )
    run(
        target,
        [
            setup.module("logs", "logs: queries and events", "datagen", "logs", str(target.root), *files),
            setup.module("history", "history into the event log", "planner.ingest", str(target.root), str(target.root / "imported")),
            setup.build(target),
            setup.train(target),
        ],
    )
