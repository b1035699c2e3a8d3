"""Lists of two orders of which one cancels the other (OCO): an above leg and a below leg."""

from __future__ import annotations

from decimal import Decimal

from tradebot.market.venue import ZERO, Order, OrderType, Side
from tradebot.sim.refusals import Refused, rejected

_STOPS = {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT}
_TARGETS = {OrderType.LIMIT_MAKER, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT}


def check_types(above: Order, below: Order) -> None:
    """`Refused` -1014 unless the stop lies where the loss is and the target where the profit is."""
    stop, target = (below, above) if above.side is Side.SELL else (above, below)
    if stop.type not in _STOPS or target.type not in _TARGETS:
        raise Refused(-1014, "Unsupported order combination.")


def check_prices(above: Order, below: Order, last: Decimal) -> None:
    """`Refused` -2010 unless the last price lies between both legs."""
    if not _works_at(above) > last > _works_at(below):
        raise rejected("The relationship of the prices for the orders is not correct.")


def _works_at(leg: Order) -> Decimal:
    """The price at which a leg starts to work."""
    return (leg.price if leg.type is OrderType.LIMIT_MAKER else leg.stop_price) or ZERO
