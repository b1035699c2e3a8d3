"""The paths of the futures API with their weights and parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from tradebot.sim.engine import Exchange
from tradebot.sim.futures import replies
from tradebot.sim.futures.engine import Futures
from tradebot.sim.futures.holdings import Holdings
from tradebot.sim.futures.public import DEPTHS, WEIGHT_LIMIT, ContractData
from tradebot.sim.futures.signed import Trading
from tradebot.sim.gate import Call, Gate, Path
from tradebot.sim.keys import SIGNING
from tradebot.sim.params import DIGITS, Params
from tradebot.sim.truth import Guard, Truth

A = TypeVar("A")
# klines: up to this limit the weight is that; above the last one it is 10.
_BY_ROWS = ((99, 1), (499, 2), (1000, 5))
_RANGE = ("startTime", "endTime", "limit")
_ORDER = (
    "symbol", "side", "positionSide", "type", "timeInForce", "quantity", "reduceOnly", "price", "newClientOrderId",
    "newOrderRespType", "goodTillDate", "closePosition", "stopPrice", "workingType", "priceProtect", "activationPrice",
    "callbackRate", "triggerPrice", "priceMatch", "selfTradePreventionMode",
)  # fmt: skip
_ALGO = (
    "algoType", "symbol", "side", "positionSide", "type", "timeInForce", "quantity", "price", "triggerPrice",
    "workingType", "closePosition", "priceProtect", "reduceOnly", "activatePrice", "callbackRate", "clientAlgoId",
    "newOrderRespType", "goodTillDate", "priceMatch", "selfTradePreventionMode",
)  # fmt: skip
_WHICH = ("symbol", "orderId", "origClientOrderId")
_WHICH_ALGO = ("symbol", "algoId", "clientAlgoId")


def _rows(params: Params) -> int:
    """The limit that is asked for, else the usual one. (A malformed one is refused later.)"""
    asked = params.get("limit", "500")
    return int(asked) if asked.isdecimal() and len(asked) <= DIGITS else 500


def rows_weight(params: Params) -> int:
    """The weight of a page of klines."""
    return next((weight for most, weight in _BY_ROWS if _rows(params) <= most), 10)


def depth_weight(params: Params) -> int:
    """The weight of an order book."""
    return DEPTHS.get(_rows(params), DEPTHS[5])


def _fixed(weight: int) -> Callable[[Params], int]:
    return lambda _: weight


def _one_or_all(one: int, every: int) -> Callable[[Params], int]:
    return lambda params: one if "symbol" in params else every


def _signed(
    pick: Callable[[Params], A], handler: Callable[[A, Params], Any], weight: Callable[[Params], int], *known: str
) -> Call:
    """A call of whatever `pick` finds for the key that signed."""
    return Call(lambda params: handler(pick(params), params), weight, SIGNING | set(known), signed=True)


def market_calls(data: ContractData) -> dict[str, dict[str, Call]]:
    """Paths of the market data, then methods."""
    one = frozenset({"symbol"})
    gets = {
        "v1/ping": Call(data.spot.ping, _fixed(1), frozenset()),
        "v1/time": Call(data.spot.time, _fixed(1), frozenset()),
        "v1/exchangeInfo": Call(data.exchange_info, _fixed(1), frozenset()),
        "v1/klines": Call(data.klines, rows_weight, frozenset({"symbol", "interval", *_RANGE})),
        "v1/depth": Call(data.depth, depth_weight, frozenset({"symbol", "limit"})),
        "v1/premiumIndex": Call(data.premium, _one_or_all(1, 10), one),
        "v1/fundingRate": Call(data.funding_rates, _fixed(1), frozenset({"symbol", *_RANGE})),
        "v1/ticker/24hr": Call(data.day, _one_or_all(1, 40), one),
        "v1/ticker/price": Call(data.price, _one_or_all(1, 2), one),
        "v2/ticker/price": Call(data.price, _one_or_all(1, 2), one),
        "v1/ticker/bookTicker": Call(data.book, _one_or_all(2, 5), one),
    }
    return {f"/fapi/{path}": {"GET": call} for path, call in gets.items()}


def trading_calls(whose: Callable[[Params], Trading]) -> dict[str, dict[str, Call]]:
    """Paths of orders and algo orders, then methods."""
    return {
        "/fapi/v1/order": {
            "POST": _signed(whose, Trading.place, _fixed(0), *_ORDER),
            "GET": _signed(whose, Trading.order, _fixed(1), *_WHICH),
            "DELETE": _signed(whose, Trading.cancel, _fixed(1), *_WHICH),
        },
        "/fapi/v1/openOrders": {"GET": _signed(whose, Trading.open_orders, _one_or_all(1, 40), "symbol")},
        "/fapi/v1/allOpenOrders": {"DELETE": _signed(whose, Trading.cancel_all, _fixed(1), "symbol")},
        "/fapi/v1/allOrders": {"GET": _signed(whose, Trading.orders, _fixed(5), "symbol", "orderId", *_RANGE)},
        "/fapi/v1/userTrades": {
            "GET": _signed(whose, Trading.trades, _fixed(5), "symbol", "orderId", "fromId", *_RANGE)
        },
        "/fapi/v1/countdownCancelAll": {
            "POST": _signed(whose, Trading.countdown, _fixed(10), "symbol", "countdownTime")
        },
        "/fapi/v1/algoOrder": {
            "POST": _signed(whose, Trading.place_algo, _fixed(0), *_ALGO),
            "GET": _signed(whose, Trading.algo, _fixed(1), *_WHICH_ALGO),
            "DELETE": _signed(whose, Trading.cancel_algo, _fixed(1), *_WHICH_ALGO),
        },
        "/fapi/v1/openAlgoOrders": {
            "GET": _signed(whose, Trading.open_algos, _one_or_all(1, 40), "symbol", "algoType", "algoId")
        },
        "/fapi/v1/algoOpenOrders": {"DELETE": _signed(whose, Trading.cancel_algos, _fixed(1), "symbol")},
        "/fapi/v1/allAlgoOrders": {"GET": _signed(whose, Trading.all_algos, _fixed(5), "symbol", "algoId", *_RANGE)},
    }


def account_calls(whose: Callable[[Params], Holdings]) -> dict[str, dict[str, Call]]:
    """Paths of the account and its settings, then methods."""
    return {
        "/fapi/v3/balance": {"GET": _signed(whose, Holdings.balance, _fixed(5))},
        "/fapi/v3/account": {"GET": _signed(whose, Holdings.account, _fixed(5))},
        "/fapi/v3/positionRisk": {"GET": _signed(whose, Holdings.positions, _fixed(5), "symbol")},
        "/fapi/v1/income": {
            "GET": _signed(whose, Holdings.income, _fixed(30), "symbol", "incomeType", "fromId", *_RANGE)
        },
        "/fapi/v1/symbolConfig": {"GET": _signed(whose, Holdings.symbol_config, _fixed(5), "symbol")},
        "/fapi/v1/accountConfig": {"GET": _signed(whose, Holdings.account_config, _fixed(5))},
        "/fapi/v1/commissionRate": {"GET": _signed(whose, Holdings.commission, _fixed(20), "symbol")},
        "/fapi/v1/leverageBracket": {"GET": _signed(whose, Holdings.brackets, _fixed(1), "symbol")},
        "/fapi/v1/leverage": {"POST": _signed(whose, Holdings.set_leverage, _fixed(1), "symbol", "leverage")},
        "/fapi/v1/marginType": {"POST": _signed(whose, Holdings.set_margin_type, _fixed(1), "symbol", "marginType")},
        "/fapi/v1/positionSide/dual": {
            "GET": _signed(whose, Holdings.dual, _fixed(30)),
            "POST": _signed(whose, Holdings.set_dual, _fixed(1), "dualSidePosition"),
        },
    }


def _by_key(usual: A, others: Mapping[str, A]) -> Callable[[Params], A]:
    return lambda params: others.get(params.key, usual)


def futures_calls(futures: Futures, accounts: Mapping[str, Futures] | None = None) -> dict[str, dict[str, Call]]:
    """All paths of the futures API, then methods; `accounts` by API key, others trade on `futures`."""
    others = accounts or {}
    trading = _by_key(Trading(futures), {key: Trading(each) for key, each in others.items()})
    holdings = _by_key(Holdings(futures), {key: Holdings(each) for key, each in others.items()})
    return market_calls(ContractData(futures.contracts)) | trading_calls(trading) | account_calls(holdings)


def futures_api(
    futures: Futures, accounts: Mapping[str, Exchange], gate: Callable[[int], Gate], nowhere: ASGIApp
) -> Router:
    """The futures API as an app. `gate` makes a gate of that weight limit: it is a host of its own.

    `nowhere` answers any other path. What was executed is told at `/sim/log/usdm`.
    """
    opened = gate(WEIGHT_LIMIT)
    others = {key: Futures(each) for key, each in accounts.items()}
    routes = [Route(path, Path(opened, each)) for path, each in futures_calls(futures, others).items()]
    log = Truth(
        partial(_executed, futures), {key: partial(_executed, each) for key, each in others.items()}, opened.send
    )
    routes.append(Route("/sim/log/usdm", Guard(log, opened.send, {"GET"}, own={"GET"})))
    return Router(routes, redirect_slashes=False, default=nowhere)


def _executed(futures: Futures) -> list[dict[str, Any]]:
    return [replies.trade(each, futures.contracts.coin) for each in futures.executed()]
