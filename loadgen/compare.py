"""Whether two loads differ: in words, with intervals. Pure.

Times of neighbours are alike (a queue, a garbage collection), so that single requests are no independent evidence: what is compared are
blocks of five seconds. A difference is called one when a permutation test over blocks says so at a level that is shared by all measures
(Bonferroni: together 1 %); the interval is a bootstrap over blocks. Blocks may still be alike, on a busy machine above all: by how much their
mean varies more than that of independent ones is estimated from their correlation with the next one, and taken into account in both.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from loadgen.run import Run
from loadgen.timeline import Block

Floats = npt.NDArray[np.float64]
MEASURES = {"per_second": "answers a second", "mean_ms": "mean latency, ms", "p50_ms": "p50, ms", "p99_ms": "p99, ms"}
LEVEL = 0.01
PERMUTATIONS = 5000
LEAST = 6
"""Blocks a load needs: with fewer, no permutation can be rare enough."""
SEED = 20250801


class Difference(Struct, frozen=True, kw_only=True):
    """`ratio`: B over A, with its 95 % interval. `differs` None: too few blocks to say."""

    measure: str
    a: float
    b: float
    ratio: float
    low: float
    high: float
    p: float
    differs: bool | None


def compare(a: Sequence[Block], b: Sequence[Block]) -> list[Difference]:
    return [_difference(measure, _values(a, measure), _values(b, measure)) for measure in MEASURES]


def _values(blocks: Sequence[Block], measure: str) -> Floats:
    return np.array([getattr(block, measure) for block in blocks], np.float64)


def _difference(measure: str, a: Floats, b: Floats) -> Difference:
    if len(a) < 2 or len(b) < 2:
        mean_a, mean_b = (float(x.mean()) if len(x) else 0.0 for x in (a, b))
        return Difference(measure=measure, a=mean_a, b=mean_b, ratio=0.0, low=0.0, high=0.0, p=1.0, differs=None)
    rng = np.random.default_rng(SEED)
    wider = inflation(a, b)
    ratio, low, high = _ratio(a, b, rng)
    low, high = max(0.0, ratio - wider * (ratio - low)), ratio + wider * (high - ratio)
    p = permutation_p(a, b, rng, wider)
    enough = min(len(a), len(b)) >= LEAST
    differs = p < LEVEL / len(MEASURES) if enough else None
    return Difference(measure=measure, a=float(a.mean()), b=float(b.mean()), ratio=ratio, low=low, high=high, p=p, differs=differs)


def inflation(a: Floats, b: Floats) -> float:
    """Standard deviation of the mean of blocks over that of as many independent ones, at least 1: sqrt((1 + r) / (1 - r)) for an autoregressive
    series whose neighbours correlate by r, which is estimated from both loads (with Kendall's correction for short series)."""
    logs = [np.log(np.maximum(x, 1e-9)) for x in (a, b)]
    centred = [x - x.mean() for x in logs]
    variance = sum(float(x @ x) for x in centred)
    if variance < 1e-12:
        return 1.0
    r = sum(float(x[1:] @ x[:-1]) for x in centred) / variance
    if r <= 0:
        return 1.0
    r = min(r + (1 + 3 * r) / ((len(a) + len(b)) / 2), 0.95)
    return float(np.sqrt((1 + r) / (1 - r)))


def permutation_p(a: Floats, b: Floats, rng: np.random.Generator, wider: float = 1.0) -> float:
    """Two-sided p of the difference of means, of logarithms since times are skewed; `wider`: `inflation`."""
    both = np.log(np.maximum(np.concatenate([a, b]), 1e-9))
    observed = abs(both[: len(a)].mean() - both[len(a) :].mean()) / wider
    shuffled = rng.permuted(np.tile(both, (PERMUTATIONS, 1)), axis=1)
    others = np.abs(shuffled[:, : len(a)].mean(axis=1) - shuffled[:, len(a) :].mean(axis=1))
    return float((1 + (others >= observed - 1e-12).sum()) / (PERMUTATIONS + 1))


def _ratio(a: Floats, b: Floats, rng: np.random.Generator) -> tuple[float, float, float]:
    draws_a, draws_b = (x[rng.integers(0, len(x), (2000, len(x)))].mean(axis=1) for x in (a, b))
    ratios = draws_b / np.maximum(draws_a, 1e-9)
    low, high = np.quantile(ratios, (0.025, 0.975)).tolist()
    return float(b.mean() / max(a.mean(), 1e-9)), low, high


def words(a: Run, b: Run, differences: Sequence[Difference]) -> str:
    """One line for each measure, after what makes the loads hard to compare."""
    lines = [f"A: {_name(a)}", f"B: {_name(b)}", *_caveats(a, b)]
    for d in differences:
        says = "cannot be compared (fewer than 6 blocks of 5 s)" if d.differs is None else _says(d)
        lines.append(f"{MEASURES[d.measure]}: A {d.a:,.2f}, B {d.b:,.2f}: {says}")
    if any(d.differs for d in differences):
        lines.append("The loads differ.")
    elif all(d.differs is False for d in differences):
        lines.append("No difference was found; the intervals say how large one could be.")
    return "\n".join(lines)


def _says(d: Difference) -> str:
    interval = f"B is {d.ratio:.3f} times A, 95 % interval {d.low:.3f} to {d.high:.3f}"
    if not d.differs:
        return f"no difference found ({interval}; p {d.p:.3f})"
    more = "more" if d.measure == "per_second" else "slower"
    less = "fewer" if d.measure == "per_second" else "faster"
    return f"B is {abs(d.ratio - 1):.1%} {more if d.ratio > 1 else less} ({interval}; p {d.p:.4f})"


def _name(run: Run) -> str:
    return f"{run.wish.profile}, shop {run.shop}, seed {run.wish.seed}, code {run.code_version}, {run.seconds:.0f} s, {run.verdict}"


def _caveats(a: Run, b: Run) -> list[str]:
    said = []
    if a.wish != b.wish:
        names = [n for n in a.wish.__struct_fields__ if getattr(a.wish, n) != getattr(b.wish, n)]
        said.append(f"note: they were asked for differently: {', '.join(names)}")
    for what, of_a, of_b in (
        ("shops", a.shop, b.shop),
        ("numbers of users", a.users, b.users),
        ("generations", a.generations, b.generations),
        ("releases", a.releases, b.releases),
    ):
        if of_a != of_b:
            said.append(f"note: they had different {what}: {of_a} and {of_b}")
    if (a.machine.cpu, a.machine.cores) != (b.machine.cpu, b.machine.cores):
        said.append("note: they ran on different machines")
    loads = [max(run.machine.load_average) for run in (a, b)]
    if max(loads) > 1.5 * max(1.0, min(loads)):
        said.append(f"note: the machine was not equally busy (load average up to {loads[0]:.1f} and {loads[1]:.1f})")
    said += [f"note: {name} is INVALID and proves nothing" for name, run in (("A", a), ("B", b)) if not run.ok]
    return said
