"""The order book of an instant: finite, a pure function of symbol, time, price and what was taken of late.

What is gone is missing from the best price on. Orders of the account are not in the book. One side
holds a fiftieth of what is traded on a usual day (where the source does not know: on the day before; where
there are no klines: `max_market_quantity`, which venues set to about that), half of it within a quarter of
`REACH`: the amount within a distance grows with its square root, as is usual.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from itertools import islice
from typing import TypeAlias

import numpy as np

from tradebot.clock import DAY, SECOND
from tradebot.market.bars import COLUMN
from tradebot.market.venue import ZERO, Instrument, Side
from tradebot.sim import noise
from tradebot.sim.cache import Cache
from tradebot.sim.footprint import NOTHING, Gone
from tradebot.sim.matching import EXACT, UNIT, Quote, on_grid, to_unit, worth
from tradebot.sim.prices import Prices

Level: TypeAlias = tuple[Decimal, Decimal]

REACH = 0.05  # of the best price: where the book ends
SHARE = 50  # the part of a day's volume that one side holds, as a divisor
LEVELS = 1000
_ROWS = 256  # noise is drawn for so many levels in one go
_LANES = {Side.BUY: 0, Side.SELL: 1}  # of each level's noise
_UNTOLD = Decimal(200_000)  # least orders that a side holds where nothing tells how much is traded
UNBOUNDED = Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class Depth:
    """Both sides of a book; `levels` of a side begin at the best price, each is (price, quantity).

    `quote` is where they begin when nothing is `gone` (by symbol and side). `noise` is the key of what chance
    adds to the levels. An order gets at most `share` of what it wants, whatever the levels hold.
    """

    symbol: str
    quote: Quote
    size: Decimal
    tick: Decimal
    step: Decimal
    noise: int
    share: Decimal = Decimal(1)
    gone: Gone = field(default_factory=dict)

    def given(self, wanted: Decimal, step: Decimal = ZERO) -> Decimal:
        """What there is for an order that wants so much, on the `step` if there is one."""
        return wanted if self.share == 1 else on_grid(EXACT.multiply(wanted, self.share), step, ROUND_DOWN)

    def levels(self, side: Side, count: int = LEVELS) -> list[Level]:
        """The best `count` levels of the bids (BUY) or asks (SELL)."""
        return list(islice(self._left(side), count))

    def best(self, side: Side) -> Level:
        """The first of the `levels`, at a twentieth of the cost if nothing is gone; zeros if all is."""
        if (self.symbol, side) in self.gone:
            return next(self._left(side), (ZERO, ZERO))
        price = self.quote.bid if side is Side.BUY else self.quote.ask
        tick, step = self.tick or UNIT, self.step or UNIT
        last = math.floor(float(price) * REACH / float(tick))
        following = max(1, math.ceil(last * (1 / LEVELS) ** 2))
        drawn = noise.word(self.noise, 0) >> 16 * _LANES[side] & 0xFFFF
        share = 0.5 + drawn / 65536.0
        return price, max(int(float(self.size / step) * math.sqrt(following / (last + 1)) * share), 1) * step

    def facing(self, side: Side) -> Iterator[Level]:
        """What an order of this side meets, best price first."""
        return self._left(side.opposite)

    def crossed(self, side: Side, price: Decimal) -> bool:
        """Whether an order of this side, with this limit, would take something."""
        best, _ = next(self.facing(side), (None, ZERO))
        return best is not None and not beyond(side, best, price)

    def _left(self, side: Side) -> Iterator[Level]:
        """The levels without what is gone."""
        missing = on_grid(self.gone.get((self.symbol, side), ZERO), self.step, ROUND_DOWN)
        for price, size in self._levels(side):
            if size > missing:
                yield price, size - missing
            missing = max(missing - size, ZERO)

    def _levels(self, side: Side) -> Iterator[Level]:
        """Levels lie closer near the best price; where ticks are coarse there are fewer, larger ones."""
        best = self.quote.bid if side is Side.BUY else self.quote.ask
        tick, step = self.tick or UNIT, self.step or UNIT
        away = -tick if side is Side.BUY else tick
        last = math.floor(float(best) * REACH / float(tick))
        lots = float(self.size / step)
        at, place, below = 0, 0, 0.0
        while at <= last and best + at * away > 0:
            if place % _ROWS == 0:
                shares = self._shares(side, place)
            following = max(at + 1, math.ceil(last * ((place + 1) / LEVELS) ** 2))
            above = math.sqrt(following / (last + 1))
            amount = max(int(lots * (above - below) * shares[place % _ROWS]), 1)
            yield best + at * away, amount * step
            at, place, below = following, place + 1, above

    def _shares(self, side: Side, first: int) -> list[float]:
        """Between half and one and a half of what lies at a level on average; it changes every second."""
        words = noise.bits(self.noise, np.arange(first, first + _ROWS, dtype=np.int64))
        drawn: list[float] = (0.5 + noise.lane(words, _LANES[side]) / 65536.0).tolist()
        return drawn


class Depths:
    """Books of any symbol at any time; what a day traded is looked up once."""

    def __init__(self, prices: Prices) -> None:
        self.prices = prices
        self._sizes: Cache[Decimal] = Cache(10_000)

    def at(self, symbol: str, quote: Quote, now: int, gone: Gone = NOTHING) -> Depth:
        """The book around the best prices `quote` at the instant `now`, without what is `gone`."""
        instrument = self.prices.instruments()[symbol]
        plan = self.prices.plan
        share = Decimal(1) if plan is None else plan.liquidity(symbol, now)
        size, chance = self._size(instrument, quote, now), noise.key(now // SECOND, symbol)
        return Depth(symbol, quote, size, instrument.tick, instrument.step, chance, share, gone)

    def _size(self, instrument: Instrument, quote: Quote, now: int) -> Decimal:
        """The amount of the base coin on one side."""
        if turnover := self.prices.turnover(instrument.symbol):
            return turnover / SHARE / quote.ask
        day = now - now % DAY
        known = self._sizes.get((instrument.symbol, day))
        if known is None:
            known = self._traded(instrument.symbol, day, now) / SHARE
            if known:
                self._sizes.put((instrument.symbol, day), known, 1)
        return known or instrument.max_market_quantity or _untold(instrument, quote)

    def _traded(self, symbol: str, day: int, now: int) -> Decimal:
        """The volume of the day before; of today until now, if that day has none."""
        for opened in (day - DAY, day):
            bars = self.prices.exact(symbol, "1d", opened, opened, now)
            if len(bars) and (lots := int(bars.data[COLUMN["volume"], 0])):
                return Decimal(lots).scaleb(-bars.scale.amount)
        return ZERO


def _untold(instrument: Instrument, quote: Quote) -> Decimal:
    return (instrument.min_notional or Decimal(5)) * _UNTOLD / quote.ask


def beyond(side: Side, price: Decimal, limit: Decimal) -> bool:
    """Whether a price is worse than the limit of an order of this side."""
    return price > limit if side is Side.BUY else price < limit


def walk(
    levels: Iterable[Level], side: Side, *, quantity: Decimal = UNBOUNDED, quote: Decimal = UNBOUNDED,
    limit: Decimal | None = None, step: Decimal = ZERO,
) -> tuple[Level, ...]:  # fmt: skip
    """What an order of `side` takes from the `levels` that it meets, as (price, quantity), best first.

    It ends with the `quantity`, with the amount `quote` of the quote coin (then on the `step`, as
    much as can be paid), at the worst price `limit`, or with the levels, whichever comes first.
    """
    fills = []
    for price, size in levels:
        if limit is not None and beyond(side, price, limit):
            break
        take = min(size, quantity, _affordable(quote, price, step))
        if take:
            fills.append((price, take))
        quantity, quote = quantity - take, quote - worth(price, take)
        if not quantity or take < size:
            break
    return tuple(fills)


def _affordable(quote: Decimal, price: Decimal, step: Decimal) -> Decimal:
    """What an amount of the quote coin pays at a price."""
    return to_unit(on_grid(EXACT.divide(quote, price), step, ROUND_DOWN)) if quote.is_finite() else UNBOUNDED
