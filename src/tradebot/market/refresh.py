"""One refresh of the store: the requests for what is due, and what their replies change.

Of each symbol the finest interval leads. The coarser ones that only lack newer bars wait for it and
are made of it, where it has all of their bars; they are asked for where it has a known gap, and made
or asked for anew where the venue has revised it. Decisions are pure functions (`due`, `coarser`);
the workers only carry them out.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tradebot.clock import SECOND, monotonic_ms
from tradebot.errors import MarketError, TradebotError, VenueBusy
from tradebot.market.bars import Klines, Times, merge, open_of
from tradebot.market.chunks import Coverage, Series, chunk_open
from tradebot.market.coarser import made, made_open
from tradebot.market.coverage import followed
from tradebot.market.due import Group, Window, complete, due_at, late, not_come, reaches, silence
from tradebot.market.limits import retry_delay_ms
from tradebot.market.memory import Held, Memory, Open
from tradebot.market.ttl import Bounds
from tradebot.market.venue import Feed

NONE: Times = np.empty(0, np.int64)
EMPTY = Klines.empty()
ENDLESS = 1 << 62
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A series after a refresh.

    `klines` are the closed bars of the window that was asked for, with the venue's own gaps; with an
    `error` they are what was stored before, and may be old or none. `new` bars came in, with
    `requests` requests; `revised` are the open times (int64 UTC ms) of stored bars whose values the
    venue has changed since. `still_open` is the open bar, where it was wanted and there is one.
    """

    symbol: str
    interval: str
    klines: Klines
    new: int = 0
    requests: int = 0
    error: TradebotError | None = None
    revised: Times = field(default_factory=lambda: NONE)
    still_open: Klines = EMPTY


@dataclass(frozen=True, slots=True)
class Terms:
    """How a refresh goes about it: with how many requests at once, and until when in real seconds.

    A series that is late is asked again for `patience_s`. With `bounds` the open bar is wanted too,
    anew whenever its time to live has passed.
    """

    connections: int = 50
    deadline_s: float | None = None
    patience_s: float = PATIENCE_S
    bounds: Bounds | None = None


@dataclass(slots=True)
class Tally:
    """What has been done for one series so far. `waited_ms` are real."""

    requests: int = 0
    new: int = 0
    tries: int = 0
    waited_ms: float = 0.0
    revised: list[Times] = field(default_factory=list)


def extended(held: Klines, reply: Klines) -> Klines | None:
    """What is held with a reply that begins at its newest bar; None if that bar is not the same in both."""
    if not len(reply) or not np.array_equal(reply.data[:, 0], held.data[:, -1]):
        return None
    return Klines(np.concatenate([held.data, reply.data[:, 1:]], axis=1))


