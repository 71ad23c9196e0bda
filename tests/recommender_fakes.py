"""Doubles of the recommender's ports: a user graph in memory (held to the same contract suite as Ladybug) and a preference model."""

from collections.abc import Iterable, Sequence

import numpy as np

from recommender.graph.port import Behaved, Change, Expired, GraphCatalogue, Projected
from services.contracts import Category, Strategy, UserEvent
from services.eventlog.port import LogRecord, RecordKind
from services.models.port import F32, MAX_STEPS, Events, Preferences, ReleaseFacts


class MemoryGraph:
    """Edges in a dictionary: user -> (kind, product, event id) -> behaviour."""

    def __init__(self) -> None:
        self.edges: dict[str, dict[tuple[str, int, str], UserEvent]] = {}
        self.products: set[int] = set()
        self.reads = 0
        self._position = 0

    def recent(self, user: str, limit: int) -> list[UserEvent]:
        self.reads += 1
        ordered = sorted(self.edges.get(user, {}).values(), key=lambda e: (e.ts_ms, e.event_id))
        return ordered[-limit:]

    def load(self, catalogue: GraphCatalogue) -> None:
        self.products |= set(catalogue.product_no.tolist())

    def project(self, changes: Iterable[Change], position: int) -> Projected:
        done = Projected()
        for change in changes:
            if change.offset <= self._position:
                continue
            done += self._apply(change)
        self._position = max(self._position, position)
        return done

    def _apply(self, change: Change) -> Projected:
        if isinstance(change, Expired):
            for edges in self.edges.values():
                for key in [key for key, event in edges.items() if event.ts_ms < change.before_ms]:
                    del edges[key]
            return Projected()
        if not isinstance(change, Behaved):
            self.edges.pop(change.user, None)
            return Projected(forgotten=1)
        if change.product_no not in self.products:
            return Projected(unknown_products=1)
        event = UserEvent(change.event_id, change.kind, change.product_no, change.ts_ms)
        self.edges.setdefault(change.user, {}).setdefault((change.kind, change.product_no, change.event_id), event)
        return Projected(behaviours=1)

    def position(self) -> int:
        return self._position

    def ping(self) -> None: ...

    def close(self) -> None: ...


class MemoryLog:
    """A log reader over a list."""

    def __init__(self, records: Sequence[LogRecord] = ()) -> None:
        self.records = list(records)

    def read(self, after: int, limit: int, kinds: Sequence[RecordKind] | None = None) -> list[LogRecord]:
        return [r for r in self.records if r.offset > after and (kinds is None or r.kind in kinds)][:limit]

    def end(self) -> int:
        return self.records[-1].offset if self.records else 0

    def ping(self) -> None: ...

    def close(self) -> None: ...


class CountingModel:
    """A "network" whose scores count the values of the behaviours, and which counts its own calls."""

    def __init__(self, version: int, vocabulary: list[str], strategy: Strategy = "network") -> None:
        self.version, self.vocabulary, self.strategy = version, vocabulary, strategy
        self.facts = ReleaseFacts(strategy=strategy, features=["bm25"], feature_schema="", code_version="", reason="a test")
        self.property_vectors: F32 = np.zeros((len(vocabulary), 2), np.float32)
        self.encoded = 0

    def encode(self, events: Events) -> F32:
        self.encoded += 1
        assert len(events) <= MAX_STEPS
        states = np.zeros((len(events), len(self.vocabulary)), np.float32)
        for row, properties in enumerate(events.properties):
            states[row, properties] += 1
        return states

    def preference(self, behaviour: Events | F32, categories: Sequence[Category]) -> Preferences:
        states = self.encode(behaviour) if isinstance(behaviour, Events) else behaviour
        scores = states.sum(axis=0, dtype=np.float32)
        scores[0] = 0
        return Preferences(scores, np.zeros(1, np.float32), np.full(2, len(states), np.float32))

    def rank(self, features: F32, weights: F32, vector: F32) -> F32:
        return features[:, 0]

    def ping(self) -> None: ...

    def close(self) -> None: ...
