"""One refresh of the store: the requests for what is due, and what their replies change.

Of each symbol the finest interval leads. The coarser ones that only lack newer bars wait for it and
are made of it, where it has all of their bars; they are asked for where it has a known gap, and made
or asked for anew where the venue has revised it. Decisions are pure functions (`due`, `coarser`);
the workers only carry them out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from dataclasses import dataclass

from tradebot.clock import SECOND, monotonic_ms
from tradebot.errors import MarketError, TradebotError, VenueBusy
from tradebot.market.bars import Klines
from tradebot.market.chunks import Series
from tradebot.market.coverage import Coverage
from tradebot.market.due import Group, Window, complete, due_at, late, not_come, overlapping, reaches, silence
from tradebot.market.findings import EMPTY, ENDLESS, Findings, Ready, extended
from tradebot.market.limits import retry_delay_ms
from tradebot.market.memory import Memory
from tradebot.market.ttl import Bounds
from tradebot.market.venue import Feed

PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How a refresh goes about it: with how many series at once, and until when in real seconds.

    A series that is late is asked again for `patience_s`. With `bounds` the open bar is wanted too,
    anew whenever its time to live has passed. `later`: what is new is stored when the caller says so.
    """

    workers: int = 50
    deadline_s: float | None = None
    patience_s: float = PATIENCE_S
    bounds: Bounds | None = None
    later: bool = False


