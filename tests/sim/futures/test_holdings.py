from __future__ import annotations

from collections.abc import Callable

from exchanging import D, exchange, marked, refusal

from futures.trading import Trader, flat, scripted
from tradebot.clock import HOUR, MINUTE

Connect = Callable[..., Trader]


async def test_only_contracts_with_a_position_or_an_order_are_told(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    assert await trader.asked("v3/positionRisk") == []
    await trader.order("BUY", "0.1")
    await trader.order("BUY", "1", symbol="ETHUSDT", price="1950")
    rows = await trader.asked("v3/positionRisk")
    assert {row["symbol"]: D(row["positionAmt"]) for row in rows} == {"BTCUSDT": D("0.1"), "ETHUSDT": 0}
    assert [row["symbol"] for row in await trader.asked("v3/positionRisk", symbol="ETHUSDT")] == ["ETHUSDT"]
    assert not rows[0].keys() & {"leverage", "marginType"}


async def test_account_and_balance_agree(connect: Connect) -> None:
    trader = connect(scripted((40_000, 41_000, 40_000, 41_000), *flat(41_000, 5), ETHUSDT=flat(2_000, 5)))
    await trader.order("BUY", "0.1")
    await trader.order("SELL", "1", symbol="ETHUSDT", price="2010")
    trader.wait(2 * MINUTE)
    account, (balance,) = await trader.asked("v3/account"), await trader.asked("v3/balance")
    (asset,) = account["assets"]
    assert account["totalWalletBalance"] == balance["balance"] == asset["walletBalance"] == "9998.00000000"
    assert account["totalUnrealizedProfit"] == balance["crossUnPnl"] == "100.00000000"
    assert account["totalMarginBalance"] == "10098.00000000"
    assert account["totalPositionInitialMargin"] == "205.00000000"
    assert account["totalOpenOrderInitialMargin"] == "100.50000000"
    assert account["availableBalance"] == balance["availableBalance"] == "9792.50000000"
    assert [each["unrealizedProfit"] for each in account["positions"]] == ["100.00000000", "0.00000000"]


async def test_isolated_margin_is_told_apart_from_the_cross_wallet(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    await trader.done("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    await trader.order("SELL", "0.1")
    (position,), (balance,) = await trader.asked("v3/positionRisk"), await trader.asked("v3/balance")
    assert (position["isolatedWallet"], position["isolatedMargin"]) == ("200.00000000", "200.00000000")
    assert D(balance["balance"]) - D(balance["crossWalletBalance"]) == 200
    assert D(position["liquidationPrice"]) > 41_000


async def test_income_is_told_by_kind_contract_and_time(connect: Connect) -> None:
    trader = connect(scripted(*flat(40_000, 700), ETHUSDT=flat(2_000, 700)))
    await trader.order("BUY", "0.1")
    await trader.order("SELL", "1", symbol="ETHUSDT")
    trader.wait(6 * HOUR)
    kinds = [kind for kind, _ in await trader.income()]
    assert kinds == ["COMMISSION", "COMMISSION", "FUNDING_FEE", "FUNDING_FEE"]
    rows = await trader.asked("v1/income", symbol="ETHUSDT", incomeType="FUNDING_FEE")
    assert [(row["symbol"], row["asset"]) for row in rows] == [("ETHUSDT", "USDT")]
    assert len(await trader.asked("v1/income", startTime=rows[0]["time"])) == 2
    assert len(await trader.asked("v1/income", limit=1)) == 1
    assert refusal(await trader.call("GET", "v1/income", incomeType="GIFT")) == (400, -1130)


async def test_terms_fees_and_brackets_are_told_of_one_contract_or_of_all(connect: Connect) -> None:
    trader = connect(exchange(marked()))
    await trader.done("POST", "v1/leverage", symbol="BTCUSDT", leverage=7)
    assert [each["leverage"] for each in await trader.asked("v1/symbolConfig")] == [20, 7]
    (one,) = await trader.asked("v1/symbolConfig", symbol="BTCUSDT")
    assert (one["leverage"], one["marginType"]) == (7, "CROSSED")
    rates = await trader.asked("v1/commissionRate", symbol="BTCUSDT")
    assert (rates["makerCommissionRate"], rates["takerCommissionRate"]) == ("0.00020000", "0.00050000")
    assert [each["symbol"] for each in await trader.asked("v1/leverageBracket")] == ["ETHUSDT", "BTCUSDT"]
    (bracket,) = (await trader.asked("v1/leverageBracket", symbol="BTCUSDT"))[0]["brackets"]
    assert (bracket["initialLeverage"], bracket["maintMarginRatio"]) == (50, 0.01)
    assert refusal(await trader.call("GET", "v1/symbolConfig", symbol="NONE")) == (400, -1121)
