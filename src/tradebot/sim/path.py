"""The synthetic price process: any days of any coin, a minute at a time, without their past.

Log prices (base 2) follow the market and the coin's own walk. A walk wanders from midnight to
midnight (`noise.wander`); within a day it is a bridge of shocks whose size follows slow value
noise (volatility clusters) and which lean on the mean shock of the last three hours: with it in
momentum regimes, against it in regimes of mean reversion, some hours each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tradebot.clock import DAY, MINUTE
from tradebot.market.bars import FIELDS, Floats, Times
from tradebot.sim import noise
from tradebot.sim.coins import Coin

MINUTES = DAY // MINUTE
MARKET_VOLATILITY = 0.018
MEMORY = 180
LEAN = 1.4

_NODE = 180
_NODES = MINUTES // _NODE
_RAMP = np.arange(_NODE) / _NODE
_VOLATILITY = (np.array([1, 4, 16, 64]), np.array([0.28, 0.30, 0.30, 0.25]))
_REGIME = (np.array([4, 16]), np.array([0.9, 0.6]))
_LOG2E = 1.4426950408889634
_HALF_LOG_VARIANCE = 0.22  # takes back what 2^h adds to the mean square of the shocks
_SHARE = 1024


@dataclass(frozen=True, slots=True)
class Walk:
    """Some days of a walk; the arrays are `(days, 1440)`, `edges` `(days + 1,)`.

    `position` is the log₂ at the end of each minute and `edges` that at midnight, `scale` the
    standard deviation of a minute's shock in log₂, `move` the minute's move in units of it.
    `mood` and `heat` hold regime (−1…1) and log₂ volatility at the nodes every three hours.
    """

    position: Floats
    edges: Floats
    scale: Floats
    move: Floats
    mood: Floats
    heat: Floats


def _between_nodes(nodes: Floats, days: int) -> Floats:
    """Straight lines between nodes, as `(days, 1440)`."""
    left, rise = nodes[:-1, None], np.diff(nodes)[:, None]
    return np.asarray(left + rise * _RAMP).reshape(days, MINUTES)


def walk(seed: int, name: str, first: int, days: int, *, volatility: float, shared: Walk | None = None) -> Walk:
    """`days` days from day `first` (since 1970) of the walk `name`; `volatility` is of a day's log price.

    Regimes and volatility lean on those of `shared`, the market's walk over the same days.
    """
    keys = {part: noise.key(seed, name, part) for part in ("level", "shock", "heat", "mood")}
    nodes = np.arange(first * _NODES, (first + days) * _NODES + 1, dtype=np.int64)
    heat, mood = noise.value_noise(keys["heat"], nodes, *_VOLATILITY), noise.value_noise(keys["mood"], nodes, *_REGIME)
    if shared is not None:
        heat, mood = 0.75 * heat + 0.6 * shared.heat, mood + 0.4 * shared.mood
    mood = np.clip(mood, -1.0, 1.0)
    minutes = np.arange(first * MINUTES - MEMORY - 1, (first + days) * MINUTES, dtype=np.int64)
    # Integer sums: the mean of the last shocks is exact whatever range is asked for.
    shocks = noise.shocks(keys["shock"], minutes)
    total = np.cumsum(shocks)
    recent = (total[MEMORY:-1] - total[: -MEMORY - 1]).reshape(days, MINUTES)
    drift = _between_nodes(mood, days) * recent * (LEAN / MEMORY)
    move = (shocks[MEMORY + 1 :].reshape(days, MINUTES) + drift) / noise.DEVIATION
    minute = volatility * _LOG2E / np.sqrt(float(MINUTES))
    scale = _between_nodes(noise.exp2(heat + 0.15 * mood - _HALF_LOG_VARIANCE) * minute, days)
    edges = noise.wander(keys["level"], np.arange(first, first + days + 1, dtype=np.int64)) * (volatility * _LOG2E)
    return Walk(_bridge(edges, scale, move), edges, scale, move, mood, heat)


def _bridge(edges: Floats, scale: Floats, move: Floats) -> Floats:
    """Sums of the moves, bent so that each day ends where the next begins.

    The bend spends itself in proportion to the variance: a Brownian bridge on the market's own time.
    """
    path = np.cumsum(scale * move, axis=1)
    spent = np.cumsum(scale * scale, axis=1)
    start, bend = edges[:-1, None], np.diff(edges)[:, None] - path[:, -1:]
    spent *= bend / spent[:, -1:]
    path += spent
    path += start
    return path


def minutes(seed: int, coin: Coin, first: int, days: int, market: Walk) -> Times:
    """One-minute bars as `(10, days × 1440)` int64 in ticks, lots and their product (`Exact.data`)."""
    symbol = coin.instrument.symbol
    own = walk(seed, symbol, first, days, volatility=coin.volatility, shared=market)
    level = coin.level * 10**coin.price_places
    close = _ticks(own.position + market.position * coin.beta, level)
    edges = _ticks(own.edges + market.edges * coin.beta, level)
    close[:, -1] = edges[1:]
    opened = np.concatenate([edges[:-1, None], close[:, :-1]], axis=1)

    index = np.arange(first * MINUTES, (first + days) * MINUTES, dtype=np.int64)
    words = noise.bits(noise.key(seed, symbol, "shape"), index).reshape(days, MINUTES)
    upper, lower, size, lean = (noise.lane(words, place) / 65536.0 for place in range(4))
    spread = own.scale + market.scale * coin.beta
    wick = spread * close
    high = np.maximum(opened, close) + np.rint(wick * (upper * upper)).astype(np.int64)
    low = np.maximum(np.minimum(opened, close) - np.rint(wick * (lower * lower)).astype(np.int64), 1)

    usual = (coin.volatility + MARKET_VOLATILITY * coin.beta) * _LOG2E / np.sqrt(float(MINUTES))
    activity = spread / usual * (0.25 + 0.5 * np.abs(own.move)) * (0.4 + size * (0.6 + 1.2 * size))
    activity *= 1.0 + 0.3 * _between_nodes(own.mood, days)
    lots = coin.turnover / MINUTES * 10 ** (coin.price_places + coin.amount_places)
    amount = np.maximum(np.rint(lots * activity / close), 1.0).astype(np.int64)
    trades = np.rint(activity * (math.sqrt(coin.turnover) / 100)).astype(np.int64) + 1
    share = np.clip(0.5 + 0.08 * own.move + 0.3 * (lean - 0.5), 0.05, 0.95)
    taken = amount * np.rint(share * _SHARE).astype(np.int64) // _SHARE
    typical = (opened + high + low + close) // 4
    rows = (opened, high, low, close, amount, amount * typical, trades, taken, taken * typical)
    data = np.empty((len(FIELDS), index.size), np.int64)
    data[0] = index * MINUTE
    for place, row in enumerate(rows, 1):
        data[place] = row.reshape(-1)
    return data


def _ticks(position: Floats, level: float) -> Times:
    return np.maximum(np.rint(noise.exp2(position) * level), 2.0).astype(np.int64)
