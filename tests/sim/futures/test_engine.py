from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from exchanging import D, exchange, marked, refusal

from futures.trading import Trader, flat, scripted
from tradebot.clock import DAY, MINUTE, SECOND

Connect = Callable[..., Trader]


def steady(connect: Connect, price: int = 40_000) -> Trader:
    return connect(scripted(*flat(price, 5)))


async def test_a_market_order_opens_a_long_and_its_opposite_closes_it(connect: Connect) -> None:
    trader = connect(scripted((40_000, 41_000, 40_000, 41_000), *flat(41_000, 5)))
    bought = (await trader.order("BUY", "0.1")).json()
    assert (bought["status"], bought["executedQty"]) == ("FILLED", "0.10000000")
    trader.wait(2 * MINUTE)
    (position,) = await trader.asked("v3/positionRisk")
    assert (position["positionAmt"], position["entryPrice"]) == ("0.10000000", "40000.00000000")
    assert position["unRealizedProfit"] == "100.00000000"
    await trader.order("SELL", "0.1")
    assert await trader.income("REALIZED_PNL") == [("REALIZED_PNL", D(100))]
    assert await trader.asked("v3/positionRisk") == []


async def test_a_short_earns_when_the_price_falls(connect: Connect) -> None:
    trader = connect(scripted((40_000, 40_000, 39_000, 39_000), *flat(39_000, 5)))
    await trader.order("SELL", "0.1")
    trader.wait(2 * MINUTE)
    assert await trader.held() == D("-0.1")
    await trader.order("BUY", "0.1")
    assert await trader.income("REALIZED_PNL") == [("REALIZED_PNL", D(100))]


async def test_an_order_beyond_the_position_turns_it_round(connect: Connect) -> None:
    trader = steady(connect)
    await trader.order("BUY", "0.1")
    await trader.order("SELL", "0.3")
    assert await trader.held() == D("-0.2")


async def test_takers_and_makers_pay_in_the_coin_of_the_account(connect: Connect) -> None:
    trader = connect(scripted((40_000, 40_000, 38_900, 40_000), *flat(40_000, 5)))
    await trader.order("BUY", "0.1")
    await trader.order("BUY", "0.1", price="39000")
    trader.wait(2 * MINUTE)
    taken, made = await trader.asked("v1/userTrades", symbol="BTCUSDT")
    assert (taken["commission"], taken["maker"]) == ("2.00000000", False)
    assert (made["commission"], made["maker"]) == ("0.78000000", True)
    assert made["price"] == "39000.00000000"
    assert await trader.income("COMMISSION") == [("COMMISSION", D(-2)), ("COMMISSION", D("-0.78"))]


async def test_average_and_amount_are_told_by_queries_alone(connect: Connect) -> None:
    trader = steady(connect)
    placed = (await trader.order("BUY", "0.1", newClientOrderId="mine")).json()
    assert not placed.keys() & {"avgPrice", "cumQuote", "fills"}
    queried = await trader.asked("v1/order", symbol="BTCUSDT", origClientOrderId="mine")
    assert (queried["avgPrice"], queried["cumQuote"]) == ("40000.00000000", "4000.00000000")
    assert {name: queried[name] for name in placed} == placed


async def test_an_acknowledgement_does_not_tell_what_became_of_the_order(connect: Connect) -> None:
    told = (await steady(connect).order("BUY", "0.1", newOrderRespType="ACK")).json()
    assert (told["status"], told["executedQty"]) == ("NEW", "0.00000000")


async def test_an_order_that_rests_can_be_cancelled_once(connect: Connect) -> None:
    trader = steady(connect)
    placed = (await trader.order("BUY", "0.1", price="39000")).json()
    assert [each["orderId"] for each in await trader.asked("v1/openOrders")] == [placed["orderId"]]
    which = {"symbol": "BTCUSDT", "orderId": placed["orderId"]}
    assert (await trader.done("DELETE", "v1/order", **which))["status"] == "CANCELED"
    assert refusal(await trader.call("DELETE", "v1/order", **which)) == (400, -2011)
    assert await trader.asked("v1/openOrders", symbol="BTCUSDT") == []
    assert [each["status"] for each in await trader.asked("v1/allOrders", symbol="BTCUSDT")] == ["CANCELED"]


async def test_orders_that_are_done_are_told_for_days_and_fills_for_months(connect: Connect) -> None:
    trader = steady(connect)
    dropped, waiting = [(await trader.order("BUY", "0.1", price="39000")).json()["orderId"] for _ in "ab"]
    bought = (await trader.order("BUY", "0.1")).json()["orderId"]
    await trader.done("DELETE", "v1/order", symbol="BTCUSDT", orderId=dropped)
    began = trader.clock.now()

    async def told() -> set[int]:
        asked = [await trader.call("GET", "v1/order", symbol="BTCUSDT", orderId=each) for each in range(1, bought + 1)]
        return {each.json()["orderId"] for each in asked if each.status_code == 200}

    trader.wait(3 * DAY)
    assert await told() == {dropped, waiting, bought}
    trader.wait(1)
    assert await told() == {waiting, bought}
    since = {"symbol": "BTCUSDT", "startTime": began}
    assert {each["orderId"] for each in await trader.asked("v1/allOrders", **since)} == {waiting, bought}
    trader.wait(90 * DAY)
    assert await told() == {waiting}
    assert len(await trader.asked("v1/userTrades", **since)) == 1
    trader.wait(90 * DAY)
    assert await trader.asked("v1/userTrades", **since) == []


