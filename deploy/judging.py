"""Commands that judge what runs: evaluate, explain. The work is done by `python -m evaluation`."""

import sys
from pathlib import Path

import click

from deploy.preflight import require_shop
from deploy.running import run_through, running_planner
from deploy.state import StateFile
from services.errors import ConfigurationError
from services.shop import home, open_shop

path = click.Path(path_type=Path)


@click.command()
@click.option("--judgments", type=path, help="Judgment list: CSV or TSV (query, doc_id, rating), TREC qrels, or a Quepid export.")
@click.option("--topics", type=path, help="Query texts of qrels: lines of query id, tab, text.")
@click.option("--shop", default=None, envvar="AISLE_SHOP", help="Which shop (default: the one that runs).")
@click.option("--system", default="running", show_default=True, help="What is judged: running, bm25 (one global index), or an address.")
@click.option(
    "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="A field of every search request: verbatim=true, user_id=u-1."
)
@click.option("--against", help="Compare with: bm25, running, an address, or an earlier result (*.json).")
@click.option("--against-set", multiple=True, metavar="FIELD=VALUE", help="The same as --set, of the system compared with.")
@click.option("--queries", metavar="REGEX", help="Only the queries that match.")
@click.option("--half", type=click.Choice(["0", "1"]), help="Only one half of the queries (by hash): tune on one, report on the other.")
@click.option("-k", default=10, show_default=True, type=click.IntRange(1, 100), help="Length of the page that is judged.")
@click.option("--out", type=path, help="Result file (default: evaluations/<time>.json in the shop).")
@click.option("--html", type=path, help="Both pages of every query side by side.")
@click.option("--compare", nargs=2, type=path, metavar="OURS OTHER", help="Only compare two earlier results.")
@click.option("--world", is_flag=True, help="By the truth of a generated shop instead of judgments: oracle, controls, the running system.")
def evaluate(
    judgments: Path | None, topics: Path | None, shop: str | None, system: str, settings: tuple[str, ...], against: str | None,
    against_set: tuple[str, ...], queries: str | None, half: str | None, k: int, out: Path | None, html: Path | None,
    compare: tuple[Path, Path] | None, world: bool,
) -> None:  # fmt: skip
    """Measure the running system with judgments: nDCG, condensed nDCG, judged share, MRR, recall@200, zero results, latency.

    \b
    Examples:
      aisle evaluate --judgments judgments.csv
      aisle evaluate --judgments judgments.csv --against bm25 --html comparison.html
      aisle evaluate --judgments judgments.csv --set verbatim=true --against running
      aisle evaluate --compare after.json before.json
      aisle evaluate --world --out after.json
    """
    page = ["--html", str(html)] if html else []
    if compare:
        raise SystemExit(run_through([sys.executable, "-m", "evaluation", "compare", *map(str, compare), *page]))
    if world:
        run, address = running_planner(StateFile(home()))
        root = require_shop(_same_shop(shop, run.shop), home()).root
        kept = ["--out", str(out)] if out else []
        raise SystemExit(run_through([sys.executable, "-m", "loadgen.world_evaluation", str(root), "--url", address, *kept]))
    if judgments is None:
        raise ConfigurationError("--judgments FILE is needed (or --world for a generated shop, or --compare with two results)")
    url: str | None = None
    if "running" in (system, against) or against_set:
        run, url = running_planner(StateFile(home()))
        shop = _same_shop(shop, run.shop)
    target = require_shop(shop or "demo", home())
    argv = [sys.executable, "-m", "evaluation", "judge", "--judgments", str(judgments), "--shop-root", str(target.root), "-k", str(k)]
    given = {"--url": url, "--topics": topics, "--system": system, "--against": against, "--queries": queries, "--half": half, "--out": out}
    argv += [str(part) for name, value in given.items() if value is not None for part in (name, value)]
    argv += [part for s in settings for part in ("--set", s)] + [part for s in against_set for part in ("--against-set", s)] + page
    raise SystemExit(run_through(argv))


@click.command()
@click.argument("query")
@click.option("--product", metavar="ID", help="Why this product is (not) on the page.")
@click.option("--user", help="As this user sees it.")
@click.option("--top", default=3, show_default=True, type=click.IntRange(1, 50), help="How many items, without --product.")
def explain(query: str, product: str | None, user: str | None, top: int) -> None:
    """Why products stand where they stand: tier, strict or relaxed, matched terms, every feature's share of the score.

    \b
    Examples:
      aisle explain "gaming mouse"
      aisle explain "gaming mouse" --product 1723896
    """
    run, url = running_planner(StateFile(home()))
    root = open_shop(run.shop, home()).root
    argv = [sys.executable, "-m", "evaluation", "explain", "--shop-root", str(root), "--url", url, "--top", str(top)]
    argv += [str(part) for name, value in (("--product", product), ("--user", user)) if value for part in (name, value)]
    raise SystemExit(run_through([*argv, "--", query]))


def _same_shop(asked: str | None, running: str) -> str:
    if asked and asked != running:
        raise ConfigurationError(f"shop {running!r} runs, not {asked!r}: `aisle up --shop {asked}` serves that one")
    return running
