"""Years of klines: pages of a thousand bars, many at once, stored as they come.

Only what the store does not cover is asked for. A range is walked from its oldest bar on. Its first
page is asked for alone, because it tells where data begins (a listing date is never searched page by
page); the others are independent of each other, so many are in the air at once. A page says *all
that the venue has from here to there*, and is stored as that: whenever a fetch ends, by a signal, a
fault or the loss of power, the store knows exactly which stretches it covers, and the next fetch
asks for the rest. What came in is stored at latest every `FLUSH_MS`.

A coarser interval is made from the finest one of the same fetch that divides it, bar by bar where
all finer bars are there (equal to the venue's to the digit), and fetched elsewhere.

A venue that wants to be left alone is waited for, since this is a long job; whoever looks is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from tradebot.clock import MINUTE, Clock, monotonic_ms
from tradebot.errors import MarketError, VenueBusy
from tradebot.market.bars import Klines, Times, aggregate, interval_ms, next_open, open_of
from tradebot.market.chunks import Series, Stretch
from tradebot.market.coverage import Span
from tradebot.market.venue import Feed

PAGE = 1_000
FOREVER = 2**53
FLUSH_MS = 2_000.0  # real
BLOCK = 50_000  # bars read from the store at once
LATE_MS = MINUTE  # a bar that closed less long ago may be missing because it is late
LONGEST_MS = 15 * MINUTE  # a longer ban is not sat out
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # before a page is asked for again, beyond the client's own tries


class Shelf(Protocol):
    """What a fetch of history needs of the store. Raises `MarketError`s."""

    def missing(self, symbol: str, interval: str, start: int, end: int) -> Sequence[Span]:
        """What is not covered of `start` to `end`, as first and last open time."""

    def read(self, symbol: str, interval: str, start: int | None = None, end: int | None = None) -> Klines:
        """The stored bars with `start <= open time <= end`."""

    def add(self, stretches: Iterable[Stretch]) -> None:
        """Store all of them in one transaction."""


@dataclass
class Tally:
    """How far a fetch is: `done` of `bars` places on the grid are known, `rows` klines came, `made` were made here.

    `waiting` says what it waits for, if it waits; `requests` and `weight` are for whoever counts them.
    """

    bars: int = 0
    done: int = 0
    rows: int = 0
    made: int = 0
    waiting: str = ""
    requests: int = 0
    weight: int = 0


@dataclass(eq=False)
class _Walk:
    """What is left of a range: its pages from `at` on."""

    series: Series
    at: int
    last: int
    first_page: bool = True

    @property
    def step(self) -> int:
        return interval_ms(self.series[1])

    def take(self) -> Span:
        """First and last open time of the next page."""
        first = self.at
        self.at = min(first + PAGE * self.step, self.last + self.step)
        return first, self.at - self.step


def span_of(interval: str, since: int, until: int, now: int) -> Span | None:
    """First and last open time of the bars that open from `since` to before `until` and are closed at `now`."""
    first = open_of(interval, since)
    if first < since:
        first = next_open(interval, since)
    last = open_of(interval, min(until, open_of(interval, now)) - 1)
    return (first, last) if first <= last else None


def joined(ranges: Iterable[Span], reach: int) -> Iterator[Span]:
    """Spans in order, those put together that one page of length `reach` (ms) covers."""
    held: Span | None = None
    for first, last in ranges:
        if held and last - held[0] <= reach:
            held = held[0], last
        else:
            if held:
                yield held
            held = first, last
    if held:
        yield held


def finer(interval: str, among: Iterable[str]) -> str | None:
    """The finest of `among` that bars of `interval` can be made from."""
    step, origin = interval_ms(interval), open_of(interval, 0)
    fit = [name for name in among if step % (length := interval_ms(name)) == 0 and origin % length == 0]
    return min((name for name in fit if name != interval), key=interval_ms, default=None)


def made_from(fine: Klines, step: int, interval: str) -> Klines:
    """The bars of `interval` all of whose finer bars, of length `step` (ms), are in `fine`."""
    times = fine.open_time
    opens = times - (times - open_of(interval, 0)) % interval_ms(interval)
    bars, counts = np.unique(opens[times % step == 0], return_counts=True)
    full = bars[counts == interval_ms(interval) // step]
    return aggregate(Klines(fine.data[:, np.isin(opens, full) & (times % step == 0)]), interval)


class History:
    """One fetch of history. `errors` names each series of which something could not be had, with the reason."""

    def __init__(
        self,
        feed: Feed,
        clock: Clock,
        shelf: Shelf,
        *,
        connections: int = 50,
        seen: Callable[[Tally], None] = lambda _: None,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self.tally = Tally()
        self.errors: dict[Series, MarketError] = {}
        self.new: dict[Series, int] = {}
        self.made: dict[Series, int] = {}
        self._feed = feed
        self._clock = clock
        self._shelf = shelf
        self._connections = connections
        self._seen = seen
        self._pauses_s = pauses_s
        self._found: list[Stretch] = []
        self._flushed = monotonic_ms()
        self._busy_until = 0

    async def fetch(self, spans: dict[Series, Span]) -> None:
        """Bring in what the store does not cover of `spans`; what could not be had is in `errors`.

        When it is cancelled, all that came in is stored first. Raises the `MarketError` of a store that fails.
        """
        missing = {series: self._shelf.missing(*series, *span) for series, span in spans.items()}
        self.tally.bars = sum(_bars(series, ranges) for series, ranges in missing.items())
        sources = {s: finer(s[1], (name for symbol, name in spans if symbol == s[0])) for s in spans}
        try:
            await self._walk({series: ranges for series, ranges in missing.items() if sources[series] is None})
            rest = {}
            for series, source in sources.items():
                if source is not None:
                    rest[series] = await self._make(series, source, missing[series])
            await self._walk(rest)
        finally:
            self._flush()

    async def _walk(self, missing: Mapping[Series, Sequence[Span]]) -> None:
        queue: asyncio.Queue[_Walk] = asyncio.Queue()
        for series, ranges in missing.items():
            for first, last in joined(ranges, (PAGE - 1) * interval_ms(series[1])):
                queue.put_nowait(_Walk(series, first, last))
        workers = [asyncio.create_task(self._work(queue)) for _ in range(min(self._connections, queue.qsize()))]
        ended = asyncio.create_task(queue.join())
        try:
            await asyncio.wait([ended, *workers], return_when=asyncio.FIRST_COMPLETED)
            for worker in workers:
                if worker.done():
                    worker.result()  # it only ends by an error
        finally:
            for task in (ended, *workers):
                task.cancel()
            await asyncio.gather(ended, *workers, return_exceptions=True)

    async def _work(self, queue: asyncio.Queue[_Walk]) -> None:
        while True:
            walk = await queue.get()
            if walk.at <= walk.last and walk.series not in self.errors:
                page = walk.take()
                if not walk.first_page:
                    queue.put_nowait(walk)
                await self._bring(walk, page)
                if walk.first_page:
                    walk.first_page = False
                    queue.put_nowait(walk)
            queue.task_done()

    async def _bring(self, walk: _Walk, page: Span) -> None:
        try:
            stretch = await self._page(walk.series, page, walk.last)
        except MarketError as error:
            self.errors.setdefault(walk.series, error)
            return
        if stretch.newest >= stretch.since:  # else all of it closed just now, and may come yet
            walk.at = max(walk.at, open_of(walk.series[1], stretch.newest) + walk.step)
            self._take(stretch, len(stretch.klines))

    async def _page(self, series: Series, page: Span, end: int) -> Stretch:
        """All that the venue has of a page; where it has nothing up to a later bar or its end, more than the page."""
        step = interval_ms(series[1])
        first, last = page
        start, parts, empty = first, [Klines.empty().data], 0
        while True:
            reply = (await self._ask(series, start, (last - start) // step + 2)).between(start, FOREVER)
            parts.append(reply.between(start, last + step - 1).data)
            klines = Klines(np.concatenate(parts, axis=1))
            if len(reply):
                newest = int(reply.data[0, -1])
                if newest >= last + step or open_of(series[1], newest) == last:
                    later = reply.between(last + step, FOREVER).open_time
                    return Stretch(series, klines, first, _up_to(series[1], last, later, end))
                start, empty = newest + 1, 0
            else:
                empty += 1
                if empty == 2:  # said twice: there is nothing at or after `start`
                    return self._ended(series, klines, first, end)

    def _ended(self, series: Series, klines: Klines, first: int, end: int) -> Stretch:
        """The venue has nothing more up to `end`; what closed just now may come yet, and is not claimed."""
        interval = series[1]
        sure = open_of(interval, open_of(interval, self._clock.now() - LATE_MS) - 1)
        newest = open_of(interval, int(klines.data[0, -1])) if len(klines) else first - interval_ms(interval)
        return Stretch(series, klines, first, min(end, max(sure, newest)))

    async def _ask(self, series: Series, start: int, limit: int) -> Klines:
        tries = iter(self._pauses_s)
        while True:
            await self._venue_is_ready()
            try:
                return await self._feed.klines(*series, start, min(limit, PAGE))
            except VenueBusy as busy:
                if busy.wait_ms > LONGEST_MS:
                    raise
                self._busy_until = max(self._busy_until, self._clock.now() + busy.wait_ms)
            except MarketError as error:
                pause = next(tries, None)
                if pause is None or not error.retryable:
                    raise
                self.tell(f"{error}; again in {pause:g} s")
                await asyncio.sleep(pause)

    async def _venue_is_ready(self) -> None:
        while (left := self._busy_until - self._clock.now()) > 0:
            self.tell(f"waiting {-(-left // 1000)} s for the venue's limit")
            self._flush()
            await self._clock.sleep_until(min(self._busy_until, self._clock.now() + 1_000))
        if self.tally.waiting:
            self.tell("")

    def tell(self, waiting: str) -> None:
        """Show how far it is, and what it waits for."""
        self.tally.waiting = waiting
        self._seen(self.tally)

    def _take(self, stretch: Stretch, new: int) -> None:
        self._found.append(stretch)
        self.new[stretch.series] = self.new.get(stretch.series, 0) + new
        self.tally.rows += new
        known = (stretch.newest - stretch.since) // interval_ms(stretch.series[1]) + 1
        self.tally.done = min(self.tally.bars, self.tally.done + known)  # pages of a void may tell the same
        self.tell("")
        if monotonic_ms() - self._flushed > FLUSH_MS or sum(len(each.klines) for each in self._found) > BLOCK:
            self._flush()

    def _flush(self) -> None:
        found, self._found, self._flushed = self._found, [], monotonic_ms()
        if found:
            self._shelf.add(found)

    async def _make(self, series: Series, source: str, missing: Iterable[Span]) -> list[Span]:
        """Make what can be made of a series from its `source` interval; what is then still missing."""
        self._flush()
        symbol, interval = series
        fine, step = interval_ms(source), interval_ms(interval)
        rest: list[Span] = []
        for first, last in missing:
            length = max(BLOCK * fine // step, 1) * step
            for start in range(first, last + 1, length):
                await asyncio.sleep(0)  # a signal may want to be heard
                end = min(start + length, last + step)
                made = made_from(self._shelf.read(symbol, source, start, end - 1), fine, interval)
                rest += _between(made, start, end - step, step)
                for part in np.split(made.data, np.flatnonzero(np.diff(made.data[0]) > step) + 1, axis=1):
                    if part.shape[1]:
                        self.made[series] = self.made.get(series, 0) + part.shape[1]
                        self.tally.made += part.shape[1]
                        self._take(Stretch(series, Klines(part), int(part[0, 0]), int(part[0, -1])), 0)
        return rest


def _bars(series: Series, ranges: Iterable[Span]) -> int:
    return sum((last - first) // interval_ms(series[1]) + 1 for first, last in ranges)


def _up_to(interval: str, last: int, later: Times, end: int) -> int:
    """Up to where a page that ends with `last` tells what there is: to before the first later bar."""
    before = open_of(interval, int(later[0])) - interval_ms(interval) if len(later) else last
    return min(max(before, last), max(end, last))


def _between(made: Klines, first: int, last: int, step: int) -> list[Span]:
    """The ranges of `first` to `last` in which `made` has no bar."""
    times = [first - step, *made.open_time.tolist(), last + step]
    return [(a + step, b - step) for a, b in pairwise(times) if b - a > step]
