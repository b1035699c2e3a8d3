"""Paper accounts of futures venues: what waits, funding and liquidation while nobody looks."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tradebot.clock import HOUR, MINUTE
from tradebot.market.venue import Side
from tradebot.paper_futures import PaperContracts
from tradebot.sim.futures.algo import Algos
from tradebot.sim.futures.engine import Futures
from tradebot.sim.futures.ledger import Algo, Placed, Range
from tradebot.sim.futures.positions import PositionSide
from tradebot.sim.futures.settings import Settings

from .test_paper import START, World

D = Decimal
BOTH = PositionSide.BOTH
ALL = Range(None, 1000, 0, 0, 2**62, newest=False)


class Margin(World):
    """A world of contracts: one coin held at 2000, its stop and its target 50 and 100 away."""

    def open(self) -> None:
        super().open()
        self.futures = Futures(self.exchange)
        self.account = PaperContracts(
            self.futures, self.exchange, self.marked, self.clock, ("1h", "5m"), patience_s=20.0
        )
        self.account.mark({"ETHUSDT": D(2000), "BTCUSDT": D(2000)})

    def close(self) -> None:
        self.futures.close()
        super().close()

    def hold(self, side: Side, symbol: str = "ETHUSDT", *, guarded: bool = True) -> None:
        sign, now = (1, -1)[side is Side.SELL], self.clock.now()
        Settings(self.futures).isolate(symbol, isolated=True)
        Settings(self.futures).leverage(symbol, 5)
        self.futures.place(Placed(0, symbol, f"in-{symbol}", side, BOTH, "MARKET", "GTC", D(1), D(0), now, now))
        for kind, away in (("STOP_MARKET", -50), ("TAKE_PROFIT_MARKET", 100)) if guarded else ():
            trigger = D(2000 + sign * away)
            algo = Algo(
                0, symbol, f"{kind}-{symbol}", side.opposite, BOTH, kind, "GTC", D(1), D(0), trigger, now, now,
                reduce_only=True,
            )  # fmt: skip
            Algos(self.futures).place(algo)

    def ends(self) -> list[tuple[str, int, Decimal]]:
        found = self.futures.trades(ALL, None)
        return [(each.symbol, each.time, each.price) for each in found if each.realized]

    def income(self, kind: str) -> list[int]:
        return [each.time for each in self.futures.income(ALL, kind)]


@pytest.fixture
def world(tmp_path: Path) -> Margin:
    return Margin(tmp_path)


@pytest.mark.parametrize(("side", "stop"), [(Side.BUY, D(1950)), (Side.SELL, D(2050))])
async def test_of_one_bar_the_stop_comes_first_at_its_time_and_price(world: Margin, side: Side, stop: Decimal) -> None:
    world.hold(side)
    world.close()
    bar = START + 2 * HOUR
    world.feed.lows[bar], world.feed.highs[bar] = 1000.0, 3000.0
    world.clock.advance(START + 5 * HOUR)
    world.open()
    assert await world.play() == []
    assert world.ends() == [("ETHUSDT", bar + 1, stop)]
    assert world.futures.at_stake() == set(), "the target found nothing to reduce"


@pytest.mark.parametrize("looks", [1, 5, 40])
async def test_in_one_go_or_in_many_all_comes_out_the_same(world: Margin, looks: int) -> None:
    world.hold(Side.SELL)
    world.hold(Side.BUY, "BTCUSDT", guarded=False)
    world.feed.lows[START + 9 * HOUR + 20 * MINUTE] = 1890.0
    for look in range(1, looks + 1):
        world.clock.advance(START + 20 * HOUR * look // looks)
        if look % 4 == 0:
            world.close()
            world.open()
        await world.play()
    assert world.ends() == [("ETHUSDT", START + 9 * HOUR + 20 * MINUTE + 1, D(1900))]
    paid = world.income("FUNDING_FEE")
    first = min(paid)
    assert sorted(paid)[:3] == [first, first, first + 8 * HOUR], "two until the one was closed"
    assert world.futures.ledger.wallet == D(10_000) + sum(each.amount for each in world.futures.income(ALL, None))


async def test_a_position_that_its_margin_does_not_carry_is_liquidated_then(world: Margin) -> None:
    world.hold(Side.BUY, guarded=False)
    world.close()
    world.feed.lows[START + 3 * HOUR] = 1500.0
    world.clock.advance(START + 4 * HOUR)
    world.open()
    await world.play()
    ((symbol, time, price),) = world.ends()
    assert (symbol, time) == ("ETHUSDT", START + 3 * HOUR + 1)
    assert 1600 < price < 1650
    assert world.futures.at_stake() == set()
