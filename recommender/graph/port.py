"""What a user graph can do.

(:User {key})-[:VIEWED|CLICKED|CARTED|BOUGHT {event_id, kind, ts}]->(:Product {no})-[:IN]->(:Category {id})
(:Product)-[:OF]->(:Brand {name})
(:Position {partition, offset}): how far the log is projected, written in the same transaction as the edges
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from services.contracts import EventKind, UserEvent


class Behaved(Struct, frozen=True):
    """A behaviour at an offset of the log."""

    offset: int
    user: str
    event_id: str
    kind: EventKind
    product_no: int
    ts_ms: int


class Forgotten(Struct, frozen=True):
    """All of the user's behaviours at smaller offsets are to be gone."""

    offset: int
    user: str


class Expired(Struct, frozen=True):
    """All behaviours before this moment that stand at smaller offsets are to be gone."""

    offset: int
    before_ms: int


Change = Behaved | Forgotten | Expired


@dataclass(frozen=True, slots=True)
class Projected:
    """What a projection did: behaviours taken (known before or not), behaviours of unknown products skipped, users removed."""

    behaviours: int = 0
    unknown_products: int = 0
    forgotten: int = 0

    def __add__(self, other: "Projected") -> "Projected":
        return Projected(
            self.behaviours + other.behaviours, self.unknown_products + other.unknown_products, self.forgotten + other.forgotten
        )


@dataclass(frozen=True, slots=True)
class GraphCatalogue:
    """What the graph knows of a generation: product_no int64[n], category_id int64[n] (-1 none), brand[n] ("" none)."""

    generation: int
    product_no: npt.NDArray[np.int64]
    category_id: npt.NDArray[np.int64]
    brand: list[str]


class UserGraph(Protocol):
    """Reads may come from several threads; `load` and `project` from one at a time. Failures are errors.Unavailable."""

    def recent(self, user: str, limit: int) -> list[UserEvent]:
        """The newest `limit` behaviours by (ts, event_id), oldest first; [] for an unknown user."""

    def load(self, catalogue: GraphCatalogue) -> None:
        """Products, categories and brands of a generation. Products that it no longer has stay, for the behaviours towards them."""

    def project(self, changes: Iterable[Change], position: int) -> Projected:
        """Apply changes (offsets ascending, none above `position`) and move to `position`. Idempotent: what lies at or below the present
        position is skipped, and a behaviour is one edge however often it comes (user, kind, product and event id name it)."""

    def position(self) -> int:
        """Offset of the log up to which everything is in the graph; 0: nothing."""

    def ping(self) -> None: ...

    def close(self) -> None: ...
