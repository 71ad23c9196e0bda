"""What pages were worth, by the truth of the world: graded after a run from logged ids, never while it runs. Pure."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from datagen import truth
from datagen.reading import looked_at
from datagen.world import World

Floats = npt.NDArray[np.float64]
AT = 10
MEASURES = ("ndcg", "ndcg_grade", "regret", "conversion")


class Page(Struct, frozen=True):
    """The first page of one query: who asked, what was meant, what was shown (product numbers, best first)."""

    user: int
    intent: int
    products: list[int]
    ts_ms: int


class Graded(Struct, frozen=True):
    """Means over pages. nDCG@10: gain = probability of a click when looked at, against the best ten of the catalogue; `ndcg_grade`: of
    relevance alone, gain 2^grade - 1; `regret`: expected clicks a page lost against those best ten; `conversion`: expected purchases a page."""

    pages: int
    ndcg: float
    ndcg_grade: float
    regret: float
    conversion: float


class Grader:
    """Grades pages of ten or fewer products; keeps nothing but what the world has."""

    def __init__(self, world: World) -> None:
        self.world = world

    @cached_property
    def _looked(self) -> Floats:
        return looked_at(self.world.settings, AT)

    @cached_property
    def _everything(self) -> npt.NDArray[np.intp]:
        return np.arange(len(self.world.items))

    def ideal(self, page: Page, total: Floats | None = None) -> npt.NDArray[np.intp]:
        """The best ten that exist at the time of the page; `total` when the utilities of all products are at hand."""
        worth = self._worth(page) if total is None else total
        best = np.argpartition(-worth, AT)[:AT]
        return best[np.argsort(-worth[best], kind="stable")]

    def utilities(self, page: Page) -> truth.Utility:
        """Of all products, whether they exist yet or not."""
        return truth.utility(self.world, page.user, page.intent, self._everything, page.ts_ms)

    def _worth(self, page: Page) -> Floats:
        return np.where(self.world.items.created_ms <= page.ts_ms, self.utilities(page).total, -np.inf)

    def best(self, page: Page) -> tuple[Floats, Floats]:
        """What the ideal page is worth: probabilities of a click float64[10], and the best gains of relevance float64[10]."""
        ideal = self.ideal(page)
        gains = truth.attraction(truth.utility(self.world, page.user, page.intent, ideal, page.ts_ms).total)
        grades = truth.grade(self.world, page.intent, self._everything[self.world.items.created_ms <= page.ts_ms])
        return gains, 2.0 ** np.sort(grades)[::-1][:AT].astype(np.float64) - 1.0

    def measure(self, page: Page, best: tuple[Floats, Floats] | None = None) -> Floats:
        """float64[len(MEASURES)] of one page; `best` when it is at hand (several systems and one query)."""
        ideal, ideal_grades = best or self.best(page)
        rows = np.array(page.products[:AT], np.intp)
        worth = truth.utility(self.world, page.user, page.intent, rows, page.ts_ms)
        known = (rows >= 0) & (rows < len(self.world.items))
        clicks = truth.attraction(worth.total) * known
        grades = 2.0 ** truth.grade(self.world, page.intent, rows).astype(np.float64) - 1.0
        after = worth.total + worth.quality
        buys = clicks * truth.sigmoid(after + truth.CART) * truth.sigmoid(after + truth.PURCHASE)
        looked = self._looked[: len(rows)]
        return np.array(
            [
                _dcg(clicks) / _dcg(ideal),
                _dcg(grades) / _dcg(ideal_grades) if ideal_grades.any() else 1.0,
                float(self._looked[: len(ideal)] @ ideal - looked @ clicks),
                float(looked @ buys),
            ]
        )

    def grade(self, pages: Sequence[Page]) -> Graded | None:
        """Means over some pages; None for none."""
        if not pages:
            return None
        means = np.mean([self.measure(page) for page in pages], axis=0)
        return Graded(len(pages), *(float(m) for m in means))


def _dcg(gains: Floats) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())
