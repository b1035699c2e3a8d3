"""The futures account's words: what is told is taken over, what is missing is named, nothing is guessed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tradebot.errors import BadReply
from tradebot.market import futures_wire
from tradebot.market.venue import Balance, Order, OrderType, Side

D = Decimal
AT = 1_760_000_400_000
ORDER: dict[str, Any] = {
    "orderId": 7, "symbol": "AUSDT", "status": "FILLED", "clientOrderId": "tb-1", "price": "0", "origQty": "2",
    "executedQty": "2", "type": "MARKET", "side": "SELL", "updateTime": AT,
}  # fmt: skip
ALGO: dict[str, Any] = {
    "algoId": 7, "clientAlgoId": "tb-2", "orderType": "STOP_MARKET", "symbol": "AUSDT", "side": "BUY", "quantity": "2",
    "algoStatus": "NEW", "price": "0", "createTime": AT, "actualOrderId": "",
}  # fmt: skip


def test_what_was_paid_is_taken_from_where_it_is_told_and_else_not_known() -> None:
    assert futures_wire.order_report(ORDER | {"cumQuote": "200.5"}).quote_executed == D("200.5")
    assert futures_wire.order_report(ORDER | {"avgPrice": "100"}).quote_executed == 200
    assert futures_wire.order_report(ORDER).quote_executed == 0


def test_an_order_that_waits_has_nothing_executed_and_a_number_of_its_own_kind() -> None:
    report = futures_wire.algo_report(ALGO)
    assert (report.order_id, report.executed, report.status, report.quantity) == (-7, 0, "NEW", 2)


@pytest.mark.parametrize(("told", "number"), [("", None), ("0", None), (None, None), ("12", 12), (12, 12)])
def test_what_it_became_is_told_once_it_is_an_order(told: object, number: int | None) -> None:
    assert futures_wire.became(ALGO | {"actualOrderId": told}) == number


def test_shorts_are_below_zero_and_what_is_flat_is_left_out() -> None:
    rows = [("AUSDT", "-2.5"), ("BUSDT", "0"), ("CUSDT", "1")]
    reply = [{"symbol": name, "positionSide": "BOTH", "positionAmt": amount} for name, amount in rows]
    assert futures_wire.positions(reply) == {"AUSDT": Balance(D("-2.5")), "CUSDT": Balance(D(1))}
    with pytest.raises(BadReply):
        futures_wire.positions([{"symbol": "AUSDT", "positionSide": "SHORT", "positionAmt": "-1"}])


def test_the_wallet_is_what_is_free_and_what_is_bound() -> None:
    reply = [{"asset": "USDT", "balance": "100", "availableBalance": "30"}, {"asset": "B", "balance": "0",
             "availableBalance": "0"}]  # fmt: skip
    assert futures_wire.balances(reply) == {"USDT": Balance(D(30), D(70))}


@pytest.mark.parametrize("reply", [None, [None], [{}], {"code": 1}])
@pytest.mark.parametrize(
    "read",
    [futures_wire.balances, futures_wire.positions, futures_wire.order_reports, futures_wire.algo_reports,
     futures_wire.terms, futures_wire.payments],
)  # fmt: skip
def test_a_reply_that_cannot_be_read_is_a_bad_reply(read: Any, reply: Any) -> None:
    with pytest.raises(BadReply):
        read(reply)


def test_an_order_says_no_more_than_its_type_knows() -> None:
    market = Order("AUSDT", Side.SELL, "tb-1", quantity=D("1.50"))
    assert dict(futures_wire.order_parameters(market)) == {
        "symbol": "AUSDT", "side": "SELL", "type": "MARKET", "quantity": "1.5", "newClientOrderId": "tb-1",
        "newOrderRespType": "RESULT",
    }  # fmt: skip
    maker = Order("AUSDT", Side.BUY, "tb-1", OrderType.LIMIT_MAKER, D(1), price=D(9), reduce_only=True)
    told = dict(futures_wire.order_parameters(maker))
    assert (told["type"], told["timeInForce"], told["price"], told["reduceOnly"]) == ("LIMIT", "GTX", "9", "true")


def test_a_stop_waits_with_the_algo_service() -> None:
    stop = Order("AUSDT", Side.BUY, "tb-2", OrderType.STOP_LOSS, D(2), stop_price=D("110.0"), reduce_only=True)
    assert dict(futures_wire.algo_parameters(stop)) == {
        "algoType": "CONDITIONAL", "symbol": "AUSDT", "side": "BUY", "type": "STOP_MARKET", "quantity": "2",
        "triggerPrice": "110", "reduceOnly": "true", "clientAlgoId": "tb-2",
    }  # fmt: skip


def test_payments_of_two_kinds_never_share_a_number() -> None:
    row = {"tranId": 5, "symbol": "AUSDT", "income": "-0.1", "asset": "USDT", "time": AT}
    found = futures_wire.payments([row | {"incomeType": kind} for kind in ("FUNDING_FEE", "INSURANCE_CLEAR")])
    assert len({each.id for each in found}) == 2
