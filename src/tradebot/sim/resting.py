"""When the price first comes to an order that rests: a search along the path, without playing it step by step.

Between two instants the price goes as `exact.price_within` says: through each bar of the finest
interval in four straight legs' turning points, jumping where bars do not join.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np

from tradebot.errors import MarketError
from tradebot.market.bars import COLUMN, INTERVALS, Klines, Times
from tradebot.market.venue import Side
from tradebot.sim.exact import price_within
from tradebot.sim.matching import EXACT, on_grid
from tradebot.sim.prices import Prices

_FEWEST, _MOST = 64, 4096  # bars searched in one go: often what is looked for is near
_LOW, _HIGH, _VOLUME = COLUMN["low"], COLUMN["high"], COLUMN["volume"]
_EVER = 2**62


@dataclass(frozen=True, slots=True)
class Level:
    """A price that is waited for: reached from above (`falling`) or below; `through` asks for more than a touch."""

    price: Decimal
    falling: bool
    through: bool

    def ticks(self, places: int) -> int:
        """The last whole tick that counts, at so many decimal places."""
        scaled = self.price.scaleb(places)
        if self.falling:
            return int(scaled.to_integral_value(ROUND_CEILING)) - 1 if self.through else _floor(scaled)
        return _floor(scaled) + 1 if self.through else int(scaled.to_integral_value(ROUND_CEILING))

    def met(self, price: Decimal) -> bool:
        """Whether this price is there."""
        if price == self.price:
            return not self.through
        return (price < self.price) is self.falling


def limit_level(price: Decimal, side: Side, spread: Decimal) -> Level:
    """The last price at which the other side of the book has come to the limit of an order that rests.

    `spread` is a share of the price; without one the limit must be traded through, for at the limit
    itself others may have been first.
    """
    half = spread / 2
    buys = side is Side.BUY
    return Level(EXACT.divide(price, 1 + half if buys else 1 - half), falling=buys, through=not half)


@dataclass(frozen=True, slots=True)
class Touch:
    """When the level was reached, UTC ms, and the last price then."""

    time: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class Traded:
    """What was traded of the base coin from `opened` on, before `ended` (UTC ms)."""

    opened: int
    ended: int
    volume: Decimal


class Track(Protocol):
    """Where prices went."""

    def first(self, symbol: str, level: Level, after: int, until: int) -> Touch | None:
        """The first instant with `after < instant <= until` at which the level is met."""

    def bar(self, symbol: str, moment: int) -> Traded | None:
        """The finest bar that holds an instant, as it will be in the end; None where there is none."""


class _Reach(NamedTuple):
    """Between which ticks, of so many decimal places, bars lie that follow each other."""

    places: int
    lowest: int
    highest: int

    def holds(self, level: Level) -> bool:
        """Whether a level is met there."""
        target = level.ticks(self.places)
        return self.lowest <= target if level.falling else self.highest >= target


class Path(Track):
    """The path of a source; one without klines has its last price only, and that now."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices
        self._grains: dict[str, str | None] = {}
        self._until = 0
        self._reach: dict[tuple[str, int, int], _Reach | None] = {}  # of what was looked at up to that instant

    def first(self, symbol: str, level: Level, after: int, until: int) -> Touch | None:
        """Exact to the millisecond; the later part of a bar that still runs is not looked at."""
        grain = self.grain(symbol)
        if until <= after:
            return None
        if grain is None:
            return self._now(symbol, level, until)
        length = INTERVALS[grain]
        for start, end in self._chunks(symbol, grain, after, until):
            if (reach := self._reaches(symbol, grain, start, end, until)) is None or not reach.holds(level):
                continue
            bars = self.prices.exact(symbol, grain, start, end, end + length)
            target = level.ticks(bars.scale.price)
            reached = bars.data[_LOW] <= target if level.falling else bars.data[_HIGH] >= target
            for place in np.flatnonzero(reached).tolist():
                bar = bars.data[:, place]
                opened = int(bar[0])
                span = max(after + 1 - opened, 0), min(until - opened, length - 1)
                found = _within(bar, length, span, target, level.falling)
                if found is not None:
                    return Touch(opened + found[0], Decimal(found[1]).scaleb(-bars.scale.price))
        return None

    def bar(self, symbol: str, moment: int) -> Traded | None:
        """Of the finest interval that the source has."""
        if (grain := self.grain(symbol)) is None:
            return None
        length = INTERVALS[grain]
        bars = self.prices.exact(symbol, grain, moment - length + 1, moment, moment + length)
        if not len(bars):
            return None
        opened, volume = (int(bars.data[row, -1]) for row in (0, _VOLUME))
        return Traded(opened, opened + length, Decimal(volume).scaleb(-bars.scale.amount))

    def grain(self, symbol: str) -> str | None:
        """The finest interval that the source has of a symbol; None without klines."""
        if symbol not in self._grains:
            listed = self.prices.listed(symbol)
            has = (
                name for name, length in INTERVALS.items()
                if len(self.prices.exact(symbol, name, listed, listed + length, listed + 2 * length))
            )  # fmt: skip
            self._grains[symbol] = next(has, None)
        return self._grains[symbol]

    def _now(self, symbol: str, level: Level, until: int) -> Touch | None:
        try:
            price = self.prices.price(symbol, until)
        except MarketError:
            return None
        return Touch(until, price) if level.met(price) else None

    def _chunks(self, symbol: str, grain: str, after: int, until: int) -> Iterator[tuple[int, int]]:
        """Whole bars, also the one that runs: what it will be is known to the exchange alone."""
        length = INTERVALS[grain]
        start, count = max(after + 1, self.prices.listed(symbol)) - length, _FEWEST
        while start <= until:
            end = min(start + count * length, until)
            yield start, end
            start, count = end + 1, min(4 * count, _MOST)

    def _reaches(self, symbol: str, grain: str, start: int, end: int, until: int) -> _Reach | None:
        """Of bars that all orders of a symbol look at which are played to one instant; None where there are none."""
        if until != self._until:
            self._until, self._reach = until, {}
        if (key := (symbol, start, end)) not in self._reach:
            bars = self.prices.exact(symbol, grain, start, end, end + INTERVALS[grain])
            extremes = (int(bars.data[_LOW].min()), int(bars.data[_HIGH].max())) if len(bars) else None
            self._reach[key] = extremes and _Reach(bars.scale.price, *extremes)
        return self._reach[key]