async def test_all_orders_of_a_contract_are_cancelled_at_once(connect: Connect) -> None:
    trader = steady(connect)
    for price in ("39000", "39100"):
        await trader.order("BUY", "0.1", price=price)
    assert (await trader.done("DELETE", "v1/allOpenOrders", symbol="BTCUSDT"))["code"] == 200
    assert await trader.asked("v1/openOrders") == []


async def test_an_unknown_order_does_not_exist(connect: Connect) -> None:
    reply = await steady(connect).call("GET", "v1/order", symbol="BTCUSDT", orderId=7)
    assert refusal(reply) == (400, -2013)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"quantity": "0"}, -4003), ({"quantity": "0.0001"}, -4004), ({"quantity": "10000"}, -4005),
        ({"quantity": "0.1005"}, -4023), ({"quantity": "0.1", "price": "39000.005"}, -4014),
        ({"quantity": "0.1", "price": "0"}, -4001), ({"quantity": "0.1", "price": "42000.01"}, -4016),
        ({"quantity": "0.001", "price": "4000"}, -4164), ({"quantity": "100"}, -2019),
        ({"quantity": "0.1", "price": "40100", "timeInForce": "GTX"}, -5022),
        ({"quantity": "0.1", "price": "39000", "timeInForce": "FOK"}, -5021),
        ({"quantity": "0.1", "positionSide": "LONG"}, -4061), ({"quantity": "0.1", "symbol": "NONE"}, -1121),
        ({"quantity": "0.1", "reduceOnly": "true"}, -2022),
    ],
)  # fmt: skip
async def test_what_breaks_a_rule_is_refused_by_its_code_and_changes_nothing(
    connect: Connect, asked: dict[str, str], code: int
) -> None:
    trader = steady(connect)
    reply = await trader.order("BUY", **asked)
    assert refusal(reply) == (400, code), reply.text
    assert await trader.asked("v1/allOrders", symbol="BTCUSDT") == []
    assert await trader.wallet() == 10_000


async def test_the_least_notional_does_not_bind_orders_that_only_reduce(connect: Connect) -> None:
    trader = steady(connect, price=4_000)
    await trader.order("BUY", "0.1")
    assert refusal(await trader.order("SELL", "0.001")) == (400, -4164)
    assert (await trader.order("SELL", "0.001", reduceOnly="true")).status_code == 200


async def test_reduce_only_stops_at_the_position_and_never_turns_it(connect: Connect) -> None:
    trader = steady(connect)
    await trader.order("BUY", "0.1")
    assert refusal(await trader.order("BUY", "0.1", reduceOnly="true")) == (400, -2022)
    assert (await trader.order("SELL", "0.5", reduceOnly="true")).json()["executedQty"] == "0.10000000"
    assert await trader.held() == 0


async def test_resting_orders_that_only_reduce_go_with_the_position(connect: Connect) -> None:
    trader = steady(connect)
    await trader.order("BUY", "0.1")
    await trader.order("SELL", "0.1", price="41000", reduceOnly="true")
    await trader.order("SELL", "0.1")
    assert await trader.asked("v1/openOrders") == []
    assert [each["status"] for each in await trader.asked("v1/allOrders", symbol="BTCUSDT")] == [
        "FILLED", "EXPIRED", "FILLED",
    ]  # fmt: skip


