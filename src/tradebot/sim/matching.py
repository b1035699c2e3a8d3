"""How orders meet the market: each type *proposes* fills, and only the engine commits them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Context, Decimal

from tradebot.market.venue import ZERO, Instrument, Order, OrderType, Side
from tradebot.sim.refusals import Refused, filtered, missing, unneeded

# Enough digits for the product of any two of the venue's numbers.
EXACT = Context(prec=60)
_UNIT = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask."""

    bid: Decimal
    ask: Decimal


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would happen to an order: its status then, its quantity and its fills as (price, quantity)."""

    status: str
    quantity: Decimal
    fills: tuple[tuple[Decimal, Decimal], ...]


def to_unit(value: Decimal) -> Decimal:
    """Cut to eight places, as the venue keeps amounts."""
    return value.quantize(_UNIT, ROUND_DOWN, EXACT)


def on_grid(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    """The multiple of `step` next to `value`; a step of 0 means no rule."""
    if not step:
        return value
    return EXACT.multiply(EXACT.divide(value, step).to_integral_value(rounding), step)


def around(last: Decimal, spread: Decimal, tick: Decimal) -> Quote:
    """Bid and ask half a spread from the last price, rounded outward to the tick; the bid stays positive."""
    half = last * spread / 2
    bid = on_grid(last - half, tick, ROUND_FLOOR)
    return Quote(max(bid, tick or last), on_grid(last + half, tick, ROUND_CEILING))


def check_quantity(instrument: Instrument, quantity: Decimal, *, market: bool) -> None:
    """The filters LOT_SIZE and MARKET_LOT_SIZE."""
    if quantity < instrument.min_quantity or 0 < instrument.max_quantity < quantity or not quantity:
        raise filtered("LOT_SIZE")
    if instrument.step and EXACT.remainder(quantity, instrument.step):
        raise filtered("LOT_SIZE")
    if market and 0 < instrument.max_market_quantity < quantity:
        raise filtered("MARKET_LOT_SIZE")


def check_notional(instrument: Instrument, price: Decimal, quantity: Decimal) -> None:
    """The filter NOTIONAL; its upper bound does not hold for market orders."""
    if EXACT.multiply(price, quantity) < instrument.min_notional:
        raise filtered("NOTIONAL")


def _market(order: Order, instrument: Instrument, quote: Quote) -> Proposal:
    """All of it, at once, at the other side's best price."""
    for name, value in (("price", order.price), ("stopPrice", order.stop_price), ("timeInForce", order.time_in_force)):
        if value is not None:
            raise unneeded(name)
    price = quote.ask if order.side is Side.BUY else quote.bid
    if order.quantity is not None:
        if order.quote_quantity is not None:
            raise unneeded("quoteOrderQty")
        quantity = order.quantity
    elif order.quote_quantity is not None:
        quantity = on_grid(EXACT.divide(order.quote_quantity, price), instrument.step, ROUND_DOWN)
        quantity = quantity if instrument.step else to_unit(quantity)
    else:
        raise missing("quantity")
    check_quantity(instrument, quantity, market=True)
    check_notional(instrument, price, quantity)
    return Proposal("FILLED", quantity, ((price, quantity),))


_TYPES: dict[OrderType, Callable[[Order, Instrument, Quote], Proposal]] = {OrderType.MARKET: _market}


def propose(order: Order, instrument: Instrument, quote: Quote) -> Proposal:
    """What the order would do now; `Refused` if its type, its parameters or the symbol's filters forbid it."""
    if order.type not in _TYPES:
        raise Refused(-1116, f"Invalid orderType: {order.type} is not simulated; known: {', '.join(_TYPES)}.")
    for name, value in (("quantity", order.quantity), ("quoteOrderQty", order.quote_quantity)):
        if value is not None and value <= ZERO:
            raise Refused(-1013, f"Invalid {name}.")
    return _TYPES[order.type](order, instrument, quote)