def _floor(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_FLOOR))


def _within(bar: Times, length: int, span: tuple[int, int], target: int, falling: bool) -> tuple[int, int] | None:
    """The first ms of a bar within `span` (inclusive) at which its price has come to `target`, and that price."""
    turns = [-(-leg * length // 3) for leg in range(3)] + [length - 1]

    def price(elapsed: int) -> int:
        # A turn that falls between two ms is seen at the later one: an extreme of a bar is always reached.
        return price_within(bar, 3, turns.index(elapsed)) if elapsed in turns else price_within(bar, length, elapsed)

    def met(elapsed: int) -> bool:
        return price(elapsed) <= target if falling else price(elapsed) >= target

    for begin, end in pairwise(turns):
        low, high = max(begin, span[0]), min(end, span[1])
        if low > high or not (met(low) or met(high)):
            continue
        # A leg is straight, so that its price is met from some instant on, or from its begin.
        found = low if met(low) else low + bisect_left(range(low, high), True, key=met)
        return found, price(found)
    return None


class Bars(Track):
    """Klines of one symbol whose prices came in an unknown order.

    Only bars count that opened after the instant from which is asked. What happened in a bar is
    stamped with its open time: what it opened beyond, and a ms later all else.
    """

    def __init__(self, klines: Klines, tick: Decimal) -> None:
        self.klines = klines
        self.tick = tick

    def first(self, symbol: str, level: Level, after: int, until: int) -> Touch | None:
        """The open of the first bar that reaches the level; at its open price, if it opened beyond."""
        times = self.klines.data[0]
        for place in np.flatnonzero((times > after) & (times <= until)).tolist():
            extreme = self._price(_LOW if level.falling else _HIGH, place)
            if level.met(extreme):
                opened = self._price(COLUMN["open"], place)
                if level.met(opened):
                    return Touch(int(times[place]), opened)
                met = on_grid(level.price, self.tick, ROUND_FLOOR if level.falling else ROUND_CEILING)
                return Touch(int(times[place]) + 1, met)
        return None

    def bar(self, symbol: str, moment: int) -> Traded | None:
        """The last that opened until then; it goes on until the next one."""
        times = self.klines.data[0]
        place = int(times.searchsorted(moment, side="right")) - 1
        if place < 0:
            return None
        ended = int(times[place + 1]) if place + 1 < len(times) else _EVER
        return Traded(int(times[place]), ended, self._told(_VOLUME, place))

    def _price(self, row: int, place: int) -> Decimal:
        return on_grid(self._told(row, place), self.tick, "ROUND_HALF_EVEN")

    def _told(self, row: int, place: int) -> Decimal:
        """A float of a kline as the decimal that it was."""
        return Decimal(repr(float(self.klines.data[row, place])))


class Several(Track):
    """A track for each of several symbols; to all others nothing happens."""

    def __init__(self, tracks: Mapping[str, Track]) -> None:
        self._tracks = tracks

    def first(self, symbol: str, level: Level, after: int, until: int) -> Touch | None:
        """As its own track has it."""
        return self._tracks[symbol].first(symbol, level, after, until) if symbol in self._tracks else None

    def bar(self, symbol: str, moment: int) -> Traded | None:
        """As its own track has it."""
        return self._tracks[symbol].bar(symbol, moment) if symbol in self._tracks else None
