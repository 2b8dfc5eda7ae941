"""Random draws as functions of (seed, purpose, step, image), so that no generator state is ever stored.

In: a seed, a purpose in words, a counter (step or epoch) and image ids. Out: keys, uniform numbers, permutations. The
same arguments give the same numbers on every machine, in any order of asking, alone or in company.
Does NOT cover: cryptography, and what torch draws inside a network (`training.loop` seeds that per step).
Source: SplitMix64 (Steele, Lea, Flood 2014, doi 10.1145/2660193.2660195), used as a counter-based generator.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def key(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit number that stands for a seed and a purpose; unlike purposes give unrelated numbers."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (int(seed), *purpose))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def uniform(
    seed: int, purpose: str, step: int | npt.ArrayLike, ids: npt.ArrayLike, count: int
) -> npt.NDArray[np.float64]:
    """Draw `count` numbers in [0, 1) for every image id, (N, count).

    `step` is one counter for all images or one per image. Row n depends on (seed, purpose, step n, id n) only.
    """
    counters = np.broadcast_to(np.asarray(step, dtype=np.uint64), np.shape(np.asarray(ids)))
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is what a hash wants
        rows = _mix(_mix(np.asarray(ids, dtype=np.uint64) ^ np.uint64(key(seed, purpose))) + counters * _GOLDEN)
        grid = _mix(rows[:, None] + np.arange(1, count + 1, dtype=np.uint64)[None, :] * _GOLDEN)
    return (grid >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, purpose: str, step: int, n: int) -> npt.NDArray[np.int64]:
    """Draw an order of 0..n-1."""
    return order(seed, purpose, step, np.arange(n, dtype=np.uint64))


def order(seed: int, purpose: str, step: int, ids: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Draw an order of the rows of `ids` that follows the images: permuting `ids` permutes the answer alike.

    Rows with equal ids keep their order, as their images cannot be told apart.
    """
    return np.argsort(uniform(seed, purpose, step, ids, 1)[:, 0], kind="stable")


def _mix(x: Ids) -> Ids:
    x = x + _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))
