"""One request being served: what a handler can ask of it."""

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from services.timing import Deadline, Timing

T = TypeVar("T")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")


class Call:
    """Deadline, timing and trace of one request, and the thread pool in which it may block."""

    __slots__ = ("_pool", "deadline", "headers", "operator", "timing", "traceparent")

    def __init__(
        self,
        *,
        deadline: Deadline,
        timing: Timing | None = None,
        operator: bool = False,
        headers: Mapping[str, str] | None = None,
        pool: ThreadPoolExecutor | None = None,
        sampled: bool = False,
    ) -> None:
        self.deadline = deadline
        self.timing = timing or Timing()
        self.operator = operator
        self.headers = headers or {}
        self.traceparent = child_trace(self.headers.get("traceparent", ""), sampled=sampled)
        self._pool = pool

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Run a blocking engine call in the service's bounded thread pool; refused when the deadline has passed (before or in the queue)."""
        self.deadline.check()
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.deadline.run, function, *args)


def child_trace(traceparent: str, *, sampled: bool = False) -> str:
    """W3C traceparent of the calls made from here: the caller's trace id (or a new one) with a span id of our own. `sampled` decides for a
    caller who did not say."""
    known = _TRACEPARENT.fullmatch(traceparent)
    trace, flags = (known[1], known[2]) if known else (secrets.token_hex(16), "01" if sampled else "00")
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}"
