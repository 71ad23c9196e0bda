"""`python -m evaluation judge | compare | explain`: what `aisle evaluate` and `aisle explain` run."""

import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from evaluation import judge as judging
from evaluation import judgments, report, result
from evaluation.compare import compare
from evaluation.result import Result
from evaluation.systems import GlobalBaseline, Running, System
from evaluation.why import explain_lines
from services.errors import ConfigurationError
from services.shop import Shop, operator_token, write_atomically


@click.group()
def main() -> None:
    """Judging a search system."""


@main.command("judge")
@click.option("--judgments", "judged", required=True, type=click.Path(path_type=Path))
@click.option("--topics", type=click.Path(path_type=Path))
@click.option("--shop-root", required=True, type=click.Path(path_type=Path))
@click.option("--url")
@click.option("--system", default="running")
@click.option("--set", "settings", multiple=True)
@click.option("--against")
@click.option("--against-set", multiple=True)
@click.option("--queries")
@click.option("--half", type=click.Choice(["0", "1"]))
@click.option("-k", default=10, type=click.IntRange(1, 100))
@click.option("--out", type=click.Path(path_type=Path))
@click.option("--html", "page", type=click.Path(path_type=Path))
@click.option("--seed", default=0)
def judge(
    judged: Path,
    topics: Path | None,
    shop_root: Path,
    url: str | None,
    system: str,
    settings: tuple[str, ...],
    against: str | None,
    against_set: tuple[str, ...],
    queries: str | None,
    half: str | None,
    k: int,
    out: Path | None,
    page: Path | None,
    seed: int,
) -> None:
    """Measure a system, and compare it with another one or with an earlier result."""
    shop = Shop(shop_root)
    wanted = judgments.load(judged, topics).where(queries, None if half is None else int(half))
    ours = _measured(_system(system, shop, url, settings), wanted, k)
    target = out or shop.root / "evaluations" / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    result.save(ours, target)
    _say(*report.lines(ours), f"  written to {target}")
    if against is None and not against_set:
        return
    if against and against.endswith(".json"):
        other = result.load(Path(against))
    else:
        other = _measured(_system(against or "running", shop, url, against_set), wanted, k)
        other_file = target.with_name(f"{target.stem}.against.json")
        result.save(other, other_file)
        _say(*report.lines(other), f"  written to {other_file}")
    _compared(ours, other, page, seed)


@main.command("compare")
@click.argument("ours", type=click.Path(path_type=Path))
@click.argument("other", type=click.Path(path_type=Path))
@click.option("--html", "page", type=click.Path(path_type=Path))
@click.option("--seed", default=0)
def compare_(ours: Path, other: Path, page: Path | None, seed: int) -> None:
    """Compare two results."""
    _compared(result.load(ours), result.load(other), page, seed)


@main.command("explain")
@click.argument("query")
@click.option("--product")
@click.option("--shop-root", required=True, type=click.Path(path_type=Path))
@click.option("--url", required=True)
@click.option("--user")
@click.option("--top", default=3, type=click.IntRange(1, 50))
def explain(query: str, product: str | None, shop_root: Path, url: str, user: str | None, top: int) -> None:
    """Why products stand where they stand, or why one is not there."""
    shop = Shop(shop_root)
    _say(*explain_lines(shop, url, operator_token(shop.root.parent.parent), query, product=product, user=user, top=top))


def _system(name: str, shop: Shop, url: str | None, settings: tuple[str, ...]) -> System:
    if name == "bm25":
        return GlobalBaseline(shop)
    address = url if name == "running" else name
    if address is None or not address.startswith(("http://", "https://")):
        raise ConfigurationError(f"system {name!r} is neither running, bm25, an address (http://...) nor a result (*.json)")
    return Running(address, dict(_setting(s) for s in settings))


def _setting(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ConfigurationError(f"--set {text!r} must be FIELD=VALUE, a field of the search request with a JSON value: verbatim=true")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _measured(system: System, wanted: judgments.Judgments, k: int) -> Result:
    try:
        found = judging.evaluate(system, wanted, k)
    finally:
        system.close()
    settings = {name: value for name, value in found.system.get("settings", {}).items() if found.system["system"] == "running"}
    named = " ".join([found.name, *(f"{name}={_typed(value)}" for name, value in settings.items())])
    return msgspec.structs.replace(found, name=named)


def _compared(ours: Result, other: Result, page: Path | None, seed: int) -> None:
    comparison = compare(ours, other, seed=seed)
    _say(*report.comparison_lines(comparison))
    if page:
        page.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(page, report.html(ours, other, comparison).encode())
        _say(f"  side by side: {page}")


def _say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except (ConfigurationError, OSError) as error:
        sys.exit(f"error: {error}")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
