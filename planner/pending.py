"""Events that the log has acknowledged and the user graph may not know yet: they travel with the user's next /preferences. Pure."""

from collections import OrderedDict
from collections.abc import Sequence

from services.contracts import UserEvent

Waiting = list[tuple[int, UserEvent]]


class Pending:
    """Bounded by users and by events of each; what does not fit is the oldest, and counted by `dropped` (the graph learns it from the
    log all the same, only later). Not thread-safe: it lives in the event loop."""

    def __init__(self, *, max_users: int, max_events: int) -> None:
        self._max_users, self._max_events = max_users, max_events
        self._users: OrderedDict[str, Waiting] = OrderedDict()
        self._projected = 0
        self.dropped = 0

    def add(self, user: str, offset: int, events: Sequence[UserEvent]) -> None:
        """Events of a user that the log holds at or before this offset."""
        if offset <= self._projected or not events:
            return
        waiting = self._users.setdefault(user, [])
        self._users.move_to_end(user)
        waiting.extend((offset, event) for event in events)
        if len(waiting) > self._max_events:
            self.dropped += len(waiting) - self._max_events
            del waiting[: -self._max_events]
        if len(self._users) > self._max_users:
            self.dropped += len(self._users.popitem(last=False)[1])

    def of(self, user: str) -> list[UserEvent]:
        """What still has to travel along, oldest first."""
        waiting = self._users.get(user)
        if waiting is None:
            return []
        left = [pair for pair in waiting if pair[0] > self._projected]
        if left:
            self._users[user] = left
        else:
            del self._users[user]
        return [event for _, event in left]

    def projected(self, offset: int) -> None:
        """The user graph has the log up to this offset."""
        self._projected = max(self._projected, offset)

    def last(self) -> int | None:
        """The offset up to which the graph has to be for nothing to be pending any more; None when that is so."""
        offset = max((waiting[-1][0] for waiting in self._users.values() if waiting), default=0)
        return offset if offset > self._projected else None

    def forget(self, user: str) -> None:
        self._users.pop(user, None)
