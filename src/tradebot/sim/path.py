"""The synthetic price process: any days of any coins, a minute at a time, without their past.

Log prices (base 2) follow the market and the coin's own walk. A walk wanders from midnight to
midnight (`noise.wander`); within a day it is a bridge of shocks whose size follows slow value
noise (volatility clusters) and which lean on the mean shock of the last three hours: with it in
momentum regimes, against it in regimes of mean reversion, some hours each.

Everything is computed for rows: a row is one day of one walk, and any rows can be computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradebot.clock import DAY, MINUTE
from tradebot.market.bars import Floats, Times
from tradebot.sim import noise
from tradebot.sim.coins import Coin

MINUTES = DAY // MINUTE
MARKET_VOLATILITY = 0.018
MEMORY = 180
LEAN = 1.4
# What a minute of a block holds, in ticks and lots; the rest of a kline follows from it.
BLOCK = ("open", "high", "low", "close", "volume", "trades", "taker_base")

Block: TypeAlias = NDArray[Any]  # (7, …, minutes), int32 where that holds every number, else int64

_NODE = 180
_NODES = MINUTES // _NODE
_RAMP = np.arange(_NODE) / _NODE
_VOLATILITY = (np.array([1, 4, 16, 64]), np.array([0.28, 0.30, 0.30, 0.25]))
_REGIME = (np.array([4, 16]), np.array([0.9, 0.6]))
_LOG2E = 1.4426950408889634
_HALF_LOG_VARIANCE = 0.22  # takes back what 2^h adds to the mean square of the shocks
_SHARE = 1024
_ROOT = np.sqrt(float(MINUTES))
_PARTS = ("level", "shock", "heat", "mood", "shape")
_NODE_STEPS = np.arange(_NODES + 1, dtype=np.int64)
_MINUTE_STEPS = np.arange(MINUTES, dtype=np.int64)
_SHOCK_STEPS = np.arange(-MEMORY - 1, MINUTES, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Walk:
    """Rows of walks; arrays over minutes are `(rows, 1440)`.

    `position` is the log₂ at the end of each minute and `edges` `(rows, 2)` that at both midnights,
    `scale` the standard deviation of a minute's shock in log₂, `move` the minute's move in units of
    it. `mood` and `heat` `(rows, 9)` hold regime (−1…1) and log₂ volatility every three hours;
    `regime` is the mood of each minute.
    """

    position: Floats
    edges: Floats
    scale: Floats
    move: Floats
    mood: Floats
    heat: Floats
    regime: Floats

    def row(self, place: int) -> Walk:
        """One row."""
        return Walk(*(np.ascontiguousarray(getattr(self, name)[place : place + 1]) for name in self.__slots__))

    @classmethod
    def join(cls, walks: Sequence[Walk]) -> Walk:
        """Rows one under another."""
        return cls(*(np.concatenate([getattr(walk, name) for walk in walks]) for name in cls.__slots__))


@lru_cache(maxsize=16_384)
def _keys(seed: int, name: str) -> tuple[int, ...]:
    return tuple(noise.key(seed, name, part) for part in _PARTS)


def _streams(seed: int, names: Sequence[str]) -> dict[str, noise.Bits]:
    """The key of each part, `(rows, 1)`."""
    table = np.array([_keys(seed, name) for name in names], np.uint64)
    return {part: table[:, place : place + 1] for place, part in enumerate(_PARTS)}


def _between_nodes(nodes: Floats) -> Floats:
    """Straight lines between nodes, as `(rows, 1440)`."""
    lines = np.diff(nodes)[..., None] * _RAMP
    lines += nodes[:, :-1, None]
    return lines.reshape(-1, MINUTES)


def walk(seed: int, names: Sequence[str], days: Times, volatility: Floats, shared: Walk | None = None) -> Walk:
    """A row for each name and day (since 1970) of the walk of that name; `volatility` is of a day's log price.

    Regimes and volatility lean on those of `shared`, the market's walk over the same days.
    """
    keys, day = _streams(seed, names), days[:, None]
    nodes = day * _NODES + _NODE_STEPS
    heat, mood = noise.value_noise(keys["heat"], nodes, *_VOLATILITY), noise.value_noise(keys["mood"], nodes, *_REGIME)
    if shared is not None:
        heat, mood = 0.75 * heat + 0.6 * shared.heat, mood + 0.4 * shared.mood
    mood = np.clip(mood, -1.0, 1.0)
    regime = _between_nodes(mood)
    minute = volatility * _LOG2E / _ROOT
    scale = _between_nodes(noise.exp2(heat + 0.15 * mood - _HALF_LOG_VARIANCE) * minute[:, None])
    move = _moves(keys["shock"], day, regime)
    edges = noise.wander(keys["level"], np.concatenate([day, day + 1], axis=1)) * (volatility * _LOG2E)[:, None]
    return Walk(_bridge(edges, scale, move), edges, scale, move, mood, heat, regime)


def _moves(stream: noise.Bits, day: Times, regime: Floats) -> Floats:
    """Shocks that lean on the mean of the last three hours' shocks, in standard deviations."""
    shocks = noise.shocks(stream, day * MINUTES + _SHOCK_STEPS)
    # Integer sums: the mean of the last shocks is exact whatever range is asked for.
    total = np.cumsum(shocks, axis=1, dtype=np.int32)
    move: Floats = regime * (total[:, MEMORY:-1] - total[:, : -MEMORY - 1])
    move *= LEAN / MEMORY
    move += shocks[:, MEMORY + 1 :]
    move /= noise.DEVIATION
    return move


