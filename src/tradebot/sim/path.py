"""The synthetic price process: any hours of any coins, a minute at a time, without their past.

Log prices (base 2) follow the market and the coin's own walk. A walk wanders from midnight to
midnight (`noise.Wander`); within a day it is a bridge of hourly shocks whose size follows slow value
noise (volatility clusters) and which lean on the mean shock of the last three hours: with it in
momentum regimes, against it in regimes of mean reversion, some hours each. Within an hour it goes
straight from one end to the other, but for the noise of a shape (`shapes`), its own and the market's.

Everything is computed for rows: a row is one day of one walk, and any rows can be computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.market.bars import Floats, Times
from tradebot.sim import noise
from tradebot.sim.coins import Coin
from tradebot.sim.shapes import LENGTH, NUMBER, Curves, shapes

MINUTES = DAY // MINUTE
HOURS = DAY // HOUR
MARKET_VOLATILITY = 0.018
MEMORY = 3  # hours
LEAN = 1.4
# What a minute of a block holds, in ticks and lots; the rest of a kline follows from it.
BLOCK = ("open", "high", "low", "close", "volume", "trades", "taker_base")

Block: TypeAlias = NDArray[Any]  # (7, …), int32 where that holds every number and four prices added up, else int64
Sketch: TypeAlias = Floats  # (12, …), see `sketch`

_NODE = 3  # hours
_NODES = HOURS // _NODE
_PLACES = (np.arange(_NODE) + 0.5) / _NODE
_VOLATILITY = noise.ValueNoise({1: 0.28, 4: 0.30, 16: 0.30, 64: 0.25})
_REGIME = noise.ValueNoise({4: 0.9, 16: 0.6})
_LEVEL = noise.Wander()
_LOG2E = 1.4426950408889634
_HALF_LOG_VARIANCE = 0.22  # takes back what 2^h adds to the mean square of the shocks
_ROOT = np.sqrt(float(MINUTES))
_HOUR_ROOT = np.sqrt(float(LENGTH))
_PARTS = ("level", "pace", "heat", "mood", "shape")
_NODE_STEPS = np.arange(_NODES + 1, dtype=np.int64)
_HOUR_STEPS = np.arange(-MEMORY, HOURS, dtype=np.int64)
_PICK = np.uint64(64 - NUMBER.bit_length() + 1)
_LINE = (np.arange(1, LENGTH + 1) / LENGTH).astype(np.float32)
# Within an hour no four prices add up to so many times what it is at an end, and no minute has so much more volume.
_FARTHEST, _BUSIEST = 16, 32


@dataclass(frozen=True, slots=True)
class Table:
    """The constants of walks, a row for each, `(rows, 1)`; `streams` `(rows, 5)` are the keys of their noise."""

    streams: noise.Bits
    volatility: Floats
    beta: Floats
    level: Floats
    lots: Floats
    trades: Floats

    @classmethod
    def of(cls, seed: int, coins: Sequence[Coin]) -> Table:
        """The walks of coins."""
        return cls(
            np.array([_keys(seed, coin.instrument.symbol) for coin in coins], np.uint64).reshape(-1, len(_PARTS)),
            _column(coin.volatility for coin in coins),
            _column(coin.beta for coin in coins),
            _column(coin.level * 10**coin.price_places for coin in coins),
            _column(coin.turnover / MINUTES * 10 ** (coin.price_places + coin.amount_places) for coin in coins),
            _column(math.sqrt(coin.turnover) / 100 for coin in coins),
        )

    @classmethod
    def market(cls, seed: int) -> Table:
        """The walk that all coins share."""
        none = np.zeros((1, 1))
        volatility = np.full((1, 1), MARKET_VOLATILITY)
        return cls(np.array([_keys(seed, "market")], np.uint64), volatility, none, none, none, none)

    def take(self, rows: Sequence[int] | Times | slice) -> Table:
        """Some rows, as often as they are named."""
        return Table(*(getattr(self, name)[rows] for name in self.__slots__))

    def stream(self, part: str) -> noise.Bits:
        """The keys of one part of the noise, `(rows, 1)`."""
        place = _PARTS.index(part)
        return self.streams[:, place : place + 1]


def _keys(seed: int, name: str) -> list[int]:
    return [noise.key(seed, name, part) for part in _PARTS]


def _column(values: Iterable[float]) -> Floats:
    return np.array([[value] for value in values], np.float64).reshape(-1, 1)


@dataclass(frozen=True, slots=True)
class Walk:
    """Hours of days of walks, a row for each day.

    `position` `(rows, 25)` is the log₂ where hours begin and end; of each hour, `(rows, 24)`, `mood` is the
    regime (−1…1), `heat` the log₂ of its volatility, `scale` the standard deviation of a minute's move in log₂,
    `move` its own move in standard deviations, and `shape` the random bits of its shape.
    """

    position: Floats
    mood: Floats
    heat: Floats
    scale: Floats
    move: Floats
    shape: noise.Bits

    @classmethod
    def join(cls, parts: Sequence[Walk]) -> Walk:
        """Rows one under another."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))

    def row(self, place: int) -> Walk:
        """One row, apart from the others."""
        return Walk(*(getattr(self, name)[place : place + 1].copy() for name in self.__slots__))


