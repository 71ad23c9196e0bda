"""`python -m loadgen.world_evaluation SHOP_ROOT [--url URL]`: ranking functions scored by the truth of the world, on what was never seen.

Queries are asked in the week after the history, half of them by users who are not in it. Every ranking function answers the same
queries; differences to one of them come with 95 % intervals by a paired bootstrap over users.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import click
import httpx
import msgspec
import numpy as np
from msgspec import Struct

from datagen.progress import Say, silent
from datagen.world import World, open_world
from loadgen import world_rankers
from loadgen.grading import MEASURES, Floats, Grader, Page
from loadgen.world_cases import LABELS, Case, Past, cases
from loadgen.world_rankers import BM25, Ranker
from services.errors import ConfigurationError
from services.shop import write_atomically

RESAMPLES = 1_000
PROGRESS_S = 2.0


class Scored(Struct, frozen=True, kw_only=True):
    """One ranking function on one slice: means of the measures of loadgen.grading.Graded, and nDCG@10 against the baseline's."""

    ranker: str
    slice: str
    queries: int
    ndcg: float
    ndcg_grade: float
    regret: float
    conversion: float
    difference: float
    low: float
    high: float


class Evaluation(Struct, frozen=True, kw_only=True):
    world: str
    seed: int
    queries: int
    users: int
    baseline: str
    seconds: float
    rows: list[Scored]

    def of(self, ranker: str, slice_: str = "all") -> Scored:
        return next(row for row in self.rows if (row.ranker, row.slice) == (ranker, slice_))


def evaluate(
    world: World, asked: Sequence[Case], rankers: Mapping[str, Ranker], *, baseline: str = BM25, seed: int = 1, say: Say = silent
) -> Evaluation:
    """Score ranking functions on the same cases. `baseline` is the name of one of them."""
    began, values = time.monotonic(), _values(Grader(world), asked, rankers, say)
    users = np.array([case.user for case in asked])
    rows = [
        _scored(name, label, values[name][chosen], values[baseline][chosen], users[chosen], seed)
        for label, chosen in _chosen(asked)
        for name in rankers
    ]
    return Evaluation(
        world=world.settings.hash(),
        seed=seed,
        queries=len(asked),
        users=len(set(users.tolist())),
        baseline=baseline,
        seconds=round(time.monotonic() - began, 2),
        rows=rows,
    )


def _values(grader: Grader, asked: Sequence[Case], rankers: Mapping[str, Ranker], say: Say) -> dict[str, Floats]:
    """Per ranking function float64[cases, measures]."""
    values = {name: np.zeros((len(asked), len(MEASURES))) for name in rankers}
    said = time.monotonic()
    for number, case in enumerate(asked):
        best = grader.best(Page(case.user, case.intent, [], case.ts_ms))
        for name, rank in rankers.items():
            values[name][number] = grader.measure(Page(case.user, case.intent, list(rank(case)), case.ts_ms), best)
        if time.monotonic() - said > PROGRESS_S:
            said = time.monotonic()
            say(f"{number + 1:,} of {len(asked):,} queries")
    return values


def _chosen(asked: Sequence[Case]) -> Iterator[tuple[str, np.ndarray]]:
    yield "all", np.arange(len(asked))
    for label in LABELS:
        chosen = np.array([i for i, case in enumerate(asked) if label in case.slices], np.intp)
        if len(chosen):
            yield label, chosen


def _scored(name: str, label: str, ours: Floats, theirs: Floats, users: np.ndarray, seed: int) -> Scored:
    low, high = interval(ours[:, 0] - theirs[:, 0], users, seed)
    ndcg, grade, regret, conversion = ours.mean(axis=0).tolist()
    return Scored(
        ranker=name,
        slice=label,
        queries=len(ours),
        ndcg=ndcg,
        ndcg_grade=grade,
        regret=regret,
        conversion=conversion,
        difference=float((ours[:, 0] - theirs[:, 0]).mean()),
        low=low,
        high=high,
    )


def interval(differences: Floats, users: np.ndarray, seed: int) -> tuple[float, float]:
    """95 % interval of the mean of paired differences: users are drawn with replacement, with all of their queries."""
    cluster = np.unique(users, return_inverse=True)[1]
    sums, sizes = np.bincount(cluster, differences), np.bincount(cluster).astype(float)
    drawn = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), RESAMPLES)
    low, high = np.quantile((drawn @ sums) / (drawn @ sizes), [0.025, 0.975])
    return float(low), float(high)


def lines(found: Evaluation, slices: bool) -> Iterator[str]:
    """The evaluation for people."""
    yield f"world {found.world}: {found.queries:,} queries of {found.users:,} users in the week after the history (seed {found.seed}, {found.seconds:.0f} s)"
    for label in dict.fromkeys(row.slice for row in found.rows) if slices else ["all"]:
        rows = sorted((row for row in found.rows if row.slice == label), key=lambda row: -row.ndcg)
        yield f"\n{label} ({rows[0].queries:,} queries)"
        yield f"  {'':38} nDCG@10  against {found.baseline:30} nDCG@10 of grades  regret  conversion"
        for r in rows:
            against = f"{r.difference:+.4f} [{r.low:+.4f}, {r.high:+.4f}]" if r.ranker != found.baseline else ""
            yield f"  {r.ranker:38} {r.ndcg:7.4f}  {against:38} {r.ndcg_grade:17.4f} {r.regret:7.3f}  {r.conversion:10.4f}"


@click.command()
@click.argument("shop_root", type=click.Path(path_type=Path))
@click.option("--url", help="Address of the running system; without it only oracles and controls are scored.")
@click.option("--queries", type=click.IntRange(10), default=500, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--slices/--no-slices", default=True, show_default=True, help="Also each slice: misspelt, cold users, the long tail, ...")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the numbers as JSON.")
def main(shop_root: Path, url: str | None, queries: int, seed: int, slices: bool, out: Path | None) -> None:
    """Score ranking functions by the truth of a generated shop: oracle, random, popularity, BM25 as one global index, the running system.

    nDCG@10: gain = probability of a click when looked at, against the best ten products of the whole catalogue. Regret: expected clicks
    a page that are lost against those. Conversion: expected purchases a page.
    """
    say: Callable[[str], None] = lambda line: print(line, flush=True)  # noqa: E731
    world = open_world(shop_root)
    asked = cases(world, Past.of(shop_root, world), queries, seed)
    with httpx.Client(timeout=10.0) as client:
        rankers = world_rankers.oracles(Grader(world)) | world_rankers.controls(world_rankers.catalogue_index(shop_root), seed)
        if url:
            rankers |= world_rankers.running(world, url, client)
        found = evaluate(world, asked, rankers, seed=seed, say=say)
    for line in lines(found, slices):
        say(line)
    if out:
        write_atomically(out, msgspec.json.format(msgspec.json.encode(found), indent=2))
        say(f"\nkept in {out}")


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except ConfigurationError as error:
        sys.exit(f"error: {error}")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
