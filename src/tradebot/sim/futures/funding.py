"""Funding: every eight hours of venue time longs pay shorts, or the other way round, a small known rate."""

from __future__ import annotations

from decimal import Decimal

from tradebot.clock import HOUR
from tradebot.sim import noise
from tradebot.sim.matching import EXACT, to_unit

PERIOD = 8 * HOUR
INTEREST = Decimal("0.0001")
_LOWEST, _SPAN = -5_000, 30_001  # hundred-millionths


def next_funding(now: int) -> int:
    """The next time, after `now`, at which funding is paid: 00:00, 08:00 or 16:00 UTC."""
    return (now // PERIOD + 1) * PERIOD


def funding_rate(symbol: str, moment: int) -> Decimal:
    """The rate that is paid at the funding time `moment`: between −0.005 % and 0.025 %, on average 0.01 %.

    A pure function of both, so that any past rate can be told.
    """
    return Decimal(_LOWEST + noise.key(moment, "funding", symbol) % _SPAN).scaleb(-8)


def coming_rate(symbol: str, now: int) -> Decimal:
    """The rate that will be paid next."""
    return funding_rate(symbol, next_funding(now))


def index_price(symbol: str, mark: Decimal, now: int) -> Decimal:
    """The index price at a mark price: the premium over it is the coming funding rate."""
    return to_unit(EXACT.divide(mark, 1 + coming_rate(symbol, now)))
