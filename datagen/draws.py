"""Random numbers without order: each is a function of (seed, stream, id, index), so any shard draws what the whole would have drawn.

`uniform` and `normal` are vectorised hashes (the finaliser of SplitMix64, Steele, Lea and Flood, OOPSLA 2014, applied twice);
`generator` is a counter-based Philox for what needs a sequence, such as one shopping session.
"""

import hashlib
from functools import lru_cache

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


def generator(seed: int, stream: str, entity: int, number: int = 0) -> np.random.Generator:
    """A sequence of its own for one thing: an entity's `number`-th session, say."""
    return np.random.Generator(np.random.Philox(key=[int(key(seed, stream)), entity], counter=[0, 0, number, 0]))


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
