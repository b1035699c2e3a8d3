"""The paths of the futures API with their weights and parameters."""

from __future__ import annotations

from collections.abc import Callable

from tradebot.sim.app import Call
from tradebot.sim.futures.contracts import Contracts
from tradebot.sim.futures.public import WEIGHT_LIMIT, ContractData
from tradebot.sim.params import Params

FUTURES_WEIGHT = WEIGHT_LIMIT
# klines: up to this limit the weight is that; above the last one it is 10.
_BY_ROWS = ((99, 1), (499, 2), (1000, 5))
_RANGE = ("startTime", "endTime", "limit")


def rows_weight(params: Params) -> int:
    """The weight of a page of klines. (A malformed limit is refused later.)"""
    asked = params.get("limit", "500")
    rows = int(asked) if asked.isdecimal() else 500
    return next((weight for most, weight in _BY_ROWS if rows <= most), 10)


def _fixed(weight: int) -> Callable[[Params], int]:
    return lambda _: weight


def _one_or_all(one: int, every: int) -> Callable[[Params], int]:
    return lambda params: one if "symbol" in params else every


def market_calls(data: ContractData) -> dict[str, dict[str, Call]]:
    """Paths of the market data, then methods."""
    one = frozenset({"symbol"})
    gets = {
        "v1/ping": Call(data.spot.ping, _fixed(1), frozenset()),
        "v1/time": Call(data.spot.time, _fixed(1), frozenset()),
        "v1/exchangeInfo": Call(data.exchange_info, _fixed(1), frozenset()),
        "v1/klines": Call(data.klines, rows_weight, frozenset({"symbol", "interval", *_RANGE})),
        "v1/premiumIndex": Call(data.premium, _one_or_all(1, 10), one),
        "v1/fundingRate": Call(data.funding_rates, _fixed(1), frozenset({"symbol", *_RANGE})),
        "v1/ticker/24hr": Call(data.day, _one_or_all(1, 40), one),
        "v1/ticker/price": Call(data.price, _one_or_all(1, 2), one),
        "v2/ticker/price": Call(data.price, _one_or_all(1, 2), one),
        "v1/ticker/bookTicker": Call(data.book, _one_or_all(2, 5), one),
    }
    return {f"/fapi/{path}": {"GET": call} for path, call in gets.items()}


def futures_calls(contracts: Contracts) -> dict[str, dict[str, Call]]:
    """All paths of the futures API, then methods."""
    return market_calls(ContractData(contracts))
