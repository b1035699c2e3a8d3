"""Pages of klines as the venue serves them, with the closed rows kept as the bytes that go out."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from tradebot.clock import DAY
from tradebot.market.bars import open_of
from tradebot.sim import replies
from tradebot.sim.cache import Cache
from tradebot.sim.exact import Exact, Scale
from tradebot.sim.prices import Prices, Range, Running
from tradebot.sim.rows import Closed, Rows

_EVER = 1 << 62  # ms
_SEARCHED = 60 * DAY  # how far to look over holes in bars that are made anew each time
_AT_ONCE = 3200  # rows to write in one go
_OVERHEAD = 400  # bytes that a cache entry takes besides its rows
_OPEN = 2 << 20
_BEHIND = 2  # steps that others who came along may be behind

Written: TypeAlias = tuple[bytes, int]  # rows separated by commas, and how many


class Page(NamedTuple):
    """What is asked for. Both bounds are inclusive and compared with open times.

    With `start` the oldest rows from it on, else the newest ones up to `end`.
    """

    symbol: str
    interval: str
    start: int | None
    end: int | None
    limit: int


class Candles:
    """Serves pages; memory is bounded, closed rows are formatted once.

    Of each series the newest rows are kept in one piece, from which pages of any size are cut and to which a bar
    that has closed is added; pages of the past are kept as they were asked for.
    """

    def __init__(self, prices: Prices, *, memory: int = 24 << 20) -> None:
        self.prices = prices
        self._kept: Cache[Rows] = Cache(memory)  # by `Closed`, or the newest ones by symbol and interval
        self._open: Cache[tuple[int, Written]] = Cache(min(memory, _OPEN))  # by these too, with the instant
        self._due: dict[Closed | Running, None] = {}
        self._underway = 0  # pages whose bars are being made

    def steps(self, page: Page, now: int) -> Iterator[None]:
        """Do what `body` takes long for, bit by bit, together with what others ask for at the same time."""
        due = self._due_for(page, now)
        if not due:
            return
        listed = self.prices.listed(page.symbol)
        reaches = [(each.opened, now) if isinstance(each, Running) else each.within(listed) for each in due]
        start, end = min(first for first, _ in reaches), max(last for _, last in reaches)
        taken = yield from self._together(self.prices.steps(page.symbol, page.interval, start, end, now))
        if self.prices.settled:
            yield from self._written(due, taken)

    def _together(self, steps: Iterator[None]) -> Generator[None, None, bool]:
        """Take these steps; whether there were any."""
        self._underway += 1
        taken = False
        try:
            for _ in steps:
                taken = True
                yield
        finally:
            self._underway -= 1
        return taken

    def _written(self, due: Sequence[Closed | Running], taken: bool) -> Iterator[None]:
        """Write this with what else is due, as soon as those who came along are as far. Who took no step waits one."""
        self._due |= dict.fromkeys(due)
        if not taken:
            yield
        for _ in range(_BEHIND):
            if self._underway:
                yield
        while any(each in self._due for each in due):
            self._write_due()

    def _due_for(self, page: Page, now: int) -> list[Closed | Running]:
        """What of a page is not written yet."""
        due: list[Closed | Running] = []
        opened = open_of(page.interval, now)
        asked = _closed(page, now, opened, int(_end(page, now) >= opened))
        known = self._known(asked)
        if known is None:
            due.append(lacking := self._lacking(asked))
            reached = lacking.within(self.prices.listed(page.symbol))[1] == asked.end
        else:
            reached = page.start is None or known[1] < page.limit
        if reached and self._known_open(page, now) is None:
            due.append(Running(page.symbol, page.interval, now))
        return due

    def body(self, page: Page, now: int) -> bytes:
        """The page as the body of a reply."""
        running, number = self._running(page, now) if page.start is None else _NOTHING
        rows, count = self._rows(_closed(page, now, open_of(page.interval, now), number))
        if page.start is not None and count < page.limit:
            running, _ = self._running(page, now)
        return b"".join((b"[", rows, b"," if rows and running else b"", running, b"]"))

    def _running(self, page: Page, now: int) -> Written:
        """The bars that hold `now`: only they change from one reply to the next."""
        if self.prices.settled:
            return self._known_open(page, now) or self._write([Running(page.symbol, page.interval, now)])[0]
        start = max(open_of(page.interval, now), page.start or 0)
        bars = self.prices.exact(page.symbol, page.interval, start, _end(page, now), now)
        return replies.kline_rows(bars, page.interval), len(bars)

    def _known_open(self, page: Page, now: int) -> Written | None:
        """What runs at this instant, if it need not be looked up."""
        opened = open_of(page.interval, now)
        if _end(page, now) < opened or (page.start or 0) > opened:
            return _NOTHING
        known = self._open.get((page.symbol, page.interval))
        return known[1] if known and known[0] == now else None

    def _rows(self, asked: Closed) -> Written:
        known = self._known(asked)
        if known is None and (lacking := self._lacking(asked)) != asked:
            self._write([lacking])
            known = self._known(asked)
        return known or self._write([asked])[0]

    def _known(self, asked: Closed) -> Written | None:
        if not asked.wanted:
            return _NOTHING
        if not self.prices.settled:
            return None
        page = self._kept.get(asked)
        if page is not None:
            return page.text, page.count
        newest = self._kept.get(asked.series)
        return None if newest is None else newest.cut(asked)

    def _lacking(self, asked: Closed) -> Closed:
        """What has to be written for this to be known: itself, or what has closed since."""
        newest = self._kept.get(asked.series) if self.prices.settled else None
        return (newest and newest.lacking(asked)) or asked

    def _write_due(self) -> None:
        """Write what several wait for in one go, the first ones first."""
        chosen: list[Closed | Running] = []
        rows = 0
        while self._due and rows < _AT_ONCE:
            chosen.append(each := next(iter(self._due)))
            del self._due[each]
            rows += each.wanted if isinstance(each, Closed) else 1
        self._write(chosen)

    def _write(self, asked: Sequence[Closed | Running]) -> list[Written]:
        """Rows as they go out; they are kept as long as nothing can change them."""
        running = iter(self.prices.running([each for each in asked if isinstance(each, Running)]))
        closed = iter(_found(self.prices, [each for each in asked if isinstance(each, Closed)]))
        found = [next(running) if isinstance(each, Running) else next(closed) for each in asked]
        texts = replies.kline_pages([(bars, each.interval) for bars, each in zip(found, asked, strict=True)])
        written = [(text, len(bars)) for text, bars in zip(texts, found, strict=True)]
        if self.prices.settled:
            for each, rows in zip(asked, written, strict=True):
                if isinstance(each, Running):
                    self._open.put(each.series, (each.now, rows), len(rows[0]) + _OVERHEAD)
                else:
                    self._keep(each, *rows)
        return written

    def _keep(self, asked: Closed, text: bytes, count: int) -> None:
        newest = self._kept.get(asked.series)
        if newest is not None and asked.start == newest.until and count < asked.wanted:
            self._put(asked.series, newest.then(text, count, asked))
        elif not asked.latest:
            self._put(asked, Rows.of(text, count, asked))
        elif newest is None or (asked.end + 1, count) >= (newest.until, newest.count):
            self._put(asked.series, Rows.of(text, count, asked))

    def _put(self, name: Closed | tuple[str, str], rows: Rows) -> None:
        self._kept.put(name, rows, rows.size + _OVERHEAD)


_NONE = Exact.empty(Scale(0, 0, 0))
_NOTHING: Written = (b"", 0)


def _end(page: Page, now: int) -> int:
    return now if page.end is None else min(page.end, now)


def _closed(page: Page, now: int, opened: int, running: int) -> Closed:
    """The closed rows of a page, of which so many bars are not closed; the one that holds `now` has opened then."""
    last = opened - 1
    end = min(_end(page, now), last)
    if page.start is not None:
        return Closed(page.symbol, page.interval, page.start, end, page.limit)
    return Closed(page.symbol, page.interval, None, end, page.limit - running, end == last)


def _found(prices: Prices, asked: Sequence[Closed]) -> list[Exact]:
    """The bars, most of them in one go."""
    listed = [prices.listed(each.symbol) for each in asked]
    looks = zip(asked, listed, strict=True)
    found = prices.ranges([Range(*each.series, *each.within(began), each.moment) for each, began in looks])
    return [
        each.of(_widened(prices, each, bars, began)) for each, bars, began in zip(asked, found, listed, strict=True)
    ]


def _widened(prices: Prices, asked: Closed, found: Exact, listed: int) -> Exact:
    """What is found in wider and wider ranges where there are holes: without end only where looking costs little."""
    reach, widest = asked.reach, asked.within(listed, _EVER)
    searched = _EVER if prices.settled else _SEARCHED
    while len(found) < asked.wanted and reach < searched and asked.within(listed, reach) != widest:
        reach = min(reach * 4, searched)
        found = prices.exact(*asked.series, *asked.within(listed, reach), asked.moment)
    return found
