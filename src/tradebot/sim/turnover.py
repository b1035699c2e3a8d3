"""How much of what is traded comes to orders that rest: a share of each bar's volume, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from tradebot.market.venue import ZERO, Instrument, Side
from tradebot.sim.matching import EXACT, on_grid
from tradebot.sim.resting import Level, Touch, Track

SHARE = 4  # the part of a bar's volume, as a divisor
_ALL = Decimal("Infinity")
_EVER = 2**62


@dataclass(frozen=True, slots=True)
class Room:
    """What orders of one side can still get of the bar that ends before `ended` (UTC ms)."""

    amount: Decimal
    ended: int


@dataclass(frozen=True, slots=True)
class Turnover:
    """What is traded on a track.

    `made` tells what orders of a symbol and side that rested got from an instant on, before another one.
    """

    track: Track
    made: Callable[[str, Side, int, int], Decimal]

    def room(self, instrument: Instrument, side: Side, moment: int) -> Room:
        """What is left at an instant, on the step; all where nothing tells how much is traded."""
        bar = self.track.bar(instrument.symbol, moment)
        if bar is None:
            return Room(_ALL, _EVER)
        share = on_grid(EXACT.divide(bar.volume, Decimal(SHARE)), instrument.step, ROUND_DOWN)
        used = self.made(instrument.symbol, side, bar.opened, bar.ended)
        return Room(max(share - used, ZERO), bar.ended)

    def first(self, instrument: Instrument, side: Side, level: Level, after: int, until: int) -> Touch | None:
        """The first touch of the level, as `Track.first` has it, in a bar that has something left."""
        while (touch := self.track.first(instrument.symbol, level, after, until)) is not None:
            room = self.room(instrument, side, touch.time)
            if room.amount:
                return touch
            after = room.ended - 1
        return None
