"""The kline store: what is closed is fetched once.

`refresh` decides for each series what is due, asks for exactly that and one bar more (the overlap),
and yields each series as soon as it is ready. Closed klines never expire.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tradebot.errors import MarketError
from tradebot.market.bars import Klines, interval_ms
from tradebot.market.chunks import Chunks, Series, Stretch
from tradebot.market.coverage import Span, missing
from tradebot.market.due import Group, groups
from tradebot.market.findings import Ready
from tradebot.market.memory import Memory, next_due
from tradebot.market.refresh import PATIENCE_S, Refresh, Terms
from tradebot.market.seals import BRIEF_S
from tradebot.market.ttl import Bounds
from tradebot.market.venue import Feed

__all__ = ["PATIENCE_S", "KlineStore", "Pruned", "Ready", "Stored", "Stretch", "Terms"]

log = logging.getLogger(__name__)
USUAL = Terms()
_FIRST = 10  # symbols, whose requests go out before the next ones are looked at


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of a series; times are open times, UTC ms.

    In each of the `spans` (sorted, disjoint, both ends inclusive) all is stored that the venue has.
    `missing` bars inside them are missing at the venue. `bytes` are those of its klines in the
    database, `written` is when the last of them was stored, in UTC ms of this machine's clock
    (`clock.wall_ms`), not the venue's.
    """

    symbol: str
    interval: str
    first: int
    newest: int
    spans: tuple[Span, ...]
    bars: int
    missing: int
    bytes: int
    written: int


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a `prune` took away: whole series, bars of all series together, and bytes of the folder."""

    series: int
    bars: int
    bytes: int


class KlineStore:
    """The klines of one venue, shared with other processes through `folder`.

    `MarketError` if the folder cannot be used.
    """

    def __init__(self, folder: Path, venue: str) -> None:
        self._folder = folder
        self._venue = venue
        self._open()
        self.trouble: MarketError | None = None
        """Why the newest klines are in memory only; None while all is stored."""
        # One thread for all writing: each SQLite connection stays in the thread that made it.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="klines")
        self._saving: asyncio.Task[None] | None = None
        self._put_off = False
        self._left: object = None  # by a refresh, for `saved` to free: before that its caller is in a hurry

    def _open(self) -> None:
        self._chunks = Chunks(self._folder, self._venue)
        self._memory = Memory(self._chunks)

    def __enter__(self) -> KlineStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is left to be written and close all files."""
        if self._put_off:
            try:
                self._writer.submit(self._memory.save, BRIEF_S).result()
            except MarketError as error:
                log.warning("%s; what is new is fetched again", error)
        self._let_go()
        self._writer.shutdown()

    def _let_go(self) -> None:
        self._writer.submit(self._chunks.close).result()
        self._chunks.close()

    def _reopen(self) -> None:
        """Begin anew, with nothing in memory, where the database has turned out to be damaged."""
        self._let_go()
        self._put_off = False
        self._open()

    def stored(self) -> list[Series]:
        """`(symbol, interval)` of all series."""
        return sorted(self._chunks.index())

    def span(self, symbol: str, interval: str) -> tuple[int, int] | None:
        """Open times of the oldest and the newest stored bar; None of a series that is not stored."""
        coverage = self._chunks.index().get((symbol, interval))
        return coverage and (coverage.first, coverage.newest)

    def read(self, symbol: str, interval: str, start: int | None = None, end: int | None = None) -> Klines:
        """The stored bars with `start <= open time <= end`; all there are where a bound is None."""
        return next(self.read_many([(symbol, interval)], start, end))[1]

    def read_many(
        self, series: Sequence[Series], start: int | None = None, end: int | None = None
    ) -> Iterator[tuple[Series, Klines]]:
        """`read` for many series, in their order; what is not stored comes without bars.

        Several times as fast as one by one. Of more than some millions of bars only a part is in
        memory at once. Each series is of one moment, whatever other processes write.
        """
        return self._chunks.read(series, start, end)

    def spans(self, symbol: str, interval: str) -> tuple[Span, ...]:
        """The stretches of open times, oldest first, in which all is stored that the venue has."""
        coverage = self._chunks.index().get((symbol, interval))
        return coverage.spans if coverage else ()

    def missing(self, symbol: str, interval: str, start: int, end: int) -> tuple[Span, ...]:
        """The stretches of the open times `start` to `end` that would have to be fetched, oldest first."""
        return missing(self.spans(symbol, interval), start, end, interval_ms(interval))

    def add(self, stretches: Iterable[Stretch]) -> None:
        """Store stretches of any age beside what is there: history, imports, aggregates. One transaction.

        Each `Stretch(series, klines, since, newest)` says that `klines` are all that the venue has from
        open time `since` to `newest`; adjacent spans become one. A bar that differs replaces the old one.
        """
        self._chunks.add(stretches)

    def status(self) -> list[Stored]:
        """All series, sorted."""
        amounts = self._chunks.amounts()
        out = []
        for series, coverage in sorted(self._chunks.index().items()):
            bars, size, written = amounts.get(series, (0, 0, 0))
            step = interval_ms(series[1])
            spans = [(max(since, coverage.first), newest) for since, newest in coverage.spans]
            lacking = max(sum((newest - since) // step + 1 for since, newest in spans) - bars, 0)
            out.append(Stored(*series, coverage.first, coverage.newest, coverage.spans, bars, lacking, size, written))
        return out

    def size(self) -> int:
        """Bytes of all files in the folder: of all venues, with what was set aside and the database's own."""
        return self._chunks.entries.size()

    def prune(self, gone: Collection[Series], before: int = 0) -> Pruned:
        """Drop the series `gone` whole, and of all others what is older than `before` (UTC ms), in one transaction.

        A few hundred bars before that moment stay, since only whole chunks go. The space is given back
        to the file system. To keep some symbols only, name all others:
        `store.prune({s for s in store.stored() if s[0] not in universe})`.
        """
        entries = self._chunks.entries
        entries.shrink()  # on a full disk there is then room to write down what goes
        series, size = self.status(), self.size()
        self._chunks.prune(gone, before)
        entries.shrink()
        left = self.status()
        bars = sum(one.bars for one in series) - sum(one.bars for one in left)
        return Pruned(len(series) - len(left), bars, size - self.size())

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
        next refresh stores it. With `terms.later` it is put off until `saved`, the next refresh or `close`.
        One refresh at a time.
        """
        await self.saved()
        if self._chunks.entries.damaged:
            self._reopen()
        self._memory.refreshed()
        run, wanted, names = Refresh(self._memory, feed, now, terms), list[Group](), list(dict.fromkeys(symbols))
        try:
            for at in range(0, len(names), _FIRST):
                some = groups(names[at : at + _FIRST], intervals, bars, now)
                wanted += some
                self._memory.check(some)
                self._memory.read(some)
                run.start(some)
                await asyncio.sleep(0)  # these requests go out before anything else is done
            self._memory.keep(wanted)
            run.prepare()
            for ready in run.at_once():
                yield ready
            async for ready in run.arrivals():
                yield ready
        finally:
            await run.stop()
            self._left = run, wanted
            self._put_off = bool(self._memory.unsaved)
            if not terms.later:
                await self.saved()

    async def saved(self) -> None:
        """Have all that refreshes have brought stored; return when it is, or `trouble` says why not.

        It is done by a thread, and whoever works meanwhile is slowed down by that.
        """
        self._left = None
        if self._put_off:
            self._put_off = False
            longest_s = BRIEF_S if self.trouble is None else 0.0  # trouble does not cost each cycle as much
            saving = asyncio.get_running_loop().run_in_executor(self._writer, self._memory.save, longest_s)
            self._saving = asyncio.create_task(self._judged(saving))
        if self._saving is not None:
            await asyncio.shield(self._saving)

    async def _judged(self, saving: Awaitable[None]) -> None:
        try:
            await saving
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
