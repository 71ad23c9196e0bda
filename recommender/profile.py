"""What a user did lately, as the preference model takes it, and the cache of it. Pure.

The cache must never serve a state that is older than the graph: while a projection is under way its users are *held* (out of the cache,
and nothing may be put in for them), and a read that began before a projection ended cannot be put in after it.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from services.contracts import UserEvent
from services.models.port import F32, I32, KIND_IDS, MAX_STEPS, Events, events_of

BEHAVIOURS = MAX_STEPS + 1
"""Behaviours that are read: one more than the model sees, for the time between the first that it sees and the one before."""
MAX_STATES = 4
"""Encoded states kept per user: of two generations and two releases."""


@dataclass(frozen=True, eq=False, slots=True)
class Profile:
    """Behaviours oldest first as columns: product_no int64[k], kinds int32[k] (KIND_IDS), ts_ms int64[k]."""

    event_ids: tuple[str, ...]
    product_no: npt.NDArray[np.int64]
    kinds: I32
    ts_ms: npt.NDArray[np.int64]
    states: dict[tuple[int, int], F32] = field(default_factory=dict)
    """(generation, release) -> what the release's `encode` gave for these behaviours."""

    @staticmethod
    def of(events: Sequence[UserEvent]) -> "Profile":
        return Profile(
            tuple(e.event_id for e in events),
            np.array([e.product_no for e in events], np.int64),
            np.array([KIND_IDS[e.kind] for e in events], np.int32),
            np.array([e.ts_ms for e in events], np.int64),
        )

    def __len__(self) -> int:
        return len(self.event_ids)

    def with_pending(self, pending: Sequence[UserEvent]) -> "Profile":
        """Merged with acknowledged behaviours that the graph may not have yet, each event id once, by (ts, event id), the newest BEHAVIOURS;
        this very profile when nothing is new."""
        known = set(self.event_ids)
        new = Profile.of(list({e.event_id: e for e in pending if e.event_id not in known}.values()))
        if not len(new):
            return self
        ids = self.event_ids + new.event_ids
        times = np.concatenate([self.ts_ms, new.ts_ms])
        order = np.array(sorted(range(len(ids)), key=lambda i: (times[i], ids[i]))[-BEHAVIOURS:], np.intp)
        numbers, kinds = np.concatenate([self.product_no, new.product_no]), np.concatenate([self.kinds, new.kinds])
        return Profile(tuple(ids[i] for i in order), numbers[order], kinds[order], times[order])

    def events(self, columns: I32) -> Events:
        """For the model. `columns` int32[size, P]: properties as values of the release's vocabulary; products past them are left out."""
        known = self.product_no < len(columns)
        if known.all():
            return events_of(columns, self.product_no, self.kinds, self.ts_ms)
        return events_of(columns, self.product_no[known], self.kinds[known], self.ts_ms[known])

    def keep(self, key: tuple[int, int], states: F32) -> None:
        """Remember encoded states; the oldest go when there are more than MAX_STATES."""
        while len(self.states) >= MAX_STATES:
            self.states.pop(next(iter(self.states)), None)
        self.states[key] = states


class ProfileCache:
    """User -> profile, the least recently used go first. Safe in threads."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._profiles: OrderedDict[str, Profile] = OrderedDict()
        self._held: Collection[str] | None = ()  # None: everybody
        self._epoch = 0
        self._lock = threading.Lock()

    @property
    def epoch(self) -> int:
        """Take it before reading the graph, and hand it to `put`."""
        return self._epoch

    def __len__(self) -> int:
        return len(self._profiles)

    def get(self, user: str) -> Profile | None:
        with self._lock:
            profile = self._profiles.get(user)
            if profile is not None:
                self._profiles.move_to_end(user)
            return profile

    def put(self, user: str, profile: Profile, epoch: int) -> bool:
        """False, and nothing is kept, when a projection began or ended since `epoch`, or the user's is under way."""
        with self._lock:
            if epoch != self._epoch or self._held is None or user in self._held:
                return False
            self._profiles[user] = profile
            self._profiles.move_to_end(user)
            while len(self._profiles) > self._capacity:
                self._profiles.popitem(last=False)
            return True

    def hold(self, users: Collection[str] | None) -> None:
        """Before a projection writes: these users (None: everybody) leave the cache and stay out of it."""
        with self._lock:
            self._held = users
            self._epoch += 1
            if users is None:
                self._profiles.clear()
            for user in users or ():
                self._profiles.pop(user, None)

    def release(self) -> None:
        """After it has written (or failed)."""
        with self._lock:
            self._held = ()
            self._epoch += 1
