"""How the venue writes things: kline rows, amounts of eight places, orders and trades as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import orjson

from tradebot.market.bars import INTERVALS, MONTH, Times, next_open, open_of
from tradebot.market.venue import Balance, Fill, Instrument, OrderType, Side
from tradebot.sim import filters
from tradebot.sim.books import ALONE, WAITS, Entry, Event, OrderList
from tradebot.sim.counts import Window
from tradebot.sim.depth import Depth
from tradebot.sim.digits import PLACES, Template
from tradebot.sim.exact import Exact
from tradebot.sim.filters import Limits, Listing
from tradebot.sim.ledger import Fees
from tradebot.sim.matching import worth

# The rows of `FIELDS` in the order of the wire; the seventh is the close time, which they do not hold.
_WIRE = [*range(6), 0, *range(6, 10)]
_CLOSE = 6
_ROW = Template([
    b"[", False, b',"', True, b'","', True, b'","', True, b'","', True, b'","', True, b'",', False, b',"', True,
    b'",', False, b',"', True, b'","', True, b'","0"]',
])  # fmt: skip


# In which order the venue writes the fields of an order, by what is asked; others follow.
_ACK = ("symbol", "orderId", "orderListId", "clientOrderId", "transactTime")
_AMOUNTS = ("price", "origQty", "executedQty", "origQuoteOrderQty", "cummulativeQuoteQty")
_KIND = ("status", "timeInForce", "type", "side", "stopPrice")
_PLACED = (*_ACK, *_AMOUNTS, *_KIND, "workingTime", "fills")
_CANCELED = ("symbol", "origClientOrderId", *_ACK[1:], *_AMOUNTS, *_KIND)
_QUERIED = (
    *_ACK[:-1], "price", "origQty", "executedQty", "cummulativeQuoteQty", *_KIND, "icebergQty", "time", "updateTime",
    "isWorking", "workingTime", "origQuoteOrderQty",
)  # fmt: skip


def _in_order(told: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: told[name] for name in names if name in told} | dict(told)


def amount(value: Decimal) -> str:
    """A price or an amount with eight places."""
    return f"{value:.{PLACES}f}"


def close_times(opens: Times, interval: str) -> Times:
    """The last ms of each bar; a bar that opened off the grid ends with the grid's bar."""
    return _closes(opens, [interval], [len(opens)])


def _closes(opens: Times, intervals: Sequence[str], sizes: Sequence[int]) -> Times:
    """`close_times` of several pages, of so many bars each."""
    if MONTH in intervals:
        names = [name for name, size in zip(intervals, sizes, strict=True) for _ in range(size)]
        return np.array([next_open(*each) - 1 for each in zip(names, opens.tolist(), strict=True)], np.int64)
    step = np.repeat([INTERVALS[name] for name in intervals], sizes)
    origin = np.repeat([open_of(name, 0) for name in intervals], sizes)
    closes: Times = opens - (opens - origin) % step + step - 1
    return closes


def kline_rows(bars: Exact, interval: str) -> bytes:
    """The rows as the inside of a JSON array: twelve elements each, separated by commas."""
    return kline_pages([(bars, interval)])[0]


def kline_pages(pages: Sequence[tuple[Exact, str]]) -> list[bytes]:
    """`kline_rows` of several series with their intervals; together they take half the time."""
    if len(pages) == len(pages[0][0]) == 1:
        return [_kline_row(*pages[0])]
    data, sizes = [bars.data for bars, _ in pages], [len(bars) for bars, _ in pages]
    values = np.empty((len(_WIRE), sum(sizes)), np.int64)
    np.concatenate([part[:_CLOSE] for part in data], axis=1, out=values[:_CLOSE])
    np.concatenate([part[_CLOSE:] for part in data], axis=1, out=values[_CLOSE + 1 :])
    values[_CLOSE] = _closes(values[0], [interval for _, interval in pages], sizes)
    places = np.array([bars.scale.rows for bars, _ in pages]).T[_WIRE]
    places[_CLOSE] = 0
    return _ROW.pages(values, places, sizes)


def _kline_row(bars: Exact, interval: str) -> bytes:
    """A single row, at a fifth of the cost."""
    bar, places = bars.data[:, 0].tolist(), bars.scale.rows
    values = [bar[row] for row in _WIRE]
    values[_CLOSE] = close_times(bars.data[0], interval).item()
    return _ROW.line(values, [places[row] for row in _WIRE])


