"""The kline store: what is closed is fetched once.

`refresh` decides for each series what is due, asks for exactly that and one bar more (the overlap),
and yields each series as soon as it is ready. Closed klines never expire.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from tradebot.errors import MarketError
from tradebot.market.bars import Klines
from tradebot.market.chunks import Chunks, Series
from tradebot.market.due import groups
from tradebot.market.memory import Memory, next_due
from tradebot.market.refresh import PATIENCE_S, Ready, Refresh, Terms
from tradebot.market.ttl import Bounds
from tradebot.market.venue import Feed

__all__ = ["PATIENCE_S", "KlineStore", "Ready", "Terms"]

log = logging.getLogger(__name__)
USUAL = Terms()


class KlineStore:
    """The klines of one venue, shared with other processes through `folder`.

    `MarketError` if the folder cannot be used.
    """

    def __init__(self, folder: Path, venue: str) -> None:
        self._chunks = Chunks(folder, venue)
        self._memory = Memory(self._chunks)
        self.trouble: MarketError | None = None
        """Why the newest klines are in memory only; None while all is stored."""
        # One thread for all writing: each SQLite connection stays in the thread that made it.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="klines")

    def __enter__(self) -> KlineStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish writing and close all files."""
        self._writer.submit(self._chunks.close).result()
        self._writer.shutdown()
        self._chunks.close()

    def stored(self) -> list[Series]:
        """`(symbol, interval)` of all series."""
        return sorted(self._chunks.index())

    def read(self, symbol: str, interval: str, start: int | None = None, end: int | None = None) -> Klines:
        """The stored bars with `start <= open time <= end`; all there are where a bound is None."""
        coverage = self._chunks.index().get((symbol, interval))
        if coverage is None:
            return Klines.empty()
        first = coverage.first if start is None else max(start, coverage.first)
        last = coverage.newest if end is None else min(end, coverage.newest)
        return self._chunks.load((symbol, interval), first, last)[0].between(first, last)

    async def refresh(
        self,
        feed: Feed,
        now: int,
        symbols: Sequence[str],
        intervals: Sequence[str],
        bars: int,
        *,
        terms: Terms = USUAL,
    ) -> AsyncGenerator[Ready, None]:
        """The newest `bars` bars closed at `now` (UTC ms) of every series, each as soon as it is ready.

        First come the series of which nothing is due, then the others as replies arrive. A series that
        fails, or is not there by the deadline of the `terms`, comes with its error. Everything new is
        stored in one transaction after the last series, or when the iteration is closed
        (`contextlib.aclosing`); if that fails, `trouble` says why, what is new stays in memory, and the
        next refresh stores it. One refresh at a time.
        """
        wanted = groups(symbols, intervals, bars, now)
        self._memory.refreshed()
        self._memory.keep(wanted)
        run = Refresh(self._memory, feed, now, terms)
        try:
            run.start(wanted)
            await asyncio.sleep(0)  # the first requests go out before anything else is done
            for ready in run.at_once():
                yield ready
            async for ready in run.arrivals():
                yield ready
        finally:
            await run.stop()
            await self._save()

    async def _save(self) -> None:
        if not self._memory.unsaved:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._memory.save)
            self.trouble = None
        except MarketError as error:
            if self.trouble is None:
                log.warning("%s; what is new is kept in memory meanwhile", error)
                self.trouble = error

    def next_due(
        self, now: int, symbols: Sequence[str], intervals: Sequence[str], bars: int, bounds: Bounds | None = None
    ) -> int:
        """When a `refresh` with these has something to ask for again (UTC ms of the venue); `now` if at once.

        With `bounds`, open bars count too, as soon as their time to live has passed.
        """
        self._memory.refreshed()
        return next_due(self._memory, groups(symbols, intervals, bars, now), now, bounds)

    def ttl_s(self, symbol: str, interval: str, bounds: Bounds) -> float:
        """How long a price of this symbol is good for (venue seconds), by the bars that the last refresh has seen.

        The shortest time for a series that it has not seen.
        """
        return self._memory.ttl_s((symbol, interval), bounds)
