from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from exchanging import NOW, Client, D, exchange, instrument, marked, refusal, synthetic

from tradebot.clock import DAY, MINUTE, SteppedClock
from tradebot.sim.prices import Marked

Connect = Callable[..., Client]


async def balances(client: Client) -> dict[str, tuple[str, str]]:
    account = (await client.signed("GET", "account", omitZeroBalances="true")).json()
    return {each["asset"]: (each["free"], each["locked"]) for each in account["balances"]}


async def test_a_market_order_is_filled_at_once_and_told_in_full(connect: Connect) -> None:
    client = connect(exchange(spread="0.001"))
    reply = await client.buy(quantity="1.5", newClientOrderId="bot-1")
    told = reply.json()
    assert reply.status_code == 200
    assert (told["status"], told["clientOrderId"], told["side"], told["type"]) == ("FILLED", "bot-1", "BUY", "MARKET")
    assert (told["origQty"], told["executedQty"], told["cummulativeQuoteQty"]) == (
        "1.50000000", "1.50000000", "3001.50000000"
    )  # fmt: skip
    assert told["price"] == "0.00000000"
    assert told["transactTime"] == NOW
    (fill,) = told["fills"]
    assert (fill["price"], fill["commission"], fill["commissionAsset"]) == ("2001.00000000", "0.00150000", "ETH")
    assert await balances(client) == {"ETH": ("1.49850000", "0.00000000"), "USDT": ("6998.50000000", "0.00000000")}


@pytest.mark.parametrize(("kind", "fields"), [("ACK", 5), ("RESULT", 16), ("FULL", 17)])
async def test_the_reply_says_as_much_as_was_asked_for(connect: Connect, kind: str, fields: int) -> None:
    assert len((await connect().buy(quantity=1, newOrderRespType=kind)).json()) == fields


async def test_parameters_may_come_in_the_body(connect: Connect) -> None:
    from urllib.parse import urlencode

    from tradebot.sim.keys import PAPER_KEY, PAPER_SECRET, sign

    client = connect()
    body = urlencode({"symbol": "ETHUSDT", "side": "BUY", "type": "MARKET", "quantity": 1, "timestamp": NOW})
    content = f"{body}&signature={sign(PAPER_SECRET, body.encode())}"
    reply = await client.http.post("/api/v3/order", content=content, headers={"X-MBX-APIKEY": PAPER_KEY})
    assert reply.json()["status"] == "FILLED"


async def test_an_id_is_made_where_none_is_given(connect: Connect) -> None:
    client = connect()
    ids = {(await client.buy(quantity="0.1")).json()["clientOrderId"] for _ in range(3)}
    assert len(ids) == 3
    assert all(ids)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": "NOSUCH"}, -1121),
        ({"symbol": ""}, -1102),
        ({"side": "HOLD"}, -1117),
        ({"type": "MAGIC"}, -1116),
        ({"type": "LIMIT", "price": 1, "timeInForce": "GTC"}, -1013),
        ({"type": "LIMIT", "price": 1900}, -1102),
        ({"type": "STOP_LOSS", "stopPrice": 1900}, -2010),
        ({"icebergQty": 1}, -2010),
        ({"trailingDelta": 100}, -2010),
        ({"selfTradePreventionMode": "EXPIRE_TAKER"}, -1130),
        ({"strategyType": 999_999}, -1134),
        ({"timeInForce": "SOON"}, -1115),
        ({"timeInForce": "GTC"}, -1106),
        ({"price": "100"}, -1106),
        ({"quoteOrderQty": "100"}, -1106),
        ({"quantity": "-1"}, -1100),
        ({"quantity": "1e1"}, -1100),
        ({"quantity": "0"}, -1013),
        ({"quantity": "0.0005"}, -1013),
        ({"quantity": "1.0005"}, -1013),
        ({"quantity": "0.001"}, -1013),
        ({"quantity": "1.000000001"}, -1111),
        ({"quantity": "6"}, -2010),
        ({"newClientOrderId": "a b"}, -1100),
        ({"newClientOrderId": "x" * 37}, -1100),
        ({"newOrderRespType": "NONE"}, -1100),
        ({"colour": "red"}, -1104),
    ],
)
async def test_an_order_that_cannot_be_taken_is_refused_and_changes_nothing(
    connect: Connect, changes: dict[str, Any], code: int
) -> None:
    client = connect()
    assert refusal(await client.buy(**{"quantity": "1", **changes})) == (400, code)
    assert await balances(client) == {"USDT": ("10000.00000000", "0.00000000")}
    assert (await client.signed("GET", "allOrders", symbol="ETHUSDT")).json() == []