def order(entry: Entry) -> dict[str, Any]:
    """What every reply about an order says of it; what it does not have is not there."""
    told: dict[str, Any] = {
        "symbol": entry.symbol, "orderId": entry.order_id, "orderListId": entry.list_id,
        "clientOrderId": entry.client_id, "price": amount(entry.price), "origQty": amount(entry.quantity),
        "executedQty": amount(entry.executed), "origQuoteOrderQty": amount(entry.quote_quantity),
        "cummulativeQuoteQty": amount(entry.quote_executed), "status": entry.status,
        "timeInForce": entry.time_in_force, "type": entry.type, "side": entry.side,
        "workingTime": entry.working, "selfTradePreventionMode": "NONE",
    }  # fmt: skip
    if entry.stop_price:
        told["stopPrice"] = amount(entry.stop_price)
    if entry.strategy_id is not None:
        told["strategyId"] = entry.strategy_id
    if entry.strategy_type is not None:
        told["strategyType"] = entry.strategy_type
    if entry.reason:
        told["expiryReason"] = entry.reason
    return told


def queried(entry: Entry) -> dict[str, Any]:
    """An order as queries answer it."""
    more = {
        "stopPrice": amount(entry.stop_price), "icebergQty": amount(Decimal(0)), "time": entry.created,
        "updateTime": entry.updated, "isWorking": entry.working != WAITS,
    }  # fmt: skip
    return _in_order(order(entry) | more, _QUERIED)


def placed(entry: Entry, fills: Sequence[Fill], kind: str) -> dict[str, Any]:
    """The answer to a new order: ACK, RESULT or FULL."""
    full = order(entry) | {"transactTime": entry.updated}
    if kind == "ACK":
        return {name: full[name] for name in _ACK}
    if kind == "FULL":
        full["fills"] = [
            {
                "price": amount(fill.price), "qty": amount(fill.quantity), "commission": amount(fill.fee),
                "commissionAsset": fill.fee_asset, "tradeId": fill.trade_id,
            }
            for fill in fills
        ]  # fmt: skip
    return _in_order(full, _PLACED)


def canceled(entry: Entry, cancel_id: str) -> dict[str, Any]:
    """The answer to a cancel: the order's own id is then the original one."""
    own = {"origClientOrderId": entry.client_id, "clientOrderId": cancel_id, "transactTime": entry.updated}
    return _in_order(order(entry) | own, _CANCELED)


def listed(made: OrderList, legs: Sequence[Entry]) -> dict[str, Any]:
    """A list of orders; it is done when none of its orders is open."""
    going = any(leg.open for leg in legs)
    return {
        "orderListId": made.list_id, "contingencyType": "OCO",
        "listStatusType": "EXEC_STARTED" if going else "ALL_DONE",
        "listOrderStatus": "EXECUTING" if going else "ALL_DONE",
        "listClientOrderId": made.client_id, "transactionTime": max(leg.updated for leg in legs),
        "symbol": made.symbol,
        "orders": [
            {"symbol": leg.symbol, "orderId": leg.order_id, "clientOrderId": leg.client_id} for leg in legs
        ],
    }  # fmt: skip


def trade(fill: Fill, list_id: int = ALONE) -> dict[str, Any]:
    """A trade of the account, whose order is in the list `list_id`."""
    return {
        "symbol": fill.symbol, "id": fill.trade_id, "orderId": fill.order_id, "orderListId": list_id,
        "price": amount(fill.price), "qty": amount(fill.quantity), "quoteQty": amount(worth(fill.price, fill.quantity)),
        "commission": amount(fill.fee), "commissionAsset": fill.fee_asset, "time": fill.time,
        "isBuyer": fill.side is Side.BUY, "isMaker": fill.maker, "isBestMatch": True,
    }  # fmt: skip


def happened(event: Event, entry: Entry) -> dict[str, Any]:
    """A line of the exchange's own log; a trade carries its fill."""
    told = {
        "number": event.number, "time": event.time, "event": event.event, "symbol": entry.symbol,
        "orderId": entry.order_id, "orderListId": entry.list_id, "clientOrderId": entry.client_id,
        "side": entry.side, "type": entry.type, "status": event.status, "origQty": amount(entry.quantity),
        "executedQty": amount(event.executed),
    }  # fmt: skip
    return told if event.fill is None else told | {"trade": trade(event.fill, entry.list_id)}


def _rates(fees: Fees) -> dict[str, str]:
    zero = amount(Decimal(0))
    return {"maker": amount(fees.maker), "taker": amount(fees.taker), "buyer": zero, "seller": zero}


