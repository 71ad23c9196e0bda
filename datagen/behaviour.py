"""What shoppers do: they word an intent, read pages from the top, click, put in the cart, buy, turn the page, try other words.

One model for the history and for live load. Position-based examination (Craswell et al., WSDM 2008): a click needs that the product is
looked at, which depends on its place alone, and attracts, which depends on its utility.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from datagen import truth
from datagen.truth import sigmoid
from datagen.wording import NOUN, Wording
from datagen.world import World
from services.contracts import EventKind

TURN, TURN_AFTER_CLICK = 0.35, 0.15
"""Probability of turning the page when nothing was clicked on it, and when something was (not after a purchase)."""
RESPELL, REPHRASE, RETRY = 0.7, 0.5, 0.15
"""Probability of a second attempt after a query without a click: of a misspelt one, one in unusual words, any other."""
MAX_PAGES = 5


@dataclass(frozen=True, slots=True)
class Query:
    """What a shopper types, and why (which nobody else knows)."""

    text: str
    intent: int
    wording: Wording
    again: bool = False
    """A second attempt at the intent of the query before."""


@dataclass(frozen=True, slots=True)
class Action:
    """A behaviour towards one product of a page; `after_s` seconds after the page was shown."""

    kind: EventKind
    position: int
    product_no: int
    after_s: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What came of reading a page."""

    actions: list[Action] = field(default_factory=list)
    turn_page: bool = False
    seconds: float = 5.0

    def of(self, kind: EventKind) -> list[Action]:
        return [action for action in self.actions if action.kind == kind]


class Shopper:
    """One user at one time. Everything random comes from `rng`: the same generator and the same pages give the same behaviour."""

    def __init__(self, world: World, user: int, rng: np.random.Generator, ts_ms: int | None = None) -> None:
        """`ts_ms` None: at the end of the history."""
        self._world, self.user, self._rng = world, user, rng
        self.ts_ms = world.settings.end_ms if ts_ms is None else ts_ms
        self._liking = world.tastes.liking(user, self.ts_ms)
        self._interest = world.tastes.interest(user, self.ts_ms)
        self._query: Query | None = None
        self._next: Query | None = None
        self._clicked = False
        self._pages = 0

    @property
    def user_id(self) -> str:
        return self._world.user_id(self.user)

    def next_query(self) -> Query:
        """The next thing the shopper types: another attempt at what was not found, or something else."""
        self._query, self._next = self._next or self._fresh(), None
        self._clicked, self._pages = False, 0
        return self._query

    @property
    def wants_another_try(self) -> bool:
        """The next query will be another attempt at what was not found; known when the last page was read."""
        return self._next is not None

    def read_page(self, products: npt.ArrayLike, positions: npt.ArrayLike | None = None) -> Reading:
        """Read a page of n products (numbers; -1 for one that the world does not know) and act on it.

        `positions`: as they are to be reported; where on the page a product stands is its place in `products`.
        """
        if self._query is None:
            raise ValueError("next_query comes before read_page")
        rows = np.asarray(products, np.intp)
        self._pages += 1
        if not len(rows):
            self._next = self._again()
            return Reading()
        utility = truth.utility(self._world, self.user, self._query.intent, rows, self.ts_ms, self._liking)
        clicks = self._clicks(utility.total)
        named = np.arange(1, len(rows) + 1) if positions is None else np.asarray(positions, np.intp)
        actions, bought = self._actions(rows, named, utility, clicks)
        self._clicked |= bool(actions)
        chance = 0.0 if bought or self._pages >= MAX_PAGES else (TURN_AFTER_CLICK if self._clicked else TURN)
        seconds = (actions[-1].after_s if actions else 2.0) + 4.0 + 8.0 * self._rng.random()
        turn = bool(self._rng.random() < chance)
        self._next = None if turn else self._again()
        return Reading(actions, turn, seconds)

    def _clicks(self, total: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
        looked = truth.examination(self._world.settings.examination, np.arange(1, len(total) + 1))
        return np.flatnonzero(self._rng.random(len(total)) < looked * truth.attraction(total))

    def _actions(
        self, rows: npt.NDArray[np.intp], positions: npt.NDArray[np.intp], utility: truth.Utility, clicks: npt.NDArray[np.intp]
    ) -> tuple[list[Action], bool]:
        actions: list[Action] = []
        now_s = 1.0
        total, quality = utility.total, utility.quality
        for place in clicks.tolist():
            now_s += 2.0 + 6.0 * self._rng.random()
            position, number = int(positions[place]), int(rows[place])
            actions.append(Action("click", position, number, now_s))
            now_s += 5.0 + 40.0 * self._rng.random()  # on the product's own page, where its quality shows
            if self._rng.random() >= _chance(total[place] + quality[place] + truth.CART):
                continue
            actions.append(Action("cart", position, number, now_s))
            if self._rng.random() < _chance(total[place] + quality[place] + truth.PURCHASE):
                now_s += 20.0 + 60.0 * self._rng.random()
                actions.append(Action("purchase", position, number, now_s))
                return actions, True
        return actions, False

    def _fresh(self) -> Query:
        intent = self._world.draw_intent(self.user, self._interest, self._rng)
        wording = self._world.speaker.say(intent, self._rng)
        return Query(wording.text, intent, wording)

    def _again(self) -> Query | None:
        last = self._query
        if last is None or self._clicked or last.again:
            return None
        chance = RESPELL if last.wording.misspelt else REPHRASE if last.wording.form != NOUN else RETRY
        if self._rng.random() >= chance:
            return None
        said = last.wording
        if said.misspelt:
            said = Wording(said.right, said.right, said.form, said.phrase)
        else:
            said = self._world.speaker.say(last.intent, self._rng, plain=True)
        return Query(said.text, last.intent, said, again=True) if said.text != last.text else None


def _chance(log_odds: float) -> float:
    return float(sigmoid(np.float64(log_odds)))  # type: ignore[arg-type]
