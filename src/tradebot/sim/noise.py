"""Random numbers by position: every value is a pure function of a key and a counter.

Only integer arithmetic and IEEE + − × ÷ are used, and sums run in a fixed order, so that values
are the same bytes on every CPU and for every range that they are asked in (numpy's exp, log and
sin differ between SIMD variants in the last bit, and its float sums with the shape of the array).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Protocol, TypeAlias

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
_LANE = np.uint64(16)
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


def lane(words: Bits, index: int) -> Small:
    """Uniform integers 0…65535: one of the four 16-bit lanes of each word."""
    # A lane is two bytes in a row, whose place in the word depends on the machine.
    lanes = np.ascontiguousarray(words).astype("<u8", copy=False).view("<u2")
    return lanes[..., index::4].astype(np.int32)


def shocks(words: Bits) -> Small:
    """Nearly normal integers of mean 0 and standard deviation `DEVIATION`, so that sums are exact."""
    pairs = words & _LANES
    pairs += np.bitwise_and(np.right_shift(words, _LANE), _LANES)
    halves = pairs.view(np.int32)
    sums: Small = halves[..., ::2] + halves[..., 1::2]
    sums -= MEAN
    return sums


def normals(stream: Stream, counter: Times) -> Floats:
    """Nearly normal floats of mean 0 and variance 1, within ±3.47."""
    return shocks(bits(stream, counter)) / DEVIATION


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


class Pattern(Protocol):
    """Noise that is made of a few random numbers around each of its integer positions, `index` `(rows, n)`."""

    def counters(self, index: Times) -> Times:
        """Which numbers of its stream it is made of, `(numbers, rows, n)`."""

    def values(self, drawn: Floats, index: Times) -> Floats:
        """What these numbers make, `(rows, n)`."""


def sample(parts: Sequence[tuple[Pattern, Bits, Times]]) -> list[Floats]:
    """Patterns with the keys of their streams `(rows, 1)` at positions `(rows, n)`; all numbers are drawn in one go."""
    counters = [pattern.counters(index) for pattern, _, index in parts]
    ends = list(accumulate(each.size for each in counters))
    counter, stream = np.empty(ends[-1], np.int64), np.empty(ends[-1], np.uint64)
    places = [slice(end - each.size, end) for end, each in zip(ends, counters, strict=True)]
    for (_, keys, _), each, place in zip(parts, counters, places, strict=True):
        counter[place] = each.ravel()
        stream[place].reshape(each.shape)[...] = keys
    drawn = normals(stream, counter)
    return [
        pattern.values(drawn[place].reshape(each.shape), index)
        for (pattern, _, index), each, place in zip(parts, counters, places, strict=True)
    ]


def _octaves(first: int, count: int) -> Times:
    """Octaves draw from disjoint ranges of the counter."""
    return (np.arange(first, first + count, dtype=np.int64) << 40).reshape(-1, 1, 1)


class ValueNoise(Pattern):
    """Octaves of value noise: random numbers every `period`, straight lines between."""

    def __init__(self, octaves: Mapping[int, float]) -> None:
        """The amplitude of each period."""
        self._periods = np.array(list(octaves), np.int64).reshape(-1, 1, 1)
        self._amplitudes = np.array(list(octaves.values())).reshape(-1, 1, 1)
        self._octaves = _octaves(0, len(octaves))

    def counters(self, index: Times) -> Times:
        """The numbers at the left, then those at the right."""
        left = index // self._periods + self._octaves
        return np.concatenate([left, left + 1])

    def values(self, drawn: Floats, index: Times) -> Floats:
        """The sum of the octaves."""
        left, right = drawn[: len(self._periods)], drawn[len(self._periods) :]
        lines = right - left
        lines *= index % self._periods / self._periods
        lines += left
        lines *= self._amplitudes
        return _ordered_sum(lines)


class Wander(Pattern):
    """A Brownian motion of unit steps that never strays for good.

    Lévy's construction (midpoint displacement) between independent knots every 512 steps: exact
    Brownian increments in between, any position without its past.
    """

    _spans = (2 ** np.arange(9, 0, -1, dtype=np.int64)).reshape(-1, 1, 1)
    _heights = np.sqrt(_spans) / 2
    _octaves = _octaves(1, len(_spans))
    _knots = ValueNoise({512: 12.0})

    def counters(self, index: Times) -> Times:
        """The numbers of the knots, then those of the spans."""
        return np.concatenate([self._knots.counters(index), index // self._spans + self._octaves])

    def values(self, drawn: Floats, index: Times) -> Floats:
        """Knots and what is displaced between them."""
        place = index % self._spans
        hat = np.minimum(place, self._spans - place) * 2 / self._spans
        return self._knots.values(drawn[:2], index) + _ordered_sum(drawn[2:] * hat * self._heights)
