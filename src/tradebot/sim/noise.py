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
Small: TypeAlias = NDArray[np.int32]
Stream: TypeAlias = Bits | int  # a key, or an array of keys that broadcasts with the counters

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = tuple(np.uint64(shift) for shift in (30, 27, 31))
_WORD = 2**64 - 1
_LANES = np.uint64(0x0000FFFF0000FFFF)
_LANE, _PAIR = np.uint64(16), np.uint64(32)
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


def bits(stream: Stream, counter: Times) -> Bits:
    """64 random bits for each counter (SplitMix64, Steele, Lea & Flood 2014)."""
    x: Bits = counter.astype(np.uint64) * _GOLDEN + np.asarray(stream, np.uint64)
    other = x >> _SHIFTS[0]
    x ^= other
    x *= _MIX[0]
    x ^= np.right_shift(x, _SHIFTS[1], out=other)
    x *= _MIX[1]
    x ^= np.right_shift(x, _SHIFTS[2], out=other)
    return x


def word(stream: int, counter: int) -> int:
    """`bits` of one counter, without an array."""
    x = (counter * int(_GOLDEN) + stream) & _WORD
    for shift, factor in zip((30, 27), _MIX, strict=True):
        x = ((x ^ (x >> shift)) * int(factor)) & _WORD
    return x ^ (x >> 31)


def _lane(words: Bits, index: int) -> NDArray[np.uint16]:
    # A lane is two bytes in a row, whose place in the word depends on the machine.
    return np.ascontiguousarray(words).astype("<u8", copy=False).view("<u2")[..., index::4]


def lane(words: Bits, index: int) -> Small:
    """Uniform integers 0…65535: one of the four 16-bit lanes of each word."""
    return _lane(words, index).astype(np.int32)


def fraction(words: Bits, index: int) -> Floats:
    """`lane` / 65536, exactly."""
    return np.multiply(_lane(words, index), 1 / 65536, dtype=np.float64)


def shocks(stream: Stream, counter: Times) -> Small:
    """Nearly normal integers of mean 0 and standard deviation `DEVIATION`, so that sums are exact."""
    words = bits(stream, counter)
    pairs = words & _LANES
    words >>= _LANE
    words &= _LANES
    pairs += words
    pairs += np.right_shift(pairs, _PAIR, out=words)
    sums = pairs.astype(np.uint32).astype(np.int32)  # the lower half of each word
    sums -= MEAN
    return sums


def normals(stream: Stream, counter: Times) -> Floats:
    """Nearly normal floats of mean 0 and variance 1, within ±3.47."""
    return shocks(stream, counter) / DEVIATION


def exp2(x: Floats) -> Floats:
    """2^x to about 1e-12, by Taylor's polynomial around the nearest integer."""
    whole = np.rint(x)
    part = x - whole
    value = part * _EXP2[0]
    value += _EXP2[1]
    for coefficient in _EXP2[2:]:
        value *= part
        value += coefficient
    scaled: Floats = np.ldexp(value, whole.astype(np.int32))
    return scaled


def _ordered_sum(rows: Floats) -> Floats:
    """Sum over the first axis, always in the same order."""
    total: Floats = rows[0].copy()
    for row in rows[1:]:
        total += row
    return total


def value_noise(stream: Stream, index: Times, periods: Times, amplitudes: Floats) -> Floats:
    """Octaves of value noise at integer positions: random numbers every `period`, straight lines between.

    `index` may have any shape and `stream` one that broadcasts with it.
    """
    octaves = (-1, *(1 for _ in index.shape))
    column = periods.reshape(octaves)
    cell, place = np.divmod(index[None], column)
    # Octaves draw from disjoint ranges of the counter.
    counter = cell + (np.arange(len(periods), dtype=np.int64) << 40).reshape(octaves)
    left, right = normals(stream, np.stack([counter, counter + 1]))
    return _ordered_sum((left + (right - left) * (place / column)) * amplitudes.reshape(octaves))


_SPANS = 2 ** np.arange(9, 0, -1, dtype=np.int64)
_KNOT = 12.0


def wander(stream: Stream, index: Times) -> Floats:
    """A Brownian motion of unit steps at integer positions that never strays for good.

    Lévy's construction (midpoint displacement) between independent knots every 512 steps: exact
    Brownian increments in between, any position without its past. Shapes as for `value_noise`.
    """
    column = _SPANS.reshape(-1, *(1 for _ in index.shape))
    cell, place = np.divmod(index[None], column)
    hat = np.minimum(place, column - place) * 2 / column
    counter = cell + (np.arange(1, len(_SPANS) + 1, dtype=np.int64) << 40).reshape(column.shape)
    bridge = _ordered_sum(normals(stream, counter) * hat * (np.sqrt(column) / 2))
    knots = value_noise(stream, index, _SPANS[:1], np.array([_KNOT]))
    return knots + bridge
