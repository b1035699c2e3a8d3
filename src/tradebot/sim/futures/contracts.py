"""Contracts: which of the exchange's symbols are traded on margin, and by which rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cached_property
from typing import Any

from tradebot.market.venue import Instrument
from tradebot.sim.accounts import quote_of
from tradebot.sim.depth import Depth, Depths
from tradebot.sim.engine import Exchange
from tradebot.sim.footprint import Gone
from tradebot.sim.matching import EXACT, around, on_grid
from tradebot.sim.refusals import Refused, unknown_symbol
from tradebot.sim.replies import amount

MAX_LEVERAGE = 50
MAINTENANCE = Decimal("0.01")
LARGEST_POSITION = Decimal(1_000_000_000)
MAX_ORDERS = 200
MAX_ALGOS = 10
# A limit price may be this much above (buys) or below (sells) the mark price; a market order may not pay more.
BAND = Decimal("0.05")
LIQUIDATION_FEE = Decimal("0.0125")

REGULAR = ("LIMIT", "MARKET")
CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
TIMES_IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD")
_NEVER = 4_133_404_800_000  # what the venue writes for a contract that is not delivered


class Contracts:
    """The contracts on offer: all symbols that are quoted in the coin that most are quoted in.

    `gone` tells what is missing from their books at an instant.
    """

    def __init__(self, exchange: Exchange, gone: Callable[[int], Gone]) -> None:
        self.exchange = exchange
        self.prices = exchange.prices
        self.clock = exchange.clock
        self.gone = gone
        self._depths = Depths(self.prices)

    @cached_property
    def coin(self) -> str:
        """What margin, fees and profits are paid in; `MarketError` without symbols."""
        return quote_of(self.prices.instruments().values())

    def instruments(self) -> Mapping[str, Instrument]:
        """The contracts that are listed at the venue's time."""
        coin = self.coin
        return {symbol: each for symbol, each in self.exchange.instruments().items() if each.quote == coin}

    def instrument(self, symbol: str) -> Instrument:
        """A listed contract; `Refused` -1121 for any other symbol."""
        known = self.exchange.instrument(symbol)
        if known.quote != self.coin:
            raise unknown_symbol()
        return known

    def last(self, symbol: str) -> Decimal:
        """Last traded price, which is also the mark price; `MarketError` before the first trade."""
        return self.exchange.last(symbol)

    def mark(self, symbol: str, at: int) -> Decimal:
        """The mark price at a moment that has passed."""
        return self.prices.price(symbol, at)

    def around(self, symbol: str, price: Decimal, at: int, gone: Gone | None = None) -> Depth:
        """The order book around a last price at a moment; `gone` if that was looked up already."""
        quote = around(price, self.exchange.spread, self.prices.instruments()[symbol].tick)
        return self._depths.at(symbol, quote, at, self.gone(at) if gone is None else gone)

    def book(self, symbol: str, now: int, gone: Gone) -> Depth:
        """The order book at an instant, without what is `gone`; `MarketError` before the first trade."""
        return self.around(symbol, self.mark(symbol, now), now, gone)


def describe(each: Instrument, listed: int) -> dict[str, Any]:
    """A contract as exchangeInfo tells it."""
    return {
        "symbol": each.symbol, "pair": each.symbol, "contractType": "PERPETUAL", "deliveryDate": _NEVER,
        "onboardDate": listed, "status": each.status, "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000", "baseAsset": each.base, "quoteAsset": each.quote,
        "marginAsset": each.quote, "pricePrecision": _places(each.tick), "quantityPrecision": _places(each.step),
        "baseAssetPrecision": 8, "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": [],
        "triggerProtect": "0.0500", "liquidationFee": f"{LIQUIDATION_FEE:.6f}", "marketTakeBound": f"{BAND:.2f}",
        "maxMoveOrderLimit": 10_000, "filters": filters(each), "orderTypes": [*REGULAR, *CONDITIONAL],
        "timeInForce": list(TIMES_IN_FORCE), "permissionSets": ["GRID", "COPY"],
    }  # fmt: skip


