"""Whatever goes wrong at the exchange, and in whatever order, the store ends as its truth or knows the gap."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from random import Random

import httpx
import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from supply import BARS, Desk, Venue, same

from tradebot import config, sim
from tradebot.clock import HOUR, MINUTE, SteppedClock
from tradebot.market.bars import Klines, interval_ms, last_closed
from tradebot.market.binance import VENUES, BinanceClient
from tradebot.market.store import KlineStore, Ready, Terms
from tradebot.sim.app import create_app
from tradebot.sim.fault_data import UnknownFields
from tradebot.sim.fault_kinds import Dropped, Html, Limited, ServerError, Truncated
from tradebot.sim.fault_market import Halted, Holes, LateKlines, OffGrid, RevisedKline, Stalled
from tradebot.sim.fault_plan import Plan
from tradebot.sim.fault_prices import FaultyPrices
from tradebot.sim.fault_transport import FaultTransport
from tradebot.sim.faults import Fault
from tradebot.sim.prices import Synthetic

START = 1_748_876_400_000
NAMES = ("5m", "15m", "1h")
PASSING: dict[str, Fault] = {
    "late": LateKlines(seconds=30),
    "late by minutes": LateKlines(seconds=400, symbol=("BTCUSDT",)),
    "revised": RevisedKline(seconds=100, early_s=20),
    "revised after minutes": RevisedKline(seconds=250, early_s=200, symbol=("ETHUSDT",)),
    "truncated": Truncated(rate=0.5),
    "html": Html(rate=0.5),
    "lost": Dropped(rate=0.5),
    "error": ServerError(rate=0.5),
    "limited": Limited(rate=0.3, seconds=90),
    "fields": UnknownFields(),
}


class Bench:
    """A store over the client and the whole exchange in process; what passes and what stays can be set."""

    def __init__(self, folder: Path) -> None:
        keys = {"sim.symbols": 3, "sim.clock": "stepped", "data_dir": str(folder)}
        chosen = config.load(None, {key: ("test", value) for key, value in keys.items()}, {})
        self.folder = folder / "klines"
        self.clock = SteppedClock(START)
        self.plan = Plan()
        self.lasting: list[Fault] = []
        self.prices = FaultyPrices(Synthetic(1, 3), self.plan, self.clock)
        exchange = sim.open_exchange(chosen, self.clock, None, None)
        exchange.prices = self.prices
        inner = httpx.ASGITransport(create_app(exchange))
        transport = FaultTransport(inner, self.plan, self.clock)
        self.feed = BinanceClient(
            VENUES["binance"], clock=self.clock, transport=transport, base_url="http://sim", retries=0
        )
        self.store = KlineStore(self.folder, "sim")

    def under(self, passing: Sequence[str]) -> None:
        self.plan.replace([*self.lasting, *(PASSING[name] for name in passing)])

    def lasts(self, kind: str, minutes: int) -> None:
        """Something that leaves a mark in history for good, from now on."""
        now = self.clock.now() // MINUTE * MINUTE
        time = {"since": now, "until": now + minutes * MINUTE}
        made: dict[str, Callable[[], Fault]] = {
            "holes": lambda: Holes(rate=0.5, **time),
            "stalled": lambda: Stalled(**time),
            "halted": lambda: Halted(symbol=("BTCUSDT",), **time),
            "off-grid": lambda: OffGrid(offset_s=15, **time),
        }
        self.lasting.append(made[kind]())

    async def refresh(self, *, stop_after: int | None = None) -> list[Ready]:
        got: list[Ready] = []
        stream = self.store.refresh(
            self.feed, self.clock.now(), ["BTCUSDT", "ETHUSDT"], NAMES, BARS, terms=Terms(4, patience_s=0.0)
        )
        async with aclosing(stream) as arrivals:
            async for ready in arrivals:
                got.append(ready)
                if len(got) == stop_after:
                    break
        return got

    def truth(self, symbol: str, interval: str) -> Klines:
        now = self.clock.now()
        last = last_closed(interval, now)
        step = interval_ms(interval)
        return self.prices.klines(symbol, interval, last - (BARS - 1) * step, last + step - 1, now).closed(
            interval, now
        )

    def reopen(self) -> None:
        self.store.close()
        self.store = KlineStore(self.folder, "sim")


@contextmanager
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        found = Bench(Path(folder))
        yield found
        found.store.close()


STEPS = st.tuples(
    st.integers(1, 25),
    st.lists(st.sampled_from(sorted(PASSING)), max_size=3),
    st.sampled_from(["", "", "", "holes", "stalled", "halted", "off-grid"]),
    st.sampled_from(["", "", "stop", "reopen"]),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=1, max_size=8))
@example([(5, ["late", "revised"], "", ""), (5, ["late"], "", "reopen"), (10, ["revised"], "", "stop")])
@example([(5, [], "", ""), (5, [], "off-grid", ""), (25, ["revised"], "", "")])
def test_after_the_faults_the_store_is_as_the_truth(steps: list[tuple[int, list[str], str, str]]) -> None:
    async def live() -> None:
        with bench() as run:
            async with run.feed:
                for minutes, passing, lasting, end in steps:
                    if lasting:
                        run.lasts(lasting, 20)
                    run.under(passing)
                    await run.refresh(stop_after=2 if end == "stop" else None)
                    if end == "reopen":
                        run.reopen()
                    run.clock.advance(run.clock.now() + minutes * MINUTE)
                run.under([])
                for _ in range(14):  # what lasts ends, and each interval closes once
                    run.clock.advance((run.clock.now() // (5 * MINUTE) + 1) * 5 * MINUTE)
                    series = await run.refresh()
                for ready in series:
                    truth = run.truth(ready.symbol, ready.interval)
                    assert ready.error is None
                    assert same(ready.klines, truth), (ready.symbol, ready.interval)
                    first, last = int(truth.open_time[0]), int(truth.open_time[-1])
                    assert same(run.store.read(ready.symbol, ready.interval, first, last), truth)

    asyncio.run(live())


class Shuffled(Venue):
    """Answers in an order of its own."""

    def __init__(self, clock: SteppedClock, order: int) -> None:
        super().__init__(clock)
        self.luck = Random(order)

    async def klines(self, symbol: str, interval: str, start: int | None, limit: int) -> Klines:
        for _ in range(self.luck.randrange(20)):
            await asyncio.sleep(0)
        return await super().klines(symbol, interval, start, limit)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 9))
def test_any_order_of_replies_gives_the_same(order: int, passed: int, connections: int) -> None:
    async def outcome(order: int, connections: int) -> dict[str, bytes]:
        with tempfile.TemporaryDirectory() as folder:
            desk = Desk(Path(folder))
            desk.venue = Shuffled(desk.clock, order)
            out: dict[str, bytes] = {}
            for bars in (0, passed, 1):
                desk.pass_bars(bars)
                desk.venue.revised[int(desk.clock.now() // desk_step * desk_step - desk_step)] = bars / 8
                for ready in await desk.refresh("ABC", NAMES, workers=connections):
                    assert ready.error is None
                    figures = np.array([ready.new, len(ready.revised)]).tobytes()
                    out[f"{bars} {ready.symbol} {ready.interval}"] = ready.klines.to_bytes() + figures
            for symbol in "ABC":
                out |= {f"{symbol} {name}": desk.store.read(symbol, name).to_bytes() for name in NAMES}
            desk.store.close()
            return out

    desk_step = HOUR // 12
    assert asyncio.run(outcome(order, connections)) == asyncio.run(outcome(0, 50))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 9), st.integers(0, 1000), st.integers(1, 15))
def test_wherever_it_is_stopped_what_was_there_and_what_was_handed_out_stays(
    stop: int, order: int, passed: int
) -> None:
    async def live(folder: Path) -> None:
        desk = Desk(folder)
        desk.venue = Shuffled(desk.clock, order)
        await desk.refresh("AB", NAMES)
        before = {(s, name): desk.store.read(s, name) for s in "AB" for name in NAMES}
        desk.pass_bars(passed)
        handed = []
        terms = Terms(2)
        stream = desk.store.refresh(desk.venue, desk.clock.now(), "ABC", NAMES, BARS, terms=terms)
        async with aclosing(stream) as arrivals:
            async for ready in arrivals:
                handed.append(ready)
                if len(handed) > stop:
                    break
        desk.reopen()
        for series, klines in before.items():
            first, last = klines.open_time[[0, -1]].tolist()
            assert same(desk.store.read(*series, first, last), klines)
        for ready in handed:
            first, last = ready.klines.open_time[[0, -1]].tolist()
            assert same(desk.store.read(ready.symbol, ready.interval, first, last), ready.klines)
        desk.store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder)))
