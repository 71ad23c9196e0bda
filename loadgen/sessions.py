"""The shape of search sessions: how many requests, how many different queries, how long between them. Pure.

Fitted to 312 million sessions of Taobao (alibaba/eCommerceSearchBench, Apache-2.0; only these figures are taken over): 10.66 requests and
2.08 distinct queries a session, 21.6 % of the sessions have one request, 80.5 % of the requests turn a page, and the time between requests
follows a Burr XII distribution (10 % up to 3 s, half up to 8 s, 10 % above 44 s; a session ends after 10 minutes of silence).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ONE_REQUEST = 0.2162
LENGTH_A, LENGTH_B, LENGTH_C = 2.73734e-4, 4.44426, 80.6251
"""P(more than n requests) = exp(-A ln(1 + C n)^B), of sessions with more than one."""
MAX_LENGTH = 3000
NEW_QUERY, NEW_QUERY_POWER, NEW_QUERY_ALIKE = 0.3026, -0.3166, 15.49
"""A request of a session of n is a new query with probability NEW_QUERY n^NEW_QUERY_POWER, beta distributed over sessions."""
GAP_SCALE_S, GAP_C, GAP_K = 5.3991, 2.2714, 0.4833
MAX_GAP_S = 600.0


@dataclass(frozen=True, slots=True)
class Sessions:
    """Requests of whole sessions, one session after the other: which session, when, whether it turns the page of the query before."""

    session: npt.NDArray[np.int64]
    at_s: Floats
    turns: npt.NDArray[np.bool_]


def _survival(n: npt.ArrayLike) -> Floats:
    return np.asarray(np.exp(-LENGTH_A * np.log1p(LENGTH_C * np.asarray(n, np.float64)) ** LENGTH_B))


_TAIL = 1 - _survival(np.arange(2, MAX_LENGTH + 1)) / _survival(1)  # cumulative over lengths 2, 3, ...: 24 KB


def lengths(count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """int64[count]: requests of so many sessions."""
    longer = 2 + np.searchsorted(_TAIL, rng.random(count), side="right")
    return np.where(rng.random(count) < ONE_REQUEST, 1, np.minimum(longer, MAX_LENGTH)).astype(np.int64)


def gaps_s(count: int, rng: np.random.Generator) -> Floats:
    """float64[count]: seconds between requests, Burr XII cut at ten minutes (by the inverse of its distribution function)."""
    u = rng.random(count) * (1 - (1 + (MAX_GAP_S / GAP_SCALE_S) ** GAP_C) ** -GAP_K)
    return np.asarray(GAP_SCALE_S * ((1 - u) ** (-1 / GAP_K) - 1) ** (1 / GAP_C))


def sessions(starts_s: Floats, rng: np.random.Generator, *, pace: float = 1.0) -> Sessions:
    """A session for every start; a `pace` of 2 halves every gap."""
    n = lengths(len(starts_s), rng)
    firsts = np.concatenate([[0], np.cumsum(n)[:-1]]) if len(n) else np.zeros(0, np.int64)
    gaps = gaps_s(int(n.sum()), rng) / pace
    gaps[firsts] = 0.0
    since = np.cumsum(gaps)
    mean = NEW_QUERY * n**NEW_QUERY_POWER
    chance = np.repeat(rng.beta(mean * NEW_QUERY_ALIKE, (1 - mean) * NEW_QUERY_ALIKE), n)
    turns = rng.random(len(gaps)) >= chance
    turns[firsts] = False
    return Sessions(np.repeat(np.arange(len(n)), n), since - np.repeat(since[firsts], n) + np.repeat(starts_s, n), turns)
