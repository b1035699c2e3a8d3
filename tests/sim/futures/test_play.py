from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from exchanging import D, exchange, refusal, synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from futures.trading import START, Trader, flat, scripted
from tradebot.clock import DAY, HOUR, MINUTE, SteppedClock
from tradebot.sim.futures.funding import PERIOD, funding_rate
from tradebot.sim.matching import worth

Connect = Callable[..., Trader]


async def test_a_limit_order_fills_at_its_price_when_the_path_goes_through_it(connect: Connect) -> None:
    trader = connect(scripted((40_000, 40_000, 39_000, 39_000), (39_000, 39_000, 38_000, 38_000), *flat(38_000, 2)))
    for price in ("39000", "38500", "38000"):
        await trader.order("BUY", "0.1", price=price)
    trader.wait(4 * MINUTE)
    fills = await trader.asked("v1/userTrades", symbol="BTCUSDT")
    assert [fill["price"] for fill in fills] == ["39000.00000000", "38500.00000000"]
    assert START + MINUTE <= fills[0]["time"] < fills[1]["time"] < START + 2 * MINUTE
    assert [each["price"] for each in await trader.asked("v1/openOrders")] == ["38000.00000000"]


async def test_with_a_spread_the_market_must_come_to_the_order(connect: Connect) -> None:
    trader = connect(scripted((40_000, 40_000, 39_000, 39_000), *flat(39_000, 2), spread="0.002"))
    await trader.order("BUY", "0.1", price="39039")
    await trader.order("BUY", "0.1", price="39038")
    trader.wait(3 * MINUTE)
    assert [each["price"] for each in await trader.asked("v1/userTrades", symbol="BTCUSDT")] == ["39039.00000000"]


async def test_an_order_that_rests_is_filled_bar_by_bar_as_others_trade(connect: Connect) -> None:
    deep = (40_000, 40_000, 38_900, 40_000)
    venue = scripted(deep, *flat(40_000, 2), deep, deep, *flat(40_000, 2))
    venue.prices.trade("BTCUSDT", "0.8")  # type: ignore[attr-defined]
    trader = connect(venue)
    placed = (await trader.order("BUY", "0.5", price="39000")).json()
    stories = []
    for _ in range(5):
        trader.wait(MINUTE)
        order = await trader.asked("v1/order", symbol="BTCUSDT", orderId=placed["orderId"])
        stories.append((order["status"], order["executedQty"][:4]))
    part = "PARTIALLY_FILLED"
    assert stories == [(part, "0.20"), (part, "0.20"), (part, "0.20"), (part, "0.40"), ("FILLED", "0.50")]
    assert await trader.held() == D("0.5")
    fills = await trader.asked("v1/userTrades", symbol="BTCUSDT")
    assert all(fill["maker"] for fill in fills)
    assert await trader.json("/sim/log/usdm") == fills


async def test_an_order_that_reduces_takes_its_part_of_a_bar_and_ends_with_the_position(connect: Connect) -> None:
    high = (40_000, 41_100, 40_000, 40_000)
    venue = scripted(*flat(40_000, 1), high, high, *flat(40_000, 2))
    venue.prices.trade("BTCUSDT", "0.8")  # type: ignore[attr-defined]
    trader = connect(venue)
    await trader.order("BUY", "0.3")
    await trader.order("SELL", "0.3", price="41000", reduceOnly="true")
    trader.wait(2 * MINUTE)
    assert await trader.held() == D("0.1")
    trader.wait(MINUTE)
    assert await trader.held() == 0
    assert await trader.asked("v1/openOrders") == []


async def test_funding_is_paid_by_what_is_held_at_its_time(connect: Connect) -> None:
    trader = connect(scripted(*flat(40_000, 60 * 13)))
    await trader.order("BUY", "0.1")
    trader.wait(12 * HOUR)
    due = START + 4 * HOUR
    rows = await trader.asked("v1/income", incomeType="FUNDING_FEE")
    assert [(row["time"], D(row["income"])) for row in rows] == [
        (moment, -worth(D(4000), funding_rate("BTCUSDT", moment))) for moment in (due, due + PERIOD)
    ]


async def test_who_holds_nothing_at_funding_time_pays_nothing(connect: Connect) -> None:
    trader = connect(scripted(*flat(40_000, 60 * 5)))
    await trader.order("BUY", "0.1")
    trader.wait(4 * HOUR - 1)
    await trader.order("SELL", "0.1")
    trader.wait(HOUR)
    assert await trader.income("FUNDING_FEE") == []


