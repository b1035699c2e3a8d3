"""The synthetic price process: any days of any coins, a minute at a time, without their past.

Log prices (base 2) follow the market and the coin's own walk. A walk wanders from midnight to
midnight (`noise.wander`); within a day it is a bridge of shocks whose size follows slow value
noise (volatility clusters) and which lean on the mean shock of the last three hours: with it in
momentum regimes, against it in regimes of mean reversion, some hours each.

Everything is computed for rows: a row is one day of one walk, and any rows can be computed at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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
class Nodes:
    """What is known of days without their minutes, a row for each.

    `mood` (regime, −1…1), `heat` (log₂ volatility) and `scale` (the standard deviation of a minute's
    shock in log₂) `(rows, 9)` every three hours, `edges` `(rows, 2)` the log₂ at both midnights.
    """

    mood: Floats
    heat: Floats
    scale: Floats
    edges: Floats

    def take(self, rows: slice) -> Nodes:
        """Some rows."""
        return Nodes(*(getattr(self, name)[rows] for name in self.__slots__))

    @classmethod
    def join(cls, parts: Sequence[Nodes]) -> Nodes:
        """Rows one under another."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


def nodes(table: Table, days: Times, shared: Nodes | None = None) -> Nodes:
    """The nodes of a row of `table` for each of the `days` (since 1970).

    Regimes and volatility lean on those of `shared`, the market's (of the same days, or one day for all).
    """
    day = days[:, None]
    index = day * _NODES + _NODE_STEPS
    heat = noise.value_noise(table.stream("heat"), index, *_VOLATILITY)
    mood = noise.value_noise(table.stream("mood"), index, *_REGIME)
    if shared is not None:
        heat, mood = 0.75 * heat + 0.6 * shared.heat, mood + 0.4 * shared.mood
    mood = np.clip(mood, -1.0, 1.0)
    scale = noise.exp2(heat + 0.15 * mood - _HALF_LOG_VARIANCE) * (table.volatility * _LOG2E / _ROOT)
    edges = noise.wander(table.stream("level"), np.concatenate([day, day + 1], axis=1))
    return Nodes(mood, heat, scale, edges * (table.volatility * _LOG2E))


@dataclass(frozen=True, slots=True)
class Walk:
    """Minutes of days of walks, arrays `(rows, 1440)`.

    `position` is the log₂ at the end of each minute, `scale` the standard deviation of its shock,
    `move` its move in units of that and `regime` its mood.
    """

    position: Floats
    scale: Floats
    move: Floats
    regime: Floats


def walk(table: Table, days: Times, at: Nodes) -> Walk:
    """The minutes between nodes."""
    regime, scale = _between_nodes(at.mood), _between_nodes(at.scale)
    move = _moves(table.stream("shock"), days[:, None], regime)
    return Walk(_bridge(at.edges, scale, move), scale, move, regime)


def _between_nodes(values: Floats) -> Floats:
    """Straight lines between nodes, as `(rows, 1440)`."""
    lines = np.diff(values)[..., None] * _RAMP
    lines += values[:, :-1, None]
    return lines.reshape(-1, MINUTES)


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


@dataclass(frozen=True, slots=True)
class Market:
    """The market's days: one for each row, or one for all. `position` and `scale` are `(rows, 1440)`."""

    at: Nodes
    position: Floats
    scale: Floats

    @classmethod
    def of(cls, seed: int, days: Times) -> Market:
        """The market of some days."""
        table = Table.market(seed).take(np.zeros(len(days), np.int64))
        at = nodes(table, days)
        told = walk(table, days, at)
        return cls(at, told.position, told.scale)

    def take(self, rows: slice) -> Market:
        """Some rows; one row stands for all."""
        return self if len(self.position) == 1 else Market(self.at.take(rows), self.position[rows], self.scale[rows])

    @classmethod
    def join(cls, parts: Sequence[Market]) -> Market:
        """Rows one under another."""
        position, scale = (np.concatenate([getattr(part, name) for part in parts]) for name in ("position", "scale"))
        return cls(Nodes.join([part.at for part in parts]), position, scale)


def minutes(table: Table, days: Times, at: Nodes, market: Market) -> Block:
    """One-minute bars `(7, rows, 1440)` of a row of `table` for each day; `at` are their nodes."""
    own = walk(table, days, at)
    position = market.position * table.beta
    position += own.position
    close = _ticks(position, table.level)
    edges = _ticks(at.edges + market.at.edges * table.beta, table.level)
    close[:, -1] = edges[:, 1]
    opened = np.concatenate([edges[:, :1], close[:, :-1]], axis=1)
    spread = market.scale * table.beta
    spread += own.scale

    words = noise.bits(table.stream("shape"), days[:, None] * MINUTES + _MINUTE_STEPS)
    upper, lower, size, lean = (noise.fraction(words, place) for place in range(4))
    high, low = _extremes(opened, close, spread * close, upper, lower)
    amount, trades = _amounts(table, _activity(table, own, spread, size), close)
    taken = _share(own.move, lean)
    taken *= amount
    taken /= _SHARE
    rows = (opened, high, low, close, amount, trades, np.floor(taken, out=taken))
    fits = max(high.max(), amount.max(), trades.max()) < 2**31
    data = np.empty((len(BLOCK), *close.shape), np.int32 if fits else np.int64)
    for place, row in enumerate(rows):
        data[place] = row
    return data


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


def _activity(table: Table, own: Walk, spread: Floats, size: Floats) -> Floats:
    """How much is traded, 1 on a usual day: with volatility, the move, chance and a little the mood."""
    usual = (table.volatility + MARKET_VOLATILITY * table.beta) * _LOG2E / _ROOT
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


def _amounts(table: Table, activity: Floats, close: Floats) -> tuple[Floats, Floats]:
    """Lots and trades of each minute; `activity` is used up."""
    amount = activity * table.lots
    amount /= close
    np.rint(amount, out=amount)
    activity *= table.trades
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
