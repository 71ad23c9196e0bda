"""Releases without a network, whatever serves the others: one feature is the score."""

from collections.abc import Sequence

import numpy as np

from services.contracts import Category
from services.errors import ConfigurationError
from services.models.port import F32, UNKNOWN, VECTOR_SIZE, Events, Preferences, ReleaseFacts, neutral


class Baseline:
    """Strategies without a network: one feature is the score, and every user is neutral."""

    def __init__(self, version: int, facts: ReleaseFacts) -> None:
        self.version, self.facts, self.strategy = version, facts, facts.strategy
        if facts.score_feature not in facts.features:
            raise ConfigurationError(f"release {version}: score feature {facts.score_feature!r} is not one of {', '.join(facts.features)}")
        self.vocabulary = [UNKNOWN]
        self.property_vectors: F32 = np.zeros((1, VECTOR_SIZE), np.float32)
        self._column = facts.features.index(facts.score_feature)
        self._nothing = neutral(1, len(facts.features), VECTOR_SIZE)

    def encode(self, events: Events) -> F32:
        return np.zeros((len(events), 1), np.float32)

    def preference(self, behaviour: Events | F32, categories: Sequence[Category]) -> Preferences:
        return self._nothing

    def rank(self, features: F32, weights: F32, vector: F32) -> F32:
        return features[:, self._column]

    def ping(self) -> None: ...

    def close(self) -> None: ...
