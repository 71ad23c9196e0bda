"""Which generation is ranked with which release: every pair of what is loaded, bound when it is first needed."""

import threading
from dataclasses import dataclass

from services.artifacts import Served
from services.errors import VersionGone
from services.features import Binding
from services.forward import ForwardIndex
from services.models.port import Model


@dataclass(frozen=True, slots=True)
class Pair:
    generation: int
    index: ForwardIndex
    release: int
    model: Model
    binding: Binding


class Pairs:
    """At most (generations kept) x (releases kept) bindings; those of versions that are no longer loaded are dropped with the next one made."""

    def __init__(self, generations: Served[ForwardIndex], releases: Served[Model]) -> None:
        self._generations, self._releases = generations, releases
        self._pairs: dict[tuple[int, int], Pair] = {}
        self._lock = threading.Lock()

    def ready(self, generation: int | None, release: int | None) -> Pair | None:
        """The pair asked for (None: the current version) when it is bound already; never blocks.

        Raises VersionGone when one of the two is not loaded (any more).
        """
        (g, index), (r, model) = self._generations.get(generation), self._releases.get(release)
        pair = self._pairs.get((g, r))
        return pair if pair is not None and pair.index is index and pair.model is model else None

    def bind(self, generation: int | None = None, release: int | None = None) -> Pair:
        """The same, bound if need be: takes time in proportion to the catalogue."""
        with self._lock:
            if (pair := self.ready(generation, release)) is not None:
                return pair
            (g, index), (r, model) = self._generations.get(generation), self._releases.get(release)
            pair = Pair(g, index, r, model, Binding(index, model.vocabulary, model.property_vectors))
            served = {(g, r) for g in self._generations.loaded for r in self._releases.loaded}
            self._pairs = {key: known for key, known in self._pairs.items() if key in served} | {(g, r): pair}
            return pair

    def bind_current(self) -> None:
        """Bind what the next request will most likely ask for, so that it does not wait; nothing when one of the two is missing still."""
        if self._generations.current is not None and self._releases.current is not None:
            try:
                self.bind()
            except VersionGone:  # moved on in this very moment: the next refresh binds the newer one
                return
