"""Prices as a plan of faults has them: the exchange, and so every endpoint, takes them for the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import numpy as np

from tradebot.clock import DAY, SECOND, Clock
from tradebot.market.bars import INTERVALS, Klines, next_open, open_of
from tradebot.market.venue import Instrument
from tradebot.sim.exact import Exact, join
from tradebot.sim.fault_market import LateKlines, Losing, OffGrid, RevisedKline, Standing, SymbolFault
from tradebot.sim.fault_plan import Plan
from tradebot.sim.faults import MarketFault
from tradebot.sim.prices import Day, Prices, Range, Running
from tradebot.sim.remains import Remains

_FAR = 2**62


class FaultyPrices(Prices):
    """Another source's prices, with what the plan's market faults do to them.

    `clock` is the exchange's. Without such faults it hands every question on. What a fault takes
    away it takes from the finest bars; a coarser bar is made anew only where it holds some of them.
    On coarse intervals a fault without `since` therefore reads the finest bars of the whole range.
    """

    def __init__(self, source: Prices, plan: Plan, clock: Clock) -> None:
        self.source = source
        self._plan = plan
        self._clock = clock
        self._market: tuple[MarketFault, ...]
        self._set()
        plan.changed.append(self._set)
        self._known: tuple[tuple[MarketFault, ...], Mapping[str, Instrument]] = ((), {})

    def _set(self) -> None:
        """The faults of a plan that is set at this moment of the venue's time."""
        now = self._clock.now()
        self._market = tuple(each.set_at(now) if isinstance(each, Standing) else each for each in self._plan.market)
        losing = [each for each in self._market if isinstance(each, Losing)]
        self._remains = Remains(self.source, losing, self._plan.seed)

    @property
    def plan(self) -> Plan:
        """The plan that makes them so."""
        return self._plan

    @property
    def settled(self) -> bool:
        """Only while the plan has no such faults."""
        return not self._market and self.source.settled

    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols with the rules that they have at the venue's present time."""
        known = self.source.instruments()
        if not self._market:
            return known
        now = self._clock.now()
        active = tuple(each for each in self._market if isinstance(each, SymbolFault) and each.in_force(now))
        if not active:
            return known
        if self._known[0] != active:
            changed = {symbol: _changed(each, active) for symbol, each in known.items()}
            self._known = active, {symbol: each for symbol, each in changed.items() if each is not None}
        return self._known[1]

    def listed(self, symbol: str) -> int:
        """As the source says."""
        return self.source.listed(symbol)

    def klines(self, symbol: str, interval: str, start: int, end: int, now: int) -> Klines:
        """`exact` as floats."""
        return self.exact(symbol, interval, start, end, now).klines()

    def steps(self, symbol: str, interval: str, start: int, end: int, now: int) -> Iterator[None]:
        """The source's, and what it takes to see what is left of its bars."""
        steps = self.source.steps(symbol, interval, start, end, now)
        return self._then_left(steps, Range(symbol, interval, start, end, now)) if self._market else steps

    def _then_left(self, steps: Iterator[None], asked: Range) -> Iterator[None]:
        yield from steps
        symbol, interval, start, end, now = asked
        first, last = max(start, self.listed(symbol)), min(end, now)
        reached = self._reached(symbol, interval, open_of(interval, first), last) if first <= last else None
        if reached is not None:
            yield from self._remains.steps(symbol, interval, *reached, now)

    def expecting(self, now: int) -> Iterator[None]:
        """Only of the source: what is changed is made anew each time."""
        return self.source.expecting(now)

    def turnover(self, symbol: str) -> Decimal:
        """The source's: faults take klines away, not trade."""
        return self.source.turnover(symbol)

    def day(self, symbol: str, now: int) -> Day:
        """24 hours of what the faults leave."""
        return super().day(symbol, now) if self._about(symbol) else self.source.day(symbol, now)

    def price(self, symbol: str, now: int) -> Decimal:
        """The last price; while the market stands still, the close of the last bar before that."""
        standing = [each for each in self._about(symbol) if isinstance(each, Standing) and each.in_force(now)]
        if not standing:
            return self.source.price(symbol, now)
        began = min(each.began() for each in standing)
        grain = self._remains.grain(symbol)
        before = self.source.exact(symbol, grain, began - DAY, began - 1, began)
        if not len(before):
            return self.source.price(symbol, began)
        return Decimal(int(before.data[4, -1])).scaleb(-before.scale.price)

    def exact(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        """The bars, changed."""
        faults = self._about(symbol)
        if not faults:
            return self.source.exact(symbol, interval, start, end, now)
        present = self._clock.now()
        moving = [each for each in faults if isinstance(each, OffGrid)]
        shift = max((each.offset_s * SECOND for each in moving), default=0)
        bars = self._left(symbol, interval, start - shift, end, now)
        for fault in faults:
            if isinstance(fault, RevisedKline):
                bars = self._before_revision(fault, bars, symbol, interval, present)
            elif isinstance(fault, LateKlines):
                bars = _without_late(fault, bars, interval, present)
        return _beside_grid(moving, bars, interval).between(start, min(end, now)) if moving else bars

    def ranges(self, asked: Sequence[Range]) -> list[Exact]:
        """Those of the source, or changed one by one."""
        return super().ranges(asked) if self._market else self.source.ranges(asked)

    def running(self, asked: Sequence[Running]) -> list[Exact]:
        """Those of the source, or changed one by one."""
        return super().running(asked) if self._market else self.source.running(asked)

    def _about(self, symbol: str) -> list[MarketFault]:
        return [each for each in self._market if each.concerns(symbol)]

    def _left(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        """The bars that are left where some of the finest ones are lost."""
        whole = self.source.exact(symbol, interval, start, end, now)
        if not len(whole):
            return whole
        reached = self._reached(symbol, interval, int(whole.data[0, 0]), int(whole.data[0, -1]))
        if reached is None:
            return whole
        begin, end = reached
        middle = self._remains.exact(symbol, interval, begin, end, now, scale=whole.scale)
        return join([whole.between(0, begin - 1), middle, whole.between(end + 1, _FAR)], whole.scale)

    def _reached(self, symbol: str, interval: str, first: int, last: int) -> tuple[int, int] | None:
        """Of bars from open time `first` to `last` those that may lose something, first and last ms; else None.

        Bars that no fault reaches are as the source has them.
        """
        losing = [each for each in self._about(symbol) if isinstance(each, Losing)]
        if not losing:
            return None
        begin = max(open_of(interval, min(each.since or 0 for each in losing)), first)
        stop = min(max(each.until or _FAR for each in losing), last + 1)
        return (begin, next_open(interval, stop - 1) - 1) if begin < stop else None

    def _before_revision(self, fault: RevisedKline, bars: Exact, symbol: str, interval: str, now: int) -> Exact:
        """The last closed bar as it was shortly before its close."""
        opens = bars.data[0]
        closed = [at for at in range(max(len(bars) - 2, 0), len(bars)) if next_open(interval, int(opens[at])) <= now]
        if not closed or not fault.in_force(now):
            return bars
        opened = int(opens[closed[-1]])
        close = next_open(interval, opened)
        if now - close >= fault.seconds * SECOND:
            return bars
        seen = max(opened, close - 1 - int(fault.early_s * SECOND))
        provisional = self.source.exact(symbol, interval, opened, opened, seen).rescaled(bars.scale)
        data = bars.data.copy()
        data[:, closed[-1] : closed[-1] + len(provisional)] = provisional.data
        return Exact(data, bars.scale)


def _changed(instrument: Instrument, faults: tuple[SymbolFault, ...]) -> Instrument | None:
    new: Instrument | None = instrument
    for each in faults:
        if new is not None and each.concerns(instrument.symbol):
            new = each.changed(new)
    return new


def _without_late(fault: LateKlines, bars: Exact, interval: str, now: int) -> Exact:
    """Up to the bar whose close is too fresh to be known."""
    if not fault.in_force(now):
        return bars
    known = open_of(interval, now - round(fault.seconds * SECOND))
    return bars if known == open_of(interval, now) else bars.between(0, known - 1)


def _beside_grid(faults: Sequence[OffGrid], bars: Exact, interval: str) -> Exact:
    """The bars that open while one of the faults applies, moved; never so far that one opens in another's time."""
    longest = INTERVALS.get(interval, _FAR)
    offsets = [(each.offset_s * SECOND, each) for each in faults if each.offset_s * SECOND < longest]
    data = bars.data.copy()
    data[0] += np.array(
        [max((offset for offset, each in offsets if each.in_force(moment)), default=0) for moment in data[0].tolist()],
        np.int64,
    )
    return Exact(data, bars.scale)
