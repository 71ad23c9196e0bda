"""How far the user graph follows the log, and asking the recommender to follow."""

import asyncio
import time

from planner.pending import Pending
from services.calls import Call
from services.client import ServiceClient
from services.contracts import ProjectAnswer, ProjectRequest
from services.errors import DeadlineExceeded, Overloaded, Unavailable
from services.eventlog.port import PARTITION
from services.telemetry import Telemetry
from services.timing import Deadline

NUDGE_EVERY_S = 0.5
NUDGE_LIMIT_MS = 2000.0


class Projection:
    """Lives in the event loop. Its client has a breaker of its own: a slow projection says nothing about /preferences."""

    def __init__(self, recommender: ServiceClient, pending: Pending, telemetry: Telemetry) -> None:
        self._recommender, self._pending, self._telemetry = recommender, pending, telemetry
        self._nudged_s = 0.0
        self._nudge: asyncio.Task[bool] | None = None

    async def up_to(self, offset: int, call: Call, wait_ms: float) -> bool:
        """Ask for the projection of the log up to this offset; whether it was done within the wait."""
        if wait_ms <= 0:
            return False
        try:
            answer = await self._recommender.post("/project", ProjectRequest({PARTITION: offset}), ProjectAnswer, call, budget_ms=wait_ms)
        except DeadlineExceeded:  # not an error: the events travel along until it is done
            return False
        except (Unavailable, Overloaded):
            self._telemetry.count("aisle_errors_total", "project")
            return False
        reached = answer.position.get(PARTITION, 0)
        self._pending.projected(reached)
        self._telemetry.set("aisle_log_offset", reached, "projected")
        return reached >= offset

    def nudge(self) -> None:
        """Events are still carried along: ask again, beside the path, so that this ends. At most one question at a time, two a second."""
        now = time.monotonic()
        offset = self._pending.last()
        if offset is None or now - self._nudged_s < NUDGE_EVERY_S or (self._nudge is not None and not self._nudge.done()):
            return
        self._nudged_s = now
        self._nudge = asyncio.create_task(self.up_to(offset, Call(deadline=Deadline(NUDGE_LIMIT_MS)), NUDGE_LIMIT_MS))

    async def close(self) -> None:
        if self._nudge is not None:
            self._nudge.cancel()
            await asyncio.gather(self._nudge, return_exceptions=True)
