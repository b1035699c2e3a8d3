"""Pages of klines as the venue serves them, with the closed rows kept as the bytes that go out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tradebot.clock import DAY
from tradebot.market.bars import INTERVALS, MONTH, next_open, open_of
from tradebot.sim import replies
from tradebot.sim.cache import Cache
from tradebot.sim.exact import Exact, Scale
from tradebot.sim.prices import Prices

_SEARCHED = 60 * DAY  # how far to look over holes in bars that are made anew each time
_AT_ONCE = 3200  # rows to write in one go
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


class Closed(NamedTuple):
    """Closed rows: the oldest `wanted` from `start` on, or without it the newest ones, up to `end`."""

    symbol: str
    interval: str
    start: int | None
    end: int
    wanted: int

    @property
    def moment(self) -> int:
        """When the last of them was closed."""
        return next_open(self.interval, self.end)

    def reach(self, listed: int) -> tuple[int, int]:
        """Where they are looked for first; `listed` is when the symbol was."""
        reach = self.wanted * _length(self.interval)
        if self.start is None:
            return self.end - reach, self.end
        start = max(self.start, open_of(self.interval, listed))
        return start, min(start + reach, self.end)

    def found(self, prices: Prices) -> Exact:
        """The bars; the range in which they are looked for widens over holes."""
        return (_newest if self.start is None else _oldest)(prices, self)


class Candles:
    """Serves pages; memory is bounded, closed rows are formatted once."""

    def __init__(self, prices: Prices, *, memory: int = 16 << 20) -> None:
        self.prices = prices
        self._closed: Cache[tuple[bytes, int]] = Cache(memory)
        self._due: dict[Closed, None] = {}

    def steps(self, page: Page, now: int) -> Iterator[None]:
        """Do what `body` takes long for, bit by bit, together with what others ask for at the same time."""
        opened, end = open_of(page.interval, now), _end(page, now)
        rows = _closed(page, now, 1 if end >= opened else 0)
        known = self._known(rows)
        if known is not None and page.start is not None and known[1] >= page.limit:
            return
        start = max(opened, page.start or 0)
        if known is None:
            first, last = rows.reach(self.prices.listed(page.symbol))
            start, end = min(start, first), end if last == rows.end else last
        yield from self.prices.steps(page.symbol, page.interval, start, end, now)
        if known is None and self.prices.settled:
            self._due[rows] = None
            yield
            while rows in self._due:
                self._write_due()

    def body(self, page: Page, now: int) -> bytes:
        """The page as the body of a reply."""
        running = self._running(page, now) if page.start is None else _NONE
        rows, count = self._rows(_closed(page, now, len(running)))
        if page.start is not None and count < page.limit:
            running = self._running(page, now)
        if len(running):
            rows = b",".join(part for part in (rows, replies.kline_rows(running, page.interval)) if part)
        return b"[" + rows + b"]"

    def _running(self, page: Page, now: int) -> Exact:
        """The bars that hold `now`: only they change from one reply to the next."""
        opened, end = open_of(page.interval, now), _end(page, now)
        if end < opened:
            return _NONE
        return self.prices.exact(page.symbol, page.interval, max(opened, page.start or 0), end, now)

    def _rows(self, asked: Closed) -> tuple[bytes, int]:
        return self._known(asked) or self._write([asked])[0]

    def _known(self, asked: Closed) -> tuple[bytes, int] | None:
        return self._closed.get(asked) if self.prices.settled else None

    def _write_due(self) -> None:
        """Write what several wait for in one go, the first ones first."""
        chosen: list[Closed] = []
        while self._due and sum(each.wanted for each in chosen) < _AT_ONCE:
            chosen.append(next(iter(self._due)))
            del self._due[chosen[-1]]
        self._write(chosen)

    def _write(self, asked: Sequence[Closed]) -> list[tuple[bytes, int]]:
        """Rows as they go out, and how many; they are kept as long as nothing can change them."""
        found = [each.found(self.prices) for each in asked]
        texts = replies.kline_pages([(bars, each.interval) for bars, each in zip(found, asked, strict=True)])
        written = [(text, len(bars)) for text, bars in zip(texts, found, strict=True)]
        if self.prices.settled:
            for each, rows in zip(asked, written, strict=True):
                self._closed.put(each, rows, len(rows[0]) + _OVERHEAD)
        return written


_NONE = Exact.empty(Scale(0, 0, 0))


def _end(page: Page, now: int) -> int:
    return now if page.end is None else min(page.end, now)


def _closed(page: Page, now: int, running: int) -> Closed:
    """The closed rows of a page, of which so many bars are not closed."""
    end = min(_end(page, now), open_of(page.interval, now) - 1)
    return Closed(page.symbol, page.interval, page.start, end, page.limit - (running if page.start is None else 0))


def _length(interval: str) -> int:
    """Length in ms; a month counts as its longest, so that a range is never too short."""
    return 31 * DAY if interval == MONTH else INTERVALS[interval]


def _reaches(prices: Prices, asked: Closed) -> Iterator[int]:
    """Wider and wider ranges (ms) to look for the bars in: without end only where looking costs little."""
    reach = asked.wanted * _length(asked.interval)
    yield reach
    while prices.settled or reach < _SEARCHED:
        reach = reach * 4 if prices.settled else min(reach * 4, _SEARCHED)
        yield reach


def _oldest(prices: Prices, asked: Closed) -> Exact:
    start, _ = asked.reach(prices.listed(asked.symbol))
    found = _NONE
    for reach in _reaches(prices, asked):
        found = prices.exact(asked.symbol, asked.interval, start, min(start + reach, asked.end), asked.moment)
        if len(found) >= asked.wanted or start + reach >= asked.end:
            break
    return Exact(found.data[:, : asked.wanted], found.scale)


def _newest(prices: Prices, asked: Closed) -> Exact:
    first, end = open_of(asked.interval, prices.listed(asked.symbol)), asked.end
    found = _NONE
    for reach in _reaches(prices, asked):
        found = prices.exact(asked.symbol, asked.interval, max(end - reach, first), end, asked.moment)
        if len(found) >= asked.wanted or end - reach <= first:
            break
    return Exact(found.data[:, max(len(found) - asked.wanted, 0) :], found.scale)
