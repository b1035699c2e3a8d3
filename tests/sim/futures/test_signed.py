from __future__ import annotations

from collections.abc import Callable

import pytest
from exchanging import NOW, D, exchange, marked, refusal

from futures.trading import Trader
from tradebot.clock import DAY, MINUTE

Connect = Callable[..., Trader]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"type": "STOP_MARKET"}, -4120), ({"type": "TRAILING_STOP_MARKET"}, -4120), ({"type": "OCO"}, -1116),
        ({"side": "HOLD"}, -1117), ({"price": "39000", "timeInForce": "DAY"}, -1115), ({"positionSide": "UP"}, -4060),
        ({"closePosition": "true"}, -4136), ({"newClientOrderId": "a b"}, -1100), ({"type": "LIMIT"}, -1102),
        ({"price": "39000", "timeInForce": "GTD"}, -1102), ({"type": "MARKET", "price": "39000"}, -1106),
        ({"newOrderRespType": "FULL"}, -1100), ({"quantity": "0.123456789"}, -1111), ({"reduceOnly": "maybe"}, -1100),
        ({"quantity": ""}, -1102), ({"leverage": "5"}, -1104), ({"priceMatch": "QUEUE"}, -1130),
        ({"selfTradePreventionMode": "EXPIRE"}, -1130),
    ],
)  # fmt: skip
async def test_parameters_are_read_the_way_the_venue_reads_them(
    connect: Connect, asked: dict[str, str], code: int
) -> None:
    trader = connect(exchange(marked()))
    reply = await trader.order("BUY", **{"quantity": "0.1", **asked})
    assert refusal(reply) == (400, code), reply.text
    assert await trader.asked("v1/allOrders", symbol="BTCUSDT") == []


async def test_what_changes_nothing_here_may_be_sent(connect: Connect) -> None:
    named = {"priceMatch": "NONE", "selfTradePreventionMode": "EXPIRE_TAKER"}
    assert (await connect(exchange(marked())).order("BUY", "0.1", **named)).status_code == 200


@pytest.mark.parametrize(("path", "name"), [("v1/order", "orderId"), ("v1/algoOrder", "algoId")])
async def test_an_order_is_asked_for_by_one_of_its_ids(connect: Connect, path: str, name: str) -> None:
    reply = await connect().call("GET", path, symbol="BTCUSDT")
    assert refusal(reply) == (400, -1102)
    assert name in reply.text


async def test_listings_reach_over_seven_days_at_most(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    await trader.order("BUY", "0.1")
    trader.wait(8 * DAY)
    await trader.order("BUY", "0.1")
    bounds = {"symbol": "BTCUSDT", "startTime": NOW}
    for path in ("v1/userTrades", "v1/allOrders"):
        assert len(await trader.asked(path, symbol="BTCUSDT")) == 2
        assert len(await trader.asked(path, **bounds)) == 1
        assert len(await trader.asked(path, **bounds, endTime=NOW + 7 * DAY)) == 1
        assert refusal(await trader.call("GET", path, **bounds, endTime=NOW + 7 * DAY + 1)) == (400, -4166)


async def test_trades_are_told_by_order_and_from_an_id_on(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    for _ in range(3):
        await trader.order("BUY", "0.1")
        trader.wait(MINUTE)
    rows = await trader.asked("v1/userTrades", symbol="BTCUSDT")
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert await trader.asked("v1/userTrades", symbol="BTCUSDT", orderId=rows[1]["orderId"]) == rows[1:2]
    assert await trader.asked("v1/userTrades", symbol="BTCUSDT", fromId=2, limit=1) == rows[1:2]
    assert await trader.asked("v1/userTrades", symbol="BTCUSDT", startTime=NOW + MINUTE) == rows[1:]
    assert await trader.asked("v1/userTrades", symbol="ETHUSDT") == []
    assert refusal(await trader.call("GET", "v1/userTrades", symbol="NONE")) == (400, -1121)


async def test_waiting_orders_can_be_asked_for_by_number(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    for price in ("39000", "38000"):
        await trader.algo("SELL", "STOP_MARKET", triggerPrice=price, quantity="0.1")
    both = await trader.asked("v1/openAlgoOrders")
    assert await trader.asked("v1/openAlgoOrders", symbol="BTCUSDT", algoId=both[1]["algoId"]) == both[1:]
    assert await trader.asked("v1/openAlgoOrders", symbol="ETHUSDT") == []


async def test_amounts_are_parsed_and_told_to_the_last_digit(connect: Connect) -> None:
    placed = (await connect(exchange(marked())).order("BUY", "0.123", price="39000.01")).json()
    assert (D(placed["origQty"]), D(placed["price"])) == (D("0.123"), D("39000.01"))
