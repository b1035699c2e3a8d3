"""What a process knows of the store's series without reading them again, and what is not on disk yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from tradebot.market.bars import Klines
from tradebot.market.chunks import Change, Chunks, Coverage, Series
from tradebot.market.due import Group, Silence, Window, complete, due_at
from tradebot.market.ttl import Bounds, open_ttl_s


class Held(NamedTuple):
    """A series in memory: all that is stored from the chunk border `start` on, with its coverage."""

    klines: Klines
    coverage: Coverage
    start: int


class Open(NamedTuple):
    """The open bar (or none) after the closed bar `last`, good until `until` (venue ms). Never stored."""

    klines: Klines
    last: int
    until: int


def joined(first: Change, then: Change) -> Change:
    """Two changes of a series, one built on the other, as one."""
    if then.replaces:
        return Change(then.series, then.klines, then.coverage, first.base, replaces=True)
    older = first.klines.between(0, int(then.klines.data[0, 0]) - 1)
    both = Klines(np.concatenate([older.data, then.klines.data], axis=1))
    return Change(then.series, both, then.coverage, first.base, first.replaces)


class Memory:
    """The series of one process over `chunks`. `index` is the store's with what is not saved yet laid on it."""

    def __init__(self, chunks: Chunks) -> None:
        self.index: dict[Series, Coverage] = {}
        self.quiet: dict[Series, Silence] = {}
        self.opens: dict[Series, Open] = {}
        self.unsaved: dict[Series, Change] = {}
        self._chunks = chunks
        self._held: dict[Series, Held] = {}

    def refreshed(self) -> None:
        """Read the index anew. Raises `MarketError`."""
        unsaved = dict(self.unsaved)  # first: what is saved meanwhile, by another thread, is then in both
        self.index = self._chunks.index() | {series: change.coverage for series, change in unsaved.items()}

    def check(self, wanted: Iterable[Group]) -> None:
        """Forget those that another process has changed.

        A bar that the venue has revised changes coarse series without lengthening them; the finest one,
        by which that is noticed, is always longer then.
        """
        for leader, coarser in wanted:
            held = self._held.get(leader.series)
            if held is None or held.coverage != self.index.get(leader.series):
                for window in (leader, *coarser):
                    self._held.pop(window.series, None)

    def keep(self, wanted: Iterable[Group]) -> None:
        """Forget all other series."""
        names = {window.series for leader, coarser in wanted for window in (leader, *coarser)}
        self._held = {series: each for series, each in self._held.items() if series in names}
        self.quiet = {series: each for series, each in self.quiet.items() if series in names}
        self.opens = {series: each for series, each in self.opens.items() if series in names}

    def held(self, window: Window) -> Held | None:
        """What there is of a series from its window on; None if that is nothing or damaged on disk."""
        coverage = self.index.get(window.series)
        if coverage is None:
            return None
        return self._known(window, coverage) or self._take(window, coverage, *self.load(window, coverage))

    def _known(self, window: Window, coverage: Coverage) -> Held | None:
        held = self._held.get(window.series)
        return held if held and held.coverage == coverage and held.start <= window.border else None

    def _take(self, window: Window, coverage: Coverage, klines: Klines, sound: bool) -> Held | None:
        if not sound:  # what is left of it must not be taken for all that the venue has
            self.index.pop(window.series, None)
            return None
        if not len(klines):
            return None
        self._held[window.series] = held = Held(klines, coverage, window.border)
        return held

    def read(self, wanted: Iterable[Group]) -> None:
        """Read all series that are stored and not in memory yet at once, which is much faster than one by one."""
        windows = (window for leader, coarser in wanted for window in (leader, *coarser))
        stored = ((window, coverage) for window in windows if (coverage := self.index.get(window.series)))
        lacking = [each for each in stored if not self._known(*each)]
        ranges = [(window.series, *self._range(window, coverage)) for window, coverage in lacking]
        for (window, coverage), (klines, sound) in zip(lacking, self._chunks.load_many(ranges), strict=True):
            self._take(window, coverage, *self._with_unsaved(window, coverage, klines, sound=sound))

    def load(self, window: Window, coverage: Coverage) -> tuple[Klines, bool]:
        """What is stored from the window's chunk on, and whether all of it could be read."""
        klines, sound = self._chunks.load(window.series, *self._range(window, coverage))
        return self._with_unsaved(window, coverage, klines, sound=sound)

    @staticmethod
    def _range(window: Window, coverage: Coverage) -> tuple[int, int]:
        # Bars from after the venue's present belong to another run of a simulated venue.
        return max(coverage.first, window.border), min(coverage.newest, window.end - 1)

    def _with_unsaved(self, window: Window, coverage: Coverage, klines: Klines, *, sound: bool) -> tuple[Klines, bool]:
        change = self.unsaved.get(window.series)
        if change is None:
            return klines, sound
        start, end = self._range(window, coverage)
        border = int(change.klines.data[0, 0])
        both = Klines(np.concatenate([klines.between(0, border - 1).data, change.klines.data], axis=1))
        return both.between(start, end), sound or border <= start

    def put(self, window: Window, klines: Klines, coverage: Coverage, since: int, *, replaces: bool = False) -> None:
        """Take in a series from its window on, to be stored from the chunk border `since` on."""
        base = self.index.get(window.series)
        change = Change(window.series, klines.between(since, coverage.newest), coverage, base, replaces)
        before = self.unsaved.get(window.series)
        self.unsaved[window.series] = joined(before, change) if before else change
        self.index[window.series] = coverage
        self._held[window.series] = Held(klines.between(window.border, coverage.newest), coverage, window.border)

    def save(self, longest_s: float) -> None:
        """Store all that is not stored yet, in one transaction; kept for another time if that fails.

        Another process's transaction is waited for no longer than `longest_s`.
        """
        changes = dict(self.unsaved)
        self._chunks.commit(changes.values(), longest_s)
        for series, change in changes.items():
            if self.unsaved.get(series) is change:
                del self.unsaved[series]

    def ttl_s(self, series: Series, bounds: Bounds) -> float:
        """Time to live (venue seconds) of a price of this series; the shortest if it is not in memory."""
        held = self._held.get(series)
        return float(open_ttl_s(held.klines["close"], bounds)) if held else bounds.shortest_s


def next_due(memory: Memory, wanted: Iterable[Group], now: int, bounds: Bounds | None) -> int:
    """When the first of these series is due, `now` if at once (venue UTC ms). A coarse one waits for its leader."""
    moments = []
    for leader, coarser in wanted:
        for window in (leader, *coarser):
            coverage = memory.index.get(window.series)
            moments.append(due_at(window, coverage, memory.quiet.get(window.series), now))
            if bounds is not None:
                known = memory.opens.get(window.series)
                moments.append(known.until if known and known.last == window.last else now)
            if window is leader and not complete(coverage, window):
                break
    return max(now, min(moments, default=now))
