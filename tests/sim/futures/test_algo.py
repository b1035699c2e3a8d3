from __future__ import annotations

from collections.abc import Callable

import pytest
from exchanging import D, exchange, marked, refusal

from futures.trading import Leg, Trader, flat, scripted
from tradebot.clock import MINUTE, SECOND

Connect = Callable[..., Trader]
DOWN: list[Leg] = [(40_000, 40_000, 38_000, 38_000), *flat(38_000, 30)]
UP: list[Leg] = [(40_000, 42_000, 40_000, 42_000), *flat(42_000, 30)]


async def test_a_stop_lives_with_the_algo_service_alone(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    placed = (await trader.algo("SELL", "STOP_MARKET", triggerPrice="39000", quantity="0.1", clientAlgoId="s")).json()
    assert (placed["algoStatus"], placed["triggerPrice"]) == ("NEW", "39000.00000000")
    assert await trader.asked("v1/openOrders") == []
    assert refusal(await trader.call("GET", "v1/order", symbol="BTCUSDT", origClientOrderId="s")) == (400, -2013)
    assert await trader.asked("v1/openAlgoOrders", symbol="BTCUSDT") == [placed]
    assert await trader.asked("v1/algoOrder", algoId=placed["algoId"]) == placed
    assert await trader.asked("v1/algoOrder", clientAlgoId="s") == placed


async def test_a_stop_sells_at_the_market_when_the_price_falls_to_it(connect: Connect) -> None:
    trader = connect(scripted(*DOWN))
    await trader.order("BUY", "0.1")
    stop = (await trader.algo("SELL", "STOP_MARKET", triggerPrice="39000", quantity="0.1", reduceOnly="true")).json()
    trader.wait(2 * MINUTE)
    assert await trader.held() == 0
    done = await trader.asked("v1/algoOrder", algoId=stop["algoId"])
    assert done["algoStatus"] == "FINISHED"
    order = await trader.asked("v1/order", symbol="BTCUSDT", orderId=int(done["actualOrderId"]))
    assert (order["type"], order["origType"], order["clientOrderId"]) == ("MARKET", "STOP_MARKET", stop["clientAlgoId"])
    assert 38_990 < D(order["avgPrice"]) <= 39_000


@pytest.mark.parametrize(
    ("legs", "entry", "kind", "price"),
    [
        (DOWN, "BUY", "STOP_MARKET", "39000"), (UP, "BUY", "TAKE_PROFIT_MARKET", "41000"),
        (UP, "SELL", "STOP_MARKET", "41000"), (DOWN, "SELL", "TAKE_PROFIT_MARKET", "39000"),
    ],
)  # fmt: skip
async def test_stops_and_profits_close_a_position_from_either_side(
    connect: Connect, legs: list[Leg], entry: str, kind: str, price: str
) -> None:
    trader = connect(scripted(*legs))
    await trader.order(entry, "0.1")
    closing = "SELL" if entry == "BUY" else "BUY"
    assert (await trader.algo(closing, kind, triggerPrice=price, closePosition="true")).status_code == 200
    assert await trader.held() != 0
    trader.wait(2 * MINUTE)
    assert await trader.held() == 0


async def test_a_stop_with_a_limit_rests_when_the_market_is_beyond_it(connect: Connect) -> None:
    trader = connect(scripted((40_000, 40_000, 40_000, 40_000), *flat(38_000, 2), (38_000, 40_000, 38_000, 40_000)))
    await trader.order("BUY", "0.1")
    stop = (await trader.algo("SELL", "STOP", triggerPrice="39000", price="38900", quantity="0.1")).json()
    trader.wait(2 * MINUTE)
    (resting,) = await trader.asked("v1/openOrders")
    assert (resting["type"], resting["origType"], resting["price"]) == ("LIMIT", "STOP", "38900.00000000")
    assert (await trader.asked("v1/algoOrder", algoId=stop["algoId"]))["algoStatus"] == "TRIGGERED"
    trader.wait(2 * MINUTE)
    assert await trader.held() == 0
    assert (await trader.asked("v1/algoOrder", algoId=stop["algoId"]))["algoStatus"] == "FINISHED"


async def test_a_trailing_stop_follows_the_price_and_sells_where_it_falls_back(connect: Connect) -> None:
    legs = [(40_000, 44_000, 40_000, 44_000), (44_000, 44_000, 42_000, 42_000), *flat(42_000, 5)]
    trader = connect(scripted(*legs))
    await trader.order("BUY", "0.1")
    await trader.algo("SELL", "TRAILING_STOP_MARKET", callbackRate="2.5", quantity="0.1", reduceOnly="true")
    trader.wait(MINUTE)
    assert await trader.held() == D("0.1")
    trader.wait(2 * MINUTE)
    *_, fill = await trader.asked("v1/userTrades", symbol="BTCUSDT")
    assert 42_890 < D(fill["price"]) <= 42_900  # 2.5 % below 44,000


async def test_a_trailing_stop_waits_for_its_activation(connect: Connect) -> None:
    legs = [(40_000, 40_000, 38_000, 40_000), (40_000, 42_000, 40_000, 42_000), (42_000, 42_000, 41_000, 41_000)]
    trader = connect(scripted(*legs, *flat(41_000, 5)))
    await trader.order("BUY", "0.1")
    asked = {"callbackRate": "1", "quantity": "0.1", "reduceOnly": "true"}
    assert refusal(await trader.algo("SELL", "TRAILING_STOP_MARKET", activatePrice="39000", **asked)) == (400, -2021)
    await trader.algo("SELL", "TRAILING_STOP_MARKET", activatePrice="41000", **asked)
    trader.wait(2 * MINUTE)
    assert await trader.held() == D("0.1")
    trader.wait(MINUTE)
    *_, fill = await trader.asked("v1/userTrades", symbol="BTCUSDT")
    assert 41_570 < D(fill["price"]) <= 41_580


async def test_a_stop_that_only_reduces_nothing_expires(connect: Connect) -> None:
    trader = connect(scripted(*DOWN))
    await trader.algo("SELL", "STOP_MARKET", triggerPrice="39000", quantity="0.1", reduceOnly="true")
    await trader.algo("SELL", "STOP_MARKET", triggerPrice="39000", closePosition="true")
    trader.wait(2 * MINUTE)
    told = await trader.asked("v1/allAlgoOrders", symbol="BTCUSDT")
    assert [each["algoStatus"] for each in told] == ["EXPIRED", "EXPIRED"]


async def test_a_stop_that_the_margin_does_not_carry_is_rejected_when_its_time_comes(connect: Connect) -> None:
    trader = connect(scripted(*UP))
    assert (await trader.algo("BUY", "STOP_MARKET", triggerPrice="41000", quantity="100")).status_code == 200
    trader.wait(2 * MINUTE)
    (told,) = await trader.asked("v1/allAlgoOrders", symbol="BTCUSDT")
    assert (told["algoStatus"], told["actualOrderId"]) == ("REJECTED", "")
    assert await trader.held() == 0


async def test_a_waiting_order_is_cancelled_once(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    placed = (await trader.algo("SELL", "STOP_MARKET", triggerPrice="39000", quantity="0.1")).json()
    which = {"symbol": "BTCUSDT", "algoId": placed["algoId"]}
    assert (await trader.done("DELETE", "v1/algoOrder", **which))["code"] == "200"
    assert refusal(await trader.call("DELETE", "v1/algoOrder", **which)) == (400, -2011)
    assert (await trader.asked("v1/algoOrder", **which))["algoStatus"] == "CANCELED"


async def test_all_that_wait_are_cancelled_at_once(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    for price in ("39000", "38000"):
        await trader.algo("SELL", "STOP_MARKET", triggerPrice=price, quantity="0.1")
    await trader.done("DELETE", "v1/algoOpenOrders", symbol="BTCUSDT")
    assert await trader.asked("v1/openAlgoOrders") == []


async def test_a_waiting_order_good_till_a_time_expires_then(connect: Connect) -> None:
    trader = connect(scripted(*flat(40_000, 30)))
    until = trader.clock.now() + 900 * SECOND
    asked = {"triggerPrice": "39000", "quantity": "0.1", "timeInForce": "GTD", "goodTillDate": until}
    assert (await trader.algo("SELL", "STOP_MARKET", **asked)).status_code == 200
    trader.wait(900 * SECOND)
    assert (await trader.asked("v1/allAlgoOrders", symbol="BTCUSDT"))[0]["algoStatus"] == "EXPIRED"


STOP = {"triggerPrice": "39000", "quantity": "0.1"}


@pytest.mark.parametrize(
    ("kind", "asked", "code"),
    [
        ("STOP_MARKET", {**STOP, "triggerPrice": "40000"}, -2021), ("TAKE_PROFIT_MARKET", STOP, -2021),
        ("STOP_MARKET", {**STOP, "quantity": "0.0001"}, -4004), ("STOP_MARKET", {"triggerPrice": "39000"}, -1102),
        ("STOP_MARKET", {"quantity": "0.1"}, -1102), ("STOP", STOP, -1102), ("LIMIT", STOP, -1116),
        ("STOP_MARKET", {**STOP, "closePosition": "true"}, -4137), ("STOP_MARKET", {**STOP, "quantity": "0.001"}, 0),
        ("STOP", {"triggerPrice": "39000", "price": "39000", "closePosition": "true"}, -4136),
        ("STOP_MARKET", {"triggerPrice": "39000", "closePosition": "true", "reduceOnly": "true"}, -4138),
        ("TRAILING_STOP_MARKET", {"quantity": "0.1", "callbackRate": "11"}, -2007),
        ("STOP_MARKET", {**STOP, "algoType": "TWAP"}, -1130), ("STOP_MARKET", {**STOP, "algoType": ""}, -1102),
        ("STOP_MARKET", {**STOP, "priceMatch": "QUEUE"}, -1130),
        ("STOP_MARKET", {**STOP, "workingType": "INDEX"}, -1130),
        ("STOP_MARKET", {**STOP, "triggerPrice": "39000.001"}, -4014), ("STOP_MARKET", {**STOP, "symbol": "NO"}, -1121),
    ],
)  # fmt: skip
async def test_conditional_orders_are_checked_when_they_come_in(
    connect: Connect, kind: str, asked: dict[str, str], code: int
) -> None:
    trader = connect(exchange(marked()))
    reply = await trader.algo("SELL", kind, **asked)
    assert reply.json().get("code", 0) == code, reply.text


async def test_a_client_id_and_a_close_in_one_direction_are_taken_once(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    close = {"triggerPrice": "39000", "closePosition": "true"}
    assert (await trader.algo("SELL", "STOP_MARKET", clientAlgoId="s", **close)).status_code == 200
    assert refusal(await trader.algo("SELL", "STOP_MARKET", clientAlgoId="t", **close)) == (400, -4130)
    assert refusal(await trader.algo("SELL", "STOP_MARKET", clientAlgoId="s", **STOP)) == (400, -4116)
    profit = {"triggerPrice": "41000", "closePosition": "true"}
    assert (await trader.algo("SELL", "TAKE_PROFIT_MARKET", **profit)).status_code == 200


async def test_no_more_than_ten_wait_for_one_contract(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    for place in range(10):
        await trader.algo("SELL", "STOP_MARKET", triggerPrice=f"{39_000 - place}", quantity="0.1")
    assert refusal(await trader.algo("SELL", "STOP_MARKET", triggerPrice="38000", quantity="0.1")) == (400, -4045)