async def test_an_order_can_be_asked_for_by_either_id(connect: Connect) -> None:
    client = connect()
    number = (await client.buy(quantity=1, newClientOrderId="bot-1")).json()["orderId"]
    for ids in ({"orderId": number}, {"origClientOrderId": "bot-1"}, {"orderId": number, "origClientOrderId": "bot-1"}):
        told = (await client.signed("GET", "order", symbol="ETHUSDT", **ids)).json()
        assert (told["orderId"], told["status"], told["time"], told["isWorking"]) == (number, "FILLED", NOW, True)
        assert "fills" not in told


@pytest.mark.parametrize(
    ("params", "code"),
    [({}, -1102), ({"orderId": 99}, -2013), ({"origClientOrderId": "no"}, -2013), ({"orderId": "x"}, -1100)],
)
async def test_an_order_that_is_not_there(connect: Connect, params: dict[str, Any], code: int) -> None:
    assert refusal(await connect().signed("GET", "order", symbol="ETHUSDT", **params)) == (400, code)


async def test_what_is_filled_cannot_be_canceled(connect: Connect) -> None:
    client = connect()
    number = (await client.buy(quantity=1)).json()["orderId"]
    assert refusal(await client.signed("DELETE", "order", symbol="ETHUSDT", orderId=number)) == (400, -2011)
    assert refusal(await client.signed("DELETE", "order", symbol="ETHUSDT")) == (400, -1102)


async def test_an_open_order_is_listed_and_can_be_canceled(connect: Connect) -> None:
    from test_books import ENTRY

    venue = exchange()
    number = venue._books.enter(ENTRY)
    client = connect(venue)
    for params in ({}, {"symbol": "ETHUSDT"}):
        assert [each["orderId"] for each in (await client.signed("GET", "openOrders", **params)).json()] == [number]
    gone = await client.signed("DELETE", "order", symbol="ETHUSDT", origClientOrderId="a-1", newClientOrderId="c-1")
    told = gone.json()
    assert (told["status"], told["origClientOrderId"], told["clientOrderId"]) == ("CANCELED", "a-1", "c-1")
    assert (await client.signed("GET", "openOrders")).json() == []
    assert (await client.signed("GET", "order", symbol="ETHUSDT", orderId=number)).json()["status"] == "CANCELED"


async def test_trades_agree_with_the_balances(connect: Connect) -> None:
    client = connect(exchange(spread="0.001"))
    await client.buy(quantity=2)
    await client.sell(quantity="0.5")
    bought, sold = (await client.signed("GET", "myTrades", symbol="ETHUSDT")).json()
    assert (bought["isBuyer"], sold["isBuyer"], bought["isMaker"]) == (True, False, False)
    usdt = D(10_000) - D(bought["quoteQty"]) + D(sold["quoteQty"]) - D(sold["commission"])
    eth = D(bought["qty"]) - D(bought["commission"]) - D(sold["qty"])
    held = await balances(client)
    assert (D(held["USDT"][0]), D(held["ETH"][0])) == (usdt, eth)


