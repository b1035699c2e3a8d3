"""Pages of klines as the venue serves them, with the closed rows kept as the bytes that go out."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from tradebot.clock import DAY
from tradebot.market.bars import INTERVALS, MONTH, open_of
from tradebot.sim import replies
from tradebot.sim.cache import Cache
from tradebot.sim.exact import Exact, Scale
from tradebot.sim.prices import Prices

_SEARCHED = 60 * DAY  # how far to look over holes in bars that are made anew each time
_OVERHEAD = 200  # bytes that a cache entry takes besides its rows


@dataclass(frozen=True, slots=True)
class Page:
    """What is asked for. Both bounds are inclusive and compared with open times.

    With `start` the oldest rows from it on, else the newest ones up to `end`.
    """

    symbol: str
    interval: str
    start: int | None
    end: int | None
    limit: int


class Candles:
    """Serves pages; memory is bounded, closed rows are formatted once."""

    def __init__(self, prices: Prices, *, memory: int = 24 << 20) -> None:
        self.prices = prices
        self._closed: Cache[tuple[bytes, int]] = Cache(memory)

    def steps(self, page: Page, now: int) -> Iterator[None]:
        """Do what `body` takes long for, bit by bit, together with what others ask for at the same time."""
        opened, end = open_of(page.interval, now), _end(page, now)
        wanted = page.limit - (1 if page.start is None and end >= opened else 0)
        start = max(opened, page.start or 0)
        if not self.prices.settled or _name(page, min(end, opened - 1), wanted) not in self._closed:
            reach = wanted * _length(page.interval)
            if page.start is None:
                start = min(start, min(end, opened - 1) - reach)
            else:
                start = max(page.start, open_of(page.interval, self.prices.listed(page.symbol)))
                end = min(end, start + reach)
        return self.prices.steps(page.symbol, page.interval, start, end, now)

    def body(self, page: Page, now: int) -> bytes:
        """The page as the body of a reply."""
        opened = open_of(page.interval, now)
        end = _end(page, now)
        running = _NONE
        if end >= opened:
            # Only the bars that hold `now` change from one reply to the next.
            running = self.prices.exact(page.symbol, page.interval, max(opened, page.start or 0), end, now)
        newest = page.start is None
        wanted = page.limit - len(running) if newest else page.limit
        rows, count = self._rows(page, min(end, opened - 1), wanted, opened)
        if len(running) and count < page.limit:
            rows = b",".join(part for part in (rows, replies.kline_rows(running, page.interval)) if part)
        return b"[" + rows + b"]"

    def _rows(self, page: Page, end: int, wanted: int, opened: int) -> tuple[bytes, int]:
        name = _name(page, end, wanted)
        known = self._closed.get(name)
        if known is None or not self.prices.settled:
            found = _newest if page.start is None else _oldest
            bars = found(self.prices, page, end, wanted, opened)
            rows = replies.kline_rows(bars, page.interval)
            known = rows, len(bars)
            if self.prices.settled:
                self._closed.put(name, known, len(rows) + _OVERHEAD)
        return known


_NONE = Exact.empty(Scale(0, 0, 0))


def _end(page: Page, now: int) -> int:
    return now if page.end is None else min(page.end, now)


def _name(page: Page, end: int, wanted: int) -> Hashable:
    """What closed rows are kept under."""
    return page.symbol, page.interval, page.start, end, wanted


def _length(interval: str) -> int:
    """Length in ms; a month counts as its longest, so that a range is never too short."""
    return 31 * DAY if interval == MONTH else INTERVALS[interval]


def _reaches(prices: Prices, page: Page, wanted: int) -> Iterator[int]:
    """Wider and wider ranges (ms) to look for `wanted` bars in: without end only where looking costs little."""
    reach = wanted * _length(page.interval)
    yield reach
    while prices.settled or reach < _SEARCHED:
        reach = reach * 4 if prices.settled else min(reach * 4, _SEARCHED)
        yield reach


def _oldest(prices: Prices, page: Page, end: int, wanted: int, now: int) -> Exact:
    """The first `wanted` bars from `page.start` on; the range widens over holes."""
    start = max(page.start or 0, open_of(page.interval, prices.listed(page.symbol)))
    found = _NONE
    for reach in _reaches(prices, page, wanted):
        found = prices.exact(page.symbol, page.interval, start, min(start + reach, end), now)
        if len(found) >= wanted or start + reach >= end:
            break
    return Exact(found.data[:, :wanted], found.scale)


def _newest(prices: Prices, page: Page, end: int, wanted: int, now: int) -> Exact:
    """The last `wanted` bars up to `end`; the range widens over holes."""
    first = open_of(page.interval, prices.listed(page.symbol))
    found = _NONE
    for reach in _reaches(prices, page, wanted):
        found = prices.exact(page.symbol, page.interval, max(end - reach, first), end, now)
        if len(found) >= wanted or end - reach <= first:
            break
    return Exact(found.data[:, max(len(found) - wanted, 0) :], found.scale)
