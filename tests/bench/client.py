"""The bench's own client: a number of askers at once, each asks when its last answer came. Its CPU time is not counted."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp

DEADLINE_MS = 10_000
"""Nothing may be left out because this machine is busy: a degraded answer would be a cheaper one."""


@dataclass(slots=True)
class Answers:
    latencies_ms: list[float] = field(default_factory=list)
    timings: list[str] = field(default_factory=list)
    bytes: int = 0
    degraded: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


def ask_all(url: str, bodies: Sequence[bytes], concurrency: int) -> Answers:
    """POST every body once."""
    return asyncio.run(_ask_all(url, bodies, concurrency))


async def _ask_all(url: str, bodies: Sequence[bytes], concurrency: int) -> Answers:
    answers, waiting = Answers(), iter(bodies)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(_asker(session, url, waiting, answers) for _ in range(concurrency)))
    return answers


async def _asker(session: aiohttp.ClientSession, url: str, waiting: Iterator[bytes], answers: Answers) -> None:
    headers = {"content-type": "application/json", "x-deadline-ms": str(DEADLINE_MS)}
    for body in waiting:
        started = time.perf_counter()
        async with session.post(url, data=body, headers=headers) as response:
            content = await response.read()
        answers.latencies_ms.append((time.perf_counter() - started) * 1000)
        answers.timings.append(response.headers.get("server-timing", ""))
        answers.bytes += len(content)
        if response.status != 200:
            answers.failures[f"{response.status} {content[:200]!r}"] += 1
        elif b'"degraded":[]' not in content and b'"degraded":' in content:
            answers.degraded.update(json.loads(content)["degraded"])