async def test_trades_and_orders_can_be_cut(connect: Connect) -> None:
    venue = exchange()
    client = connect(venue)
    orders = []
    for place in range(4):
        venue.clock.advance(NOW + 1000 * place)  # type: ignore[attr-defined]
        orders.append((await client.buy(quantity="0.1")).json())

    async def ids(path: str, name: str, **params: Any) -> list[int]:
        return [each[name] for each in (await client.signed("GET", path, symbol="ETHUSDT", **params)).json()]

    assert await ids("allOrders", "orderId") == [1, 2, 3, 4]
    assert await ids("allOrders", "orderId", limit=2) == [3, 4]
    assert await ids("allOrders", "orderId", orderId=2, limit=2) == [2, 3]
    assert await ids("allOrders", "orderId", startTime=NOW + 1000, endTime=NOW + 2000) == [2, 3]
    assert await ids("myTrades", "id", fromId=3) == [3, 4]
    assert await ids("myTrades", "id", orderId=orders[1]["orderId"]) == [2]
    assert await ids("myTrades", "id", startTime=NOW + 3000) == [4]
    assert await ids("myTrades", "id", endTime=NOW) == [1]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"startTime": NOW - 2 * DAY, "endTime": NOW}, -1127),
        ({"fromId": 1, "startTime": NOW}, -1128),
        ({"orderId": 1, "endTime": NOW}, -1128),
    ],
)
async def test_combinations_that_the_venue_does_not_take(connect: Connect, params: dict[str, Any], code: int) -> None:
    assert refusal(await connect().signed("GET", "myTrades", symbol="ETHUSDT", **params)) == (400, code)


async def test_the_account_tells_its_rates_and_can_leave_out_zeros(connect: Connect) -> None:
    client = connect(exchange(start={"USDT": D(4000), "BNB": D(0)}))
    account = (await client.signed("GET", "account", omitZeroBalances="true")).json()
    assert [each["asset"] for each in account["balances"]] == ["USDT"]
    assert account["canTrade"]
    assert account["commissionRates"]["taker"] == "0.00100000"
    everything = (await client.signed("GET", "account")).json()["balances"]
    assert [each["asset"] for each in everything] == ["BNB", "BTC", "ETH", "USDT"]
    assert everything[:1] + everything[-1:] == [
        {"asset": "BNB", "free": "0.00000000", "locked": "0.00000000"},
        {"asset": "USDT", "free": "4000.00000000", "locked": "0.00000000"},
    ]


LIMIT = {"type": "LIMIT", "timeInForce": "GTC", "quantity": 1, "price": 1900}
OCO = {
    "symbol": "ETHUSDT", "side": "SELL", "quantity": "0.5", "aboveType": "LIMIT_MAKER", "abovePrice": 2100,
    "belowType": "STOP_LOSS_LIMIT", "belowStopPrice": 1900, "belowPrice": 1890, "belowTimeInForce": "GTC",
}  # fmt: skip
RICH = {"USDT": D(10_000), "ETH": D(3)}


@pytest.mark.parametrize(
    ("order", "fields"),
    [
        ({"type": "MARKET", "quantity": 1}, {"fills"}),
        (LIMIT, {"fills"}),
        ({"type": "LIMIT_MAKER", "quantity": 1, "price": 1900}, set()),
        ({"type": "STOP_LOSS", "quantity": 1, "stopPrice": 2100}, set()),
        ({"type": "TAKE_PROFIT", "quantity": 1, "stopPrice": 1900}, set()),
        ({**LIMIT, "type": "STOP_LOSS_LIMIT", "stopPrice": 2100}, set()),
        ({**LIMIT, "type": "TAKE_PROFIT_LIMIT", "stopPrice": 1900}, set()),
    ],
)
async def test_every_type_is_taken_and_only_the_common_ones_are_told_in_full(
    connect: Connect, order: dict[str, Any], fields: set[str]
) -> None:
    told = (await connect().buy(**order)).json()
    assert told.keys() >= fields
    assert ("status" in told) == bool(fields)
    assert {"symbol", "orderId", "clientOrderId", "transactTime"} <= told.keys()


async def test_a_waiting_stop_says_that_it_does_not_work_yet(connect: Connect) -> None:
    stop = {"type": "STOP_LOSS", "quantity": 1, "stopPrice": 2100, "newOrderRespType": "RESULT"}
    told = (await connect().buy(**stop, strategyId=7, strategyType=1_000_000)).json()
    assert (told["status"], told["workingTime"], told["stopPrice"]) == ("NEW", -1, "2100.00000000")
    assert (told["strategyId"], told["strategyType"]) == (7, 1_000_000)


