"""What shoppers do: they word an intent, read pages from the top, click, put in the cart, buy, turn the page, try other words.

One model for the history and for live load: `datagen.reading` and `second_attempt` decide in both.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from datagen import reading, truth
from datagen.draws import Dice
from datagen.reading import Readings
from datagen.wording import NOUN, Speaker, Wording
from datagen.world import World
from services.contracts import EventKind

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
        self._interest = world.tastes.interest(user, self.ts_ms)
        self._query: Query | None = None
        self._next: Query | None = None
        self._clicked = False
        self._pages = 0

    @property
    def user_id(self) -> str:
        return self._world.user_id(self.user)

    @property
    def intent(self) -> int:
        """What the present query is about; -1 before the first."""
        return self._query.intent if self._query else -1

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
        worth = truth.utility(self._world, self.user, self._query.intent, rows, self.ts_ms)
        u, v = self._rng.random((1, len(rows), reading.PER_PLACE)), self._rng.random((1, reading.PER_PAGE))
        shown, already = np.ones((1, len(rows)), np.bool_), np.array([self._clicked])
        read = reading.read(self._world.settings, worth.total[None], worth.quality[None], shown, already, u, v)
        named = np.arange(1, len(rows) + 1) if positions is None else np.asarray(positions, np.intp)
        actions = actions_of(read, 0, rows, named)
        self._clicked |= bool(actions)
        turn = bool(read.turn[0]) and self._pages < MAX_PAGES
        self._next = None if turn else self._again()
        return Reading(actions, turn, float(read.seconds[0]))

    def _fresh(self) -> Query:
        u, v = self._rng.random((2, 1))
        intent = int(self._world.draw_intents([self.user], self._interest[None], u, v)[0])
        wording = self._world.speaker.say(intent, self._rng, ts_ms=self.ts_ms)
        return Query(wording.text, intent, wording)

    def _again(self) -> Query | None:
        if self._query is None or self._clicked:
            return None
        return second_attempt(self._world.speaker, self._query, self._rng, self.ts_ms)


def actions_of(read: Readings, page: int, rows: npt.NDArray[np.intp], positions: npt.NDArray[np.intp]) -> list[Action]:
    """The behaviours on one of the pages that were read, in the order of time."""
    actions: list[Action] = []
    for place in np.flatnonzero(read.clicked[page]).tolist():
        position, number = int(positions[place]), int(rows[place])
        actions.append(Action("click", position, number, float(read.clicked_s[page, place])))
        if read.carted[page, place]:
            actions.append(Action("cart", position, number, float(read.carted_s[page, place])))
        if read.bought[page, place]:
            actions.append(Action("purchase", position, number, float(read.bought_s[page, place])))
    return actions


def second_attempt(speaker: Speaker, last: Query, rng: Dice, ts_ms: int) -> Query | None:
    """What is typed after a query without a click, if anything: the same spelt right, or in the catalogue's words."""
    said = last.wording
    chance = RESPELL if said.misspelt else REPHRASE if said.form != NOUN else RETRY
    if last.again or rng.random() >= chance:
        return None
    if said.misspelt:
        better = Wording(said.right, said.right, said.form, said.phrase)
    else:
        better = speaker.say(last.intent, rng, plain=True, ts_ms=ts_ms)
    return Query(better.text, last.intent, better, again=True) if better.text != last.text else None
