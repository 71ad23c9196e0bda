"""Whether two loads differ: what is the same is not called different, what differs is."""

import numpy as np
import pytest

from loadgen.compare import LEVEL, MEASURES, compare
from loadgen.timeline import Block


def load(seed: int, blocks: int = 12, factor: float = 1.0, rate: float = 40.0, alike: float = 0.3) -> list[Block]:
    """Blocks of a load as they are measured: times are log-normal, every block has its own level and they follow each other (AR 1, neighbours
    correlate by `alike`), as queues do."""
    rng = np.random.default_rng(seed)
    level, found = 0.0, []
    for number in range(blocks):
        level = alike * level + rng.normal(0, 0.08)
        times = factor * 12 * np.exp(level + rng.normal(0, 0.5, rng.poisson(rate * 5)))
        p50, p99 = np.quantile(times, (0.5, 0.99))
        found.append(
            Block(
                at_s=5.0 * number,
                count=len(times),
                per_second=len(times) / 5,
                mean_ms=float(times.mean()),
                p50_ms=float(p50),
                p99_ms=float(p99),
            )
        )
    return found


@pytest.mark.parametrize(("alike", "blocks"), [(0.0, 12), (0.3, 12), (0.6, 24)])
def test_of_a_hundred_pairs_of_equal_loads_at_most_five_are_called_different(alike: float, blocks: int) -> None:
    """Neighbouring blocks of three real loads on a shared machine correlated by 0.46, 0.24 and 0.02."""
    called = sum(
        any(d.differs for d in compare(load(seed, blocks, alike=alike), load(10_000 + seed, blocks, alike=alike))) for seed in range(100)
    )
    assert called <= 5


def test_a_load_that_is_a_third_slower_is_called_slower() -> None:
    found = [compare(load(seed, 24), load(500 + seed, 24, factor=1.33)) for seed in range(20)]
    assert sum(d.differs is True for ds in found for d in ds if d.measure == "mean_ms") >= 19
    ratios = [d for ds in found for d in ds if d.measure == "p50_ms"]
    assert np.mean([d.low <= 1.33 <= d.high for d in ratios]) >= 0.7
    assert not any(d.differs for ds in found for d in ds if d.measure == "per_second")


def test_a_higher_rate_is_a_difference() -> None:
    [rate] = [d for d in compare(load(1), load(2, rate=60)) if d.measure == "per_second"]
    assert rate.differs
    assert rate.ratio == pytest.approx(1.5, rel=0.1)


@pytest.mark.parametrize("blocks", [0, 1, 5])
def test_with_too_few_blocks_nothing_is_claimed(blocks: int) -> None:
    assert [d.differs for d in compare(load(1, blocks), load(2, blocks, factor=9))] == [None] * len(MEASURES)


def test_the_measures_share_one_level() -> None:
    assert LEVEL / len(MEASURES) == 0.0025
