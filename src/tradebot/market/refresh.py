"""One refresh of the store: what is due, the requests for it, and what they change.

Decisions are pure functions of what is held, what the index says and what the venue answered; the
workers only carry them out.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np

from tradebot.clock import monotonic_ms
from tradebot.errors import MarketError, TradebotError
from tradebot.market.bars import Klines, Times, interval_ms, last_closed, merge
from tradebot.market.chunks import Change, Chunks, Coverage, Series, chunk_open
from tradebot.market.venue import Feed

NONE: Times = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A series after a refresh.

    `klines` are the closed bars of the window that was asked for, with the venue's own gaps; with an
    `error` they are what was stored before, and may be old or none. `new` bars came in, with
    `requests` requests; `revised` are the open times (int64 UTC ms) of stored bars whose values the
    venue has changed since.
    """

    symbol: str
    interval: str
    klines: Klines
    new: int = 0
    requests: int = 0
    error: TradebotError | None = None
    revised: Times = field(default_factory=lambda: NONE)


class Window(NamedTuple):
    """The bars of a series that a refresh wants: open times `first` to `last`, all of them closed.

    `border` is where the chunk that holds the first of them begins.
    """

    series: Series
    first: int
    last: int
    step: int
    border: int

    @property
    def symbol(self) -> str:
        """Symbol of the series."""
        return self.series[0]

    @property
    def interval(self) -> str:
        """Interval of the series."""
        return self.series[1]

    def of(self, klines: Klines) -> Klines:
        """Its part of a series, an off-grid last bar included."""
        return klines.between(self.first, self.last + self.step - 1)


class Held(NamedTuple):
    """A series in memory: all that is stored from the chunk border `start` on, with its coverage."""

    klines: Klines
    coverage: Coverage
    start: int


Memory: TypeAlias = dict[Series, Held]


def windows(symbols: Sequence[str], intervals: Sequence[str], bars: int, now: int) -> list[Window]:
    """The windows of a refresh, symbol by symbol, so that a cut leaves as many symbols whole as it can."""
    spans = []
    for interval in intervals:
        last, step = last_closed(interval, now), interval_ms(interval)
        first = last - (bars - 1) * step
        spans.append((interval, first, last, step, chunk_open(interval, first)))
    return [Window((symbol, interval), *span) for symbol in dict.fromkeys(symbols) for interval, *span in spans]


def complete(coverage: Coverage | None, window: Window) -> bool:
    """Whether nothing of a window is missing, so that nothing is due.

    Bars from well after the venue's present are another venue's, or this one's with its clock set
    back: they prove nothing.
    """
    if coverage is None or coverage.newest > window.last + window.step:
        return False
    return coverage.since <= window.first and window.last <= coverage.newest


def reaches(coverage: Coverage, window: Window) -> bool:
    """Whether a window can be completed by asking for newer bars only."""
    return coverage.since <= window.first <= coverage.newest < window.last


def extended(held: Klines, reply: Klines) -> Klines | None:
    """What is held with a reply that begins at its newest bar; None if that bar is not the same in both."""
    if not len(reply) or not np.array_equal(reply.data[:, 0], held.data[:, -1]):
        return None
    return Klines(np.concatenate([held.data, reply.data[:, 1:]], axis=1))


def foreign(shared: int, revised: int) -> bool:
    """Whether so many shared bars differ that what is stored must be another venue's."""
    return revised > 1 and 2 * revised > shared


