"""The tape: single trades, made up so that they fit the klines.

The trades of a bar follow the same path of the price as tickers and orders, their amounts add up
to the bar's volume and their number is the bar's. Each is a pure function of its bar, so that any
part of the tape is there at once. Numbers ascend, with gaps between bars.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tradebot.clock import MINUTE, SECOND
from tradebot.market.bars import INTERVALS, Times
from tradebot.sim import noise
from tradebot.sim.cache import Cache
from tradebot.sim.exact import Exact, Scale, prices_within
from tradebot.sim.prices import Prices
from tradebot.sim.resting import Path

_A_SECOND = 10_000  # so many numbers belong to each second of a bar
_MOST = 20_000  # trades that are told of one bar
_MOST_BARS = 1024  # read at once, where nothing is traded
_SLICE = 16  # bars told in one go
_MEMORY = 8 << 20


def identity(moment: int) -> int:
    """The number of the first trade of a bar that opens at this moment, UTC ms."""
    return moment // SECOND * _A_SECOND


@dataclass(frozen=True, slots=True)
class Tape:
    """Trades, oldest first. `data` is `(7, n)` int64 with the rows of `COLUMNS`; prices and amounts are scaled."""

    data: Times
    scale: Scale

    def __len__(self) -> int:
        return int(self.data.shape[1])


Steps: TypeAlias = Generator[None, None, Tape]
# `last` is the number of the last single trade of an aggregate (its own number for a single trade).
COLUMNS = ("id", "price", "amount", "first", "last", "time", "maker")
_ID, _TIME = 0, 5


class Tapes:
    """Reads the tape of any symbol forwards and backwards, step by step; memory is bounded."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices
        self._path = Path(prices)
        self._bars: Cache[Tape] = Cache(_MEMORY)

    def oldest(self, symbol: str, start: int, end: int, limit: int, *, number: int = 0, whole: bool) -> Steps:
        """The first trades from `start` to `end` (UTC ms, both included), and from `number` on; `whole`: aggregated."""
        parts = self._forwards(symbol, max(start, number // _A_SECOND * SECOND), end, whole)
        return self._collect(parts, (start, end, number), limit, 1)

    def newest(self, symbol: str, end: int, limit: int, *, whole: bool) -> Steps:
        """The last trades up to `end` (included)."""
        return self._collect(self._backwards(symbol, end, whole), (0, end, 0), limit, -1)

    def _collect(self, parts: Iterator[Tape], bounds: tuple[int, int, int], limit: int, way: int) -> Steps:
        start, end, number = bounds
        found: list[Times] = []
        scale, count = Scale(0, 0, 0), 0
        for place, part in enumerate(parts):
            if place % _SLICE == 0:
                yield
            data, scale = part.data, part.scale
            data = data[:, (data[_TIME] >= start) & (data[_TIME] <= end) & (data[_ID] >= number)]
            found.append(data)
            count += data.shape[1]
            if count >= limit:
                break
        if not found:
            return Tape(np.empty((len(COLUMNS), 0), np.int64), scale)
        both = np.concatenate(found[::way], axis=1)
        return Tape(both[:, :limit] if way > 0 else both[:, -limit:], scale)

    def _forwards(self, symbol: str, start: int, end: int, whole: bool) -> Iterator[Tape]:
        grain = self._path.grain(symbol)
        if grain is None:
            return
        length = reach = INTERVALS[grain]
        at = max(start, self.prices.listed(symbol)) // length * length
        while at <= end:
            reach = min(reach * 4, length * _MOST_BARS)
            bars = self.prices.exact(symbol, grain, at, min(at + reach, end + 1) - 1, end + length)
            for place in range(len(bars)):
                yield self._bar(symbol, bars, place, length, whole)
            at += reach

    def _backwards(self, symbol: str, end: int, whole: bool) -> Iterator[Tape]:
        grain = self._path.grain(symbol)
        if grain is None:
            return
        length = reach = INTERVALS[grain]
        listed = self.prices.listed(symbol)
        while end >= listed:
            first = max(end // length * length + length - reach, 0)
            bars = self.prices.exact(symbol, grain, first, end, end + length)
            for place in reversed(range(len(bars))):
                yield self._bar(symbol, bars, place, length, whole)
            end, reach = first - 1, min(reach * 4, length * _MOST_BARS)

    def _bar(self, symbol: str, bars: Exact, place: int, length: int, whole: bool) -> Tape:
        bar = bars.data[:, place]
        name = (symbol, whole, *bar.tolist())
        known = self._bars.get(name)
        if known is None:
            data = _trades(symbol, bar, length)
            known = Tape(_aggregated(data) if whole else data, bars.scale)
            self._bars.put(name, known, data.nbytes + 400)
        return known


def _trades(symbol: str, bar: Times, length: int) -> Times:
    """The single trades of one bar."""
    opened, volume = int(bar[0]), int(bar[5])
    count = min(int(bar[7]) or min(volume, length // MINUTE + 1), volume, _MOST, length // SECOND * _A_SECOND)
    out = np.empty((len(COLUMNS), count), np.int64)
    if not count:
        return out
    words = noise.bits(noise.key(opened, symbol, "tape"), np.arange(count, dtype=np.int64))
    follows, when, size, side = (noise.lane(words, place).astype(np.int64) for place in range(4))
    # Several trades in a row share a moment, a price and a side: one order met several others.
    leads = np.maximum.accumulate(np.where(follows % 2, np.arange(count), 0))
    moments = (np.arange(count) * length + when * length // 65536) // count
    out[0] = identity(opened) + np.arange(count)
    out[1] = prices_within(bar, length, moments[leads])
    out[2] = _shared(volume, size)
    out[3] = out[4] = out[0]
    out[5] = opened + moments[leads]
    sold = 1 - int(bar[8]) / volume
    out[6] = (side < sold * 65536)[leads]
    return out


def _shared(volume: int, weights: Times) -> Times:
    """`volume` in whole parts of at least one, nearly in proportion to the weights."""
    total = np.cumsum(weights + 64)
    rest = volume - len(weights)
    # In two parts, of which neither passes 64 bits.
    whole, part = divmod(rest, int(total[-1]))
    until = whole * total + part * total // int(total[-1])
    parts: Times = np.diff(until, prepend=0) + 1
    return parts


def _aggregated(data: Times) -> Times:
    """Trades in a row that share moment, price and side, as one."""
    if not data.shape[1]:
        return data
    differ = (np.diff(data[[1, 5, 6]], axis=1) != 0).any(axis=0)
    starts = np.concatenate([[0], np.flatnonzero(differ) + 1])
    ends = np.append(starts[1:], data.shape[1]) - 1
    out = data[:, starts].copy()
    out[0] = data[0, 0] + np.arange(len(starts))
    out[2] = np.add.reduceat(data[2], starts)
    out[4] = data[0, ends]
    return out
