"""What a refresh has found out so far: replies become series in memory, and series are handed out.

Nothing here waits. Whatever belongs together is taken in at once, so that a stop in between loses
nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from tradebot.clock import SECOND
from tradebot.errors import TradebotError
from tradebot.market.bars import Klines, Times, merge, open_of
from tradebot.market.chunks import Series, chunk_open
from tradebot.market.coarser import made, made_open
from tradebot.market.coverage import Coverage, followed
from tradebot.market.due import Group, Window, complete, not_come
from tradebot.market.memory import Held, Memory, Open
from tradebot.market.ttl import Bounds

NONE: Times = np.empty(0, np.int64)
EMPTY = Klines.empty()
ENDLESS = 1 << 62


class Ready(NamedTuple):
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
    revised: Times = NONE
    still_open: Klines = EMPTY


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
    if not len(reply) or reply.data[:, 0].tolist() != held.data[:, -1].tolist():
        return None
    return Klines(np.concatenate([held.data, reply.data[:, 1:]], axis=1))


def foreign(shared: int, revised: int) -> bool:
    """Whether so many shared bars differ that what is stored must be another venue's."""
    return revised > 1 and 2 * revised > shared


class Findings:
    """What one refresh at `now` (venue ms) does to `memory`; with `bounds` open bars are wanted too.

    `following` are the coarser windows that wait for their leader, by the leader's series.
    """

    def __init__(self, memory: Memory, now: int, bounds: Bounds | None) -> None:
        self.tallies: defaultdict[Series, Tally] = defaultdict(Tally)
        self.following: dict[Series, Group] = {}
        self._memory = memory
        self._now = now
        self._bounds = bounds
        self._withdrawn: dict[Series, Klines] = {}

    def stale(self, window: Window) -> bool:
        """Whether the open bar is wanted and the one in memory too old."""
        known = self._memory.opens.get(window.series)
        coverage = self._memory.index.get(window.series)
        if self._bounds is None or (coverage and coverage.newest >= window.end):  # another process is ahead
            return False
        return known is None or known.last != window.last or self._now >= known.until

    def lengthen(self, window: Window, held: Held, klines: Klines) -> None:
        """The usual case: a few bars were added at the end."""
        new = len(klines) - len(held.klines)
        if new:
            first, since, newest, older = held.coverage
            coverage = Coverage(first, since, int(klines.data[0, -1]), older)
            self._memory.put(window, klines, coverage, chunk_open(window.interval, newest))
            self.tallies[window.series].new += new

    def replace(self, window: Window, reply: Klines) -> None:
        """The whole window was asked for: what the venue says replaces what was stored of it."""
        if not len(reply):
            return
        coverage = self._memory.index.get(window.series)
        stored = self._memory.load(window, coverage)[0] if coverage else EMPTY
        inside = window.of(stored)
        revised = merge(inside, reply)[1]
        shared = int(np.isin(reply.data[0], inside.data[0]).sum()) if len(inside) else 0
        replaces = foreign(shared, len(revised))
        klines, covered = reply, Coverage(int(reply.data[0, 0]), window.first, int(reply.data[0, -1]))
        if coverage and not replaces:
            klines = Klines(np.concatenate([stored.between(0, window.first - 1).data, reply.data], axis=1))
            covered = followed(coverage, covered, window.step)
        self._memory.put(window, klines, covered, window.border, replaces=replaces)
        self.tallies[window.series].new += len(reply) - shared
        if len(revised):
            self._amend(window, revised, 0 if replaces else int(revised[0]))

    def _amend(self, window: Window, revised: Times, since: int) -> None:
        """Tell of the revised bars; what was made of them, from `since` on, is not known any more."""
        self.tallies[window.series].revised.append(revised)
        if group := self.following.get(window.series):
            for coarse in group.coarser:
                self._withdraw(coarse, since)

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

    def opened(self, window: Window, reply: Klines) -> None:
        """Remember the open bar in place of the one before."""
        bounds = self._bounds
        if bounds is not None:
            ttl = round(self._memory.ttl_s(window.series, bounds) * SECOND)
            self._memory.opens[window.series] = Open(reply, window.last, self._now + ttl)

    def derived(self, window: Window, leader: Window) -> bool:
        """Whether a coarse series is complete, made of the leader's bars where that was needed."""
        if self._bounds is None and complete(self._memory.index.get(window.series), window):
            return True
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
            self.lengthen(window, held, klines)
            if len(changed):
                self.tallies[window.series].revised.append(changed)
            self._memory.quiet.pop(window.series, None)
        return self._derived_open(window, leader, fine)

    def _derived_open(self, window: Window, leader: Window, fine: Held) -> bool:
        """Whether the open bar, if it is wanted, is made of the leader's."""
        known = self._memory.opens.get(leader.series)
        if self._bounds is None:
            return True
        if known is None or known.last != leader.last:
            return not self.stale(window)
        bars = made_open(fine.klines, known.klines, leader.step, window.interval, window.end)
        if bars is None:
            return not self.stale(window)
        self._memory.opens[window.series] = Open(bars, window.last, known.until)
        return True

    def done(self, window: Window) -> Ready:
        """A series as it is now; with an error if it is silent."""
        coverage, quiet = self._memory.index.get(window.series), self._memory.quiet.get(window.series)
        if coverage is None or complete(coverage, window) or (quiet and quiet.hole):
            return self.ready(window, None)
        return self.ready(window, not_come(window, coverage.newest))

    def ready(self, window: Window, error: TradebotError | None) -> Ready:
        held, opened = self._memory.held(window), self._memory.opens.get(window.series)
        klines = window.of(held.klines) if held else EMPTY
        shown = opened is not None and opened.last == window.last and self._bounds is not None
        still_open = opened.klines if opened and shown else EMPTY
        tally = self.tallies.get(window.series)
        if tally is None:
            return Ready(window.symbol, window.interval, klines, error=error, still_open=still_open)
        new, revised = tally.new, tally.revised
        if (withdrawn := self._withdrawn.get(window.series)) is not None and held:
            again = held.klines.between(int(withdrawn.data[0, 0]), int(withdrawn.data[0, -1]))
            new, revised = max(0, new - len(again)), [*revised, merge(withdrawn, again)[1]]
        times = np.unique(np.concatenate(revised)) if revised else NONE
        return Ready(window.symbol, window.interval, klines, new, tally.requests, error, times, still_open)
