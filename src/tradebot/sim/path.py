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

STRIDE = 60  # minutes

Sums: TypeAlias = NDArray[np.complex128]
Block: TypeAlias = NDArray[Any]  # (7, …, minutes), int32 where that holds every number, else int64

_NODE = 180
_NODES = MINUTES // _NODE
_RAMP = np.arange(_NODE) / _NODE
_VOLATILITY = noise.ValueNoise({1: 0.28, 4: 0.30, 16: 0.30, 64: 0.25})
_REGIME = noise.ValueNoise({4: 0.9, 16: 0.6})
_LEVEL = noise.Wander()
_LOG2E = 1.4426950408889634
_HALF_LOG_VARIANCE = 0.22  # takes back what 2^h adds to the mean square of the shocks
_SHARE = 1024
_ROOT = np.sqrt(float(MINUTES))
_WHOLE = slice(0, MINUTES)
_PARTS = ("level", "shock", "heat", "mood", "shape")
_NODE_STEPS = np.arange(_NODES + 1, dtype=np.int64)
_SHOCKS = noise.Run(-MEMORY - 1, MINUTES)
_SHAPES = noise.Run(0, MINUTES)


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
    heat, mood, level = noise.sample(
        [
            (_VOLATILITY, table.stream("heat"), index),
            (_REGIME, table.stream("mood"), index),
            (_LEVEL, table.stream("level"), np.concatenate([day, day + 1], axis=1)),
        ]
    )
    if shared is not None:
        heat, mood = 0.75 * heat + 0.6 * shared.heat, mood + 0.4 * shared.mood
    mood = np.clip(mood, -1.0, 1.0)
    scale = noise.exp2(heat + 0.15 * mood - _HALF_LOG_VARIANCE) * (table.volatility * _LOG2E / _ROOT)
    return Nodes(mood, heat, scale, level * (table.volatility * _LOG2E))


@dataclass(frozen=True, slots=True)
class Walk:
    """Minutes of days of walks from the minute `first` on, arrays `(rows, minutes)`.

    `position` is the log₂ at the end of each minute, `scale` the standard deviation of its shock,
    `move` its move in units of that and `regime` its mood; `sums` see `_sums`.
    """

    first: int
    position: Floats
    scale: Floats
    move: Floats
    regime: Floats
    sums: Sums

    def trail(self) -> Sums:
        """Of a whole day, what `walk` needs to begin at any multiple of `STRIDE` minutes."""
        return self.sums[:, STRIDE - 1 :: STRIDE].copy()