def depth(book: Depth, limit: int) -> dict[str, Any]:
    """Both sides of an order book, best prices first."""
    return {
        name: [[amount(price), amount(size)] for price, size in book.levels(side, limit)]
        for name, side in (("bids", Side.BUY), ("asks", Side.SELL))
    }


def commission(symbol: str, fees: Fees) -> dict[str, Any]:
    """The fees of a symbol; there are no others than the standard ones, and no discount."""
    none = _rates(Fees(Decimal(0), Decimal(0)))
    return {
        "symbol": symbol, "standardCommission": _rates(fees), "specialCommission": none, "taxCommission": none,
        "discount": _NO_DISCOUNT,
    }  # fmt: skip


def tested(fees: Fees) -> dict[str, Any]:
    """The fees that an order which is only tested would pay."""
    told = commission("", fees)
    kinds = ("standardCommission", "specialCommission", "taxCommission")
    rates = {f"{kind}ForOrder": {each: told[kind][each] for each in ("maker", "taker")} for kind in kinds}
    return rates | {"discount": _NO_DISCOUNT}


_NO_DISCOUNT = {
    "enabledForAccount": False, "enabledForSymbol": False, "discountAsset": "BNB", "discount": amount(Decimal(0))
}  # fmt: skip


@cache
def _none_of(asset: str) -> orjson.Fragment:
    """The balance of a coin that is not held; there may be thousands of them."""
    return orjson.Fragment(orjson.dumps({"asset": asset, "free": amount(Decimal(0)), "locked": amount(Decimal(0))}))


def _balances(balances: Mapping[str, Balance], zeros: Set[str]) -> Iterator[Any]:
    held = {asset: each for asset, each in balances.items() if each.total}
    for asset in sorted(zeros | held.keys()):
        if (each := held.get(asset)) is None:
            yield _none_of(asset)
        else:
            yield {"asset": asset, "free": amount(each.free), "locked": amount(each.locked)}


def account(balances: Mapping[str, Balance], fees: Fees, now: int, zeros: Set[str] = frozenset()) -> dict[str, Any]:
    """The account; the coins in `zeros` are told of even if they are not held."""
    return {
        "makerCommission": int(fees.maker * 10_000), "takerCommission": int(fees.taker * 10_000),
        "buyerCommission": 0, "sellerCommission": 0, "commissionRates": _rates(fees), "canTrade": True,
        "canWithdraw": False, "canDeposit": False, "brokered": False, "requireSelfTradePrevention": False,
        "preventSor": False, "updateTime": now, "accountType": "SPOT",
        "balances": list(_balances(balances, zeros)), "permissions": ["SPOT"], "uid": 1,
    }  # fmt: skip


def rate_limits(counts: Mapping[Window, int]) -> list[dict[str, Any]]:
    """The limits of orders and what of them is used."""
    return [
        {
            "rateLimitType": "ORDERS", "interval": each.interval, "intervalNum": each.number, "limit": each.limit,
            "count": used,
        }
        for each, used in counts.items()
    ]  # fmt: skip


# What a key of the simulated exchange may do: everything but take money out.
RESTRICTIONS = {
    "ipRestrict": False, "createTime": 1_483_228_800_000, "enableReading": True, "enableWithdrawals": False,
    "enableInternalTransfer": False, "enableMargin": False, "enableFutures": True, "permitsUniversalTransfer": False,
    "enableVanillaOptions": False, "enableFixApiTrade": False, "enableFixReadOnly": False,
    "enableSpotAndMarginTrading": True, "enablePortfolioMarginTrading": False,
}  # fmt: skip


def instrument(each: Instrument, limits: Limits) -> dict[str, Any]:
    """A symbol as exchangeInfo describes it."""
    return {
        "symbol": each.symbol, "status": each.status, "baseAsset": each.base, "baseAssetPrecision": PLACES,
        "quoteAsset": each.quote, "quotePrecision": PLACES, "quoteAssetPrecision": PLACES,
        "baseCommissionPrecision": PLACES, "quoteCommissionPrecision": PLACES, "orderTypes": list(OrderType),
        "icebergAllowed": False, "ocoAllowed": True, "otoAllowed": False, "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True, "allowTrailingStop": False, "cancelReplaceAllowed": True,
        "amendAllowed": False, "pegInstructionsAllowed": False, "isSpotTradingAllowed": each.spot,
        "isMarginTradingAllowed": False, "filters": filters.describe(Listing(each, limits)),
        "permissions": [], "permissionSets": [["SPOT"]], "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }  # fmt: skip
