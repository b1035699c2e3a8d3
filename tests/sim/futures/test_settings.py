from __future__ import annotations

from collections.abc import Callable

import pytest
from exchanging import D, exchange, marked, refusal

from futures.trading import Trader

Connect = Callable[..., Trader]


async def test_leverage_sets_how_much_margin_is_needed(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    assert refusal(await trader.order("BUY", "10")) == (400, -2019)
    told = await trader.done("POST", "v1/leverage", symbol="BTCUSDT", leverage=50)
    assert (told["symbol"], told["leverage"]) == ("BTCUSDT", 50)
    assert (await trader.order("BUY", "10")).status_code == 200
    (position,) = await trader.asked("v3/positionRisk")
    assert position["positionInitialMargin"] == "8000.00000000"


@pytest.mark.parametrize("leverage", [0, 51])
async def test_leverage_out_of_bounds_is_refused(connect: Connect, leverage: int) -> None:
    reply = await connect().call("POST", "v1/leverage", symbol="BTCUSDT", leverage=leverage)
    assert refusal(reply) == (400, -4028)


async def test_leverage_below_what_the_margin_carries_is_refused_and_stays(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    await trader.order("BUY", "3")
    assert refusal(await trader.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=5)) == (400, -2028)
    (config,) = await trader.asked("v1/symbolConfig", symbol="BTCUSDT")
    assert config["leverage"] == 20


async def test_an_isolated_position_keeps_at_least_its_leverage(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    await trader.done("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    await trader.order("BUY", "0.1")
    assert refusal(await trader.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=10)) == (400, -4161)
    assert (await trader.call("POST", "v1/leverage", symbol="BTCUSDT", leverage=30)).status_code == 200


async def test_the_margin_type_is_changed_while_nothing_is_there(connect: Connect) -> None:
    trader = connect(exchange(marked()))

    async def change(kind: str) -> int:
        return int((await trader.call("POST", "v1/marginType", symbol="BTCUSDT", marginType=kind)).json()["code"])

    assert [await change(kind) for kind in ("CROSSED", "ISOLATED", "ISOLATED", "SOLO")] == [-4046, 200, -4046, -1130]
    placed = (await trader.order("BUY", "0.1", price="39000")).json()
    assert await change("CROSSED") == -4047
    await trader.done("DELETE", "v1/order", symbol="BTCUSDT", orderId=placed["orderId"])
    await trader.order("BUY", "0.1")
    assert await change("CROSSED") == -4048
    await trader.order("SELL", "0.1")
    assert await change("CROSSED") == 200
    assert [each["marginType"] for each in await trader.asked("v1/symbolConfig")] == ["CROSSED", "CROSSED"]


async def test_the_position_mode_is_changed_while_nothing_is_there(connect: Connect) -> None:
    trader = connect(exchange(marked()))

    async def change(dual: str) -> int:
        return int((await trader.call("POST", "v1/positionSide/dual", dualSidePosition=dual)).json()["code"])

    assert await change("false") == -4059
    placed = (await trader.order("BUY", "0.1", price="39000")).json()
    assert await change("true") == -4067
    await trader.done("DELETE", "v1/order", symbol="BTCUSDT", orderId=placed["orderId"])
    await trader.order("BUY", "0.1")
    assert await change("true") == -4068
    await trader.order("SELL", "0.1")
    assert await change("true") == 200
    assert await trader.asked("v1/positionSide/dual") == {"dualSidePosition": True}
    assert (await trader.asked("v1/accountConfig"))["dualSidePosition"] is True


async def test_in_hedge_mode_longs_and_shorts_are_held_side_by_side(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    await trader.done("POST", "v1/positionSide/dual", dualSidePosition="true")
    assert refusal(await trader.order("BUY", "0.1")) == (400, -4061)
    assert (await trader.order("BUY", "0.2", positionSide="LONG")).status_code == 200
    assert (await trader.order("SELL", "0.1", positionSide="SHORT")).status_code == 200
    rows = await trader.asked("v3/positionRisk")
    assert {row["positionSide"]: D(row["positionAmt"]) for row in rows} == {"LONG": D("0.2"), "SHORT": D("-0.1")}
    assert refusal(await trader.order("SELL", "0.3", positionSide="LONG")) == (400, -2022)
    assert refusal(await trader.order("SELL", "0.1", positionSide="LONG", reduceOnly="true")) == (400, -4062)
    await trader.order("SELL", "0.2", positionSide="LONG")
    await trader.order("BUY", "0.1", positionSide="SHORT")
    assert await trader.asked("v3/positionRisk") == []
