"""How prices and volumes go within an hour: two thousand hours of noise, drawn once, of which every hour takes one.

Whatever an hour of a coin looks like beyond its two ends, its volatility and its activity is told by the number of
its shape; the market has one of its own. Thus minutes cost hardly more than it takes to look them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradebot.market.bars import Floats
from tradebot.sim import noise

NUMBER = 2048
LENGTH = 60  # minutes

Curves: TypeAlias = NDArray[np.float32]

_BURST = noise.ValueNoise({12: 0.6})  # log2 of how lively the market is, from minute to minute
_CALM = 0.896  # takes back what that adds to the standard deviation of the shocks


@dataclass(frozen=True, slots=True)
class Shapes:
    """Of each minute of each shape, `(NUMBER, 60)` float32.

    `bridge` is how far the price is from the straight line between the ends when the minute ends, in standard
    deviations of a minute's move: a Brownian bridge, zero at its end. `upper` and `lower` are how far it goes beyond
    open and close, in the same unit. `lively` is how much is traded, 0.8 in the mean and more with the move,
    `size` how large each trade is (0.5…1.5), and `taken` the share that takers bought, 0.1…0.9, which leans with the
    move.
    """

    bridge: Curves
    upper: Curves
    lower: Curves
    lively: Curves
    size: Curves
    taken: Curves


@cache
def shapes() -> Shapes:
    """The same ones for every seed."""
    place = np.arange(NUMBER * LENGTH, dtype=np.int64).reshape(NUMBER, LENGTH)
    burst = noise.exp2(noise.sample([(_BURST, _stream("burst"), place)])[0])
    shock = noise.normals(_stream("shock"), place) * burst * _CALM
    words = noise.bits(_stream("chance"), place)
    lanes = [noise.lane(words, index) / 65536 for index in range(4)]
    lively = (0.4 + 0.6 * lanes[2] + 1.2 * lanes[2] * lanes[2]) * burst * (0.25 + 0.5 * np.abs(shock))
    share = np.clip(0.5 + 0.08 * shock + 0.3 * (lanes[3] - 0.5), 0.1, 0.9)
    whole = (_bridge(shock), lanes[0] * lanes[0], lanes[1] * lanes[1], lively, 0.5 + lanes[3], share)
    return Shapes(*(each.astype(np.float32) for each in whole))


def _stream(part: str) -> noise.Bits:
    return np.array([[noise.key(0, "shapes", part)]], np.uint64)


def _bridge(shock: Floats) -> Floats:
    walked = np.cumsum(shock, axis=1)
    bridge: Floats = walked - walked[:, -1:] * (np.arange(1, LENGTH + 1) / LENGTH)
    bridge[:, -1] = 0.0
    return bridge
