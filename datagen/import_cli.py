"""`python -m datagen import | guess | logs`: what `aisle import` runs."""

from pathlib import Path

import click

from datagen import import_guess, import_logs, importer
from datagen.importer import Change
from services.shop import Shop

MAX_SHOWN = 5
path = click.Path(path_type=Path)


def say(line: str) -> None:
    print(line, flush=True)


@click.command("import")
@click.argument("shop_root", type=path)
@click.option("--catalog", "catalogue", type=path, help="feed; its format is that of its name")
@click.option("--mapping", type=path, help="TOML; examples/electronics.toml is one")
@click.option("--language", help="language of the catalogue (sets stemming); en for a new shop")
@click.option("--strict", is_flag=True, help="stop at the first row that cannot be imported")
@click.option("--upsert", is_flag=True, help="change and add the feed's products, keep the others")
@click.option("--delete", type=path, help="file of product ids to remove")
def import_(shop_root: Path, catalogue: Path | None, mapping: Path | None, language: str | None, strict: bool, upsert: bool, delete: Path | None) -> None:  # fmt: skip
    """Stage the next catalogue of a shop from a product feed."""
    done = importer.apply(Shop(shop_root), Change(catalogue, mapping, language, strict, upsert, delete), say)
    if catalogue is not None:
        say(f"{done.accepted:,} products accepted, {done.rejected:,} rejected in {done.seconds} s (details: {shop_root / importer.REPORT})")
        for rejection in done.rejections[:MAX_SHOWN]:
            say(f"  line {rejection.line}: {rejection.field} {rejection.reason}")
        named = [f"{name} {share:.0%}" for name, share in done.coverage.items() if not name.startswith("attributes.")]
        attributes = sum(name.startswith("attributes.") for name in done.coverage)
        say(f"coverage: {', '.join(named)}; {attributes:,} attributes")
        if "category" not in done.coverage:
            say("no categories: the category stage will be off")
    if upsert or delete:
        unknown = f" ({len(done.delete_unknown)} ids to delete are not in the catalogue)" if done.delete_unknown else ""
        say(f"{done.updated:,} updated, {done.accepted - done.updated:,} new, {done.deleted:,} deleted{unknown}, {done.products:,} in all")


@click.command("guess")
@click.argument("catalogue", type=path)
def guess(catalogue: Path) -> None:
    """Propose a mapping for a feed, with reasons, on standard output."""
    if import_guess.google(catalogue) is not None:
        say(f"# {catalogue.name} is a Google Merchant feed: `aisle import --shop NAME --catalog {catalogue.name}` needs no mapping")
        return
    profile = import_guess.profile_of(catalogue)
    for line in import_guess.toml(profile, import_guess.guess(profile), catalogue.name):
        say(line)


@click.command("logs")
@click.argument("shop_root", type=path)
@click.argument("files", nargs=-1, required=True, type=path)
def logs(shop_root: Path, files: tuple[Path, ...]) -> None:
    """Turn UBI queries and events into the history of a shop (imported/*.parquet), for `python -m planner.ingest`."""
    done = import_logs.run(Shop(shop_root), files, say)
    say(f"{done.queries:,} queries and {done.events:,} events, {done.malformed:,} malformed (details: {shop_root / import_logs.REPORT})")
    for problem in done.problems[:MAX_SHOWN]:
        say(f"  {problem.file} line {problem.line}: {problem.reason}")
    say(
        f"{done.pages:,} pages to learn from; {done.queries_without_hits:,} queries without hits, "
        f"{done.unknown_products:,} events about unknown products"
    )