class Refresh:
    """Carries out the requests of one refresh with a bounded number of workers.

    `memory` is brought up to date as replies arrive; `changes` are for `Chunks.commit`.
    """

    def __init__(self, chunks: Chunks, memory: Memory, feed: Feed) -> None:
        self.changes: list[Change] = []
        self.index = chunks.index()
        self._chunks = chunks
        self._memory = memory
        self._feed = feed
        self._started = monotonic_ms()
        self._queue: deque[Window] = deque()
        self._waiting: dict[Series, Window] = {}
        self._requests: Counter[Series] = Counter()
        self._arrived: asyncio.Queue[Ready | asyncio.Task[None]] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []

    def start(self, due: Sequence[Window], connections: int) -> None:
        """Ask for `due`, with at most `connections` workers."""
        self._waiting |= {window.series: window for window in due}
        self._queue.extend(due)
        for _ in range(min(connections, len(due))):
            worker = asyncio.create_task(self._work())
            worker.add_done_callback(self._arrived.put_nowait)
            self._workers.append(worker)

    async def stop(self) -> None:
        """Abandon what is in the air."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def arrivals(self, deadline_s: float | None) -> AsyncIterator[Ready]:
        """The series that were asked for, as they arrive; `deadline_s` after the start the others, with an error."""
        while self._waiting:
            left = None if deadline_s is None else deadline_s - (monotonic_ms() - self._started) / 1000
            try:
                async with asyncio.timeout(left):
                    item = await self._arrived.get()
            except TimeoutError:
                break
            if isinstance(item, Ready):
                del self._waiting[item.symbol, item.interval]
                yield item
            else:
                item.result()  # a worker ended; a bug in it comes to light here
        for window in self._waiting.values():
            yield self._failed(window, MarketError(f"{window.symbol} {window.interval}: no answer in time"))

    def held(self, window: Window) -> Held | None:
        """What is stored of a series from its window on; None if that is nothing or damaged."""
        coverage, held = self.index.get(window.series), self._memory.get(window.series)
        if coverage is None:
            return None
        if held and held.coverage == coverage and held.start <= window.border:
            return held
        klines, whole = self._load(window, coverage)
        if not whole or not len(klines):
            return None
        self._memory[window.series] = held = Held(klines, coverage, window.border)
        return held

    def _load(self, window: Window, coverage: Coverage) -> tuple[Klines, bool]:
        # Bars from after the venue's present belong to another run of a simulated venue.
        end = min(coverage.newest, window.last + window.step - 1)
        start = max(coverage.first, window.border)
        klines, whole = self._chunks.load(window.series, start, end)
        return klines.between(start, end), whole

    async def _work(self) -> None:
        while self._queue:
            window = self._queue.popleft()
            try:
                ready = await self._update(window)
            except TradebotError as error:
                ready = self._failed(window, error)
            self._arrived.put_nowait(ready)

    def _failed(self, window: Window, error: TradebotError) -> Ready:
        held = self._memory.get(window.series)
        klines = window.of(held.klines) if held else Klines.empty()
        return Ready(window.symbol, window.interval, klines, 0, self._requests[window.series], error)

    async def _update(self, window: Window) -> Ready:
        held = self.held(window)
        if held and reaches(held.coverage, window):
            reply = await self._ask(window, held.coverage.newest)
            klines = extended(held.klines, reply)
            if klines is not None:
                return self._longer(window, held, klines, len(reply) - 1)
        return self._whole(window, await self._ask(window, window.first))

    async def _ask(self, window: Window, start: int) -> Klines:
        """The closed bars from `start` to the end of the window; one request."""
        self._requests[window.series] += 1
        limit = (window.last - start) // window.step + 2  # the last may be open
        reply = await self._feed.klines(window.symbol, window.interval, start, limit)
        return reply.between(start, window.last + window.step - 1)

    def _longer(self, window: Window, held: Held, klines: Klines, new: int) -> Ready:
        """The usual case: a few bars were added at the end."""
        if new:
            coverage = held.coverage._replace(newest=int(klines.data[0, -1]))
            self._keep(window, klines, coverage, chunk_open(window.interval, held.coverage.newest))
        return Ready(window.symbol, window.interval, window.of(klines), new, self._requests[window.series])

    def _whole(self, window: Window, reply: Klines) -> Ready:
        """The whole window was asked for: what the venue says replaces what was stored of it."""
        coverage = self.index.get(window.series)
        stored = self._load(window, coverage)[0] if coverage else Klines.empty()
        inside = window.of(stored)
        revised = merge(inside, reply)[1]
        shared = int(np.isin(reply.data[0], inside.data[0]).sum())
        if len(reply):
            replaces = foreign(shared, len(revised))
            older = Klines.empty() if replaces else stored.between(0, window.first - 1)
            oldest = int(reply.data[0, 0])
            first = oldest if replaces or coverage is None else min(oldest, coverage.first)
            klines = Klines(np.concatenate([older.data, reply.data], axis=1))
            covered = Coverage(first, window.first, int(reply.data[0, -1]))
            self._keep(window, klines, covered, window.border, replaces=replaces)
        requests = self._requests[window.series]
        return Ready(window.symbol, window.interval, reply, len(reply) - shared, requests, None, revised)

    def _keep(self, window: Window, klines: Klines, coverage: Coverage, since: int, *, replaces: bool = False) -> None:
        """Remember a series from its window on, and what of it is to be stored, from `since` on."""
        base = self.index.get(window.series)
        self.changes.append(Change(window.series, klines.between(since, coverage.newest), coverage, base, replaces))
        self._memory[window.series] = Held(klines.between(window.border, coverage.newest), coverage, window.border)