def foreign(shared: int, revised: int) -> bool:
    """Whether so many shared bars differ that what is stored must be another venue's."""
    return revised > 1 and 2 * revised > shared


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
        self._tallies: defaultdict[Series, Tally] = defaultdict(Tally)
        self._resting: list[Group] = []
        self._queue: deque[Window] = deque()
        self._waiting: dict[Series, Window] = {}
        self._followed: dict[Series, Group] = {}
        self._withdrawn: dict[Series, Klines] = {}
        self._busy: VenueBusy | None = None
        self._arrived: asyncio.Queue[Ready | Exception] = asyncio.Queue(terms.connections)
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

    async def stop(self) -> None:
        """Abandon what is in the air."""
        for timer in self._timers:
            timer.cancel()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

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
        while self._waiting:
            try:
                async with asyncio.timeout(self._left_s()):
                    item = await self._arrived.get()
            except TimeoutError:
                break
            if isinstance(item, Exception):
                raise item  # a bug in a worker comes to light here
            del self._waiting[item.symbol, item.interval]
            yield item
            if group := self._followed.pop((item.symbol, item.interval), None):
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
        return due_at(window, coverage, quiet, self._now) <= self._now or self._stale(window)

    def _stale(self, window: Window) -> bool:
        """Whether the open bar is wanted and the one in memory too old."""
        known = self._memory.opens.get(window.series)
        coverage = self._memory.index.get(window.series)
        if self._terms.bounds is None or (coverage and coverage.newest >= window.end):  # another process is ahead
            return False
        return known is None or known.last != window.last or self._now >= known.until

    def _begin(self, group: Group) -> None:
        """Ask for the leader, and for what cannot follow it."""
        self._enqueue(group.leader)
        following = [window for window in group.coarser if reaches(self._memory.index.get(window.series), window)]
        self._followed[group.leader.series] = Group(group.leader, tuple(following))
        for window in group.coarser:
            if window in following:
                self._waiting[window.series] = window
            else:
                self._enqueue(window)

    def _enqueue(self, window: Window) -> None:
        self._waiting[window.series] = window
        self._queue.append(window)
        if self._running < self._terms.connections:
            self._running += 1
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

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
            return self._ready(window, self._busy)
        try:
            return await self._update(window)
        except VenueBusy as error:
            self._busy = error
            return self._ready(window, error)
        except TradebotError as error:
            return self._ready(window, error)

    # --- one series

    async def _update(self, window: Window) -> Ready | None:
        """Ask for what is missing of it; None if it is to be asked again."""
        held, before = self._memory.held(window), self._tallies[window.series].new
        if held and reaches(held.coverage, window):
            reply = await self._ask(window, held.coverage.newest)
            klines = extended(held.klines, reply.between(0, window.end - 1))
            if klines is not None:
                self._lengthen(window, held, klines)
                return self._judged(window, reply, before)
        reply = await self._ask(window, window.first)
        self._replace(window, reply.between(0, window.end - 1))
        return self._judged(window, reply, before)

    async def _ask(self, window: Window, start: int) -> Klines:
        """The bars from `start` to the end of the window and the open one; one request."""
        self._tallies[window.series].requests += 1
        limit = (window.last - start) // window.step + 2
        return (await self._feed.klines(window.symbol, window.interval, start, limit)).between(start, ENDLESS)

    def _lengthen(self, window: Window, held: Held, klines: Klines) -> None:
        """The usual case: a few bars were added at the end."""
        new = len(klines) - len(held.klines)
        if new:
            coverage = held.coverage._replace(newest=int(klines.data[0, -1]))
            self._memory.put(window, klines, coverage, chunk_open(window.interval, held.coverage.newest))
            self._tallies[window.series].new += new

    def _replace(self, window: Window, reply: Klines) -> None:
        """The whole window was asked for: what the venue says replaces what was stored of it."""
        if not len(reply):
            return
        coverage = self._memory.index.get(window.series)
        stored = self._memory.load(window, coverage)[0] if coverage else EMPTY
        inside = window.of(stored)
        revised = merge(inside, reply)[1]
        shared = int(np.isin(reply.data[0], inside.data[0]).sum())
        replaces = foreign(shared, len(revised))
        klines, covered = reply, Coverage(int(reply.data[0, 0]), window.first, int(reply.data[0, -1]))
        if coverage and not replaces:
            klines = Klines(np.concatenate([stored.between(0, window.first - 1).data, reply.data], axis=1))
            covered = followed(coverage, covered, window.step)
        self._memory.put(window, klines, covered, window.border, replaces=replaces)
        tally = self._tallies[window.series]
        tally.new += len(reply) - shared
        tally.revised.append(revised)
        if len(revised) and (group := self._followed.get(window.series)):
            for coarse in group.coarser:
                self._withdraw(coarse, 0 if replaces else int(revised[0]))

    def _withdraw(self, window: Window, since: int) -> None:
        """Claim no more to know the bars of a coarse series that hold fine ones from `since` on.

        At once, with what was found out about the finer one, so that a stop in between loses nothing.
        """
        held = self._memory.held(window)
        if held is None:
            return
        border = open_of(window.interval, since)
        left = held.klines.between(0, border - 1)
        if len(left) == len(held.klines):
            return
        self._withdrawn[window.series] = held.klines.between(border, ENDLESS)
        if since and len(left) and left.data[0, -1] >= held.coverage.since:
            coverage = held.coverage._replace(newest=int(left.data[0, -1]))
            self._memory.put(window, left, coverage, chunk_open(window.interval, coverage.newest))
        else:  # all of it is in doubt
            last = held.klines.last(1)
            newest = int(last.data[0, 0])
            self._memory.put(window, last, Coverage(newest, newest, newest), 0, replaces=True)

    def _judged(self, window: Window, reply: Klines, before: int) -> Ready | None:
        """The series, or None if it is asked again: at once after a part of it, soon while it may be late."""
        coverage = self._memory.index.get(window.series)
        newest, later = coverage.newest if coverage else None, reply.between(window.end, ENDLESS).last(1)
        self._opened(window, later)
        if complete(coverage, window):
            self._memory.quiet.pop(window.series, None)
            return self._done(window)
        if newest is not None and not len(later):
            if newest < window.last - window.step and self._tallies[window.series].new > before:
                self._queue.append(window)  # a page may be cut short
                return None
            if late(window, newest, self._now) and self._again(window):
                return None
        self._memory.quiet[window.series] = silence(window, newest, self._now, later=bool(len(later)))
        return self._done(window)

    def _again(self, window: Window) -> bool:
        """Whether the series will be asked again after a while, which lasts longer each time."""
        tally, left = self._tallies[window.series], self._left_s()
        tally.tries += 1
        fault = not_come(window, window.last)
        delay = retry_delay_ms(fault, tally.tries, f"{window.symbol} {window.interval} {window.last}") or 0.0
        if tally.waited_ms + delay > self._terms.patience_s * SECOND or (left is not None and delay > left * SECOND):
            return False
        tally.waited_ms += delay
        self._timers.add(asyncio.get_running_loop().call_later(delay / SECOND, self._enqueue, window))
        return True

    def _opened(self, window: Window, reply: Klines) -> None:
        """Remember the open bar in place of the one before."""
        bounds = self._terms.bounds
        if bounds is not None:
            ttl = round(self._memory.ttl_s(window.series, bounds) * SECOND)
            self._memory.opens[window.series] = Open(reply, window.last, self._now + ttl)

    # --- what follows the finest interval

    def _follow(self, group: Group, leader: Ready) -> Iterator[Ready]:
        """The coarser series of a group whose leader is there; those that must be asked for are not among them."""
        for window in group.coarser:
            coverage = self._memory.index.get(window.series)
            if not reaches(coverage, window) or self._memory.held(window) is None:  # damaged on disk
                self._enqueue(window)
            elif (self._terms.bounds is None and complete(coverage, window)) or self._derived(window, group.leader):
                yield self._done(window)
            elif leader.error is not None and not complete(coverage, window):
                yield self._ready(window, leader.error)
            elif self._due(window):
                self._enqueue(window)
            else:
                yield self._done(window)

    def _derived(self, window: Window, leader: Window) -> bool:
        """Whether a coarse series is complete, made of the leader's bars where that was needed."""
        held, fine = self._memory.held(window), self._memory.held(leader)
        if held is None or fine is None:
            return False
        newest = open_of(window.interval, held.coverage.newest)
        if newest < window.last:
            # The newest one too: it is the overlap, by which a bar that the venue has revised is noticed.
            bars = made(fine.klines, leader.step, window.interval, newest, window.last)
            if bars is None:
                return False
            klines, changed = merge(held.klines, bars)
            self._lengthen(window, held, klines)
            self._tallies[window.series].revised.append(changed)
            self._memory.quiet.pop(window.series, None)
        return self._derived_open(window, leader, fine)

    def _derived_open(self, window: Window, leader: Window, fine: Held) -> bool:
        """Whether the open bar, if it is wanted, is made of the leader's."""
        known = self._memory.opens.get(leader.series)
        if self._terms.bounds is None:
            return True
        if known is None or known.last != leader.last:
            return not self._stale(window)
        bars = made_open(fine.klines, known.klines, leader.step, window.interval, window.end)
        if bars is None:
            return not self._stale(window)
        self._memory.opens[window.series] = Open(bars, window.last, known.until)
        return True

    # --- what is handed out

    def _rested(self, window: Window) -> Ready | None:
        """A series that is not due; None if it is damaged on disk."""
        stored = window.series in self._memory.index
        return None if self._memory.held(window) is None and stored else self._done(window)

    def _done(self, window: Window) -> Ready:
        """A series as it is now; with an error if it is silent."""
        coverage, quiet = self._memory.index.get(window.series), self._memory.quiet.get(window.series)
        if coverage is None or complete(coverage, window) or (quiet and quiet.hole):
            return self._ready(window, None)
        return self._ready(window, not_come(window, coverage.newest))

    def _overdue(self, window: Window) -> Ready:
        if self._tallies[window.series].waited_ms:
            return self._done(window)
        return self._ready(window, MarketError(f"{window.symbol} {window.interval}: no answer in time"))

    def _ready(self, window: Window, error: TradebotError | None) -> Ready:
        held, opened = self._memory.held(window), self._memory.opens.get(window.series)
        klines = window.of(held.klines) if held else EMPTY
        shown = opened is not None and opened.last == window.last and self._terms.bounds is not None
        still_open = opened.klines if opened and shown else EMPTY
        tally = self._tallies.get(window.series)
        if tally is None:
            return Ready(window.symbol, window.interval, klines, error=error, still_open=still_open)
        new, revised = tally.new, tally.revised
        if (withdrawn := self._withdrawn.get(window.series)) is not None and held:
            again = held.klines.between(int(withdrawn.data[0, 0]), int(withdrawn.data[0, -1]))
            new, revised = max(0, new - len(again)), [*revised, merge(withdrawn, again)[1]]
        times = np.unique(np.concatenate(revised)) if revised else NONE
        return Ready(window.symbol, window.interval, klines, new, tally.requests, error, times, still_open)