async def test_isolated_positions_pay_funding_out_of_their_margin(connect: Connect) -> None:
    trader = connect(scripted(*flat(40_000, 60 * 5)))
    await trader.done("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    await trader.order("SELL", "0.1")
    trader.wait(5 * HOUR)
    (position,) = await trader.asked("v3/positionRisk")
    payment = worth(D(4000), funding_rate("BTCUSDT", START + 4 * HOUR))
    assert D(position["isolatedWallet"]) == 200 + payment


async def test_a_day_of_funding_has_three_payments_whose_sum_is_in_the_wallet(connect: Connect) -> None:
    trader = connect(exchange(synthetic().prices, SteppedClock(START)))
    await trader.order("BUY", "0.01")
    before = await trader.wallet()
    trader.wait(DAY)
    paid = await trader.income("FUNDING_FEE")
    assert len(paid) == 3
    assert await trader.wallet() == before + sum(amount for _, amount in paid)


async def test_the_same_happens_however_often_one_looks(connect: Connect) -> None:
    told = []
    for steps in (1, 7, 96):
        trader = connect(exchange(synthetic().prices, SteppedClock(START), spread="0.0002", start={"USDT": D(10**6)}))
        last = D((await trader.told("v1/ticker/price", symbol="BTCUSDT"))["price"])
        await trader.order("BUY", "0.01")
        for share in ("0.999", "0.998"):
            await trader.order("BUY", "9", price=f"{last * D(share):.2f}")
        await trader.algo("SELL", "STOP_MARKET", triggerPrice=f"{last * D('0.97'):.2f}", closePosition="true")
        await trader.algo("SELL", "TRAILING_STOP_MARKET", callbackRate="0.8", quantity="0.01", reduceOnly="true")
        for _ in range(steps):
            trader.wait(DAY // steps)
            await trader.held()
        fills = await trader.asked("v1/userTrades", symbol="BTCUSDT")
        told.append([(fill["price"], fill["qty"], fill["time"]) for fill in fills])
    assert len(told[0]) > 5
    assert told[0] == told[1] == told[2]


ORDERS = st.one_of(
    st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 400), st.booleans()),
    st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 400), st.integers(-9, 9)),
    st.tuples(st.just("wait"), st.integers(1, 90), st.just(0)),
    st.tuples(st.just("stop"), st.integers(-9, 9), st.booleans()),
    st.tuples(st.just("restart"), st.just(0), st.just(0)),
)
LEGS = st.lists(st.integers(-40, 40), min_size=6, max_size=40)


class Story:
    """Random orders, waits and restarts of one account; checks hold after each."""

    def __init__(self, moves: list[int], account: Path) -> None:
        self.legs = []
        price = 40_000
        for move in moves:
            after = price + move * 60
            self.legs += [(price, max(price, after) + 20, min(price, after) - 20, after), *flat(after, 30)]
            price = after
        self.path = account
        self.trader = Trader(scripted(*self.legs, account=account))

    async def play(self, step: tuple[Any, ...]) -> None:
        kind, number, more = step
        if kind == "wait":
            self.trader.wait(number * MINUTE)
        elif kind == "restart":
            now = self.trader.clock.now()
            await self.trader.http.aclose()
            self.trader.exchange.close()
            self.trader = Trader(scripted(*self.legs, account=self.path))
            self.trader.clock.advance(now)
        else:
            await self._order(kind, number, more)

    async def _order(self, kind: str, number: int, more: Any) -> None:
        before = await self.trader.held()
        reply: Any = None
        if kind == "stop":
            price = {"triggerPrice": f"{40_000 + 100 * number}", "reduceOnly": str(more).lower()}
            await self.trader.algo("SELL", "STOP_MARKET", quantity="0.05", **price)
        elif isinstance(more, bool):
            reply = await self.trader.order(kind, f"{D(number) / 1000}", reduceOnly=str(more).lower())
            after = await self.trader.held()
            if more and reply.status_code == 200:
                assert abs(after) < abs(before)
                assert after * before >= 0
        else:
            reply = await self.trader.order(kind, f"{D(number) / 1000}", price=f"{40_000 + 100 * more}")
        assert reply is None or reply.status_code == 200 or refusal(reply)[1] in {-2019, -2022, -4164, -4024, -4016}

    async def check(self) -> None:
        rows = await self.trader.asked("v1/userTrades", symbol="BTCUSDT", limit=1000)
        signed = [D(row["qty"]) if row["buyer"] else -D(row["qty"]) for row in rows]
        assert await self.trader.held() == sum(signed)
        income = await self.trader.income()
        assert await self.trader.wallet() == 10_000 + sum((amount for _, amount in income), Decimal(0))
        assert await self.trader.wallet() >= 0


@settings(max_examples=25, deadline=None)
@given(LEGS, st.lists(ORDERS, max_size=12), st.integers(0, 12))
async def test_the_wallet_is_its_start_and_all_income_whatever_is_done(
    moves: list[int], steps: list[tuple[Any, ...]], restart: int
) -> None:
    with TemporaryDirectory() as folder:
        story = Story(moves, Path(folder) / "paper.db")
        for step in [*steps[:restart], ("restart", 0, 0), *steps[restart:], ("wait", 90, 0)]:
            await story.play(step)
            await story.check()
        await story.trader.http.aclose()
        story.trader.exchange.close()
