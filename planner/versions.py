"""Which generation a query is pinned to, and the second try when a service does not have it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from services.errors import Unavailable, VersionGone

T = TypeVar("T")


def to_try(preferred: int | None, current: int | None, loaded: Sequence[int]) -> list[int]:
    """At most two generations, in order: the preferred one if the planner has it, then the current one, then the one before it. Pure.

    The one before it: while a new generation arrives, services notice it a moment apart, and all of them still have the old one.
    """
    wanted = [preferred, current, *reversed(loaded)]
    return list(dict.fromkeys(g for g in wanted if g is not None and g in loaded))[:2]


async def pinned(generations: Sequence[int], attempt: Callable[[int], Awaitable[T]]) -> T:
    """The attempt with the first generation that all services have. Raises Unavailable when there is none."""
    gone: VersionGone | None = None
    for generation in generations:
        try:
            return await attempt(generation)
        except VersionGone as error:
            gone = error
    raise Unavailable(
        f"the services have no generation in common just now ({gone.detail})" if gone else "no generation is served; run `aisle build`"
    )