def _bridge(edges: Floats, scale: Floats, move: Floats) -> Floats:
    """Sums of the moves, bent so that each day ends where the next begins.

    The bend spends itself in proportion to the variance: a Brownian bridge on the market's own time.
    """
    path = scale * move
    np.cumsum(path, axis=1, out=path)
    spent = scale * scale
    np.cumsum(spent, axis=1, out=spent)
    start, bend = edges[:, :1], np.diff(edges) - path[:, -1:]
    spent *= bend / spent[:, -1:]
    path += spent
    path += start
    return path


def minutes(seed: int, coins: Sequence[Coin], days: Times, market: Walk) -> Block:
    """One-minute bars of a row for each coin and day, `(7, rows, 1440)`; `market` has their days (or one for all)."""
    symbols = [coin.instrument.symbol for coin in coins]
    own = walk(seed, symbols, days, _column(coins, "volatility")[:, 0], market)
    beta = _column(coins, "beta")
    level = np.array([[coin.level * 10**coin.price_places] for coin in coins])
    position = market.position * beta
    position += own.position
    close = _ticks(position, level)
    edges = _ticks(own.edges + market.edges * beta, level)
    close[:, -1] = edges[:, 1]
    opened = np.concatenate([edges[:, :1], close[:, :-1]], axis=1)
    spread = market.scale * beta
    spread += own.scale

    words = noise.bits(_streams(seed, symbols)["shape"], days[:, None] * MINUTES + _MINUTE_STEPS)
    upper, lower, size, lean = (noise.lane(words, place) / 65536.0 for place in range(4))
    high, low = _extremes(opened, close, spread * close, upper, lower)
    activity = _activity(coins, own, spread, size)
    amount, trades = _amounts(coins, activity, close)
    taken = _share(own.move, lean)
    taken *= amount
    taken /= _SHARE
    rows = (opened, high, low, close, amount, trades, np.floor(taken, out=taken))
    fits = max(high.max(), amount.max(), trades.max()) < 2**31
    data = np.empty((len(BLOCK), *close.shape), np.int32 if fits else np.int64)
    for place, row in enumerate(rows):
        data[place] = row
    return data


def _column(coins: Sequence[Coin], name: str) -> Floats:
    return np.array([[getattr(coin, name)] for coin in coins], np.float64)


def _ticks(position: Floats, level: Floats) -> Floats:
    """Whole ticks, as floats: all of them are far below 2**53."""
    ticks = noise.exp2(position)
    ticks *= level
    np.rint(ticks, out=ticks)
    return np.maximum(ticks, 2.0, out=ticks)


def _extremes(opened: Floats, close: Floats, wick: Floats, upper: Floats, lower: Floats) -> tuple[Floats, Floats]:
    """Highest and lowest ticks, a random part of the usual move beyond open and close."""
    for part in (upper, lower):
        np.multiply(part, part, out=part)
        np.multiply(part, wick, out=part)
        np.rint(part, out=part)
    upper += np.maximum(opened, close)
    low = np.minimum(opened, close)
    low -= lower
    return upper, np.maximum(low, 1.0, out=low)


def _activity(coins: Sequence[Coin], own: Walk, spread: Floats, size: Floats) -> Floats:
    """How much is traded, 1 on a usual day: with volatility, the move, chance and a little the mood."""
    usual = (_column(coins, "volatility") + MARKET_VOLATILITY * _column(coins, "beta")) * _LOG2E / _ROOT
    activity: Floats = spread / usual
    factor = np.abs(own.move)
    factor *= 0.5
    factor += 0.25
    activity *= factor
    np.multiply(size, 1.2, out=factor)
    factor += 0.6
    factor *= size
    factor += 0.4
    activity *= factor
    np.multiply(own.regime, 0.3, out=factor)
    factor += 1.0
    activity *= factor
    return activity


def _amounts(coins: Sequence[Coin], activity: Floats, close: Floats) -> tuple[Floats, Floats]:
    """Lots and trades of each minute; `activity` is used up."""
    lots = [[coin.turnover / MINUTES * 10 ** (coin.price_places + coin.amount_places)] for coin in coins]
    amount = activity * np.array(lots)
    amount /= close
    np.rint(amount, out=amount)
    activity *= np.array([[math.sqrt(coin.turnover) / 100] for coin in coins])
    np.rint(activity, out=activity)
    activity += 1.0
    return np.maximum(amount, 1.0, out=amount), activity


def _share(move: Floats, lean: Floats) -> Floats:
    """What the takers bought, in whole 1024ths."""
    share = move * 0.08
    share += 0.5
    lean -= 0.5
    lean *= 0.3
    share += lean
    np.clip(share, 0.05, 0.95, out=share)
    share *= _SHARE
    return np.rint(share, out=share)


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
