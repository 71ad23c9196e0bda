"""`python -m datagen world SHOP_ROOT` and `python -m datagen import SHOP_ROOT`."""

import sys
from pathlib import Path

import click

from datagen import importer
from services.errors import ConfigurationError
from services.shop import Shop


def _say(line: str) -> None:
    print(line, flush=True)


@click.group()
def main() -> None:
    """Catalogues for shops: a generated world, or an import."""


@main.command("import")
@click.argument("shop_root", type=click.Path(path_type=Path))
@click.option("--catalog", "catalogue", required=True, type=click.Path(path_type=Path), help="JSON Lines, plain or gz")
@click.option("--mapping", required=True, type=click.Path(path_type=Path), help="TOML; examples/electronics.toml is one")
@click.option("--language", default="en", show_default=True, help="language of the catalogue (sets stemming)")
@click.option("--strict", is_flag=True, help="stop at the first row that cannot be imported")
def import_(shop_root: Path, catalogue: Path, mapping: Path, language: str, strict: bool) -> None:
    """Make or update a shop from a product feed."""
    report = importer.run(Shop(shop_root), catalogue, mapping, language=language, strict=strict, say=_say)
    _say(f"{report.accepted:,} products accepted, {report.rejected:,} rejected in {report.seconds} s (details: {shop_root / importer.REPORT})")
    for rejection in report.rejections[:5]:
        _say(f"  line {rejection.line}: {rejection.field} {rejection.reason}")
    named = [f"{name} {share:.0%}" for name, share in report.coverage.items() if not name.startswith("attributes.")]
    attributes = sum(name.startswith("attributes.") for name in report.coverage)
    _say(f"coverage: {', '.join(named)}; {attributes:,} attributes")


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except ConfigurationError as error:
        sys.exit(f"error: {error}")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
