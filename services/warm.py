"""What has just started is slow: a JVM, or a model server, needs tenths of a second for a question that takes it milliseconds later. So the first
questions are asked by the service that needs the answers, before it says that it is ready (or takes over a new version)."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from services.errors import AisleError
from services.timing import Deadline

IN_A_ROW = 10
START_S, TAKEOVER_S = 15.0, 2.0
"""How long it is asked at most: by a service that starts, and for a later version, which waits meanwhile, of an engine that is in use."""
PAUSE_S = 0.1
log = logging.getLogger("aisle")


@dataclass
class Warmth:
    """Of one engine (`name`), as one process uses it; its answers are quick when they take no longer than `quick_s`."""

    name: str
    quick_s: float
    _started: bool = False

    def bring(self, ask: Callable[[int], object]) -> bool:
        """Ask until ten answers in a row were quick; False when they were not in time.

        `ask` is given 0, 1, 2, ..., so that questions can differ, and a deadline for its engine calls. What fails with an AisleError counts as slow:
        readiness tells of it, not this.
        """
        limit_s = TAKEOVER_S if self._started else START_S
        self._started = True
        deadline, began = Deadline(limit_s * 1000), time.perf_counter()
        quick, number, last = 0, 0, ""
        while quick < IN_A_ROW:
            asked = time.perf_counter()
            try:
                deadline.run(ask, number)
            except AisleError as error:
                quick, last = 0, f" ({error.detail})"
                time.sleep(PAUSE_S)
            else:
                quick = quick + 1 if time.perf_counter() - asked <= self.quick_s else 0
            number += 1
            if quick < IN_A_ROW and time.perf_counter() - began >= limit_s:
                log.warning("%s: not yet quick after %d questions, %.0f s%s", self.name, number, limit_s, last)
                return False
        log.debug("%s: quick after %d questions, %.1f s", self.name, number, time.perf_counter() - began)
        return True