async def test_a_client_id_is_taken_while_its_order_is_open_and_shortly_after(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    assert (await trader.order("BUY", "0.01", newClientOrderId="mine")).status_code == 200
    assert refusal(await trader.order("BUY", "0.01", newClientOrderId="mine")) == (400, -4116)
    assert await trader.held() == D("0.01")
    trader.wait(2 * MINUTE)
    assert (await trader.order("BUY", "0.01", price="39000", newClientOrderId="mine")).status_code == 200
    trader.wait(2 * MINUTE)
    assert refusal(await trader.order("BUY", "0.01", newClientOrderId="mine")) == (400, -4116)


async def test_clients_may_name_orders_with_dots_colons_and_slashes(connect: Connect) -> None:
    trader = steady(connect)
    assert (await trader.order("BUY", "0.1", newClientOrderId="web_a.b:c/D-1")).status_code == 200


async def test_unnamed_orders_get_the_same_names_in_every_run(connect: Connect) -> None:
    names = [
        [(await trader.order("BUY", "0.01")).json()["clientOrderId"] for _ in range(3)]
        for trader in (steady(connect), steady(connect))
    ]
    assert names[0] == names[1]
    assert len(set(names[0])) == 3


async def test_an_order_larger_than_the_book_ends_with_what_it_got(connect: Connect) -> None:
    rules = {"max_market_quantity": D(0), "min_notional": D("0.01")}  # such a book holds about 2,000
    trader = connect(exchange(marked({"BTCUSDT": "1"}, **rules), start={"USDT": D(10**6)}))
    for asked in ({}, {"price": "1.02", "timeInForce": "IOC"}):
        told = (await trader.order("BUY", "9000", **asked)).json()
        assert told["status"] == "EXPIRED"
        assert 500 < D(told["executedQty"]) < 4000
        trader.wait(MINUTE)
    first, second = await trader.asked("v1/allOrders", symbol="BTCUSDT")
    assert 1 < D(second["avgPrice"]) < D(first["avgPrice"])


async def test_an_order_good_till_a_time_expires_then(connect: Connect) -> None:
    trader = connect(scripted(*flat(40_000, 30)))
    now = trader.clock.now()
    asked = {"price": "39000", "timeInForce": "GTD"}
    assert refusal(await trader.order("BUY", "0.1", goodTillDate=now + 599 * SECOND, **asked)) == (400, -5040)
    placed = (await trader.order("BUY", "0.1", goodTillDate=now + 600 * SECOND, **asked)).json()
    assert placed["goodTillDate"] == now + 600 * SECOND
    trader.wait(599 * SECOND)
    assert len(await trader.asked("v1/openOrders")) == 1
    trader.wait(SECOND)
    (done,) = await trader.asked("v1/allOrders", symbol="BTCUSDT")
    assert (done["status"], done["updateTime"]) == ("EXPIRED", now + 600 * SECOND)


async def test_a_countdown_cancels_unless_it_is_armed_again(connect: Connect) -> None:
    trader = connect(scripted(*flat(40_000, 30)))
    await trader.order("BUY", "0.1", price="39000")
    arm = {"symbol": "BTCUSDT", "countdownTime": 60_000}
    assert (await trader.done("POST", "v1/countdownCancelAll", **arm))["countdownTime"] == "60000"
    trader.wait(50 * SECOND)
    await trader.done("POST", "v1/countdownCancelAll", **arm)
    trader.wait(50 * SECOND)
    assert len(await trader.asked("v1/openOrders")) == 1
    trader.wait(10 * SECOND)
    assert await trader.asked("v1/openOrders") == []


async def test_no_more_than_so_many_orders_rest(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    for place in range(200):
        assert (await trader.order("BUY", "0.001", price=f"{20_000 + place}")).status_code == 200
    assert refusal(await trader.order("BUY", "0.001", price="20000")) == (400, -2025)


async def test_the_account_goes_on_after_a_restart(connect: Connect, tmp_path: Path) -> None:
    legs = (*flat(40_000, 2), (40_000, 40_000, 38_000, 38_000), *flat(38_000, 3))
    first = connect(scripted(*legs, account=tmp_path / "paper.db"))
    await first.order("BUY", "0.1")
    await first.order("BUY", "0.1", price="39000")
    before = await first.wallet()
    second = connect(scripted(*legs, account=tmp_path / "paper.db"))
    assert await second.wallet() == before
    second.wait(5 * MINUTE)
    assert await second.held() == D("0.2")
    assert (tmp_path / "paper-usdm.db").stat().st_mode & 0o077 == 0


async def test_the_wallet_starts_with_what_the_paper_account_is_given(connect: Connect) -> None:
    assert await connect(exchange(start={"USDT": D(500)})).wallet() == 500
    assert await connect(exchange()).wallet() == 10_000


async def test_what_was_taken_from_the_book_of_a_contract_comes_back_with_time(connect: Connect) -> None:
    rules = {"max_market_quantity": D(0), "max_quantity": D(0), "min_notional": D("0.0025")}
    trader = connect(exchange(marked({"BTCUSDT": "100"}, **rules), start={"USDT": D(10**6)}))
    before = await trader.told("v1/depth", symbol="BTCUSDT", limit=500)
    got = [D((await trader.order("BUY", "9", newOrderRespType="RESULT")).json()["executedQty"])]
    after = await trader.told("v1/depth", symbol="BTCUSDT", limit=500)
    assert (after["bids"], after["asks"]) == (before["bids"], [])
    assert (await trader.told("v1/ticker/bookTicker", symbol="BTCUSDT"))["askPrice"] == "0.00000000"
    assert refusal(await trader.order("BUY", "9")) == (400, -4131)
    trader.wait(MINUTE)
    got.append(D((await trader.order("BUY", "9", newOrderRespType="RESULT")).json()["executedQty"]))
    assert got[1] == pytest.approx(got[0], rel=D("0.2"))
