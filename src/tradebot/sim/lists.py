"""Lists of two orders of which one cancels the other (OCO): an above leg and a below leg."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from tradebot.market.venue import ZERO, Order, OrderType, Side
from tradebot.sim.refusals import Refused, rejected

_STOPS = (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT)
_PROFITS = (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT)
# Where each type has to be, and with which code and word the venue says so.
_PLACES: Mapping[tuple[Side, OrderType], tuple[str, int, str]] = {
    (Side.BUY, OrderType.LIMIT_MAKER): ("below", -1165, "limit"),
    (Side.SELL, OrderType.LIMIT_MAKER): ("above", -1166, "limit"),
    **dict.fromkeys([(Side.BUY, kind) for kind in _STOPS], ("above", -1196, "stop loss")),
    **dict.fromkeys([(Side.SELL, kind) for kind in _STOPS], ("below", -1197, "stop loss")),
    **dict.fromkeys([(Side.BUY, kind) for kind in _PROFITS], ("below", -1198, "take profit")),
    **dict.fromkeys([(Side.SELL, kind) for kind in _PROFITS], ("above", -1199, "take profit")),
}


def check_types(above: Order, below: Order) -> None:
    """`Refused` unless one leg is a stop where the loss is and the other a target where the profit is."""
    if any((leg.side, leg.type) not in _PLACES for leg in (above, below)):
        raise Refused(-1158, "Order type not supported in OCO.")
    if above.type is below.type is OrderType.LIMIT_MAKER:
        raise Refused(-1168, "At least one OCO order must be contingent.")
    for leg, place in ((above, "above"), (below, "below")):
        belongs, code, word = _PLACES[leg.side, leg.type]
        if belongs != place:
            raise Refused(code, f"A {word} order in a {leg.side.lower()} OCO must be {belongs}.")


def check_prices(above: Order, below: Order, last: Decimal) -> None:
    """`Refused` -2010 unless the last price lies between both legs."""
    if not _works_at(above) > last > _works_at(below):
        raise rejected("The relationship of the prices for the orders is not correct.")


def _works_at(leg: Order) -> Decimal:
    """The price at which a leg starts to work."""
    return (leg.price if leg.type is OrderType.LIMIT_MAKER else leg.stop_price) or ZERO
