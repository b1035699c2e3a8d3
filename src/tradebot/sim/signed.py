"""The account: what needs a key and a signature."""

from __future__ import annotations

from enum import StrEnum
from typing import Any
from uuid import uuid4

from tradebot.clock import DAY
from tradebot.market.venue import Order, OrderType, Side
from tradebot.sim import replies
from tradebot.sim.books import Slice
from tradebot.sim.engine import Exchange
from tradebot.sim.matching import EXACT, to_unit
from tradebot.sim.params import CLIENT_ID, Params
from tradebot.sim.refusals import Refused, missing


class Reply(StrEnum):
    """How much the answer to a new order says."""

    ACK = "ACK"
    RESULT = "RESULT"
    FULL = "FULL"


class TimeInForce(StrEnum):
    """How long an order rests."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


# Types whose reply carries the fills unless another one is asked for.
_TOLD_IN_FULL = (OrderType.MARKET, OrderType.LIMIT)


class Signed:
    """The handlers of the signed endpoints; each takes the parameters and returns the body."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def place(self, params: Params) -> Any:
        """Carry out a new order."""
        order = _order(params)
        kind = Reply.FULL if order.type in _TOLD_IN_FULL else Reply.ACK
        if "newOrderRespType" in params:
            kind = params.one_of("newOrderRespType", Reply, Refused(-1100, "Invalid newOrderRespType."))
        entry, fills = self.exchange.place(order)
        return replies.placed(entry, fills, kind)

    def cancel(self, params: Params) -> Any:
        """Take an order off the market."""
        entry = self.exchange.cancel(params.symbol(), *_ids(params))
        return replies.canceled(entry, params.text("newClientOrderId", CLIENT_ID) or uuid4().hex[:22])

    def order(self, params: Params) -> Any:
        """An order as it is now."""
        return replies.queried(self.exchange.order(params.symbol(), *_ids(params)))

    def open_orders(self, params: Params) -> Any:
        """Orders that can still be filled, of one symbol or of all."""
        symbol = params.symbol() if "symbol" in params else None
        return [replies.queried(entry) for entry in self.exchange.open_orders(symbol)]

    def orders(self, params: Params) -> Any:
        """Orders of a symbol, whatever became of them."""
        return [replies.queried(entry) for entry in self.exchange.orders(_slice(params, "orderId"))]

    def trades(self, params: Params) -> Any:
        """The account's trades of a symbol."""
        given = params.keys() & {"orderId", "startTime", "endTime", "fromId"}
        if given not in ({*()}, {"orderId"}, {"startTime"}, {"endTime"}, {"fromId"}, {"startTime", "endTime"},
                         {"orderId", "fromId"}):  # fmt: skip
            raise Refused(-1128, "Combination of optional parameters invalid.")
        fills = self.exchange.trades(_slice(params, "fromId"), params.integer("orderId"))
        return [replies.trade(fill, to_unit(EXACT.multiply(fill.price, fill.quantity))) for fill in fills]

    def account(self, params: Params) -> Any:
        """Balances and rates."""
        zeros = params.get("omitZeroBalances", "false").lower() != "true"
        return replies.account(self.exchange.balances(), self.exchange.fee, self.exchange.clock.now(), zeros=zeros)


def _order(params: Params) -> Order:
    params.symbol()
    tif = None
    if "timeInForce" in params:
        tif = params.one_of("timeInForce", TimeInForce, Refused(-1115, "Invalid timeInForce."))
    return Order(
        symbol=params.symbol(),
        side=params.one_of("side", Side, Refused(-1117, "Invalid side.")),
        type=params.one_of("type", OrderType, Refused(-1116, "Invalid orderType.")),
        client_id=params.text("newClientOrderId", CLIENT_ID) or uuid4().hex[:22],
        quantity=params.amount("quantity"),
        quote_quantity=params.amount("quoteOrderQty"),
        price=params.amount("price"),
        stop_price=params.amount("stopPrice"),
        time_in_force=tif,
    )


def _ids(params: Params) -> tuple[int | None, str | None]:
    """`orderId` and `origClientOrderId`, at least one of them."""
    ids = params.integer("orderId"), params.text("origClientOrderId", CLIENT_ID)
    if ids == (None, None):
        raise missing("orderId")
    return ids


def _slice(params: Params, from_id: str) -> Slice:
    start, end, first = params.time("startTime"), params.time("endTime"), params.integer(from_id)
    if start is not None and end is not None and end - start > DAY:
        raise Refused(-1127, "More than 24 hours between startTime and endTime.")
    newest = start is None and first is None
    bounds = {"start": start or 0, "end": 2**62 if end is None else end, "from_id": first or 0}
    return Slice(params.symbol(), params.limit(500, 1000), newest=newest, **bounds)