async def test_an_order_that_only_partly_finds_somebody_expires_with_what_it_got(connect: Connect) -> None:
    client = connect(
        exchange(marked(max_quantity=D(0), max_market_quantity=D(0), min_notional=D(1)), start={"USDT": D(10**8)})
    )
    told = (await client.buy(quantity=500)).json()
    assert (told["status"], told["expiryReason"]) == ("EXPIRED", "INSUFFICIENT_LIQUIDITY")
    prices = [D(fill["price"]) for fill in told["fills"]]
    assert len(prices) > 100
    assert prices == sorted(prices)
    assert sum(D(fill["qty"]) for fill in told["fills"]) == D(told["executedQty"]) < 500
    again = (await client.buy(quantity=500)).json()
    assert (again["executedQty"], again["status"], again["fills"]) == ("0.00000000", "EXPIRED", [])
    client.clock.advance(NOW + MINUTE)  # type: ignore[attr-defined]
    part = await client.buy(**{**LIMIT, "quantity": 400, "price": 2000, "timeInForce": "IOC"})
    assert (part.json()["status"], part.json()["expiryReason"]) == ("EXPIRED", "UNFILLED_IOC_QUANTITY_EXPIRED")
    assert 0 < D(part.json()["executedQty"]) < 400


async def test_test_orders_check_and_do_nothing(connect: Connect) -> None:
    client = connect()
    test = {"symbol": "ETHUSDT", "side": "BUY", "type": "MARKET"}
    assert (await client.signed("POST", "order/test", **test, quantity=100)).json() == {}, "no balance is looked at"
    told = (await client.signed("POST", "order/test", **test, quantity=1, computeCommissionRates="true")).json()
    assert told["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    assert refusal(await client.signed("POST", "order/test", **test, quantity="0.0001")) == (400, -1013)
    assert refusal(await client.signed("POST", "order/test", **test)) == (400, -1102)
    assert (await client.signed("GET", "allOrders", symbol="ETHUSDT")).json() == []


async def test_an_oco_is_placed_seen_and_canceled_as_one(connect: Connect) -> None:
    client = connect(exchange(start=RICH))
    reply = await client.signed("POST", "orderList/oco", **OCO, listClientOrderId="l-1")
    made = reply.json()
    assert [each["type"] for each in made["orderReports"]] == ["LIMIT_MAKER", "STOP_LOSS_LIMIT"]
    assert (made["contingencyType"], made["listOrderStatus"]) == ("OCO", "EXECUTING")
    assert reply.headers["X-MBX-ORDER-COUNT-10S"] == "2"
    whole = {key: value for key, value in made.items() if key != "orderReports"}
    assert (await client.signed("GET", "orderList", origClientOrderId="l-1")).json() == whole
    assert (await client.signed("GET", "openOrderList")).json() == [whole]
    opened = (await client.signed("GET", "openOrders")).json()
    assert [each["orderListId"] for each in opened] == [made["orderListId"]] * 2
    gone = (await client.signed("DELETE", "order", symbol="ETHUSDT", orderId=opened[1]["orderId"])).json()
    assert (gone["orderId"], gone["status"]) == (opened[1]["orderId"], "CANCELED")
    assert (
        (await client.signed("GET", "openOrders")).json() == (await client.signed("GET", "openOrderList")).json() == []
    )
    (listed,) = (await client.signed("GET", "allOrderList")).json()
    assert (listed["listStatusType"], listed["listOrderStatus"]) == ("ALL_DONE", "ALL_DONE")
    nothing = await client.signed("DELETE", "orderList", symbol="ETHUSDT", listClientOrderId="l-1")
    assert refusal(nothing) == (400, -2011)
    assert (await balances(client))["ETH"] == ("3.00000000", "0.00000000")


async def test_a_list_is_canceled_by_its_own_id_with_a_report_for_each_order(connect: Connect) -> None:
    client = connect(exchange(start=RICH))
    made = (await client.signed("POST", "orderList/oco", **OCO)).json()
    gone = (await client.signed("DELETE", "orderList", symbol="ETHUSDT", orderListId=made["orderListId"])).json()
    assert [each["status"] for each in gone["orderReports"]] == ["CANCELED", "CANCELED"]
    assert gone["listStatusType"] == "ALL_DONE"
    assert refusal(await client.signed("GET", "orderList", orderListId=99)) == (400, -2013)
    assert refusal(await client.signed("GET", "orderList")) == (400, -1102)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"aboveType": "STOP_LOSS_LIMIT", "belowType": "LIMIT_MAKER"}, -1197),
        ({"aboveType": "MARKET"}, -1158),
        ({"side": "BUY"}, -1165),
        ({"abovePrice": ""}, -1105),
        ({"aboveTimeInForce": "GTC"}, -1106),
        ({"belowStopPrice": "1900.001"}, -1013),
        ({"belowStopPrice": 2050}, -2010),
        ({"abovePrice": 1950}, -2010),
        ({"quantity": 4}, -2010),
        ({"aboveClientOrderId": "x", "belowClientOrderId": "x"}, -2010),
        ({"quantity": ""}, -1102),
        ({"aboveIcebergQty": 1}, -2010),
        ({"price": 1}, -1104),
    ],
)
async def test_an_oco_that_makes_no_sense_is_refused(connect: Connect, changes: dict[str, Any], code: int) -> None:
    client = connect(exchange(start=RICH))
    assert refusal(await client.signed("POST", "orderList/oco", **{**OCO, **changes})) == (400, code)
    assert (await client.signed("GET", "openOrders")).json() == []
    assert (await balances(client))["ETH"] == ("3.00000000", "0.00000000")


