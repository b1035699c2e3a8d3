"""Random numbers by position: every value is a pure function of a key and a counter.

Only integer arithmetic and IEEE + − × ÷ are used, and sums run in a fixed order, so that values
are the same bytes on every CPU and for every range that they are asked in (numpy's exp, log and
sin differ between SIMD variants in the last bit, and its float sums with the shape of the array).
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradebot.market.bars import Floats, Times

Bits: TypeAlias = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_LANES = np.uint64(0x0000FFFF0000FFFF)
# Four uniform 16-bit numbers: mean 2·65535, variance 4·(65536² − 1)/12 (Irwin–Hall).
MEAN = 131_070
DEVIATION = 37_837.22722
_EXP2 = (
    1.01780860092397e-07, 1.3215486790144307e-06, 1.5252733804059841e-05, 1.5403530393381608e-04,
    1.3333558146428441e-03, 9.6181291076284770e-03, 5.5504108664821580e-02, 2.4022650695910072e-01,
    6.9314718055994531e-01, 1.0,
)  # fmt: skip


def key(seed: int, *names: str) -> int:
    """A 64-bit key of a seed and a path of names."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{'/'.join(names)}".encode(), digest_size=8).digest(), "big")


def bits(stream: int, counter: Times) -> Bits:
    """64 random bits for each counter (SplitMix64, Steele, Lea & Flood 2014)."""
    x = counter.astype(np.uint64)
    x *= _GOLDEN
    x += np.uint64(stream)
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x


def lane(words: Bits, index: int) -> Times:
    """Uniform integers 0…65535: one of the four 16-bit lanes of each word."""
    return ((words >> np.uint64(16 * index)) & np.uint64(0xFFFF)).astype(np.int64)


def shocks(stream: int, counter: Times) -> Times:
    """Nearly normal integers of mean 0 and standard deviation `DEVIATION`, so that sums are exact."""
    words = bits(stream, counter)
    pairs = (words & _LANES) + ((words >> np.uint64(16)) & _LANES)
    sums: Times = ((pairs + (pairs >> np.uint64(32))) & np.uint64(0xFFFFFFFF)).astype(np.int64)
    return sums - MEAN


def normals(stream: int, counter: Times) -> Floats:
    """Nearly normal floats of mean 0 and variance 1, within ±3.47."""
    return shocks(stream, counter) / DEVIATION


def exp2(x: Floats) -> Floats:
    """2^x to about 1e-12, by Taylor's polynomial around the nearest integer."""
    whole = np.rint(x)
    part = x - whole
    value = np.full_like(part, _EXP2[0])
    for coefficient in _EXP2[1:]:
        value *= part
        value += coefficient
    scaled: Floats = np.ldexp(value, whole.astype(np.int32))
    return scaled


def _ordered_sum(rows: Floats) -> Floats:
    """Sum over the first axis, always in the same order."""
    total: Floats = np.add.accumulate(rows, axis=0)[-1]
    return total


def value_noise(stream: int, index: Times, periods: Times, amplitudes: Floats) -> Floats:
    """Octaves of value noise at integer positions: random numbers every `period`, straight lines between."""
    column = periods[:, None]
    cell, place = np.divmod(index[None, :], column)
    # Octaves draw from disjoint ranges of the counter.
    counter = cell + (np.arange(len(periods), dtype=np.int64) << 40)[:, None]
    left, right = normals(stream, counter), normals(stream, counter + 1)
    return _ordered_sum((left + (right - left) * (place / column)) * amplitudes[:, None])


_SPANS = 2 ** np.arange(9, 0, -1, dtype=np.int64)
_KNOT = 12.0


def wander(stream: int, index: Times) -> Floats:
    """A Brownian motion of unit steps at integer positions that never strays for good.

    Lévy's construction (midpoint displacement) between independent knots every 512 steps: exact
    Brownian increments in between, any position without its past.
    """
    column = _SPANS[:, None]
    cell, place = np.divmod(index[None, :], column)
    hat = np.minimum(place, column - place) * 2 / column
    counter = cell + (np.arange(1, len(_SPANS) + 1, dtype=np.int64) << 40)[:, None]
    bridge = _ordered_sum(normals(stream, counter) * hat * (np.sqrt(column) / 2))
    knots = value_noise(stream, index, _SPANS[:1], np.array([_KNOT]))
    return knots + bridge
