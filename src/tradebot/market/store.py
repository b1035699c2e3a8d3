"""The kline store: what is closed is fetched once.

`refresh` decides for each series what is due, asks for exactly that and one bar more (the overlap),
and yields each series as soon as it is ready. Closed klines never expire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from tradebot.market.bars import Klines
from tradebot.market.chunks import Chunks, Series
from tradebot.market.refresh import Memory, Ready, Refresh, complete, windows
from tradebot.market.venue import Feed

__all__ = ["KlineStore", "Ready"]


class KlineStore:
    """The klines of one venue, shared with other processes through `folder`.

    `MarketError` if the folder cannot be used.
    """

    def __init__(self, folder: Path, venue: str) -> None:
        self._chunks = Chunks(folder, venue)
        self._memory: Memory = {}
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
        connections: int = 50,
        deadline_s: float | None = None,
    ) -> AsyncGenerator[Ready, None]:
        """The newest `bars` bars closed at `now` (UTC ms) of every series, each as soon as it is ready.

        First come the series of which nothing is due, then the others as replies arrive, at most
        `connections` requests at once. A series that fails, or is not there `deadline_s` real seconds
        after the start, comes with its error. Everything new is stored in one transaction after the
        last series, or when the iteration is closed (`contextlib.aclosing`).
        """
        wanted = windows(symbols, intervals, bars, now)
        self._memory = {w.series: self._memory[w.series] for w in wanted if w.series in self._memory}
        run = Refresh(self._chunks, self._memory, feed)
        due = [w for w in wanted if not complete(run.index.get(w.series), w)]
        pending = {w.series for w in due}
        try:
            run.start(due, connections)
            await asyncio.sleep(0)  # the first requests go out before anything else is done
            for window in wanted:
                if window.series not in pending:
                    held = run.held(window)
                    if held:
                        yield Ready(window.symbol, window.interval, window.of(held.klines))
                    else:  # damaged on disk
                        run.start([window], 1)
            async for ready in run.arrivals(deadline_s):
                yield ready
        finally:
            await run.stop()
            if run.changes:
                await asyncio.get_running_loop().run_in_executor(self._writer, self._chunks.commit, run.changes)