async def test_all_of_a_symbol_is_canceled_lists_as_lists(connect: Connect) -> None:
    client = connect(exchange(start=RICH))
    await client.buy(**LIMIT)
    await client.signed("POST", "orderList/oco", **OCO)
    order, listed = (await client.signed("DELETE", "openOrders", symbol="ETHUSDT")).json()
    assert (order["type"], order["status"]) == ("LIMIT", "CANCELED")
    assert (listed["contingencyType"], len(listed["orderReports"])) == ("OCO", 2)
    assert refusal(await client.signed("DELETE", "openOrders", symbol="ETHUSDT")) == (400, -2011)


async def test_a_cancel_can_be_restricted_to_a_status(connect: Connect) -> None:
    client = connect()
    await client.buy(**LIMIT, newClientOrderId="a")
    which = {"symbol": "ETHUSDT", "origClientOrderId": "a"}
    only = await client.signed("DELETE", "order", **which, cancelRestrictions="ONLY_PARTIALLY_FILLED")
    assert refusal(only) == (400, -2011)
    assert refusal(await client.signed("DELETE", "order", **which, cancelRestrictions="ONLY_OLD")) == (400, -1145)
    assert (await client.signed("DELETE", "order", **which, cancelRestrictions="ONLY_NEW")).status_code == 200


async def test_ids_that_disagree_are_told_apart_from_orders_that_are_not_there(connect: Connect) -> None:
    client = connect()
    number = (await client.buy(**LIMIT, newClientOrderId="a")).json()["orderId"]
    wrong = {"symbol": "ETHUSDT", "orderId": number, "origClientOrderId": "b"}
    assert refusal(await client.signed("GET", "order", **wrong)) == (400, -2039)
    assert refusal(await client.buy(**LIMIT, newClientOrderId="a")) == (400, -2010)


