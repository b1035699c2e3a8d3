"""What faults leave of a source's bars: coarse ones are made of those of the finest that are not lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tradebot.clock import DAY
from tradebot.market.bars import INTERVALS, next_open, open_of
from tradebot.sim.cache import Cache
from tradebot.sim.exact import Exact, Scale, join
from tradebot.sim.fault_market import Losing
from tradebot.sim.prices import Prices

_GRAINS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w")
_FAR = 2**62
_STRETCH = 8 * DAY  # made in one go, or one bar if that is longer
_MEMORY = 2 << 20
_OBJECT = 200  # bytes that an entry takes besides its values


class Remains:
    """The rest of any series of a source under some faults; stretches of closed bars are kept, in bounded memory."""

    def __init__(self, source: Prices, faults: Sequence[Losing], seed: int) -> None:
        self._source = source
        self._faults = faults
        self._seed = seed
        self._grains: dict[str, str] = {}
        self._known: Cache[Exact] = Cache(_MEMORY)

    def exact(self, symbol: str, interval: str, begin: int, end: int, now: int, *, scale: Scale) -> Exact:
        """Whole bars that opened from `begin`, where one does, to `end`, the last ms of one."""
        if not self._coarse(symbol, interval):
            return self._left(symbol, interval, begin, end, now).rescaled(scale)
        parts = []
        for start, until in _stretches(interval, begin, end):
            if until <= now:
                part = self._closed(symbol, interval, start, until).between(begin, end)
            else:
                part = self._left(symbol, self.grain(symbol), max(start, begin), end, now).aggregate(interval)
            parts.append(part.rescaled(scale))
        return join(parts, scale)

    def steps(self, symbol: str, interval: str, begin: int, end: int, now: int) -> Iterator[None]:
        """Do what `exact` takes long for, bit by bit."""
        if not self._coarse(symbol, interval):
            yield from self._source.steps(symbol, interval, begin, end, now)
            return
        for start, until in _stretches(interval, begin, min(end, now)):
            if (symbol, interval, start) not in self._known:
                yield from self._source.steps(symbol, self.grain(symbol), start, until - 1, now)
                if until <= now:
                    self._closed(symbol, interval, start, until)
                    yield

    def grain(self, symbol: str) -> str:
        """The finest interval from a minute on that the source has of a symbol."""
        if symbol not in self._grains:
            begin = self._source.listed(symbol)
            has = (g for g in _GRAINS if len(self._source.exact(symbol, g, begin - INTERVALS[g], begin, _FAR >> 1)))
            self._grains[symbol] = next(has, "1m")
        return self._grains[symbol]

    def _coarse(self, symbol: str, interval: str) -> bool:
        return INTERVALS.get(interval, 28 * DAY) > INTERVALS[self.grain(symbol)]

    def _closed(self, symbol: str, interval: str, start: int, until: int) -> Exact:
        """A stretch of bars that are closed."""
        known = self._known.get((symbol, interval, start))
        if known is None:
            known = self._left(symbol, self.grain(symbol), start, until - 1, until).aggregate(interval)
            self._known.put((symbol, interval, start), known, known.data.nbytes + _OBJECT)
        return known

    def _left(self, symbol: str, interval: str, begin: int, end: int, now: int) -> Exact:
        """The bars of the source that no fault takes away."""
        bars = self._source.exact(symbol, interval, begin, end, now)
        lost = np.zeros(len(bars), np.bool_)
        for each in self._faults:
            if each.concerns(symbol):
                lost |= each.lost(symbol, bars.data[0], self._seed)
        return Exact(bars.data[:, ~lost], bars.scale)


def _stretches(interval: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The begin and the end of each stretch that has a moment from `begin` to `end`."""
    at = open_of(interval, begin)
    if INTERVALS.get(interval, _FAR) <= DAY:
        at = begin // _STRETCH * _STRETCH
    while at <= end:
        until = at + _STRETCH if INTERVALS.get(interval, _FAR) <= DAY else next_open(interval, at)
        yield at, until
        at = until
