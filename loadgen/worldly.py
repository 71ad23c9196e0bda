"""Shoppers of a generated world: they want, say and like what the world's users do, and read whatever answer they get."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datagen.behaviour import Shopper as WorldUser
from datagen.wording import Wording
from datagen.world import World
from loadgen.shoppers import Action, Reaction
from services.contracts import Item


class WorldShopper:
    """A person at a keyboard: a new user of the world each time the one before has found what there was to find, or given up."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self._world, self._rng = world, rng
        self._user, self._known = self._next_user()

    def visit(self) -> "WorldVisit":
        if not self._user.wants_another_try:
            self._user, self._known = self._next_user()
        query = self._user.next_query()
        return WorldVisit(query.wording, self._user.user_id if self._known else None, query.intent, self._world, self._user)

    def _next_user(self) -> tuple[WorldUser, bool]:
        """As likely as they come, and whether they are signed in."""
        user = WorldUser(self._world, self._world.draw_user(self._rng.random()), self._rng)
        return user, bool(self._rng.random() >= self._world.settings.anonymous)


@dataclass(slots=True)
class WorldVisit:
    wording: Wording
    user_id: str | None
    intent: int
    world: World
    user: WorldUser

    @property
    def query(self) -> str:
        return self.wording.text

    @property
    def right(self) -> str:
        return self.wording.right

    def read(self, items: Sequence[Item]) -> Reaction:
        numbers = [self.world.product_no(item.product_id) for item in items]
        reading = self.user.read_page(numbers, [item.position for item in items])
        ids = {item.position: item.product_id for item in items}
        return Reaction([Action(a.kind, ids[a.position], a.position) for a in reading.actions], reading.turn_page)