@pytest.mark.parametrize(
    ("mode", "cancels", "places", "answer"),
    [
        ("STOP_ON_FAILURE", True, True, (200, None, "SUCCESS", "SUCCESS")),
        ("STOP_ON_FAILURE", True, False, (409, -2021, "SUCCESS", "FAILURE")),
        ("STOP_ON_FAILURE", False, True, (400, -2022, "FAILURE", "NOT_ATTEMPTED")),
        ("ALLOW_FAILURE", False, True, (409, -2021, "FAILURE", "SUCCESS")),
        ("ALLOW_FAILURE", False, False, (400, -2022, "FAILURE", "FAILURE")),
    ],
)
async def test_an_order_is_replaced_wholly_or_in_halves(
    connect: Connect, mode: str, cancels: bool, places: bool, answer: tuple[Any, ...]
) -> None:
    client = connect()
    await client.buy(**LIMIT, newClientOrderId="old")
    which = {"cancelOrigClientOrderId": "old" if cancels else "none", "newClientOrderId": "new"}
    order = LIMIT | ({} if places else {"quantity": 100})
    reply = await client.signed(
        "POST", "order/cancelReplace", symbol="ETHUSDT", side="BUY", cancelReplaceMode=mode, **which, **order
    )
    told = reply.json()
    data = told.get("data", told)
    assert (reply.status_code, told.get("code"), data["cancelResult"], data["newOrderResult"]) == answer
    opened = {each["clientOrderId"] for each in (await client.signed("GET", "openOrders")).json()}
    old = set() if cancels else {"old"}
    assert opened == old | ({"new"} if answer[3] == "SUCCESS" else set())
    counted = (await client.signed("GET", "rateLimit/order")).json()[0]["count"]
    assert counted == 1 + (answer[3] in {"SUCCESS", "NOT_ATTEMPTED"}), "what is not attempted counts all the same"


@pytest.mark.parametrize(
    ("changes", "code"), [({"quantity": "0.0001"}, -1013), ({"price": ""}, -1105), ({"stopPrice": 5}, -1106)]
)
async def test_an_order_that_is_no_order_replaces_none(connect: Connect, changes: dict[str, Any], code: int) -> None:
    client = connect()
    await client.buy(**LIMIT, newClientOrderId="old")
    which = {"symbol": "ETHUSDT", "side": "BUY", "cancelOrigClientOrderId": "old", "cancelReplaceMode": "ALLOW_FAILURE"}
    assert refusal(await client.signed("POST", "order/cancelReplace", **which, **LIMIT | changes)) == (400, code)
    assert [each["clientOrderId"] for each in (await client.signed("GET", "openOrders")).json()] == ["old"]


async def test_orders_are_counted_until_they_are_filled(connect: Connect) -> None:
    venue = exchange()
    client = connect(venue)

    async def counts() -> list[int]:
        return [each["count"] for each in (await client.signed("GET", "rateLimit/order")).json()]

    first = await client.buy(**LIMIT)
    second = await client.buy(quantity="0.5")
    assert [reply.headers["X-MBX-ORDER-COUNT-10S"] for reply in (first, second)] == ["1", "2"]
    assert second.headers["X-MBX-ORDER-COUNT-1D"] == "2"
    assert await counts() == [1, 1], "what was filled no longer counts"
    refused = await client.buy(quantity=100)
    assert "X-MBX-ORDER-COUNT-10S" not in refused.headers
    venue.clock.advance(NOW + 10_000)  # type: ignore[attr-defined]
    assert await counts() == [0, 1]


async def test_too_many_orders_are_turned_away_until_the_next_window(connect: Connect) -> None:
    venue = exchange(start={"USDT": D(10**6)})
    client = connect(venue)
    small = LIMIT | {"quantity": "0.01"}
    for _ in range(100):
        assert (await client.buy(**small)).status_code == 200
    no = await client.buy(**small)
    assert refusal(no) == (429, -1015)
    assert "Retry-After" not in no.headers, "of orders the venue does not say it"
    venue.clock.advance(NOW + 10_000)  # type: ignore[attr-defined]
    assert (await client.buy(**small)).status_code == 200


