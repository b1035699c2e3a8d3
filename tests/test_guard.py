"""The watch over what is held, on a beat of its own."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

import pytest

from tradebot.clock import SECOND, RealClock, SteppedClock
from tradebot.errors import JournalError, TradebotError, VenueUnreachable
from tradebot.guard import Guard
from tradebot.trading.desk import Outcome
from tradebot.trading.orders import OrderState
from tradebot.trading.positions import PositionState

from .conftest import MakeSettings

PRICES = {"BTCUSDT": Decimal(1)}


async def nothing() -> None:
    """What a venue does that answers at once."""


@dataclass
class Held:
    symbol: str = "BTCUSDT"
    state: PositionState = PositionState.OPEN


@dataclass
class Told:
    """An order as far as the guard looks at it."""

    intent: str = "stop-loss"
    side: str = "SELL"
    symbol: str = "BTCUSDT"
    state: OrderState = OrderState.FILLED


@dataclass
class Desk:
    """Notes the venue's time of each look at its positions."""

    clock: Any
    held: list[Held] = field(default_factory=lambda: [Held()])
    doubts: list[str] = field(default_factory=list)
    looks: list[tuple[int, bool]] = field(default_factory=list)
    work: Callable[[], Awaitable[None]] = nothing
    trouble: TradebotError | None = None

    def positions(self) -> Sequence[Held]:
        return self.held

    async def monitor(self, marks: Mapping[str, Decimal]) -> list[Outcome]:
        self.looks.append((self.clock.now(), bool(marks)))
        await self.work()
        if self.trouble:
            raise self.trouble
        return cast("list[Outcome]", [Told()])


@dataclass
class Marks:
    answer: Callable[[], Awaitable[None]] = nothing

    async def good_for(self, held: list[str]) -> Mapping[str, Decimal]:
        await self.answer()
        return PRICES