def walk(table: Table, days: Times, at: Nodes, part: slice = _WHOLE, trail: Sums | None = None) -> Walk:
    """The minutes between nodes.

    A `part` takes less time if the `trail` of the same days is known; it then begins at a multiple of `STRIDE`
    minutes, and the walk with the minute before. Without one the sums have to be run from midnight to midnight.
    """
    span = _WHOLE if trail is None else slice(max(part.start - 1, 0), part.stop)
    regime, scale = _between_nodes(at.mood)[:, span], _between_nodes(at.scale)[:, span]
    move = _moves(table.stream("shock"), days[:, None], regime, span)
    sums = _sums(scale, move, trail[:, part.start // STRIDE - 1] if trail is not None and part.start else None)
    total = (sums if trail is None else trail)[:, -1:]
    return Walk(span.start, _bridge(at.edges, sums, total), scale, move, regime, sums)


def _between_nodes(values: Floats) -> Floats:
    """Straight lines between nodes, as `(rows, 1440)`."""
    lines = np.diff(values)[..., None] * _RAMP
    lines += values[:, :-1, None]
    return lines.reshape(-1, MINUTES)


def _moves(stream: noise.Bits, day: Times, regime: Floats, span: slice) -> Floats:
    """Shocks that lean on the mean of the last three hours' shocks, in standard deviations."""
    shocks = noise.shocks(_SHOCKS.bits(stream, day * MINUTES, slice(span.start, span.stop + MEMORY + 1)))
    # Integer sums: the mean of the last shocks is exact whatever range is asked for.
    total = np.cumsum(shocks, axis=1, dtype=np.int32)
    move: Floats = regime * (total[:, MEMORY:-1] - total[:, : -MEMORY - 1])
    move *= LEAN / MEMORY
    move += shocks[:, MEMORY + 1 :]
    move /= noise.DEVIATION
    return move


def _sums(scale: Floats, move: Floats, before: Sums | None) -> Sums:
    """The moves and, as imaginary part, the variances added up; `before` is what they were at the first minute."""
    # A sum has to wait for the one before it; as real and imaginary part two of them take no longer than one.
    sums = np.empty(scale.shape, np.complex128)
    np.multiply(scale, move, out=sums.real)
    np.multiply(scale, scale, out=sums.imag)
    if before is not None:
        sums[:, 0] = before
    return np.cumsum(sums, axis=1, out=sums)


def _bridge(edges: Floats, sums: Sums, total: Sums) -> Floats:
    """Sums of the moves, bent so that each day ends where the next begins; `total` is that of the day.

    The bend spends itself in proportion to the variance: a Brownian bridge on the market's own time.
    """
    path = sums.imag * ((np.diff(edges) - total.real) / total.imag)
    path += sums.real
    path += edges[:, :1]
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


def minutes(table: Table, days: Times, at: Nodes, market: Market, own: Walk, *, part: slice = _WHOLE) -> Block:
    """One-minute bars `(7, rows, minutes)` of a `part` of the day of a row of `table` for each day.

    `at` are their nodes and `own` their walks.
    """
    within = slice(part.start - own.first, part.stop - own.first)
    ticks = _ticks(_positions(table, at, own, market, part), table.level)
    opened, close = ticks[:, :-1], ticks[:, 1:]
    move, spread = own.move[:, within], market.scale[:, part] * table.beta
    spread += own.scale[:, within]
    words = _SHAPES.bits(table.stream("shape"), days[:, None] * MINUTES, part)
    high, low = _extremes(opened, close, spread * close, words)
    activity = _activity(table, spread, move, own.regime[:, within], noise.levels(words, 2))
    amount, trades = _amounts(table, activity, close)
    taken = _share(move, noise.levels(words, 3))
    taken *= amount
    taken *= 1 / _SHARE
    rows = (opened, high, low, close, amount, trades, taken)
    fits = max(high.max(), amount.max(), trades.max()) < 2**31
    data = np.empty((len(BLOCK), *close.shape), np.int32 if fits else np.int64)
    for place, row in enumerate(rows):
        data[place] = row  # which cuts off what is not whole
    return data


def _positions(table: Table, at: Nodes, own: Walk, market: Market, part: slice) -> Floats:
    """The log₂ at the end of each minute of a part of the day, and of the one before it."""
    shared = market.at.edges * table.beta
    shared += at.edges
    out = np.empty((len(own.position), part.stop - part.start + 1))
    # The day begins with an edge instead of a minute before it.
    first, into = max(part.start - 1, 0), out if part.start else out[:, 1:]
    np.multiply(market.position[:, first : part.stop], table.beta, out=into)
    into += own.position[:, first - own.first : part.stop - own.first]
    if not part.start:
        out[:, :1] = shared[:, :1]
    if part.stop == MINUTES:
        # To the digit where the next day begins.
        out[:, -1] = shared[:, 1]
    return out


def _at_least(least: float, values: Floats) -> Floats:
    # To look is much faster than to compare one by one, and hardly any are less.
    return np.maximum(values, least, out=values) if values.min() < least else values


def _ticks(position: Floats, level: Floats) -> Floats:
    """Whole ticks, as floats: all of them are far below 2**53."""
    ticks = noise.exp2(position)
    ticks *= level
    return _at_least(2.0, np.rint(ticks, out=ticks))


def _extremes(opened: Floats, close: Floats, wick: Floats, words: noise.Bits) -> tuple[Floats, Floats]:
    """Highest and lowest ticks, a random part of the usual move beyond open and close."""
    wick *= 2.0**-32
    upper, lower = (_stretch(noise.levels(words, place), wick) for place in range(2))
    upper += np.maximum(opened, close)
    low = np.minimum(opened, close)
    low -= lower
    return upper, _at_least(1.0, low)


def _stretch(level: Floats, wick: Floats) -> Floats:
    level *= level
    level *= wick
    return np.rint(level, out=level)


def _activity(table: Table, spread: Floats, move: Floats, regime: Floats, size: Floats) -> Floats:
    """How much is traded, 1 on a usual day: with volatility, the move, chance and a little the mood.

    `spread` and `size` are used up.
    """
    usual = (table.volatility + MARKET_VOLATILITY * table.beta) * _LOG2E / _ROOT
    activity: Floats = np.divide(spread, usual, out=spread)
    factor = np.abs(move)
    factor *= 0.5
    factor += 0.25
    activity *= factor
    # 0.4 + 0.6 s + 1.2 s² of s = size / 65536: a power of two changes no digit, wherever it is multiplied.
    np.multiply(size, 1.2 / 2**32, out=factor)
    factor += 0.6 / 2**16
    factor *= size
    factor += 0.4
    activity *= factor
    np.multiply(regime, 0.3, out=factor)
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
    return _at_least(1.0, amount), activity


def _share(move: Floats, lean: Floats) -> Floats:
    """What the takers bought, in whole 1024ths; `lean` 0…65535 is used up."""
    share = move * 0.08
    share += 0.5
    lean -= 32768.0
    lean *= 0.3 / 65536
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
