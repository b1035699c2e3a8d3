"""What an account has lately taken from the order books: it is missing there, and comes back evenly within a minute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import TypeAlias

from tradebot.clock import MINUTE
from tradebot.market.venue import ZERO, Side
from tradebot.sim.matching import EXACT

RETURN = MINUTE  # of the venue's time, until all of it is there again

# By symbol and side of the book: BUY are the bids.
Gone: TypeAlias = Mapping[tuple[str, Side], Decimal]
NOTHING: Gone = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Taken:
    """One trade of an order of `side` that took from the book, UTC ms."""

    symbol: str
    side: Side
    quantity: Decimal
    time: int


def gone(trades: Iterable[Taken], now: int) -> Gone:
    """What is missing at an instant. Trades after it, or `RETURN` and more before it, do not count."""
    missing: dict[tuple[str, Side], Decimal] = {}
    for trade in trades:
        left = RETURN - (now - trade.time)
        if 0 < left <= RETURN:
            name = trade.symbol, trade.side.opposite
            part = EXACT.divide(EXACT.multiply(trade.quantity, Decimal(left)), Decimal(RETURN))
            missing[name] = EXACT.add(missing.get(name, ZERO), part)
    return missing
