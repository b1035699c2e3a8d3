"""The venue's filters, in the order in which they are applied; exchangeInfo describes the same table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tradebot.market.venue import ZERO, Instrument, OrderType, Side
from tradebot.sim.matching import EXACT
from tradebot.sim.refusals import filtered

ALGO = frozenset({
    OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """Rules that every symbol shares; 0 means that there is no such rule, and nothing is shown of it.

    `up` and `down` bound a limit price by multiples of the last price. `exchange_…` count over all symbols.
    """

    orders: int = 200
    algo_orders: int = 5
    lists: int = 20
    position: Decimal = ZERO
    up: Decimal = Decimal(5)
    down: Decimal = Decimal("0.2")
    exchange_orders: int = 0
    exchange_algo_orders: int = 0
    exchange_lists: int = 0


@dataclass(frozen=True, slots=True)
class Load:
    """What would be open with the new orders: of the symbol, then of the account; `position` is held or bought."""

    orders: int = 0
    algo_orders: int = 0
    lists: int = 0
    position: Decimal = ZERO
    exchange_orders: int = 0
    exchange_algo_orders: int = 0
    exchange_lists: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An order that asks to be let in; `last` is the symbol's last price, `price` None at the market's."""

    instrument: Instrument
    side: Side
    type: OrderType
    quantity: Decimal
    price: Decimal | None
    stop_price: Decimal | None
    last: Decimal
    load: Load
    limits: Limits

    @property
    def value(self) -> Decimal:
        """Its size in the quote coin: at its own price, at that which triggers it, or at the last one."""
        return EXACT.multiply(self.price or self.stop_price or self.last, self.quantity)


@dataclass(frozen=True, slots=True)
class Listing:
    """A symbol and the rules that it shares."""

    instrument: Instrument
    limits: Limits


Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter: whether an order passes, and what exchangeInfo says of it (None: there is no such rule)."""

    passes: Callable[[Candidate], bool]
    tells: Callable[[Listing], Facts | None]


def within(value: Decimal, least: Decimal, most: Decimal, step: Decimal) -> bool:
    """Whether a value lies between two bounds and on a step; each of the three may be 0: no rule."""
    return value >= least and not 0 < most < value and not (step and EXACT.remainder(value, step))


def _text(value: Decimal) -> str:
    return f"{value:.8f}"


def _price(order: Candidate) -> bool:
    tick = order.instrument.tick
    return all(within(price, tick, ZERO, tick) for price in (order.price, order.stop_price) if price is not None)


def _tell_price(listing: Listing) -> Facts:
    tick = _text(listing.instrument.tick)
    return {"minPrice": tick, "maxPrice": _text(ZERO), "tickSize": tick}


def _percent(order: Candidate) -> bool:
    if order.price is None:
        return True
    return within(order.price, order.last * order.limits.down, order.last * order.limits.up, ZERO)


def _tell_percent(listing: Listing) -> Facts | None:
    limits = listing.limits
    if not limits.up and not limits.down:
        return None
    up, down = f"{limits.up:f}", f"{limits.down:f}"
    return {
        "bidMultiplierUp": up, "bidMultiplierDown": down, "askMultiplierUp": up, "askMultiplierDown": down,
        "avgPriceMins": 0,
    }  # fmt: skip


def _lot(order: Candidate) -> bool:
    rules = order.instrument
    return order.quantity > 0 and within(order.quantity, rules.min_quantity, rules.max_quantity, rules.step)


def _tell_lot(listing: Listing) -> Facts:
    rules = listing.instrument
    return {"minQty": _text(rules.min_quantity), "maxQty": _text(rules.max_quantity), "stepSize": _text(rules.step)}


def _market_lot(order: Candidate) -> bool:
    return order.type is not OrderType.MARKET or within(
        order.quantity, ZERO, order.instrument.max_market_quantity, ZERO
    )


def _tell_market_lot(listing: Listing) -> Facts:
    return {"minQty": _text(ZERO), "maxQty": _text(listing.instrument.max_market_quantity), "stepSize": _text(ZERO)}


def _notional(order: Candidate) -> bool:
    most = ZERO if order.price is None else order.instrument.max_notional
    return within(order.value, order.instrument.min_notional, most, ZERO)


def _tell_notional(listing: Listing) -> Facts:
    rules = listing.instrument
    return {
        "minNotional": _text(rules.min_notional), "applyMinToMarket": True, "maxNotional": _text(rules.max_notional),
        "applyMaxToMarket": False, "avgPriceMins": 0,
    }  # fmt: skip


def _counted(rule: str, field: str) -> Filter:
    """A bound on how many orders or lists may be open."""

    def passes(order: Candidate) -> bool:
        most = getattr(order.limits, rule)
        # What is no stop is not held back by too many stops.
        concerned = order.type in ALGO or "algo" not in rule
        return not most or not concerned or getattr(order.load, rule) <= most

    def tells(listing: Listing) -> Facts | None:
        most = getattr(listing.limits, rule)
        return {field: most} if most else None

    return Filter(passes, tells)


def _position(order: Candidate) -> bool:
    return order.side is Side.SELL or within(order.load.position, ZERO, order.limits.position, ZERO)


def _tell_position(listing: Listing) -> Facts | None:
    most = listing.limits.position
    return {"maxPosition": _text(most)} if most else None


SYMBOL: Mapping[str, Filter] = {
    "PRICE_FILTER": Filter(_price, _tell_price),
    "PERCENT_PRICE_BY_SIDE": Filter(_percent, _tell_percent),
    "LOT_SIZE": Filter(_lot, _tell_lot),
    "MARKET_LOT_SIZE": Filter(_market_lot, _tell_market_lot),
    "NOTIONAL": Filter(_notional, _tell_notional),
    "MAX_POSITION": Filter(_position, _tell_position),
    "MAX_NUM_ORDERS": _counted("orders", "maxNumOrders"),
    "MAX_NUM_ALGO_ORDERS": _counted("algo_orders", "maxNumAlgoOrders"),
    "MAX_NUM_ORDER_LISTS": _counted("lists", "maxNumOrderLists"),
}
EXCHANGE: Mapping[str, Filter] = {
    "EXCHANGE_MAX_NUM_ORDERS": _counted("exchange_orders", "maxNumOrders"),
    "EXCHANGE_MAX_NUM_ALGO_ORDERS": _counted("exchange_algo_orders", "maxNumAlgoOrders"),
    "EXCHANGE_MAX_NUM_ORDER_LISTS": _counted("exchange_lists", "maxNumOrderLists"),
}


def check(order: Candidate) -> None:
    """`Refused` -1013 with the name of the first filter that the order does not pass."""
    for name, rule in {**SYMBOL, **EXCHANGE}.items():
        if not rule.passes(order):
            raise filtered(name)


def describe(listing: Listing) -> list[Facts]:
    """The filters of a symbol as exchangeInfo shows them."""
    return _told(SYMBOL, listing)


def describe_exchange(limits: Limits) -> list[Facts]:
    """The filters that hold over all symbols, as exchangeInfo shows them."""
    return _told(EXCHANGE, Listing(Instrument("", "", ""), limits))


def _told(rules: Mapping[str, Filter], listing: Listing) -> list[Facts]:
    told = ((name, rule.tells(listing)) for name, rule in rules.items())
    return [{"filterType": name, **facts} for name, facts in told if facts is not None]
