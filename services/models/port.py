"""What a served release can do. Recommender and ranker call it; adapters sit beside this file (`onnx.py`, `tfserving.py`).

Sizes, everywhere: A attribute values of the release's vocabulary (0 is "<unknown>"), D the user vector, F the ranking features, H a
behaviour's state, P the properties of a product (`services.features.PROPERTIES`), T behaviours of a user (at most MAX_STEPS), n candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from services.artifacts import Manifest
from services.contracts import EVENT_KINDS, Category, Strategy

F32 = npt.NDArray[np.float32]
I32 = npt.NDArray[np.int32]

MAX_STEPS = 50
"""Behaviours that the network sees: the newest of a user."""
VECTOR_SIZE = 32
"""D of the releases that this code makes."""
QUERY_CATEGORIES = 3
"""Predicted categories of a query that the network looks at."""
UNKNOWN = "<unknown>"
"""Value 0 of every vocabulary: neutral, its vector is zero."""
KIND_IDS: dict[str, int] = {kind: number for number, kind in enumerate(EVENT_KINDS, start=1)}
"""How `Events.kinds` are numbered: view 1, click 2, cart 3, purchase 4; 0 is padding."""
ASSETS = "assets.extra"
"""Where a release keeps our files beside TF Serving's (`saved_model.pb`, `variables/`)."""


@dataclass(frozen=True, slots=True)
class Events:
    """Behaviours of one user, oldest first: properties int32[T, P] (vocabulary values), kinds int32[T] (KIND_IDS), gaps float32[T]
    (log1p of the seconds since the behaviour before it, 0 for the first)."""

    properties: I32
    kinds: I32
    gaps: F32

    def __len__(self) -> int:
        return len(self.kinds)


def events_of(columns: I32, product_no: npt.NDArray[Any], kinds: npt.NDArray[Any], ts_ms: npt.NDArray[np.int64]) -> Events:
    """Events from behaviours oldest first (any number; the newest MAX_STEPS count).

    columns int32[size, P]: properties of every product as values of the release's vocabulary (`features.Binding.columns`);
    product_no[k], each below `size`; kinds[k] as in KIND_IDS; ts_ms int64[k].
    """
    times = ts_ms[-MAX_STEPS - 1 :]
    gaps = np.log1p(np.diff(times, prepend=times[:1]).clip(min=0) / 1000.0).astype(np.float32)[-MAX_STEPS:]
    return Events(columns[product_no[-MAX_STEPS:]].astype(np.int32, copy=False), kinds[-MAX_STEPS:].astype(np.int32, copy=False), gaps)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What is known of a user for one query; zeros are neutral. scores float32[A], weights float32[F] (added to the release's global
    ranking weights), vector float32[D]."""

    scores: F32
    weights: F32
    vector: F32


def neutral(values: int, features: int, size: int) -> Preferences:
    """Preferences of somebody unknown: zeros[A], zeros[F], zeros[D], not writeable (all calls share them)."""
    arrays = [np.zeros(n, np.float32) for n in (values, features, size)]
    for array in arrays:
        array.flags.writeable = False
    return Preferences(*arrays)


def inputs_of(events: Events) -> dict[str, npt.NDArray[Any]]:
    """The network's inputs for the behaviours of one user."""
    return {"properties": events.properties, "kinds": events.kinds, "gaps": events.gaps}


def query_of(values: Mapping[str, int], categories: Sequence[Category]) -> dict[str, npt.NDArray[Any]]:
    """The network's inputs for a query: its categories as values of the vocabulary int32[3], and their probabilities float32[3].
    values: number of each value of the vocabulary."""
    numbers, probabilities = np.zeros(QUERY_CATEGORIES, np.int32), np.zeros(QUERY_CATEGORIES, np.float32)
    for row, category in enumerate(categories[:QUERY_CATEGORIES]):
        numbers[row], probabilities[row] = values.get(f"category:{category.id}", 0), category.probability
    return {"categories": numbers, "probabilities": probabilities}


class Model(Protocol):
    """One loaded release. All methods may be called from several threads at once."""

    version: int
    strategy: Strategy
    facts: "ReleaseFacts"
    vocabulary: list[str]  # length A
    property_vectors: F32  # [A, D]

    def encode(self, events: Events) -> F32:
        """States float32[T, H] of the behaviours, which the caller may keep and extend no further: one new behaviour, one new call."""

    def preference(self, behaviour: Events | F32, categories: Sequence[Category]) -> Preferences:
        """Preferences for a query of these categories, from events or from the states that `encode` gave; no behaviours: all zeros."""

    def rank(self, features: F32, weights: F32, vector: F32) -> F32:
        """Scores float32[n], higher is better, of features float32[n, F] in the order of `facts.features`. A baseline strategy has no
        network: its scores are the column `facts.score_feature`, unchanged."""

    def ping(self) -> None: ...

    def close(self) -> None: ...


class ReleaseFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts in a release's manifest."""

    strategy: Strategy
    score_feature: str = ""  # baselines: the feature that is the score
    features: list[str]  # names of the F ranking features
    feature_schema: str  # services.features.FEATURE_SCHEMA it was made with
    code_version: str
    reason: str  # why this strategy is shipped, for people
    generation: int | None = None  # catalogue that it was trained on
    first_ms: int | None = None  # data range: first and last record that training saw
    last_ms: int | None = None
    watermark: dict[str, int] = {}  # position of the log up to which records count
    pages: int = 0
    behaviours: int = 0
    users: int = 0
    vocabulary: int = 1  # A
    seed: int = 0
    seconds: float = 0.0  # training, in all
    metrics: dict[str, Any] = {}


def facts_of(manifest: Manifest) -> ReleaseFacts:
    """The manifest's facts as a struct; raises msgspec.ValidationError for a manifest that no release has."""
    return msgspec.json.decode(msgspec.json.encode(manifest.facts), type=ReleaseFacts)