def walk(table: Table, days: Times, market: Walk | None = None) -> Walk:
    """The hours of a row of `table` for each of the `days` (since 1970).

    Regimes and volatility lean on those of the `market` (of the same days, or one day for all).
    """
    day = days[:, None]
    index = day * _NODES + _NODE_STEPS
    heat_nodes, mood_nodes, level = noise.sample(
        [
            (_VOLATILITY, table.stream("heat"), index),
            (_REGIME, table.stream("mood"), index),
            (_LEVEL, table.stream("level"), np.concatenate([day, day + 1], axis=1)),
        ]
    )
    heat, mood = _between(heat_nodes), _between(mood_nodes)
    if market is not None:
        heat, mood = 0.75 * heat + 0.6 * market.heat, mood + 0.4 * market.mood
    mood = np.clip(mood, -1.0, 1.0)
    scale = noise.exp2(heat + 0.15 * mood - _HALF_LOG_VARIANCE) * (table.volatility * (_LOG2E / _ROOT))
    hour = day * HOURS + _HOUR_STEPS
    shocks = noise.shocks(noise.bits(table.stream("pace"), hour))
    # Whole numbers add up to the same whatever range is asked for.
    last = shocks[:, 2:-1] + shocks[:, 1:-2] + shocks[:, :-3]
    move = (shocks[:, MEMORY:] + mood * last * (LEAN / MEMORY)) / noise.DEVIATION
    position = _bridge(level * (table.volatility * _LOG2E), scale, move)
    return Walk(position, mood, heat, scale, move, noise.bits(table.stream("shape"), hour[:, MEMORY:]))


def _between(nodes: Floats) -> Floats:
    """Straight lines between nodes, as `(rows, 24)`: what they are in the middle of each hour."""
    lines = np.diff(nodes)[..., None] * _PLACES
    lines += nodes[:, :-1, None]
    return lines.reshape(-1, HOURS)


def _bridge(edges: Floats, scale: Floats, move: Floats) -> Floats:
    """Sums of the moves, bent so that each day ends where the next begins.

    The bend spends itself in proportion to the variance: a Brownian bridge on the market's own time.
    """
    moved = np.cumsum(scale * move * _HOUR_ROOT, axis=1)
    spent = np.cumsum(scale * scale, axis=1)
    out = np.empty((len(edges), HOURS + 1))
    out[:, :1] = edges[:, :1]
    np.multiply(spent, (np.diff(edges) - moved[:, -1:]) / spent[:, -1:], out=out[:, 1:])
    out[:, 1:] += moved
    out[:, 1:] += edges[:, :1]
    # To the digit where the next day begins.
    out[:, -1] = edges[:, 1]
    return out


def market(seed: int, days: Times) -> Walk:
    """The market of some days, a row for each."""
    return walk(Table.market(seed).take(np.zeros(len(days), np.int64)), days)


