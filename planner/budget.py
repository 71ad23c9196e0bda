"""How the time of one search is shared out, so that the planner degrades before it is late. Pure; all times in milliseconds.

A fifth of what a search arrived with is kept for ranking and fetch: analysis, retrieval and preferences have to be back before it. Of
the time before it, analysis may take at most half, so that retrieval with unanalysed terms still has a chance.
"""

from dataclasses import dataclass

RESERVED = 0.2
"""Share of the whole time that is kept for ranking and fetch."""
FETCH_SHARE = 0.4
"""Share of that reserve that ranking leaves for the fetch."""


@dataclass(frozen=True, slots=True)
class Budget:
    """`total_ms` is what was left when the search started; the methods take what is left now and give 0 or more, never more than that."""

    total_ms: float

    def analyse_ms(self, remaining_ms: float) -> float:
        return self.before_ranking_ms(remaining_ms) / 2

    def before_ranking_ms(self, remaining_ms: float) -> float:
        """For retrieval and preferences, which run side by side."""
        return _left(remaining_ms, self.total_ms * RESERVED)

    def rank_ms(self, remaining_ms: float) -> float:
        return _left(remaining_ms, self.total_ms * RESERVED * FETCH_SHARE)


def _left(remaining_ms: float, kept_ms: float) -> float:
    return max(0.0, remaining_ms - max(0.0, kept_ms))
