"""How the venue writes things: kline rows, amounts of eight places, orders and trades as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from tradebot.market.bars import INTERVALS, MONTH, Times, next_open, open_of
from tradebot.market.venue import Balance, Fill, Instrument, Side
from tradebot.sim.books import Entry
from tradebot.sim.digits import PLACES, Template
from tradebot.sim.exact import Exact

LISTS = -1  # the id of the order list of an order that is in none
# The rows of `FIELDS` in the order of the wire; the seventh is the close time, which they do not hold.
_WIRE = [*range(6), 0, *range(6, 10)]
_CLOSE = 6
_ROW = Template([
    b"[", False, b',"', True, b'","', True, b'","', True, b'","', True, b'","', True, b'",', False, b',"', True,
    b'",', False, b',"', True, b'","', True, b'","0"],',
])  # fmt: skip


def amount(value: Decimal) -> str:
    """A price or an amount with eight places."""
    return f"{value:.{PLACES}f}"


def close_times(opens: Times, interval: str) -> Times:
    """The last ms of each bar; a bar that opened off the grid ends with the grid's bar."""
    if interval == MONTH:
        return np.array([next_open(MONTH, moment) - 1 for moment in opens.tolist()], np.int64)
    step = INTERVALS[interval]
    return opens - (opens - open_of(interval, 0)) % step + step - 1


def kline_rows(bars: Exact, interval: str) -> bytes:
    """The rows as the inside of a JSON array: twelve elements each, separated by commas."""
    if not len(bars):
        return b""
    values = bars.data[_WIRE]
    values[_CLOSE] = close_times(bars.data[0], interval)
    places = np.array(bars.scale.rows)[_WIRE]
    places[_CLOSE] = 0
    return _ROW.fill(values, places[:, None])[:-1]


def order(entry: Entry) -> dict[str, Any]:
    """What every reply about an order says of it."""
    return {
        "symbol": entry.symbol, "orderId": entry.order_id, "orderListId": LISTS, "clientOrderId": entry.client_id,
        "price": amount(entry.price), "origQty": amount(entry.quantity), "executedQty": amount(entry.executed),
        "origQuoteOrderQty": amount(entry.quote_quantity), "cummulativeQuoteQty": amount(entry.quote_executed),
        "status": entry.status, "timeInForce": entry.time_in_force, "type": entry.type, "side": entry.side,
        "workingTime": entry.created, "selfTradePreventionMode": "NONE",
    }  # fmt: skip


def queried(entry: Entry) -> dict[str, Any]:
    """An order as queries answer it."""
    return order(entry) | {
        "stopPrice": amount(Decimal(0)), "icebergQty": amount(Decimal(0)), "time": entry.created,
        "updateTime": entry.updated, "isWorking": True,
    }  # fmt: skip


def placed(entry: Entry, fills: Sequence[Fill], kind: str) -> dict[str, Any]:
    """The answer to a new order: ACK, RESULT or FULL."""
    full = order(entry) | {"transactTime": entry.updated}
    if kind == "ACK":
        return {name: full[name] for name in ("symbol", "orderId", "orderListId", "clientOrderId", "transactTime")}
    if kind == "FULL":
        full["fills"] = [
            {
                "price": amount(fill.price), "qty": amount(fill.quantity), "commission": amount(fill.fee),
                "commissionAsset": fill.fee_asset, "tradeId": fill.trade_id,
            }
            for fill in fills
        ]  # fmt: skip
    return full


def canceled(entry: Entry, cancel_id: str) -> dict[str, Any]:
    """The answer to a cancel: the order's own id is then the original one."""
    return order(entry) | {
        "origClientOrderId": entry.client_id, "clientOrderId": cancel_id, "transactTime": entry.updated
    }  # fmt: skip


def trade(fill: Fill, value: Decimal) -> dict[str, Any]:
    """A trade of the account; `value` is its size in the quote coin."""
    return {
        "symbol": fill.symbol, "id": fill.trade_id, "orderId": fill.order_id, "orderListId": LISTS,
        "price": amount(fill.price), "qty": amount(fill.quantity), "quoteQty": amount(value),
        "commission": amount(fill.fee), "commissionAsset": fill.fee_asset, "time": fill.time,
        "isBuyer": fill.side is Side.BUY, "isMaker": fill.maker, "isBestMatch": True,
    }  # fmt: skip


def account(balances: Mapping[str, Balance], fee: Decimal, now: int, *, zeros: bool) -> dict[str, Any]:
    """The account; without `zeros` only coins that are held."""
    rates = {"maker": amount(fee), "taker": amount(fee), "buyer": amount(Decimal(0)), "seller": amount(Decimal(0))}
    return {
        "makerCommission": int(fee * 10_000), "takerCommission": int(fee * 10_000), "buyerCommission": 0,
        "sellerCommission": 0, "commissionRates": rates, "canTrade": True, "canWithdraw": False, "canDeposit": False,
        "brokered": False, "requireSelfTradePrevention": False, "preventSor": False, "updateTime": now,
        "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": amount(held.free), "locked": amount(held.locked)}
            for asset, held in balances.items() if zeros or held.total
        ],
        "permissions": ["SPOT"], "uid": 1,
    }  # fmt: skip


def instrument(each: Instrument, order_types: Sequence[str]) -> dict[str, Any]:
    """A symbol as exchangeInfo describes it."""
    lots = {"minQty": amount(each.min_quantity), "maxQty": amount(each.max_quantity), "stepSize": amount(each.step)}
    zero = amount(Decimal(0))
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": amount(each.tick), "maxPrice": zero, "tickSize": amount(each.tick)},
        {"filterType": "LOT_SIZE", **lots},
        {"filterType": "MARKET_LOT_SIZE", "minQty": zero, "maxQty": amount(each.max_market_quantity), "stepSize": zero},
        {
            "filterType": "NOTIONAL", "minNotional": amount(each.min_notional), "applyMinToMarket": True,
            "maxNotional": amount(each.max_notional), "applyMaxToMarket": False, "avgPriceMins": 0,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
    ]  # fmt: skip
    precisions = ("baseAssetPrecision", "quotePrecision", "quoteAssetPrecision")
    refused = ("icebergAllowed", "ocoAllowed", "otoAllowed", "opoAllowed", "allowTrailingStop", "cancelReplaceAllowed",
               "amendAllowed", "pegInstructionsAllowed", "isMarginTradingAllowed")  # fmt: skip
    return {
        "symbol": each.symbol, "status": each.status, "baseAsset": each.base, "quoteAsset": each.quote,
        **dict.fromkeys((*precisions, "baseCommissionPrecision", "quoteCommissionPrecision"), PLACES),
        "orderTypes": list(order_types), **dict.fromkeys(refused, False), "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": each.spot, "filters": filters, "permissions": [], "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "NONE", "allowedSelfTradePreventionModes": ["NONE"],
    }  # fmt: skip
