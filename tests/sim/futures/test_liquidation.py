from __future__ import annotations

from collections.abc import Callable

import pytest
from exchanging import D

from futures.trading import START, Leg, Trader, flat, scripted
from tradebot.clock import MINUTE

Connect = Callable[..., Trader]
CRASH: list[Leg] = [(40_000, 40_000, 40_000, 40_000), (40_000, 40_000, 30_000, 30_000), *flat(30_000, 40)]
RALLY: list[Leg] = [(40_000, 40_000, 40_000, 40_000), (40_000, 50_000, 40_000, 50_000), *flat(50_000, 40)]


async def isolated(trader: Trader, side: str) -> None:
    await trader.done("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    assert (await trader.order(side, "0.1")).status_code == 200


@pytest.mark.parametrize(("legs", "side"), [(CRASH, "BUY"), (RALLY, "SELL")])
async def test_an_isolated_position_loses_its_margin_and_nothing_more(
    connect: Connect, legs: list[Leg], side: str
) -> None:
    trader = connect(scripted(*legs))
    await isolated(trader, side)
    (position,) = await trader.asked("v3/positionRisk")
    trader.wait(3 * MINUTE)
    assert await trader.held() == 0
    assert await trader.wallet() == 10_000 - 2 - 200
    *_, fill = await trader.asked("v1/userTrades", symbol="BTCUSDT")
    assert abs(D(fill["price"]) - D(position["liquidationPrice"])) < 10
    assert START + MINUTE < fill["time"] < START + 2 * MINUTE


async def test_the_exchange_names_its_own_orders(connect: Connect) -> None:
    trader = connect(scripted(*CRASH))
    await isolated(trader, "BUY")
    await trader.order("BUY", "0.1", price="38050")
    trader.wait(3 * MINUTE)
    orders = await trader.asked("v1/allOrders", symbol="BTCUSDT")
    assert orders[-1]["clientOrderId"].startswith("autoclose-")
    assert (orders[-1]["status"], orders[-1]["side"]) == ("FILLED", "SELL")
    kinds = [kind for kind, _ in await trader.income()]
    assert kinds[-2:] == ["REALIZED_PNL", "INSURANCE_CLEAR"]


async def test_a_gap_beyond_the_margin_is_paid_by_the_insurance_fund(connect: Connect) -> None:
    trader = connect(scripted(*flat(40_000, 1), *flat(30_000, 3)))
    await isolated(trader, "BUY")
    trader.wait(2 * MINUTE)
    assert await trader.wallet() == 10_000 - 2 - 200
    assert (await trader.income("INSURANCE_CLEAR"))[0][1] == 800


async def test_a_stop_before_the_liquidation_price_comes_first(connect: Connect) -> None:
    trader = connect(scripted(*CRASH))
    await isolated(trader, "BUY")
    await trader.algo("SELL", "STOP_MARKET", triggerPrice="39000", closePosition="true")
    trader.wait(3 * MINUTE)
    assert await trader.income("INSURANCE_CLEAR") == []
    assert abs((await trader.income("REALIZED_PNL"))[0][1] + 100) < 1


async def test_in_cross_margin_the_wallet_is_used_up_and_orders_go_first(connect: Connect) -> None:
    trader = connect(scripted(*CRASH))
    await trader.order("BUY", "2.4")
    await trader.order("BUY", "0.1", price="38010")
    trader.wait(MINUTE)
    assert await trader.held() == D("2.4")
    trader.wait(MINUTE)
    assert await trader.held() == 0
    assert await trader.wallet() == 0
    assert await trader.asked("v1/openOrders") == []


async def test_positions_that_share_the_wallet_fall_together(connect: Connect) -> None:
    eth = [(2_000, 2_000, 2_000, 2_000), (2_000, 2_000, 1_500, 1_500), *flat(1_500, 40)]
    half = [(40_000, 40_000, 40_000, 40_000), (40_000, 40_000, 35_000, 35_000), *flat(35_000, 40)]
    trader = connect(scripted(*half, ETHUSDT=eth))
    await trader.order("BUY", "1.2")
    await trader.order("BUY", "12", symbol="ETHUSDT")
    trader.wait(30 * MINUTE)
    assert await trader.held() == await trader.held("ETHUSDT") == 0
    assert await trader.wallet() == 0


async def test_either_of_them_alone_would_have_survived(connect: Connect) -> None:
    half = [(40_000, 40_000, 40_000, 40_000), (40_000, 40_000, 35_000, 35_000), *flat(35_000, 40)]
    trader = connect(scripted(*half))
    await trader.order("BUY", "1.2")
    trader.wait(30 * MINUTE)
    assert await trader.held() == D("1.2")
