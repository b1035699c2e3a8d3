"""Paper accounts of venues over the network: what happens while nobody looks happens at its time and price."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from tradebot.clock import HOUR, MINUTE, SteppedClock
from tradebot.errors import VenueUnreachable
from tradebot.market.bars import FIELDS, Klines, interval_ms
from tradebot.market.store import KlineStore
from tradebot.market.venue import Fill, Instrument, Order, OrderType, Side
from tradebot.paper import PaperAccount
from tradebot.session import open_session
from tradebot.sim.books import Slice
from tradebot.sim.engine import Exchange
from tradebot.sim.prices import Marked

from .conftest import MakeSettings, served
from .test_session import START as VENUE_START
from .test_session import remote

START = 1_760_000_400_000  # on the hour
D = Decimal
RULES = {
    name: Instrument(name, name.removesuffix("USDT"), "USDT", tick=D("0.01"), step=D("0.001"), min_quantity=D("0.001"))
    for name in ("ETHUSDT", "BTCUSDT")
}


class Past:
    """A feed of bars of 5 minutes, of which the test says the extremes; `calls` holds what was asked for."""

    def __init__(self, clock: SteppedClock) -> None:
        self.clock = clock
        self.lows: dict[int, float] = {}
        self.highs: dict[int, float] = {}
        self.broken = self.silent = False
        self.calls: list[tuple[str, str]] = []

    async def klines(self, symbol: str, interval: str, start: int | None, limit: int) -> Klines:
        self.calls.append((symbol, interval))
        if self.silent:
            await asyncio.Event().wait()
        if self.broken:
            raise VenueUnreachable("no answer")
        step = interval_ms(interval)
        opens = range(start or START, min((start or START) + limit * step, self.clock.now() + 1), step)
        data = np.zeros((len(FIELDS), len(opens)))
        data[0], data[5] = list(opens), 1e6
        data[1], data[4] = 2000, 2000
        data[2] = [max([2000, *(self.highs[t] for t in self.highs if o <= t < o + step)]) for o in opens]
        data[3] = [min([2000, *(self.lows[t] for t in self.lows if o <= t < o + step)]) for o in opens]
        return Klines(data)


class World:
    """A paper account whose process can end and begin again."""

    def __init__(self, folder: Path) -> None:
        self.clock = SteppedClock(START + MINUTE)
        self.feed = Past(self.clock)
        self.folder = folder
        self.store = KlineStore(folder / "klines", "far")
        self.patience_s = 20.0
        self.open()

    def open(self) -> None:
        self.marked = Marked(RULES)
        self.exchange = Exchange(
            self.marked, self.clock, self.folder / "paper.db", fee=D("0.001"), spread=D(0), start={"USDT": D(10_000)}
        )
        self.account = PaperAccount(self.exchange, self.marked, self.clock, ("1h", "5m"), patience_s=self.patience_s)

    def close(self) -> None:
        self.exchange.close()

    async def play(self) -> list[str]:
        return await self.account.play(self.feed, self.store)  # type: ignore[arg-type]

    def protect(self, symbol: str = "ETHUSDT") -> None:
        """Buy one coin and let it be guarded by a stop at 1950 and a target at 2100."""
        self.account.mark({symbol: D(2000)})
        self.exchange.place(Order(symbol, Side.BUY, f"in-{symbol}", quantity=D(1)))
        quantity = D("0.999")
        self.exchange.place_list(
            Order(symbol, Side.SELL, f"target-{symbol}", OrderType.LIMIT_MAKER, quantity, price=D(2100)),
            Order(symbol, Side.SELL, f"stop-{symbol}", OrderType.STOP_LOSS, quantity, stop_price=D(1950)),
            f"guard-{symbol}",
        )

    def exits(self, symbol: str = "ETHUSDT") -> list[Fill]:
        return [fill for fill in self.exchange.trades(Slice(symbol)) if fill.side is Side.SELL]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_stop_is_carried_out_at_the_bar_that_went_through_it_while_all_slept(world: World) -> None:
    world.protect()
    world.close()
    bar = START + 2 * HOUR + 35 * MINUTE
    world.feed.lows[bar] = 1900.0
    world.clock.advance(START + 9 * HOUR)
    world.open()
    assert await world.play() == []
    (fill,) = world.exits()
    assert (fill.time, fill.price) == (bar + 1, 1950)
    assert world.exchange.open_orders() == []


async def test_what_came_first_counts_and_of_one_bar_the_stop(world: World) -> None:
    world.protect("ETHUSDT")
    world.protect("BTCUSDT")
    world.close()
    world.feed.highs[START + HOUR] = 2200.0
    world.feed.lows[START + HOUR] = 1900.0
    world.feed.lows[START + 2 * HOUR] = 1800.0
    world.clock.advance(START + 3 * HOUR)
    world.open()
    await world.play()
    assert [(fill.time, fill.price) for fill in world.exits()] == [(START + HOUR + 1, 1950)]
    assert len(world.exits("BTCUSDT")) == 1


@pytest.mark.parametrize("looks", [1, 4, 36])
async def test_in_one_go_or_bar_by_bar_the_fills_are_the_same(world: World, looks: int) -> None:
    world.protect("ETHUSDT")
    world.protect("BTCUSDT")
    world.feed.highs[START + 40 * MINUTE] = 2101.0
    world.feed.lows[START + 115 * MINUTE] = 1000.0
    for look in range(1, looks + 1):
        world.clock.advance(START + 3 * HOUR * look // looks)
        if look % 3 == 0:
            world.close()
            world.open()
        await world.play()
    found = [(fill.symbol, fill.time, fill.price, fill.quantity) for name in RULES for fill in world.exits(name)]
    sold = D("0.999")
    assert found == [(name, START + 40 * MINUTE + 1, D(2100), sold) for name in ("ETHUSDT", "BTCUSDT")]


async def test_bars_that_are_stored_are_not_asked_for_again(world: World) -> None:
    world.protect()
    world.clock.advance(START + HOUR)
    await world.play()
    assert world.feed.calls == [("ETHUSDT", "5m")]
    world.clock.advance(START + HOUR + MINUTE)
    await world.play()
    assert len(world.feed.calls) == 1, "no bar has closed since"


async def test_without_orders_nothing_is_asked_for(world: World) -> None:
    world.clock.advance(START + HOUR)
    assert await world.play() == []
    assert world.feed.calls == []


async def test_of_a_long_sleep_coarser_bars_are_played(world: World) -> None:
    world.protect()
    world.clock.advance(START + 40 * 24 * HOUR)
    world.feed.lows[START + 30 * 24 * HOUR] = 1000.0
    await world.play()
    assert {interval for _, interval in world.feed.calls} == {"15m"}
    assert [fill.price for fill in world.exits()] == [1950]


async def test_what_cannot_be_had_is_told_and_played_when_it_can(world: World) -> None:
    world.protect()
    world.feed.lows[START + HOUR] = 1900.0
    world.clock.advance(START + 2 * HOUR)
    world.feed.broken = True
    (line,) = await world.play()
    assert "ETHUSDT" in line
    assert world.exits() == []
    world.feed.broken = False
    world.clock.advance(START + 3 * HOUR)
    assert await world.play() == []
    assert [fill.time for fill in world.exits()] == [START + HOUR + 1]


async def test_a_venue_that_is_silent_is_waited_for_no_longer_than_said(world: World) -> None:
    world.protect()
    world.close()
    bar = START + 35 * MINUTE
    world.feed.lows[bar], world.feed.silent = 1900.0, True
    world.clock.advance(START + HOUR)
    world.patience_s = 0.01
    world.open()
    (told,) = await world.play()
    assert "ETHUSDT: the paper account has not seen all prices: its klines did not come within 0.01 s" in told
    world.feed.silent = False
    assert await world.play() == []
    assert [fill.time for fill in world.exits()] == [bar + 1]


async def test_a_session_plays_the_time_that_it_slept_before_anything_is_asked(make_settings: MakeSettings) -> None:
    async with served(make_settings()) as url:
        settings = remote(make_settings, url)
        async with open_session(settings, trading=True) as session:
            assert session.broker is not None
            session.mark(await session.feed.prices())
            bought = await session.broker.submit(Order("BTCUSDT", Side.BUY, "in", quote_quantity=D(1000)))
            tick = session.instruments["BTCUSDT"].tick
            near = (bought.average * D("0.999") // tick) * tick
            quantity = bought.executed - sum(fill.fee for fill in bought.fills)
            quantity -= quantity % session.instruments["BTCUSDT"].step
            stop = Order("BTCUSDT", Side.SELL, "out", OrderType.STOP_LOSS, quantity, stop_price=near)
            await session.broker.submit(stop)
            await session.feed.sim_advance(VENUE_START + 12 * HOUR)
        async with open_session(settings, trading=True) as session:
            assert session.broker is not None
            (fill,) = [f for f in await session.broker.trades("BTCUSDT", VENUE_START) if f.side is Side.SELL]
            bars = await session.feed.klines("BTCUSDT", "5m", VENUE_START, 144)
            through = bars.open_time[(bars.data[3] <= float(near)) & (bars.open_time > VENUE_START)]
            assert fill.time in {through[0], through[0] + 1}
