"""Replies with words and fields that nobody has heard of."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tradebot.errors import BadReply
from tradebot.market import wire
from tradebot.sim.fault_data import DuplicatedTrades, ReplyFault, UnknownFields, UnknownStatus
from tradebot.sim.faults import Call, Reply, Strike

ORDERS = Call("GET", "/api/v3/openOrders")
ORDER = {"symbol": "A", "clientOrderId": "x", "status": "NEW"}
INFO = Call("GET", "/api/v3/exchangeInfo")
SYMBOLS = {"symbols": [{"symbol": s, "baseAsset": s, "status": "TRADING", "filters": []} for s in "AB"]}


def changed(fault: ReplyFault, body: Any, call: Call = ORDERS, status: int = 200) -> Any:
    (edit,) = fault.outcome(Strike(0, 0.0, 0.0)).edits
    return orjson.loads(edit(call, Reply(status, (), orjson.dumps(body))).body)


def test_orders_are_found_wherever_they_stand() -> None:
    listed = {
        "orders": [{"clientOrderId": "x"}],
        "orderReports": [dict(ORDER), {**ORDER, "symbol": "B"}],
        "status": "S",
    }
    reports = changed(UnknownStatus(status="ODD", symbol=("A",)), [dict(ORDER), listed])
    assert reports[0]["status"] == "ODD"
    assert [row["status"] for row in reports[1]["orderReports"]] == ["ODD", "NEW"]
    assert reports[1]["status"] == "S", "a list of orders is no order"


def test_stop_orders_of_futures_have_a_status_of_their_own() -> None:
    assert changed(UnknownStatus(), {"clientAlgoId": "x", "algoStatus": "NEW"})["algoStatus"] == "UNDER_REVIEW"


def test_only_the_symbols_that_are_named_change() -> None:
    body = changed(UnknownStatus(symbol=("B",)), SYMBOLS, INFO)
    assert [row["status"] for row in body["symbols"]] == ["TRADING", "UNDER_REVIEW"]
    body = changed(UnknownFields(symbol=("A",), name="new"), SYMBOLS, INFO)
    assert ["new" in row for row in body["symbols"]] == [True, False]
    assert [len(row["filters"]) for row in body["symbols"]] == [1, 0]


@pytest.mark.parametrize(
    ("call", "meets"),
    [
        (Call("POST", "/api/v3/order", "A"), True),
        (Call("POST", "/api/v3/order", "B"), False),
        (ORDERS, True),
        (INFO, True),
        (Call("GET", "/fapi/v1/openAlgoOrders"), True),
        (Call("GET", "/api/v3/klines", "A"), False),
    ],
)
def test_requests_that_name_no_symbol_are_about_all(call: Call, meets: bool) -> None:
    assert UnknownStatus(symbol=("A",)).meets(call, 0) == meets


def test_trades_are_told_twice() -> None:
    rows = [{"symbol": "A", "id": 1}, {"symbol": "B", "id": 2}]
    assert [row["id"] for row in changed(DuplicatedTrades(symbol=("A",)), rows)] == [1, 1, 2]
    assert changed(DuplicatedTrades(), {"code": 1}) == {"code": 1}


def test_a_refusal_and_what_is_no_json_stay_as_they_are() -> None:
    assert changed(UnknownFields(), ORDER, status=400) == ORDER
    (edit,) = UnknownFields().outcome(Strike(0, 0.0, 0.0)).edits
    assert edit(ORDERS, Reply(200, (), b"<html>")).body == b"<html>"


def test_our_own_client_reads_what_it_does_not_know() -> None:
    report = {
        "symbol": "A", "clientOrderId": "x", "orderId": 1, "side": "BUY", "type": "MARKET", "status": "FILLED",
        "origQty": "1", "executedQty": "1", "cummulativeQuoteQty": "2", "price": "0", "transactTime": 1_700_000_000_000,
    }  # fmt: skip
    odd = changed(UnknownFields(), changed(UnknownStatus(), report))
    assert wire.order_report(odd).status == "UNDER_REVIEW"
    with pytest.raises(BadReply):
        wire.order_report({**odd, "symbol": None, "executedQty": None})
