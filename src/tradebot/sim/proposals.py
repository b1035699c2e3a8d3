"""What each type of order would do at this instant: pure proposals, which only the engine commits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from tradebot.market.venue import ZERO, Order, OrderType, Side
from tradebot.sim.depth import UNBOUNDED, Depth, Level, walk
from tradebot.sim.matching import EXACT, UNIT, Quote, on_grid, to_unit, worth
from tradebot.sim.refusals import Refused, missing, neither, rejected, unneeded

WOULD_TRIGGER = "Order would trigger immediately."
WOULD_TAKE = "Order would immediately match and take."
EMPTY = "Order book liquidity is less than symbol minimum quantity."

# Fields of an order by the name of their parameter, and what each type must have: nothing else of them is taken.
_FIELDS = {
    "timeInForce": "time_in_force", "quantity": "quantity", "quoteOrderQty": "quote_quantity", "price": "price",
    "stopPrice": "stop_price",
}  # fmt: skip
_STOP = ("quantity", "stopPrice")
_STOP_LIMIT = ("timeInForce", "quantity", "price", "stopPrice")
NEEDS: Mapping[OrderType, tuple[str, ...]] = {
    OrderType.MARKET: ("quantity",),
    OrderType.LIMIT: ("timeInForce", "quantity", "price"),
    OrderType.LIMIT_MAKER: ("quantity", "price"),
    OrderType.STOP_LOSS: _STOP,
    OrderType.STOP_LOSS_LIMIT: _STOP_LIMIT,
    OrderType.TAKE_PROFIT: _STOP,
    OrderType.TAKE_PROFIT_LIMIT: _STOP_LIMIT,
}
# Where the price must come to trigger a stop: from above or from below.
_FALLS = {
    (OrderType.STOP_LOSS, Side.SELL), (OrderType.STOP_LOSS_LIMIT, Side.SELL),
    (OrderType.TAKE_PROFIT, Side.BUY), (OrderType.TAKE_PROFIT_LIMIT, Side.BUY),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Market:
    """What a new order finds: the last price and the book."""

    last: Decimal
    depth: Depth


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would happen: the status then, the quantity, fills as (price, quantity), why it ended, if it did.

    `working` is false for a stop that waits.
    """

    status: str
    quantity: Decimal
    fills: tuple[Level, ...] = ()
    reason: str = ""
    working: bool = True


def falls(kind: OrderType, side: Side) -> bool:
    """Whether a stop of this type and side is triggered by a falling price (else by a rising one)."""
    return (kind, side) in _FALLS


def check_fields(order: Order, name: Callable[[str], str] = str) -> None:
    """`Refused` -1102 for what the type needs, -1106 for what it does not use, -1013 for zeros.

    `name` tells how the request calls a parameter.
    """
    values = {parameter: getattr(order, field) for parameter, field in _FIELDS.items()}
    given = [parameter for parameter, value in values.items() if value is not None]
    needed = _needed(order)
    if extra := [parameter for parameter in given if parameter not in needed]:
        raise unneeded(name(extra[0]))
    if lacking := [parameter for parameter in needed if parameter not in given]:
        raise missing(name(lacking[0]))
    if zeros := [parameter for parameter in given if values[parameter] == ZERO]:
        raise Refused(-1013, f"Invalid {name(zeros[0])}.")


def _needed(order: Order) -> tuple[str, ...]:
    """What an order of its type must have; one at the market has either amount."""
    if order.type is OrderType.MARKET and order.quantity is None:
        if order.quote_quantity is None:
            raise neither("quantity", "quoteOrderQty")
        return ("quoteOrderQty",)
    return NEEDS[order.type]


def quantity_of(order: Order, quote: Quote, step: Decimal) -> Decimal:
    """The quantity as given, or what `quoteOrderQty` would get at the best price."""
    if order.quote_quantity is None:
        return order.quantity or ZERO
    best = quote.ask if order.side is Side.BUY else quote.bid
    return to_unit(on_grid(EXACT.divide(order.quote_quantity, best), step, ROUND_DOWN))


def _total(fills: tuple[Level, ...]) -> Decimal:
    return sum((size for _, size in fills), ZERO)


def _market(order: Order, market: Market) -> Proposal:
    """All at once, at whatever prices the book has; what it lacks expires."""
    depth = market.depth
    if order.quote_quantity is None:
        return at_market(order.side, order.quantity or ZERO, depth)
    fills = walk(depth.facing(order.side), order.side, quote=depth.given(order.quote_quantity), step=depth.step)
    if not fills and next(depth.facing(order.side), None) is None:
        raise rejected(EMPTY)
    left = order.quote_quantity - sum((worth(*fill) for fill in fills), ZERO)
    short = not fills or left >= fills[-1][0] * (depth.step or UNIT)
    return _ended(_total(fills), fills, short)


def at_market(side: Side, quantity: Decimal, depth: Depth, budget: Decimal = UNBOUNDED) -> Proposal:
    """A quantity at the market; a buy may be bounded by what can be paid."""
    there = depth.given(quantity, depth.step or UNIT)
    fills = walk(depth.facing(side), side, quantity=there, quote=budget, step=depth.step)
    return _ended(quantity, fills, _total(fills) < quantity)


def _ended(quantity: Decimal, fills: tuple[Level, ...], short: bool) -> Proposal:
    if short:
        return Proposal("EXPIRED", quantity, fills, "INSUFFICIENT_LIQUIDITY")
    return Proposal("FILLED", quantity, fills)


def at_limit(side: Side, quantity: Decimal, price: Decimal, time_in_force: str, depth: Depth) -> Proposal:
    """What the book has up to a price; the rest stays (GTC) or expires (IOC); FOK is all or nothing."""
    there = depth.given(quantity, depth.step or UNIT)
    fills = walk(depth.facing(side), side, quantity=there, limit=price, step=depth.step)
    got = _total(fills)
    if got == quantity:
        return Proposal("FILLED", quantity, fills)
    if time_in_force == "FOK":
        return Proposal("EXPIRED", quantity, (), "UNFILLED_FOK_ORDER_EXPIRED")
    if time_in_force == "IOC":
        return Proposal("EXPIRED", quantity, fills, "UNFILLED_IOC_QUANTITY_EXPIRED")
    return Proposal("PARTIALLY_FILLED" if fills else "NEW", quantity, fills)


def _limit(order: Order, market: Market) -> Proposal:
    price, rest = order.price or ZERO, order.time_in_force or "GTC"
    return at_limit(order.side, order.quantity or ZERO, price, rest, market.depth)


def _limit_maker(order: Order, market: Market) -> Proposal:
    if market.depth.crossed(order.side, order.price or ZERO):
        raise rejected(WOULD_TAKE)
    return Proposal("NEW", order.quantity or ZERO)


def _stop(order: Order, market: Market) -> Proposal:
    stop = order.stop_price or ZERO
    if market.last <= stop if falls(order.type, order.side) else market.last >= stop:
        raise rejected(WOULD_TRIGGER)
    return Proposal("NEW", order.quantity or ZERO, working=False)


_TYPES: Mapping[OrderType, Callable[[Order, Market], Proposal]] = {
    OrderType.MARKET: _market,
    OrderType.LIMIT: _limit,
    OrderType.LIMIT_MAKER: _limit_maker,
    **dict.fromkeys(
        (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT), _stop
    ),
}


def propose(order: Order, market: Market) -> Proposal:
    """What a new order does in this book; `Refused` -2010 if it is on the wrong side of the market."""
    return _TYPES[order.type](order, market)
