"""Every fall-back is counted and logged; the answer names it."""

import logging
import time

from planner.degrade import ANALYSIS, PREFERENCES, RANKING
from services.catalogue import TIERS
from services.errors import AisleError
from services.telemetry import Telemetry

LOG_EVERY_S = 1.0

log = logging.getLogger("aisle")


class Fallbacks:
    """Counts every fall-back and logs it, at most once a second for each reason, with the number that were not logged."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        for reason in (ANALYSIS, PREFERENCES, RANKING, *(f"tier:{tier}" for tier in TIERS)):
            telemetry.count("aisle_degraded_total", reason, amount=0)
        self._logged: dict[str, tuple[float, int]] = {}

    def note(self, reason: str, error: AisleError | None = None) -> str:
        """Returns the reason, for the answer's `degraded`."""
        self._telemetry.count("aisle_degraded_total", reason)
        now = time.monotonic()
        last, silent = self._logged.get(reason, (-LOG_EVERY_S, 0))
        if now - last < LOG_EVERY_S:
            self._logged[reason] = (last, silent + 1)
            return reason
        self._logged[reason] = (now, 0)
        log.warning(
            "answered without %s: %s (%d more since the last such line)", reason, error.detail if error else "not available", silent
        )
        return reason
