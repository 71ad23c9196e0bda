"""What has just started is slow: a JVM, or a model server, needs tenths of a second for a question that takes it milliseconds later. So the first
questions are asked by the service that needs the answers, before it says that it is ready (or takes over a new version)."""

import logging
import time
from collections.abc import Callable

from services.errors import AisleError

IN_A_ROW = 10
LIMIT_S = 15.0
PAUSE_S = 0.1
log = logging.getLogger("aisle")


def warm(what: str, ask: Callable[[int], object], quick_s: float, *, limit_s: float = LIMIT_S) -> bool:
    """Ask until ten answers in a row took no longer than `quick_s`; False when they did not within `limit_s`.

    `ask` is given 0, 1, 2, ..., so that questions can differ. What fails with an AisleError counts as slow: readiness tells of it, not this.
    """
    began, quick = time.perf_counter(), 0
    number = 0
    while True:
        asked = time.perf_counter()
        try:
            ask(number)
        except AisleError:
            time.sleep(PAUSE_S)
            quick = 0
        else:
            quick = quick + 1 if time.perf_counter() - asked <= quick_s else 0
        number += 1
        took_s = time.perf_counter() - began
        if quick == IN_A_ROW:
            log.debug("%s: warm after %d questions, %.1f s", what, number, took_s)
            return True
        if took_s >= limit_s:
            log.warning("%s: still slower than %.0f ms after %d questions, %.0f s", what, quick_s * 1000, number, took_s)
            return False