def filters(each: Instrument) -> list[dict[str, Any]]:
    """The contract's filters in the words that futures use, which are not those of spot."""
    step = amount(each.step)
    lowest = amount(each.min_quantity)
    return [
        {
            "filterType": "PRICE_FILTER", "minPrice": amount(each.tick), "maxPrice": amount(LARGEST_POSITION),
            "tickSize": amount(each.tick),
        },
        {"filterType": "LOT_SIZE", "minQty": lowest, "maxQty": amount(each.max_quantity), "stepSize": step},
        {
            "filterType": "MARKET_LOT_SIZE", "minQty": lowest, "stepSize": step,
            "maxQty": amount(each.max_market_quantity or each.max_quantity),
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": MAX_ORDERS},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": MAX_ALGOS},
        {"filterType": "MIN_NOTIONAL", "notional": format(each.min_notional.normalize(), "f")},
        {
            "filterType": "PERCENT_PRICE", "multiplierUp": f"{1 + BAND:.4f}", "multiplierDown": f"{1 - BAND:.4f}",
            "multiplierDecimal": "4",
        },
    ]  # fmt: skip


def brackets(symbol: str) -> dict[str, Any]:
    """The leverage brackets of a contract: one for every size."""
    only = {
        "bracket": 1, "initialLeverage": MAX_LEVERAGE, "notionalCap": int(LARGEST_POSITION), "notionalFloor": 0,
        "maintMarginRatio": float(MAINTENANCE), "cum": 0.0,
    }  # fmt: skip
    return {"symbol": symbol, "brackets": [only]}


def check_quantity(each: Instrument, quantity: Decimal, *, market: bool) -> None:
    """LOT_SIZE and MARKET_LOT_SIZE in the codes of futures."""
    largest = (each.max_market_quantity if market else each.max_quantity) or each.max_quantity
    if quantity <= 0:
        raise Refused(-4003, "Quantity less than or equal to zero.")
    if quantity < each.min_quantity:
        raise Refused(-4004, "Quantity less than min quantity.")
    if 0 < largest < quantity:
        raise Refused(-4005, "Quantity greater than max quantity.")
    if each.step and EXACT.remainder(quantity, each.step):
        raise Refused(-4023, "Qty not increased by step size.")


def check_price(each: Instrument, price: Decimal, name: str = "Price") -> None:
    """PRICE_FILTER; `name` begins the text."""
    if price <= 0:
        raise Refused(-4001, f"{name} less than 0.")
    if price > LARGEST_POSITION:
        raise Refused(-4002, f"{name} greater than max price.")
    if each.tick and EXACT.remainder(price, each.tick):
        raise Refused(-4014, f"{name} not increased by tick size.")


def check_band(each: Instrument, price: Decimal, mark: Decimal, *, buys: bool) -> None:
    """PERCENT_PRICE: nobody may bid far above the market or ask far below it."""
    lowest, highest = band(each, mark)
    if buys and price > highest:
        raise Refused(-4016, f"Limit price can't be higher than {amount(highest)}.")
    if not buys and price < lowest:
        raise Refused(-4024, f"Limit price can't be lower than {amount(lowest)}.")


def band(each: Instrument, mark: Decimal) -> tuple[Decimal, Decimal]:
    """The lowest price to sell and the highest price to buy at, on the tick."""
    return (
        on_grid(EXACT.multiply(mark, 1 - BAND), each.tick, ROUND_CEILING),
        on_grid(EXACT.multiply(mark, 1 + BAND), each.tick, ROUND_FLOOR),
    )


def check_notional(each: Instrument, price: Decimal, quantity: Decimal) -> None:
    """MIN_NOTIONAL, which does not bind orders that only reduce."""
    if EXACT.multiply(price, quantity) < each.min_notional:
        least = format(each.min_notional.normalize(), "f")
        raise Refused(-4164, f"Order's notional must be no smaller than {least} (unless you choose reduce only).")


def _places(step: Decimal) -> int:
    return max(0, -int(step.normalize().as_tuple().exponent)) if step else 8
