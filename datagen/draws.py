"""Random numbers without order: each is a function of (seed, stream, id, index), so any shard draws what the whole would have drawn.

`uniform` and `normal` are vectorised hashes (the finaliser of SplitMix64, Steele, Lea and Flood, OOPSLA 2014, applied twice); a
`Stream` hands them out one by one for what needs a sequence, such as the wording of a query.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@lru_cache(maxsize=4096)
def key(seed: int, stream: str) -> np.uint64:
    """64 bits that belong to one stream of one seed."""
    return np.uint64(int.from_bytes(hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest(), "little"))


def bits(seed: int, stream: str, ids: npt.ArrayLike, index: npt.ArrayLike = 0) -> npt.NDArray[np.uint64]:
    """uint64 per id; `ids` and `index` are non-negative and broadcast against each other."""
    with np.errstate(over="ignore"):
        first = _mix(np.asarray(ids, np.uint64) * _GOLDEN + key(seed, stream))
        return _mix(first + np.asarray(index, np.uint64) * _GOLDEN + _GOLDEN)


def uniform(seed: int, stream: str, ids: npt.ArrayLike, index: npt.ArrayLike = 0) -> Floats:
    """float64 in [0, 1) per id."""
    return (bits(seed, stream, ids, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(seed: int, stream: str, ids: npt.ArrayLike, index: npt.ArrayLike = 0) -> Floats:
    """Standard normal per id (Box-Muller on the two halves of one hash, 32 bits each)."""
    drawn = bits(seed, stream, ids, index)
    radius = np.sqrt(-2.0 * np.log(((drawn >> np.uint64(32)).astype(np.float64) + 0.5) * 2.0**-32))
    angle = (drawn & np.uint64(0xFFFFFFFF)).astype(np.float64) * (2.0 * np.pi * 2.0**-32)
    return np.asarray(radius * np.cos(angle))


class Dice(Protocol):
    """Where single random numbers come from: `Stream`, or a NumPy generator."""

    def random(self) -> float: ...

    def integers(self, low: int, high: int | None = None) -> int: ...


class Stream:
    """The numbers of one (seed, stream, id) in order; cheaper to make and to ask than a NumPy generator."""

    __slots__ = ("_at", "_block", "_drawn", "_more")

    def __init__(self, more: Callable[[int], list[float]], drawn: list[float] | None = None) -> None:
        """`more(b)` gives the b-th block of uniform numbers; `drawn` is block 0 when it is at hand."""
        self._more, self._block, self._at = more, 0, 0
        self._drawn = more(0) if drawn is None else drawn

    def random(self) -> float:
        if self._at == len(self._drawn):
            self._block, self._at = self._block + 1, 0
            self._drawn = self._more(self._block)
        self._at += 1
        return self._drawn[self._at - 1]

    def integers(self, low: int, high: int | None = None) -> int:
        """From low to high - 1; from 0 to low - 1 when `high` is not given."""
        first, count = (0, low) if high is None else (low, high - low)
        return first + int(self.random() * count)


BLOCK = 24
"""Numbers that a stream draws at once: most queries are said with fewer."""


def streams(seed: int, name: str, ids: npt.NDArray[np.uint64]) -> list[Stream]:
    """One stream for each id."""
    blocks = uniform(seed, name, ids[:, None], np.arange(BLOCK)).tolist()
    return [Stream(_further(seed, name, i), block) for i, block in zip(ids.tolist(), blocks, strict=True)]


def _further(seed: int, name: str, id_: int) -> Callable[[int], list[float]]:
    return lambda block: uniform(seed, name, np.uint64(id_), np.arange(block * BLOCK, (block + 1) * BLOCK)).tolist()


def choose(cumulative: Floats, u: Floats) -> npt.NDArray[np.intp]:
    """Per row the first column whose cumulative share exceeds u; shapes [n, k] (or [k]) and [n]."""
    if cumulative.ndim == 1:
        found = np.searchsorted(cumulative, u * cumulative[-1], side="right")
    else:
        found = (cumulative <= (u * cumulative[:, -1])[:, None]).sum(axis=1)
    return np.asarray(np.minimum(found, cumulative.shape[-1] - 1), np.intp)


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
