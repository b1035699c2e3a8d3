"""One look at the market: what it has seen of the universe, when, and what is not there yet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tradebot.analysis.analyze import Analysis
from tradebot.analysis.features import FEATURES, WARMUP
from tradebot.analysis.strategies import Signal
from tradebot.clock import Moments, monotonic_ms
from tradebot.errors import MarketError
from tradebot.market.bars import Board, Floats, Panel, interval_ms, last_closed
from tradebot.market.store import Ready
from tradebot.market.universe import Universe
from tradebot.trading.risk.view import Prediction

STAGES = ("scan", "fetch", "analyze", "predict", "execute", "monitor")


class Watch:
    """When stages worked, real ms; each may work several times, and they may overlap."""

    def __init__(self) -> None:
        self.started = monotonic_ms()
        self.spans: list[tuple[str, float, float]] = []

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = monotonic_ms()
        try:
            yield
        finally:
            self.spans.append((stage, start, monotonic_ms()))

    @property
    def stages(self) -> dict[str, float]:
        """Milliseconds by stage, from its first start to its last end; a stage that did not run took none."""
        found = {}
        for stage in STAGES:
            mine = [(start, end) for name, start, end in self.spans if name == stage]
            found[stage] = round(max(end for _, end in mine) - min(start for start, _ in mine), 3) if mine else 0.0
        return found

    @property
    def total_ms(self) -> float:
        """From the watch's making to the last end of a stage."""
        return round(max((end for _, _, end in self.spans), default=self.started) - self.started, 3)


@dataclass(eq=False)
class Look:
    """What one cycle has seen and what it thinks of it."""

    now: int
    universe: Universe
    watch: Watch
    series: list[Ready] = field(default_factory=list)
    analysis: Analysis | None = None
    predictions: list[Prediction] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    moments: Moments = field(default_factory=Moments)
    """When each symbol was `received`, had its `features` and its `prediction`."""
    coarsest: Panel | None = None
    """Of a part of a look: the coarsest bars of the whole universe, which have not changed since the last look."""
    batches: list[tuple[float, float, tuple[str, ...]]] = field(default_factory=list)
    """Start and end (real ms) of each batch of symbols whose own features were computed, with the symbols."""
    fresh: set[str] = field(default_factory=set)
    """Symbols whose newest bar of the finest interval came in with this look, less than a cycle after its close."""
    threshold: float = math.inf
    """Least probability of an entry, of the very model that predicted."""
    joined: tuple[str, ...] = ()
    left: dict[str, str] = field(default_factory=dict)

    def follow(self, new: Universe) -> None:
        """Take over what is new about the universe; who left is left out from here on."""
        self.joined, self.left = new.joined, dict(new.left)
        self.universe = self.universe.without(new.left)
        self.skipped |= new.left

    @property
    def outlook_panels(self) -> tuple[Panel, ...]:
        """The bars that risk is judged by, finest first; the coarsest are of all symbols, also of a part of a look."""
        if self.analysis is None:
            return ()
        *finer, coarsest = self.analysis.features.panels
        return (*finer, self.coarsest or coarsest)

    @property
    def arrivals(self) -> dict[str, float]:
        """Real ms from the look's beginning to the last reply about each symbol that was asked for."""
        steps = {ready.symbol: self.moments.of(ready.symbol).get("received") for ready in self.series if ready.requests}
        return {symbol: at - self.watch.started for symbol, at in steps.items() if at is not None}

    @property
    def signals(self) -> list[Signal]:
        """The strategy's, strongest first."""
        return self.analysis.signals if self.analysis else []


class Arrivals:
    """Lays series on the boards as they come, and hands out batches of symbols whose series are all there."""

    def __init__(self, look: Look, intervals: Sequence[str], bars: int, recent: int) -> None:
        self.look, self.intervals, self.bars = look, intervals, bars
        self.symbols = look.universe.symbols
        self._rows = {symbol: row for row, symbol in enumerate(self.symbols)}
        newest, step = last_closed(intervals[0], look.now), interval_ms(intervals[0])
        self._just_closed = newest if look.now - newest - step < recent else None
        self._there = [0] * len(self.symbols)
        self._waiting: list[int] = []
        self.done: list[int] = []
        self.failed: list[Ready] = []
        self.revised: list[Ready] = []

    @cached_property
    def boards(self) -> list[Board]:
        """One for each interval; made when the requests are out."""
        return [Board(each, last_closed(each, self.look.now), self.bars, self.symbols) for each in self.intervals]

    @cached_property
    def own(self) -> tuple[Floats, ...]:
        """Own features of each interval, `(symbols, 10)`; NaN of whom they were not computed."""
        return tuple(np.full((len(self.symbols), len(FEATURES)), np.nan) for _ in self.intervals)

    def add(self, ready: Ready) -> None:
        """Take in one series; one that failed takes its symbol out of the cycle with the reason."""
        self.look.series.append(ready)
        if ready.requests:
            self.look.moments.note("received", [ready.symbol])
        if len(ready.revised):
            self.revised.append(ready)
        if ready.error is not None:
            self.failed.append(ready)
            self.look.skipped.setdefault(ready.symbol, f"{ready.interval} klines: {ready.error}")
            return
        row = self._rows[ready.symbol]
        self.boards[self.intervals.index(ready.interval)].put(row, ready.klines)
        if ready.new and ready.interval == self.intervals[0] and ready.klines.data[0, -1] == self._just_closed:
            self.look.fresh.add(ready.symbol)
        self._there[row] += 1
        if self._there[row] == len(self.intervals):
            self._waiting.append(row)

    def batch(self, least: int) -> list[int]:
        """Rows of the waiting symbols once there are at least so many."""
        if len(self._waiting) < least:
            return []
        rows, self._waiting = self._waiting, []
        return rows

    def panels(self, rows: Sequence[int]) -> tuple[Panel, ...]:
        """Of these rows, one for each interval."""
        return tuple(board.panel(rows) for board in self.boards)

    def recent(self, rows: Sequence[int]) -> list[Floats]:
        """Of these rows the bars that features look at, `(5, rows, WARMUP)` for each interval."""
        return [board.recent(rows, WARMUP) for board in self.boards]

    def take(self, rows: Sequence[int], own: Sequence[Floats]) -> None:
        """Take in a batch's own features."""
        self.done += rows
        for whole, part in zip(self.own, own, strict=True):
            whole[rows] = part

    def refuse_nothing(self) -> None:
        """One bad symbol is data, all of them are an error: the first one, with its class."""
        if not self.done:
            none = MarketError("no klines for any symbol of the universe")
            raise next((ready.error for ready in self.failed if ready.error), none)

    @property
    def rows(self) -> list[int]:
        """Whose features are there, in the universe's order, without those that have left it meanwhile."""
        still = set(self.look.universe.symbols)
        return sorted(row for row in self.done if self.symbols[row] in still)