def sketch(table: Table, days: Times, market: Walk) -> Sketch:
    """What the minutes of hours are made of, `(12, rows, 24)`, of a row of `table` for each day.

    The ticks where the hour begins and ends; what the bridges of its own shape, of the market's, and what goes beyond
    open and close is measured in (ticks); how lively its own shape makes it, and the market's; lots and trades of a
    usual minute; how takers lean; and both shapes.
    """
    own = walk(table, days, market)
    # Of the market there may be one row for all.
    shared = market.scale * table.beta
    edges = _ticks(own.position + market.position * table.beta, table.level)
    first, last = edges[:, :-1], edges[:, 1:]
    usual = (table.volatility + MARKET_VOLATILITY * table.beta) * (_LOG2E / _ROOT)
    out: Sketch = np.empty((12, *first.shape))
    out[:2] = first, last
    np.multiply(own.scale, first, out=out[2])
    np.multiply(shared, first, out=out[3])
    np.add(out[2], out[3], out=out[4])
    out[2:4] /= _LOG2E
    np.multiply((own.scale, shared), (1.0 + 0.3 * own.mood) / usual, out=out[5:7])
    np.divide(table.lots, first, out=out[7])
    out[8] = table.trades
    np.clip(own.move * 0.02, -0.05, 0.05, out=out[9])
    out[10], out[11] = own.shape >> _PICK, market.shape >> _PICK
    return out


def _ticks(position: Floats, level: Floats) -> Floats:
    """Whole ticks, as floats: all of them are far below 2**53."""
    return np.maximum(np.rint(noise.exp2(position) * level), 2.0)


def minutes(hours: Sketch) -> Block:
    """One-minute bars `(7, hours, 60)` of hours `(12, hours)` of a `sketch`."""
    some, first, last = shapes(), hours[0], hours[1]
    own, others = hours[10:].astype(np.intp)
    sway, shared, beyond, mine, theirs, lots, trades, lean = hours[2:10, :, None].astype(np.float32)
    fits = max(_FARTHEST * hours[:2].max(), _BUSIEST * (hours[5:7].sum(axis=0) * hours[7]).max()) < 2**31
    data = np.empty((len(BLOCK), len(first), LENGTH), np.int32 if fits else np.int64)
    opened, high, low, close, volume, count, taken = data
    move = _of(some.bridge, own, sway)
    move += _of(some.bridge, others, shared)
    move += (last - first).astype(np.float32)[:, None] * _LINE
    close[...] = np.rint(move, out=move)
    close += first.astype(data.dtype)[:, None]
    # To the digit where the next hour begins.
    close[:, -1], opened[:, 0] = last, first
    _at_least(2, close)
    opened[:, 1:] = close[:, :-1]
    np.maximum(opened, close, out=high)
    np.minimum(opened, close, out=low)
    high += _whole(_of(some.upper, own, beyond), data.dtype)
    low -= _whole(_of(some.lower, own, beyond), data.dtype)
    _at_least(1, low)
    lively = _of(some.lively, own, mine)
    lively += _of(some.lively, others, theirs)
    amount = _of(some.size, own, lots)
    amount *= lively
    amount += 1
    volume[...] = amount  # which cuts off what is not whole
    share = some.taken.take(own, axis=0)
    share += lean
    amount *= share
    taken[...] = amount
    lively *= trades
    count[...] = lively
    count += 1
    return data


def _of(curves: Curves, places: NDArray[np.intp], unit: Curves) -> Curves:
    """Some shapes' curves, each in a unit of its own."""
    out = curves.take(places, axis=0)
    out *= unit
    return out


def _whole(values: Curves, kind: np.dtype[Any]) -> NDArray[Any]:
    return np.rint(values, out=values).astype(kind)


def _at_least(least: int, values: NDArray[Any]) -> None:
    # To look is much faster than to compare one by one, and hardly any are less.
    if values.min() < least:
        np.maximum(values, least, out=values)


def expand(block: Block, first: int) -> Times:
    """The ten rows of `FIELDS` `(10, minutes)`, int64, of a block `(7, minutes)` whose first minute is `first`."""
    data = np.empty((10, block.shape[1]), np.int64)
    data[0] = np.arange(first * MINUTE, (first + block.shape[1]) * MINUTE, MINUTE)
    data[1:6], data[7:9] = block[:5], block[5:]
    typical = data[1] + data[2]
    typical += data[3]
    typical += data[4]
    typical >>= 2
    np.multiply(data[5], typical, out=data[6])
    np.multiply(data[8], typical, out=data[9])
    return data
