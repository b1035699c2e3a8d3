"""JSON ↔ types for the account of a futures venue, where it differs from spot; as `wire` otherwise."""

from __future__ import annotations

from typing import Any

from tradebot.market.venue import ZERO, Balance, Order, OrderReport, OrderType, Payment, Side
from tradebot.market.wire import number, plain, reading

ALGO = {
    OrderType.STOP_LOSS: "STOP_MARKET",
    OrderType.STOP_LOSS_LIMIT: "STOP",
    OrderType.TAKE_PROFIT: "TAKE_PROFIT_MARKET",
    OrderType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT",
}
"""Types that wait with the venue's algo service, in its words."""

ONE_WAY = "BOTH"


def balances(wallet: Any) -> dict[str, Balance]:
    """The wallet by coin: free is what new positions may take, locked all else; losses may leave it below 0."""
    with reading("balance"):
        rows = {row["asset"]: (number(row["balance"]), number(row["availableBalance"])) for row in list(wallet)}
    return {coin: Balance(free, total - free) for coin, (total, free) in rows.items() if total or free}


def positions(reply: Any) -> dict[str, Balance]:
    """What is held of each contract, by symbol; below 0 what was sold short.

    `BadReply` for an account that holds both sides at once.
    """
    with reading("positions"):
        rows = [(row["symbol"], row["positionSide"], number(row["positionAmt"])) for row in list(reply)]
        if any(side != ONE_WAY and amount for _, side, amount in rows):
            raise ValueError("longs and shorts side by side")
    return {symbol: Balance(amount) for symbol, _, amount in rows if amount}


def order_report(reply: Any) -> OrderReport:
    """An order as placing, querying or cancelling it reports it.

    What was paid is not told when it is placed: `quote_executed` is then 0, and a query knows it.
    """
    with reading("order"):
        executed = number(reply["executedQty"])
        paid = number(reply["cumQuote"]) if "cumQuote" in reply else executed * number(reply.get("avgPrice", "0"))
        return OrderReport(
            symbol=reply["symbol"],
            client_id=reply["clientOrderId"],
            order_id=int(reply["orderId"]),
            side=Side(reply["side"]),
            type=reply["type"],
            status=reply["status"],
            quantity=number(reply["origQty"]),
            executed=executed,
            quote_executed=paid,
            price=number(reply["price"]),
            time=int(reply.get("updateTime") or reply["time"]),
        )


def order_reports(reply: Any) -> list[OrderReport]:
    """A list of orders; one that cannot be read makes the whole a `BadReply`: none may be overlooked."""
    with reading("open orders"):
        return [order_report(row) for row in list(reply)]


def algo_report(reply: Any) -> OrderReport:
    """A conditional order while it waits, or where it ended without becoming an order; nothing of it is executed.

    Its number is that of the algo service, written below 0: orders have numbers of their own.
    """
    with reading("algo order"):
        return OrderReport(
            symbol=reply["symbol"],
            client_id=reply["clientAlgoId"],
            order_id=-int(reply["algoId"]),
            side=Side(reply["side"]),
            type=reply["orderType"],
            status=reply["algoStatus"],
            quantity=number(reply["quantity"]),
            executed=ZERO,
            quote_executed=ZERO,
            price=number(reply["price"]),
            time=int(reply.get("updateTime") or reply["createTime"]),
        )


def algo_reports(reply: Any) -> list[OrderReport]:
    """All conditional orders that wait; as `order_reports`."""
    with reading("open algo orders"):
        return [algo_report(row) for row in list(reply)]


def became(reply: Any) -> int | None:
    """The number of the order that a conditional one has become; None while it is none."""
    with reading("algo order"):
        text = str(reply.get("actualOrderId") or "")
        return int(text) if text.strip("0") else None


def order_parameters(order: Order) -> list[tuple[str, str]]:
    """The parameters of a request for an order that goes to work at once."""
    limit = order.price is not None
    in_force = order.time_in_force or ("GTX" if order.type is OrderType.LIMIT_MAKER else "GTC")
    return [
        ("symbol", order.symbol),
        ("side", order.side.value),
        ("type", "LIMIT" if limit else "MARKET"),
        *([("timeInForce", in_force)] if limit else []),
        *_amounts(order, {"quantity": "quantity", "price": "price"}),
        *_reduces(order),
        ("newClientOrderId", order.client_id),
        ("newOrderRespType", "RESULT"),
    ]


def algo_parameters(order: Order) -> list[tuple[str, str]]:
    """The parameters of a request for an order that waits for its price."""
    return [
        ("algoType", "CONDITIONAL"),
        ("symbol", order.symbol),
        ("side", order.side.value),
        ("type", ALGO[order.type]),
        *([("timeInForce", "GTC")] if order.price is not None else []),
        *_amounts(order, {"quantity": "quantity", "price": "price", "stop_price": "triggerPrice"}),
        *_reduces(order),
        ("clientAlgoId", order.client_id),
    ]


def _amounts(order: Order, names: dict[str, str]) -> list[tuple[str, str]]:
    found = ((name, getattr(order, field)) for field, name in names.items())
    return [(name, plain(value)) for name, value in found if value is not None]


def _reduces(order: Order) -> list[tuple[str, str]]:
    return [("reduceOnly", "true")] if order.reduce_only else []


def terms(reply: Any) -> dict[str, tuple[bool, int]]:
    """Of each contract whether its margin is isolated, and its leverage."""
    with reading("symbol configuration"):
        return {row["symbol"]: (row["marginType"] == "ISOLATED", int(row["leverage"])) for row in list(reply)}


def payments(reply: Any) -> list[Payment]:
    """Changes of the wallet, oldest first; below 0 what was paid."""
    with reading("income"):
        return [
            Payment(
                f"{row['incomeType']}/{row['tranId']}",
                row["symbol"],
                number(row["income"]),
                row["asset"],
                int(row["time"]),
            )
            for row in list(reply)
        ]
