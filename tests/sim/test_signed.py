from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from exchanging import NOW, Client, D, exchange, refusal

from tradebot.clock import DAY

Connect = Callable[..., Client]


async def balances(client: Client) -> dict[str, tuple[str, str]]:
    account = (await client.signed("GET", "account")).json()
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
        ({"strategyType": 999_999}, -1130),
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
    assert set(await balances(client)) == {"USDT", "BNB"}