@dataclass
class Comparison:
    """Is due at a moment, and a minute after it was made; notes when that was."""

    clock: Any
    due_at: float = math.inf
    made: list[int] = field(default_factory=list)
    answer: Callable[[], Awaitable[None]] = nothing

    @property
    def due(self) -> bool:
        return bool(self.clock.now() >= self.due_at)

    def urgent(self, longest: int) -> bool:
        return bool(self.clock.now() >= self.due_at + longest)

    async def compare(self, universe: Sequence[str]) -> list[str]:
        self.due_at = math.inf
        await self.answer()
        self.made.append(self.clock.now() // SECOND)
        self.due_at = self.clock.now() + 60 * SECOND
        return [f"compared {len(self.made)}"]


@dataclass
class Scout:
    symbols: Sequence[str] = ("BTCUSDT",)

    async def universe(self) -> Scout:
        return self


@dataclass
class Session:
    clock: Any
    settings: Any
    scout: Scout = field(default_factory=Scout)


def guarding(
    make_settings: MakeSettings, clock: Any, desk: Desk, marks: Marks | None = None,
    comparison: Comparison | None = None, **run: float,
) -> Guard:  # fmt: skip
    settings = make_settings(**{f"run__{name}": value for name, value in run.items()})
    compared = comparison or Comparison(clock)
    return Guard(Session(clock, settings), desk, marks or Marks(), compared)  # type: ignore[arg-type]


async def test_on_a_clock_that_stands_the_passes_of_a_minute_are_made_one_by_one(make_settings: MakeSettings) -> None:
    clock = SteppedClock(60 * SECOND, drive=True)
    desk = Desk(clock)
    guard = guarding(make_settings, clock, desk, monitor_every_s=20)
    await guard.keep_until(120 * SECOND)
    assert [at // SECOND for at, _ in desk.looks] == [80, 100]
    assert clock.now() == 120 * SECOND
    assert len(guard.take().outcomes) == 2
    assert guard.take().outcomes == []


async def test_beats_that_are_jumped_over_are_not_made_up_for(make_settings: MakeSettings) -> None:
    clock = SteppedClock(0)
    desk = Desk(clock)
    waiting = asyncio.create_task(guarding(make_settings, clock, desk, monitor_every_s=10).keep_until(60 * SECOND))
    await asyncio.sleep(0)
    clock.advance(35 * SECOND)
    while len(desk.looks) < 1:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.advance(60 * SECOND)
    await waiting
    assert [at // SECOND for at, _ in desk.looks] == [35]


async def test_with_0_there_are_passes_in_cycles_only(make_settings: MakeSettings) -> None:
    clock = SteppedClock(0, drive=True)
    desk = Desk(clock)
    guard = guarding(make_settings, clock, desk, monitor_every_s=0)
    await guard.keep_until(60 * SECOND)
    await guard.keep()
    assert desk.looks == []
    assert (await guard.look()).marks == PRICES


async def test_who_holds_nothing_is_not_watched_between_cycles(make_settings: MakeSettings) -> None:
    clock = SteppedClock(0, drive=True)
    desk = Desk(clock, held=[])
    await guarding(make_settings, clock, desk).keep_until(60 * SECOND)
    assert desk.looks == []


async def test_the_beat_goes_on_while_a_cycle_waits_for_its_klines(make_settings: MakeSettings) -> None:
    clock = RealClock(start=0, speed=1_000.0)
    desk, seen = Desk(clock), asyncio.Event()

    async def third() -> None:
        if len(desk.looks) == 3:
            seen.set()

    desk.work = third
    guard = guarding(make_settings, clock, desk, monitor_every_s=10)
    keeping = asyncio.create_task(guard.keep())
    await asyncio.wait_for(seen.wait(), 20)
    guard.rest(keeping)
    await asyncio.gather(keeping, return_exceptions=True)
    assert keeping.done()


async def test_told_to_rest_a_pass_under_way_comes_to_its_end(make_settings: MakeSettings) -> None:
    clock = RealClock(start=0, speed=1_000.0)
    gate, inside = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        inside.set()
        await gate.wait()

    guard = guarding(make_settings, clock, Desk(clock, work=hang), monitor_every_s=10)
    keeping = asyncio.create_task(guard.keep())
    await inside.wait()
    guard.rest(keeping)
    gate.set()
    await asyncio.wait_for(keeping, 20)
    assert [order.symbol for order in guard.take().outcomes] == ["BTCUSDT"]


async def test_prices_that_do_not_come_in_time_keep_nothing_from_being_left(make_settings: MakeSettings) -> None:
    clock = SteppedClock(0)
    desk = Desk(clock)

    async def never() -> None:
        await asyncio.Event().wait()

    seen = await guarding(make_settings, clock, desk, Marks(never), fetch_deadline_s=0.05).look()
    assert desk.looks == [(0, False)]
    assert seen.warnings == ["no prices within 0.05 s"]
    assert seen.error is not None
    assert seen.error.exit_code == 3


async def test_trouble_is_told_and_the_first_error_counts(make_settings: MakeSettings) -> None:
    clock = SteppedClock(0, drive=True)

    async def down() -> None:
        raise VenueUnreachable("down")

    desk = Desk(clock, trouble=JournalError("disk full"), doubts=["a doubt"])
    guard = guarding(make_settings, clock, desk, Marks(down), monitor_every_s=20)
    await guard.keep_until(60 * SECOND)
    seen = guard.take()
    assert seen.warnings == ["down", "disk full"]
    assert isinstance(seen.error, VenueUnreachable)


async def test_a_bug_in_a_pass_comes_to_light(make_settings: MakeSettings) -> None:
    clock = SteppedClock(0, drive=True)

    async def bug() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await guarding(make_settings, clock, Desk(clock, work=bug)).keep_until(60 * SECOND)


async def test_the_account_is_compared_when_the_orders_of_a_cycle_are_out(make_settings: MakeSettings) -> None:
    clock = SteppedClock(0)
    comparison = Comparison(clock, due_at=0)
    guard = guarding(make_settings, clock, Desk(clock), comparison=comparison)
    guard.begin()
    await guard.look()
    guard.begin()
    guard.end()
    await guard.compared()
    assert comparison.made == [], "a cycle is still at work"
    guard.end()
    await guard.compared()
    assert comparison.made == [0]
    assert guard.take().warnings == ["compared 1"]


async def test_the_account_is_compared_at_a_beat_though_nothing_is_held(make_settings: MakeSettings) -> None:
    clock = SteppedClock(0, drive=True)
    comparison = Comparison(clock, due_at=15 * SECOND)
    await guarding(make_settings, clock, Desk(clock, held=[]), comparison=comparison).keep_until(60 * SECOND)
    assert comparison.made == [20]


async def test_a_clock_that_stands_is_not_moved_on_while_the_account_is_compared(make_settings: MakeSettings) -> None:
    clock = SteppedClock(0, drive=True)

    async def slow() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    comparison = Comparison(clock, due_at=0, answer=slow)
    guard = guarding(make_settings, clock, Desk(clock), comparison=comparison)
    guard.begin()
    guard.end()
    await guard.keep_until(60 * SECOND)
    assert comparison.made == [0]


async def test_no_pass_waits_for_a_comparison_that_gets_no_answer(make_settings: MakeSettings) -> None:
    clock = SteppedClock(0)
    desk = Desk(clock)
    comparison = Comparison(clock, due_at=0, answer=asyncio.Event().wait)  # type: ignore[arg-type]
    guard = guarding(make_settings, clock, desk, comparison=comparison)
    guard.begin()
    guard.end()
    guard.begin()
    await guard.look()
    assert len(desk.looks) == 1
    keeping = asyncio.create_task(guard.keep())
    guard.rest(keeping)
    (task,) = guard.tasks
    await asyncio.wait([task])
    assert task.cancelled()


async def test_exits_are_made_between_cycles_while_entries_wait_for_the_first_comparison(
    make_settings: MakeSettings,
) -> None:
    clock, answered = RealClock(start=0, speed=1_000.0), asyncio.Event()
    desk, seen = Desk(clock), asyncio.Event()

    async def third() -> None:
        if len(desk.looks) == 3:
            seen.set()

    desk.work = third
    comparison = Comparison(clock, due_at=-(10**9), answer=answered.wait)  # type: ignore[arg-type]
    guard = guarding(make_settings, clock, desk, comparison=comparison, monitor_every_s=10)
    guard.begin()
    looking = asyncio.create_task(guard.look())
    keeping = asyncio.create_task(guard.keep())
    await asyncio.wait_for(seen.wait(), 20)
    assert not looking.done()
    answered.set()
    assert (await looking).warnings == ["compared 1"]
    guard.rest(keeping)
    await asyncio.wait([keeping])


async def test_a_comparison_that_was_put_off_for_long_is_made_before_anything_is_entered(
    make_settings: MakeSettings,
) -> None:
    clock = SteppedClock(0)
    comparison = Comparison(clock, due_at=0)
    guard = guarding(make_settings, clock, Desk(clock), comparison=comparison, every_s=60)
    for minute, made in ((4, []), (5, [300]), (5, [300])):
        clock.advance(minute * 60 * SECOND)
        guard.begin()
        seen = await guard.look()
        assert comparison.made == made
    assert seen.warnings == []


async def test_a_bug_in_a_comparison_comes_to_light(make_settings: MakeSettings) -> None:
    clock = SteppedClock(0, drive=True)

    async def bug() -> None:
        raise ZeroDivisionError

    guard = guarding(make_settings, clock, Desk(clock), comparison=Comparison(clock, due_at=0, answer=bug))
    with pytest.raises(ZeroDivisionError):
        await guard.keep_until(60 * SECOND)
