"""Who searches for what, and what they do with a page. Pure: random numbers come in as a generator, answers as items.

A shop with a world has its shoppers (loadgen/worldly.py). Of any other, all that is known is its catalogue: its shoppers look for a
product by words of its title, and click from the top down, on what they looked for more than on the rest.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from services.contracts import EventKind, Item


@dataclass(frozen=True, slots=True)
class Action:
    """One behaviour towards an item of a page."""

    kind: EventKind
    product_id: str
    position: int


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a shopper does after reading a page: `more`, turn to the next one."""

    actions: list[Action]
    more: bool


class Visit(Protocol):
    """One query of one shopper, from the first page to the last one read."""

    user_id: str | None
    intent: int
    """Of the shop's world; -1 in a shop without one."""

    @property
    def query(self) -> str: ...

    @property
    def right(self) -> str:
        """The right spelling of the query."""

    def read(self, items: Sequence[Item]) -> Reaction: ...


class Shopper(Protocol):
    def visit(self) -> Visit: ...


@dataclass(frozen=True, slots=True)
class Habits:
    """Probabilities of shoppers who have no world to take them from."""

    examine: float = 0.85
    """To look at the next item of a page as well."""
    click: float = 0.08
    click_wanted: float = 0.7
    cart: float = 0.3
    """After a click; `purchase` after a cart."""
    purchase: float = 0.4
    turn: float = 0.3
    anonymous: float = 0.3


@dataclass(frozen=True, slots=True)
class Wanted:
    product_id: str
    title: str


class TitleShopper:
    """Looks for products of the catalogue, by two to four words of the title in their order."""

    def __init__(self, products: Sequence[Wanted], users: int, habits: Habits, rng: random.Random) -> None:
        self._products, self._users, self._habits, self._rng = products, users, habits, rng

    def visit(self) -> "TitleVisit":
        wanted = self._rng.choice(self._products)
        user = None if self._rng.random() < self._habits.anonymous else f"load-{self._rng.randrange(self._users)}"
        return TitleVisit(some_words(wanted.title, self._rng), user, wanted.product_id, self._habits, self._rng)


@dataclass(slots=True)
class TitleVisit:
    query: str
    user_id: str | None
    wanted: str
    habits: Habits
    rng: random.Random
    intent: int = -1

    @property
    def right(self) -> str:
        return self.query

    def read(self, items: Sequence[Item]) -> Reaction:
        actions: list[Action] = []
        found = False
        for item in items:
            found = found or item.product_id == self.wanted
            if self.rng.random() < (self.habits.click_wanted if item.product_id == self.wanted else self.habits.click):
                actions.extend(self._clicked(item))
            if self.rng.random() > self.habits.examine:
                break
        return Reaction(actions, not found and self.rng.random() < self.habits.turn)

    def _clicked(self, item: Item) -> list[Action]:
        kinds: list[EventKind] = ["click"]
        if self.rng.random() < self.habits.cart:
            kinds.append("cart")
            if self.rng.random() < self.habits.purchase:
                kinds.append("purchase")
        return [Action(kind, item.product_id, item.position) for kind in kinds]


def some_words(title: str, rng: random.Random) -> str:
    """Two to four words of a title, in their order (all of a shorter one)."""
    words = title.split()
    chosen = sorted(rng.sample(range(len(words)), min(len(words), rng.randint(2, 4))))
    return " ".join(words[i] for i in chosen)
