"""Trailing stops: how far the price has come, and when it first falls back from there."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from tradebot.errors import MarketError
from tradebot.market.bars import INTERVALS, Times
from tradebot.market.venue import ZERO, Side
from tradebot.sim.exact import price_within
from tradebot.sim.futures.ledger import Algo
from tradebot.sim.matching import EXACT
from tradebot.sim.resting import Level, Path, Touch


def stop_price(algo: Algo, extreme: Decimal) -> Decimal:
    """Where a trailing stop stands that has seen `extreme`: `callback` percent back from it."""
    back = algo.callback / 100
    return EXACT.multiply(extreme, 1 - back if algo.side is Side.SELL else 1 + back)


def better(algo: Algo, price: Decimal, extreme: Decimal) -> bool:
    """Whether a price moves the stop on: a higher one if it sells, a lower one if it buys."""
    return price > extreme if algo.side is Side.SELL else price < extreme


class Trail:
    """Follows the path of a source from one turning point to the next."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def follow(self, algo: Algo, since: int, until: int) -> tuple[Touch | None, Decimal]:
        """When an active stop is first met after `since`, if it is by `until`; and the extreme seen by then."""
        extreme, before = algo.extreme, since
        for moment, price in self._turns(algo.symbol, since, until):
            if better(algo, price, extreme):
                extreme = price
            else:
                level = Level(stop_price(algo, extreme), falling=algo.side is Side.SELL, through=False)
                # Between two turning points the price only falls or only rises, so the stop stands still.
                if level.met(price) and (touch := self.path.first(algo.symbol, level, before, moment)):
                    return touch, extreme
            before = moment
        return None, extreme

    def _turns(self, symbol: str, since: int, until: int) -> Iterator[tuple[int, Decimal]]:
        """The instants with `since < instant <= until` between which the price goes straight."""
        grain = self.path.grain(symbol)
        if grain is None:
            yield from self._now(symbol, until)
            return
        length = INTERVALS[grain]
        bars = self.path.prices.exact(symbol, grain, since + 1 - length, until, until + length)
        for place in range(len(bars)):
            for moment, ticks in _of_bar(bars.data[:, place], length, since, until):
                yield moment, Decimal(ticks).scaleb(-bars.scale.price)

    def _now(self, symbol: str, until: int) -> Iterator[tuple[int, Decimal]]:
        try:
            yield until, self.path.prices.price(symbol, until)
        except MarketError:
            return


def _of_bar(bar: Times, length: int, since: int, until: int) -> Iterator[tuple[int, int]]:
    """Turning points of a bar within bounds, and where it stands at `until`, in ticks."""
    opened = int(bar[0])
    points = {opened - (-leg * length // 3): price_within(bar, 3, leg) for leg in range(3)}
    for elapsed in (length - 1, until - opened):
        if 0 <= elapsed < length:
            points.setdefault(opened + elapsed, price_within(bar, length, elapsed))
    return ((moment, points[moment]) for moment in sorted(points) if since < moment <= until)


def activation(algo: Algo) -> Level:
    """The price from which on a stop trails: one that sells waits for a rise to it."""
    return Level(algo.activation, falling=algo.side is Side.BUY, through=False)


def active(algo: Algo) -> bool:
    """Whether it trails already."""
    return algo.extreme > ZERO
