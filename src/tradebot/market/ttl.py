"""How long an open kline, or a price, stays good enough: a restless market's shorter than a calm one's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tradebot.market.bars import Floats

BLOCK = 20  # bars whose movement counts as the present
BLOCKS = 10  # such stretches that count at all: the present one, and those whose median is normal
CALM = 1e-12  # mean square of returns (a movement of a millionth) that is rounding, not trading


class Bounds(NamedTuple):
    """The shortest and the longest time to live, venue seconds."""

    shortest_s: float
    longest_s: float


def movement(closes: Floats) -> Floats:
    """Mean square of the returns of each stretch of `BLOCK` bars: `(…, bars)` → `(…, stretches)`, newest last.

    The realised variance of Andersen and Bollerslev (1998), without its mean: a steady trend is
    movement too. Bars that fill no stretch are left out at the old end. NaN where a close is NaN or
    not positive.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        returns = np.where(closes[..., :-1] > 0, closes[..., 1:] / closes[..., :-1] - 1.0, np.nan)
    stretches = returns.shape[-1] // BLOCK
    returns = returns[..., returns.shape[-1] - stretches * BLOCK :]
    squares: Floats = np.square(returns).reshape(*returns.shape[:-1], stretches, BLOCK).mean(axis=-1)
    return squares


def open_ttl_s(closes: Floats, bounds: Bounds) -> Floats:
    """Venue seconds after which an open kline is due again: closed bars' `(…, bars)` closes → `(…,)`.

    A price that diffuses moves by a given share in a time that is inverse to its variance. So it is
    the longest time, divided by how many times more than normal the last 20 bars have moved, and never
    below the shortest; a market at its normal or calmer has the longest. Normal is the series' own:
    the median of the nine stretches of 20 bars before, or as many as there are, which single outliers
    do not move. Prices times any factor change nothing.

    A flat series has the longest time. One that was always flat until now, one with a NaN, or with
    fewer than 41 bars, whose normal is not known, has the shortest.
    """
    if closes.shape[-1] <= 2 * BLOCK:
        return np.full(closes.shape[:-1], bounds.shortest_s)
    moved = movement(closes[..., -(BLOCK * BLOCKS + 1) :])
    recent, normal = moved[..., -1], np.median(moved[..., :-1], axis=-1)
    unrest = recent / np.maximum(normal, CALM)
    unknown = np.isnan(moved).any(axis=-1)
    calm: Floats = bounds.longest_s / np.maximum(np.where(unknown, np.inf, unrest), 1.0)
    return np.maximum(calm, bounds.shortest_s)