class Refresh:
    """Carries out one refresh at `now` (venue ms); `memory` is brought up to date as replies arrive.

    First read `at_once`, then `arrivals`; in the end `stop`.
    """

    def __init__(self, memory: Memory, feed: Feed, now: int, terms: Terms) -> None:
        self._memory = memory
        self._feed = feed
        self._now = now
        self._terms = terms
        self._started = monotonic_ms()
        self._findings = Findings(memory, now, terms.bounds)
        self._resting: list[Group] = []
        self._queue: deque[Window] = deque()
        self._waiting: dict[Series, Window] = {}
        self._prepared: dict[Series, tuple[Coverage | None, Ready]] = {}
        self._busy: VenueBusy | None = None
        self._arrived: asyncio.Queue[Ready | Exception | None] = asyncio.Queue(terms.workers)
        self._running = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()

    def start(self, wanted: Sequence[Group]) -> None:
        """Ask for all that is certainly due."""
        for group in wanted:
            if self._due(group.leader):
                self._begin(group)
            else:
                self._resting.append(group)

    def prepare(self) -> None:
        """Make while replies are in the air what will be handed out with them, unless they say something else."""
        windows = [window for group in self._findings.following.values() for window in group.coarser]
        for window in windows:
            coverage = self._memory.index.get(window.series)
            if self._terms.bounds is None and complete(coverage, window) and self._memory.held(window) is not None:
                self._prepared[window.series] = coverage, self._findings.ready(window, None)

    async def stop(self) -> None:
        """Abandon what is in the air."""
        for timer in self._timers:
            timer.cancel()
        if working := [worker for worker in self._workers if not worker.done()]:
            for worker in working:
                worker.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    def at_once(self) -> Iterator[Ready]:
        """The series for which nothing has to be asked."""
        for group in self._resting:
            ready = self._rested(group.leader)
            if ready is None:  # damaged on disk
                self._begin(group)
            else:
                yield ready
                yield from self._follow(group, ready)

    async def arrivals(self) -> AsyncIterator[Ready]:
        """The series that were asked for, as they arrive; when the deadline has passed the others, with an error."""
        if (left := self._left_s()) is not None:
            self._timers.add(asyncio.get_running_loop().call_later(left, self._end))
        while self._waiting:
            item = await self._arrived.get()
            if item is None:
                break
            if isinstance(item, Exception):
                raise item  # a bug in a worker comes to light here
            del self._waiting[item.symbol, item.interval]
            yield item
            if group := self._findings.following.pop((item.symbol, item.interval), None):
                for ready in self._follow(group, item):
                    self._waiting.pop((ready.symbol, ready.interval), None)
                    yield ready
        for window in self._waiting.values():
            yield self._overdue(window)

    # --- what is to be done

    def _left_s(self) -> float | None:
        deadline = self._terms.deadline_s
        return None if deadline is None else deadline - (monotonic_ms() - self._started) / SECOND

    def _due(self, window: Window) -> bool:
        coverage, quiet = self._memory.index.get(window.series), self._memory.quiet.get(window.series)
        return due_at(window, coverage, quiet, self._now) <= self._now or self._findings.stale(window)

    def _begin(self, group: Group) -> None:
        """Ask for the leader, and for what cannot follow it."""
        self._enqueue(group.leader)
        following = [window for window in group.coarser if reaches(self._memory.index.get(window.series), window)]
        self._findings.following[group.leader.series] = Group(group.leader, tuple(following))
        for window in group.coarser:
            if window in following:
                self._waiting[window.series] = window
            else:
                self._enqueue(window)

    def _enqueue(self, window: Window) -> None:
        self._waiting[window.series] = window
        self._queue.append(window)
        if self._running < self._terms.workers:
            self._running += 1
            self._employ(self._work())

    def _employ(self, work: Coroutine[None, None, None]) -> None:
        worker = asyncio.create_task(work)
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    def _end(self) -> None:
        """The deadline has passed: nothing more is asked, and `arrivals` ends behind what has come, read or not."""
        self._queue.clear()
        self._employ(self._arrived.put(None))

    async def _work(self) -> None:
        try:
            while self._queue:
                ready = await self._tried(self._queue.popleft())
                if ready is not None:
                    await self._arrived.put(ready)
        except Exception as bug:  # `arrivals` raises it
            await self._arrived.put(bug)
        finally:
            self._running -= 1

    async def _tried(self, window: Window) -> Ready | None:
        if self._busy is not None:  # it would say the same of every series
            return self._findings.ready(window, self._busy)
        try:
            return await self._update(window)
        except VenueBusy as error:
            self._busy = error
            return self._findings.ready(window, error)
        except TradebotError as error:
            return self._findings.ready(window, error)

    # --- one series

    async def _update(self, window: Window) -> Ready | None:
        """Ask for what is missing of it; None if it is to be asked again."""
        asked = overlapping(self._memory.index.get(window.series), window)
        held, before = self._memory.held(asked), self._findings.tallies[window.series].new
        if held and reaches(held.coverage, asked):
            reply, later = await self._ask(asked, held.coverage.newest)
            klines = extended(held.klines, reply)
            if klines is not None:
                self._findings.lengthen(asked, held, klines)
                return self._judged(window, later, before)
        reply, later = await self._ask(asked, asked.first)
        self._findings.replace(asked, reply)
        return self._judged(window, later, before)

    async def _ask(self, window: Window, start: int) -> tuple[Klines, Klines]:
        """The bars from `start` to the end of the window, and the newest after it (or none); one request."""
        self._findings.tallies[window.series].requests += 1
        limit = (window.last - start) // window.step + 2
        reply = await self._feed.klines(window.symbol, window.interval, start, limit)
        times = reply.data[0]
        if len(times) and start <= times[0] and times[-1] < window.end:  # the usual case
            return reply, EMPTY
        inside, later = reply.between(start, ENDLESS).split(window.end)
        return inside, later.last(1)

    def _judged(self, window: Window, later: Klines, before: int) -> Ready | None:
        """The series, or None if it is asked again: at once after a part of it, soon while it may be late."""
        coverage = self._memory.index.get(window.series)
        newest = coverage.newest if coverage else None
        self._findings.opened(window, later)
        if complete(coverage, window):
            self._memory.quiet.pop(window.series, None)
            return self._findings.done(window)
        if newest is not None and not len(later):
            if newest < window.last - window.step and self._findings.tallies[window.series].new > before:
                self._queue.append(window)  # a page may be cut short
                return None
            if late(window, newest, self._now) and self._again(window):
                return None
        self._memory.quiet[window.series] = silence(window, newest, self._now, later=bool(len(later)))
        return self._findings.done(window)

    def _again(self, window: Window) -> bool:
        """Whether the series will be asked again after a while, which lasts longer each time."""
        tally, left = self._findings.tallies[window.series], self._left_s()
        tally.tries += 1
        fault = not_come(window, window.last)
        delay = retry_delay_ms(fault, tally.tries, f"{window.symbol} {window.interval} {window.last}") or 0.0
        if tally.waited_ms + delay > self._terms.patience_s * SECOND or (left is not None and delay > left * SECOND):
            return False
        tally.waited_ms += delay
        self._timers.add(asyncio.get_running_loop().call_later(delay / SECOND, self._enqueue, window))
        return True

    # --- what follows the finest interval

    def _follow(self, group: Group, leader: Ready) -> Iterator[Ready]:
        """The coarser series of a group whose leader is there; those that must be asked for are not among them."""
        for window in group.coarser:
            coverage = self._memory.index.get(window.series)
            known, prepared = self._prepared.get(window.series, (None, None))
            if prepared is not None and known is coverage:
                yield prepared
            elif not reaches(coverage, window) or self._memory.held(window) is None:  # damaged on disk
                self._enqueue(window)
            elif self._findings.derived(window, group.leader):
                yield self._findings.ready(window, None)
            elif leader.error is not None and not complete(coverage, window):
                yield self._findings.ready(window, leader.error)
            elif self._due(window):
                self._enqueue(window)
            else:
                yield self._findings.done(window)

    # --- what is handed out

    def _rested(self, window: Window) -> Ready | None:
        """A series that is not due; None if it is damaged on disk."""
        stored = window.series in self._memory.index
        return None if self._memory.held(window) is None and stored else self._findings.done(window)

    def _overdue(self, window: Window) -> Ready:
        if self._findings.tallies[window.series].waited_ms:
            return self._findings.done(window)
        return self._findings.ready(window, MarketError(f"{window.symbol} {window.interval}: no answer in time"))
