"""Rules and universe on their schedules, in one process and from one to the next."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from tradebot.clock import DAY, HOUR, MINUTE, SteppedClock
from tradebot.config import Universe as Wanted
from tradebot.errors import MarketError, UnknownName, VenueUnreachable
from tradebot.market.bars import Klines
from tradebot.market.memo import Memo
from tradebot.market.scout import RULES_MS, Scout
from tradebot.market.universe import Universe
from tradebot.market.venue import Instrument, Ticker

NOW = 1_748_876_400_000
TOP = Wanted(top=2)


class Market:
    """A venue of four symbols that counts what it is asked, and fails while it is down."""

    def __init__(self) -> None:
        self.rules = {name: Instrument(f"{name}USDT", name, "USDT", tick=Decimal("0.01")) for name in "ABCD"}
        self.volumes = {"AUSDT": 9.0, "BUSDT": 7.0, "CUSDT": 5.0, "DUSDT": 3.0}
        self.listed = dict.fromkeys(self.volumes, NOW - 900 * DAY)
        self.asked: Counter[str] = Counter()
        self.opened = 0
        self.down = False

    def _ask(self, what: str) -> None:
        self.asked[what] += 1
        if self.down:
            raise VenueUnreachable("the venue is down")

    async def instruments(self) -> Mapping[str, Instrument]:
        self._ask("rules")
        return {each.symbol: each for each in self.rules.values()}

    async def tickers(self) -> Mapping[str, Ticker]:
        self._ask("tickers")
        one = Decimal(1)
        return {symbol: Ticker(symbol, one, one, one, volume) for symbol, volume in self.volumes.items()}

    async def connect(self, requests: int) -> None:
        self.opened += requests

    async def klines(self, symbol: str, interval: str, start: int | None, limit: int) -> Klines:
        assert (interval, start, limit) == ("1d", 0, 1)
        self._ask(symbol)
        if symbol not in self.listed:
            return Klines.empty()
        return Klines(np.array([[self.listed[symbol]], *[[1.0]] * 9]))

    def halt(self, name: str) -> None:
        self.rules[name] = replace(self.rules[name], status="HALT")


class World:
    """A venue, its clock and a data folder that outlives the processes on it."""

    def __init__(self, folder: Path) -> None:
        self.market, self.clock, self.folder = Market(), SteppedClock(NOW), folder

    async def process(self, wanted: Wanted = TOP) -> Scout:
        scout = Scout(self.market, self.clock, wanted, Memo(self.folder, "venue"))  # type: ignore[arg-type]
        await scout.open()
        return scout

    def later(self, ms: int) -> None:
        self.clock.advance(self.clock.now() + ms)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_within_its_schedule_nothing_is_asked_again(world: World) -> None:
    scout = await world.process()
    assert (await scout.universe()).symbols == ("AUSDT", "BUSDT")
    world.later(59 * MINUTE)
    assert not scout.due
    assert (await scout.current()).symbols == ("AUSDT", "BUSDT")
    assert world.market.asked == {"rules": 1, "tickers": 1}


async def test_for_a_first_universe_connections_are_opened_meanwhile(world: World) -> None:
    scout = await world.process()
    assert scout.size == 0
    await scout.universe()
    assert scout.size == 2
    assert world.market.opened == TOP.top
    world.later(9 * HOUR)
    await scout.current()
    assert world.market.asked["tickers"] == 2
    assert world.market.opened == TOP.top, "who knows a universe has its klines"


async def test_a_process_a_minute_asks_as_seldom_as_one_that_goes_on(world: World) -> None:
    for _ in range(60):
        universe = await (await world.process()).current()
        assert universe.symbols == ("AUSDT", "BUSDT")
        world.later(MINUTE)
    assert world.market.asked == {"rules": 1, "tickers": 1}


async def test_what_is_kept_is_what_was_read(world: World) -> None:
    first, second = await world.process(), await world.process()
    assert first.instruments == second.instruments
    assert world.market.asked["rules"] == 1


async def test_other_settings_choose_a_universe_of_their_own(world: World) -> None:
    await (await world.process()).universe()
    assert (await (await world.process(Wanted(top=3))).universe()).symbols == ("AUSDT", "BUSDT", "CUSDT")
    assert world.market.asked == {"rules": 1, "tickers": 2}
    await (await world.process(Wanted(top=2, refresh_s=600))).universe()
    assert world.market.asked["tickers"] == 2, "how often is no other universe"


async def test_who_was_in_stays_from_one_process_to_the_next(world: World) -> None:
    await (await world.process()).universe()
    world.market.volumes["CUSDT"] = 8.0  # third becomes second
    world.later(HOUR)
    assert (await (await world.process()).current()).symbols == ("AUSDT", "BUSDT")
    assert world.market.asked["tickers"] == 2
    world.market.volumes["DUSDT"] = 8.5  # and the second fourth
    world.later(HOUR)
    universe = await (await world.process()).current()
    assert universe == Universe(("AUSDT", "DUSDT"), "USDT", {}, ("DUSDT",), {"BUSDT": "rank 4 by 24 h volume"})


async def test_changes_are_told_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    scout = await world.process()
    await scout.universe()
    world.market.halt("A")
    world.later(HOUR)
    new = await scout.refresh()
    assert new.left == {"AUSDT": "venue status HALT"}
    assert new.joined == ("CUSDT",)
    assert "AUSDT left: venue status HALT" in caplog.text
    assert await scout.universe() == Universe(("BUSDT", "CUSDT"), "USDT")
    assert await (await world.process()).universe() == Universe(("BUSDT", "CUSDT"), "USDT")


async def test_a_halted_symbol_leaves_with_the_rules_before_the_universe_is_due(world: World) -> None:
    scout = await world.process(Wanted(top=2, refresh_s=7 * 24 * 3600))
    await scout.universe()
    world.market.halt("A")
    world.later(RULES_MS)
    assert scout.due
    assert (await scout.refresh()).symbols == ("BUSDT",)
    assert world.market.asked == {"rules": 2, "tickers": 1}


async def test_a_fixed_list_needs_no_statistics_and_takes_a_symbol_back(world: World) -> None:
    scout = await world.process(Wanted(symbols=("BUSDT", "AUSDT")))
    await scout.universe()
    world.market.halt("A")
    world.later(HOUR)
    halted = await scout.refresh()
    assert (halted.symbols, halted.skipped) == (("BUSDT",), {"AUSDT": "venue status HALT"})
    world.market.rules["A"] = replace(world.market.rules["A"], status="TRADING")
    world.later(HOUR)
    assert (await scout.refresh()).symbols == ("BUSDT", "AUSDT")
    assert world.market.asked == {"rules": 3}


async def test_a_symbol_of_the_list_that_is_delisted_is_left_out_and_not_an_error(world: World) -> None:
    wanted = Wanted(symbols=("AUSDT", "BUSDT"))
    await (await world.process(wanted)).universe()
    del world.market.rules["B"]
    for _ in range(2):
        world.later(HOUR)
        universe = await (await world.process(wanted)).current()
        assert (universe.symbols, universe.skipped) == (("AUSDT",), {"BUSDT": "no longer listed"})


async def test_a_refresh_that_fails_keeps_all_and_is_due_again_soon_but_not_at_once(world: World) -> None:
    scout = await world.process()
    before = await scout.universe()
    world.market.down = True
    world.later(HOUR)
    waits = []
    for _ in range(8):
        with pytest.raises(VenueUnreachable):
            await scout.refresh()
        since = world.clock.now()
        while not scout.due:
            world.later(MINUTE)
        waits.append((world.clock.now() - since) // MINUTE)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    assert await scout.universe() == before
    assert len(scout.instruments) == 4
    world.market.down = False
    await scout.refresh()
    assert not scout.due


async def test_a_process_on_a_venue_that_is_down_goes_on_with_the_universe_of_before(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await (await world.process(Wanted(top=2, refresh_s=600))).universe()
    world.market.down = True
    world.later(30 * MINUTE)
    assert (await (await world.process(Wanted(top=2, refresh_s=600))).current()).symbols == ("AUSDT", "BUSDT")
    assert "the universe is the one of before: the venue is down" in caplog.text


async def test_rules_from_too_long_ago_are_not_taken_over(world: World) -> None:
    await world.process()
    world.market.down = True
    world.later(RULES_MS)
    with pytest.raises(VenueUnreachable):
        await world.process()


async def test_a_first_choice_that_fails_is_an_error(world: World) -> None:
    scout = await world.process()
    world.market.down = True
    with pytest.raises(VenueUnreachable):
        await scout.current()
    with pytest.raises(UnknownName):
        await (await world.process(Wanted(symbols=("EUSDT",)))).current()


async def test_rules_in_doubt_are_read_anew_also_by_a_later_process(world: World) -> None:
    scout = await world.process()
    await scout.universe()
    scout.doubt()
    assert not scout.due, "they were read in this very minute"
    world.later(2 * MINUTE)
    scout.doubt()
    assert scout.due
    assert scout.rules_age == 2 * MINUTE, "they are no older for being doubted"
    await world.process()
    assert world.market.asked["rules"] == 2
    await scout.refresh()
    assert not scout.due


async def test_rules_that_the_venue_contradicts_are_renewed_at_once_but_not_twice_in_a_minute(world: World) -> None:
    scout = await world.process()
    world.later(2 * MINUTE)
    await scout.renew()
    await scout.renew()
    assert (world.market.asked["rules"], scout.rules_age) == (2, 0)


async def test_a_process_that_reads_the_rules_anew_looks_at_the_universe_of_before_by_them(world: World) -> None:
    await (await world.process(Wanted(top=2, refresh_s=7 * 24 * 3600))).universe()
    world.market.halt("A")
    world.later(RULES_MS)
    scout = await world.process(Wanted(top=2, refresh_s=7 * 24 * 3600))
    assert scout.due
    assert (await scout.refresh()).left == {"AUSDT": "venue status HALT"}
    assert not scout.due
    assert world.market.asked == {"rules": 2, "tickers": 1}


async def test_a_venue_that_lists_others_now_is_chosen_from_anew(world: World) -> None:
    scout = await world.process()
    await scout.universe()
    world.market.rules = {"D": world.market.rules["D"], "C": world.market.rules["C"]}
    world.later(2 * MINUTE)
    scout.doubt()
    assert (await scout.refresh()).symbols == ("CUSDT", "DUSDT")


async def test_a_venue_that_has_begun_its_time_anew_is_asked_again(world: World) -> None:
    await (await world.process()).universe()
    world.clock = SteppedClock(NOW - 3 * DAY)
    assert (await world.process()).due
    assert world.market.asked["rules"] == 2


# --- age

OLD = Wanted(top=2, min_age_d=30.0)


async def test_the_young_are_left_out_and_only_who_would_be_in_is_asked(world: World) -> None:
    world.market.listed["AUSDT"] = NOW - 29 * DAY
    universe = await (await world.process(OLD)).universe()
    assert universe.symbols == ("BUSDT", "CUSDT")
    assert world.market.asked == {"rules": 1, "tickers": 1, "AUSDT": 1, "BUSDT": 1, "CUSDT": 1}


async def test_an_age_is_asked_once_and_grows(world: World) -> None:
    world.market.listed["AUSDT"] = NOW - 29 * DAY
    await (await world.process(OLD)).universe()
    world.later(DAY)
    universe = await (await world.process(OLD)).current()
    assert world.market.asked["AUSDT"] == world.market.asked["BUSDT"] == 1
    assert universe.symbols == ("BUSDT", "CUSDT"), "who is in keeps the place that somebody older now wants"


async def test_who_does_not_tell_the_age_is_left_out_until_it_does(world: World) -> None:
    first = world.market.listed.pop("AUSDT")
    scout = await world.process(OLD)
    assert (await scout.universe()).symbols == ("BUSDT", "CUSDT")
    world.market.listed["AUSDT"] = first
    world.market.volumes |= {"CUSDT": 0.1}
    world.later(HOUR)
    assert (await scout.refresh()).symbols == ("AUSDT", "BUSDT")


async def test_if_all_are_too_young_that_is_said(world: World) -> None:
    world.market.listed = dict.fromkeys(world.market.listed, NOW - DAY)
    with pytest.raises(MarketError, match=r"AUSDT: younger than universe.min_age_d = 30"):
        await (await world.process(OLD)).universe()