async def test_fees_and_rights_are_told(connect: Connect) -> None:
    client = connect()
    told = (await client.signed("GET", "account/commission", symbol="ETHUSDT")).json()
    assert told["standardCommission"]["taker"] == "0.00100000"
    assert refusal(await client.signed("GET", "account/commission", symbol="NO")) == (400, -1121)
    rights = (await client.signed("GET", "../../sapi/v1/account/apiRestrictions")).json()
    assert (rights["enableReading"], rights["enableSpotAndMarginTrading"], rights["enableWithdrawals"]) == (
        True, True, False
    )  # fmt: skip


async def test_two_keys_can_have_accounts_of_their_own(connect: Connect) -> None:
    from tradebot.sim.keys import PAPER_KEY, PAPER_SECRET

    prices, other = marked(), "k" * 64
    first = exchange(prices)
    second = exchange(prices, first.clock, start={"USDT": D(50)})
    credentials = {PAPER_KEY: PAPER_SECRET, other: "hush"}
    client = connect(first, credentials=credentials, accounts={other: second})
    await client.buy(quantity=1)
    theirs = (await client.signed("GET", "account", key=other, secret="hush", omitZeroBalances="true")).json()
    assert [(each["asset"], each["free"]) for each in theirs["balances"]] == [("USDT", "50.00000000")]
    assert len(await client.json("/sim/log")) == 2
    assert await client.json("/sim/log", key=other) == []
    second.close()


EXAMPLE_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
EXAMPLE_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
EXAMPLES = {
    "LTCBTC": "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
    "%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96": (
        "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"
    ),
}


@pytest.mark.parametrize("symbol", EXAMPLES)
@pytest.mark.parametrize(
    ("change", "late", "answer"),
    [
        (("", ""), 0, (200, "NEW")),
        (("quantity=1", "quantity=2"), 0, (400, -1022)),
        (("", ""), 5001, (400, -1021)),
        (("", ""), -1000, (400, -1021)),
    ],
)
async def test_the_venues_own_examples_of_signing_are_orders_here_too(
    connect: Connect, symbol: str, change: tuple[str, str], late: int, answer: tuple[int, Any]
) -> None:
    stamp = 1_499_827_319_559
    name = unquote(symbol)
    rules = {"symbol": name, "base": name[:3], "quote": name[3:], "min_notional": D("0.0001")}
    prices = Marked({name: replace(instrument(), **rules)})
    prices.mark({name: D("0.2")})
    venue = exchange(prices, SteppedClock(stamp + late), start={name[3:]: D(1)})
    client = connect(venue, credentials={EXAMPLE_KEY: EXAMPLE_SECRET})
    query = (
        f"symbol={symbol}&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp={stamp}"
    )
    url = f"/api/v3/order?{query.replace(*change) if change[0] else query}&signature={EXAMPLES[symbol]}"
    reply = await client.http.post(url, headers={"X-MBX-APIKEY": EXAMPLE_KEY})
    told = reply.json()
    assert (reply.status_code, told.get("status", told.get("code"))) == answer
    strange = await client.http.post(url, headers={"X-MBX-APIKEY": "x" * 64})
    assert refusal(strange) == (401, -2015)


async def test_the_same_orders_have_the_same_bytes(connect: Connect) -> None:
    async def story() -> list[bytes]:
        venue = synthetic()
        client = connect(venue)
        said = []
        for step in range(6):
            side = {"symbol": "ETHUSDT", "side": "BUY"}
            last = venue.last("ETHUSDT")
            price = {"price": f"{last * D('0.999'):.2f}"}
            replies = [
                await client.signed("POST", "order", **side, type="MARKET", quantity="0.1"),
                await client.signed("POST", "order", **side, **(LIMIT | price | {"quantity": "0.2"})),
                await client.signed("DELETE", "order", symbol="ETHUSDT", orderId=2 * step),
                await client.signed("GET", "account"),
                await client.signed("GET", "allOrders", symbol="ETHUSDT"),
                await client.get("/sim/log"),
            ]
            said += [reply.content for reply in replies]
            venue.clock.advance(venue.clock.now() + 20 * 60_000)  # type: ignore[attr-defined]
        return said

    first, second = await story(), await story()
    assert first == second
    assert b'"isMaker":true' in first[-1]
