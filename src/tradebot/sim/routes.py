"""The paths of the spot API: what each takes, what it weighs, and who answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tradebot.sim.deals import Deals
from tradebot.sim.forms import LEGS
from tradebot.sim.gate import Call
from tradebot.sim.keys import SIGNING
from tradebot.sim.params import DIGITS, Params
from tradebot.sim.public import Public
from tradebot.sim.signed import Signed

_LEVELS = ((100, 5), (500, 25), (1000, 50))  # depth: what up to so many levels weigh
_MANY = (20, 100)  # ticker/24hr: from how many symbols on it weighs 40, then 80


def _fixed(weight: int) -> Callable[[Params], int]:
    return lambda _: weight


def _one_or_many(one: int, many: int) -> Callable[[Params], int]:
    return lambda params: one if "symbol" in params else many


def _day_weight(params: Params) -> int:
    """2 for up to 20 symbols, 40 for up to 100, else 80. (A malformed list is refused later.)"""
    if "symbol" in params:
        return 2
    if "symbols" not in params:
        return 80
    number = params["symbols"].count(",") + 1
    return 2 if number <= _MANY[0] else 40 if number <= _MANY[1] else 80


def _window_weight(params: Params) -> int:
    """4 for each symbol, at most 200."""
    return min(4 * (params.get("symbols", "").count(",") + 1), 200)


def _depth_weight(params: Params) -> int:
    """By the number of levels. (A malformed limit is refused later.)"""
    limit = params.get("limit", "100")
    levels = int(limit) if limit.isdecimal() and len(limit) <= DIGITS else 0
    return next((weight for most, weight in _LEVELS if levels <= most), 250)


_RANGE = ("startTime", "endTime", "limit")
_SYMBOLS = frozenset({"symbol", "symbols"})
_INFO = _SYMBOLS | {"permissions", "symbolStatus", "showPermissionSets"}
_ORDER = frozenset({
    "symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price", "newClientOrderId", "stopPrice",
    "trailingDelta", "icebergQty", "newOrderRespType", "selfTradePreventionMode", "strategyId", "strategyType",
})  # fmt: skip
_WHICH = frozenset({"symbol", "orderId", "origClientOrderId"})
_LEG = ("Type", "ClientOrderId", "Price", "StopPrice", "TrailingDelta", "TimeInForce", "IcebergQty", "StrategyId",
        "StrategyType")  # fmt: skip
_OCO = frozenset({
    "symbol", "side", "quantity", "listClientOrderId", "newOrderRespType", "selfTradePreventionMode",
    *(f"{leg}{name}" for leg in LEGS for name in _LEG),
})  # fmt: skip
_REPLACE = _ORDER | {
    "cancelReplaceMode", "cancelOrderId", "cancelOrigClientOrderId", "cancelNewClientOrderId", "cancelRestrictions"
}  # fmt: skip


def market_calls(public: Public, deals: Deals) -> dict[str, dict[str, Call]]:
    """Paths of the market data, then methods."""
    one_or_all = _one_or_many(2, 4)
    klines = frozenset({"symbol", "interval", "timeZone", *_RANGE})
    gets = {
        "ping": Call(public.ping, _fixed(1), frozenset()),
        "time": Call(public.time, _fixed(1), frozenset()),
        "exchangeInfo": Call(public.exchange_info, _fixed(20), _INFO),
        "klines": Call(public.klines, _fixed(2), klines),
        "uiKlines": Call(public.klines, _fixed(2), klines),
        "depth": Call(public.depth, _depth_weight, frozenset({"symbol", "limit"})),
        "avgPrice": Call(public.average, _fixed(2), frozenset({"symbol"})),
        "trades": Call(deals.recent, _fixed(25), frozenset({"symbol", "limit"})),
        "historicalTrades": Call(deals.historical, _fixed(25), frozenset({"symbol", "limit", "fromId"})),
        "aggTrades": Call(deals.aggregated, _fixed(4), frozenset({"symbol", "fromId", *_RANGE})),
        "ticker": Call(public.window, _window_weight, _SYMBOLS | {"windowSize", "type"}),
        "ticker/tradingDay": Call(public.trading_day, _window_weight, _SYMBOLS | {"timeZone", "type"}),
        "ticker/24hr": Call(public.day, _day_weight, _SYMBOLS | {"type"}),
        "ticker/price": Call(public.price, one_or_all, _SYMBOLS),
        "ticker/bookTicker": Call(public.book, one_or_all, _SYMBOLS),
    }
    return {f"/api/v3/{path}": {"GET": call} for path, call in gets.items()}


def account_calls(signed: Signed) -> dict[str, dict[str, Call]]:
    """Paths of the account, then methods."""

    def call(
        handler: Callable[[Params], Any], weight: Callable[[Params], int], *known: str, done: int | None = None
    ) -> Call:
        return Call(handler, weight, SIGNING | set(known), signed=True, done=done)

    return {
        "/api/v3/order": {
            "POST": call(signed.place, _fixed(1), *_ORDER, done=0),
            "DELETE": call(signed.cancel, _fixed(1), *_WHICH, "newClientOrderId", "cancelRestrictions", done=0),
            "GET": call(signed.order, _fixed(4), *_WHICH),
        },
        "/api/v3/order/test": {
            "POST": call(
                signed.test,
                lambda p: 20 if p.get("computeCommissionRates", "").lower() == "true" else 1,
                *_ORDER,
                "computeCommissionRates",
            )
        },
        "/api/v3/order/cancelReplace": {"POST": call(signed.replace, _fixed(1), *_REPLACE, done=0)},
        "/api/v3/openOrders": {
            "GET": call(signed.open_orders, _one_or_many(6, 80), "symbol"),
            "DELETE": call(signed.cancel_all, _fixed(1), "symbol", done=0),
        },
        "/api/v3/orderList/oco": {"POST": call(signed.place_oco, _fixed(1), *_OCO, done=0)},
        "/api/v3/orderList": {
            "GET": call(signed.order_list, _fixed(4), "orderListId", "origClientOrderId"),
            "DELETE": call(
                signed.cancel_list, _fixed(1), "symbol", "orderListId", "listClientOrderId", "newClientOrderId", done=0
            ),
        },
        "/api/v3/allOrderList": {"GET": call(signed.order_lists, _fixed(20), "fromId", *_RANGE)},
        "/api/v3/openOrderList": {"GET": call(signed.open_lists, _fixed(6))},
        "/api/v3/allOrders": {"GET": call(signed.orders, _fixed(20), "symbol", "orderId", *_RANGE)},
        "/api/v3/myTrades": {
            "GET": call(signed.trades, lambda p: 5 if "orderId" in p else 20, "symbol", "orderId", "fromId", *_RANGE)
        },
        "/api/v3/account": {"GET": call(signed.account, _fixed(20), "omitZeroBalances")},
        "/api/v3/account/commission": {"GET": call(signed.commission, _fixed(20), "symbol")},
        "/api/v3/rateLimit/order": {"GET": call(signed.order_limits, _fixed(40))},
        "/sapi/v1/account/apiRestrictions": {"GET": call(signed.restrictions, _fixed(1))},
        # Clients that hold a key ask for these while they load markets; no signature is needed.
        "/sapi/v1/margin/allPairs": {"GET": Call(signed.no_margin, _fixed(1), SIGNING)},
        "/sapi/v1/margin/isolated/allPairs": {"GET": Call(signed.no_margin, _fixed(1), SIGNING)},
    }
