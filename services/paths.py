"""The average search as metrics: when each stage begins, how long it takes, what it adds to the whole. Looked at in one search of sixteen,
since walking a waterfall costs more than the rest of the metrics together."""

from collections.abc import Sequence

from services.telemetry import Telemetry
from services.waterfall import AI_STAGES, Interval, Waterfall, critical_path

ONE_IN = 16


class Paths:
    """Counts stages of searches by the names that callers see: `rank.features` is a stage of the ranker. In the event loop only."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry, self._skipped = telemetry, ONE_IN - 1

    def add(self, entries: Sequence[tuple[str, float, float]], seconds: float) -> None:
        """Entries of `Timing`: name, milliseconds, start in milliseconds."""
        self._skipped += 1
        if self._skipped < ONE_IN:
            return
        self._skipped = 0
        count = self._telemetry.count
        count("aisle_path_searches_total")
        for name, dur_ms, start_ms in entries:
            count("aisle_path_seconds_total", name, amount=dur_ms / 1000)
            count("aisle_path_start_seconds_total", name, amount=start_ms / 1000)
            count("aisle_path_stages_total", name)
        intervals = tuple(Interval(name, start_ms, start_ms + dur_ms) for name, dur_ms, start_ms in entries)
        for name, ms in critical_path(Waterfall(seconds * 1000, intervals)).items():
            count("aisle_path_critical_seconds_total", name, "yes" if name in AI_STAGES else "no", amount=ms / 1000)
