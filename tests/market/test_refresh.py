"""What a refresh asks for, makes of it and hands out; how it is stored is in `test_store`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from supply import BARS, STEP, Desk, same

from tradebot.clock import MINUTE
from tradebot.errors import KlinesLate, MarketError, VenueBusy, VenueUnreachable
from tradebot.market.bars import Klines
from tradebot.market.chunks import Change, Chunks, Range
from tradebot.market.seals import BRIEF_S
from tradebot.market.store import KlineStore, Ready, Terms
from tradebot.market.ttl import Bounds

BOUNDS = Bounds(60.0, 300.0)


ALL = ("5m", "15m", "1h")


def truly(desk: Desk, series: list[Ready]) -> bool:
    """Whether every series is there and as the venue has it."""
    return all(
        ready.error is None and same(ready.klines, desk.window(ready.symbol, interval=ready.interval))
        for ready in series
    )


def asked(desk: Desk) -> list[str]:
    return [interval for _, interval, *_ in desk.venue.asked]


async def test_coarser_bars_are_made_of_finer_ones_and_one_request_is_all_that_a_close_costs(desk: Desk) -> None:
    assert truly(desk, await desk.refresh("AB", ALL))
    for _ in range(24):
        desk.pass_bars(1)
        assert truly(desk, await desk.refresh("AB", ALL))
        assert asked(desk) == ["5m", "5m"]
        assert all(same(desk.store.read("B", each), desk.since_stored("B", each)) for each in ALL)


async def test_a_coarse_series_tells_what_it_was_made_of_without_requests(desk: Desk) -> None:
    await desk.refresh("A", ALL)
    desk.pass_bars(3)
    ready = {one.interval: one for one in await desk.refresh("A", ALL)}
    assert (ready["5m"].new, ready["15m"].new, ready["1h"].new) == (3, 1, 0)
    assert (ready["5m"].requests, ready["15m"].requests) == (1, 0)


async def test_a_known_gap_in_the_finer_bars_makes_the_venue_be_asked(desk: Desk) -> None:
    await desk.refresh("A", ALL)
    desk.venue.holes = {desk.clock.now() // STEP * STEP}
    desk.pass_bars(3)
    assert truly(desk, await desk.refresh("A", ALL))
    assert asked(desk) == ["5m", "15m"]


async def test_after_a_pause_that_the_finer_window_does_not_reach_across_the_venue_is_asked(desk: Desk) -> None:
    await desk.refresh("A", ALL)
    desk.pass_bars(3 * BARS)
    assert truly(desk, await desk.refresh("A", ALL))
    assert sorted(asked(desk)) == ["15m", "1h", "5m"]


async def test_what_was_made_of_a_revised_bar_is_made_anew_and_reported(desk: Desk) -> None:
    await desk.refresh("A", ALL)
    newest = int(desk.window().open_time[-1])  # the last bar of an hour
    desk.venue.revised[newest] = 0.5
    desk.pass_bars(1)
    ready = {one.interval: one for one in await desk.refresh("A", ALL)}
    assert truly(desk, list(ready.values()))
    assert asked(desk) == ["5m", "5m"], "the overlap, and the whole window"
    assert [ready[each].revised.tolist() for each in ALL] == [[newest], [newest - 2 * STEP], [newest - 11 * STEP]]
    assert [ready[each].new for each in ALL] == [1, 0, 0]
    desk.reopen()
    assert truly(desk, await desk.refresh("A", ALL))
    assert asked(desk) == []


async def test_a_correction_that_was_interrupted_is_made_by_the_next_process(desk: Desk) -> None:
    await desk.refresh("A", ALL)
    desk.venue.revised[int(desk.window().open_time[-1])] = 0.5
    desk.pass_bars(1)
    async with aclosing(desk.store.refresh(desk.venue, desk.clock.now(), "A", ALL, BARS)) as arrivals:
        assert (await anext(arrivals)).interval == "5m"
    desk.reopen()
    assert truly(desk, await desk.refresh("A", ALL))


async def test_a_correction_by_another_process_is_seen(desk: Desk) -> None:
    await desk.refresh("A", ALL)
    desk.venue.revised[int(desk.window().open_time[-1])] = 0.5
    desk.pass_bars(1)
    with KlineStore(desk.folder, "test") as other:
        _ = [one async for one in other.refresh(desk.venue, desk.clock.now(), "A", ALL, BARS)]
    assert truly(desk, await desk.refresh("A", ALL))
    assert asked(desk) == []


async def test_coarse_bars_of_another_venue_are_fetched_anew_too(desk: Desk) -> None:
    await desk.refresh("A", ALL)
    desk.venue.seed = 99
    desk.pass_bars(1)
    assert truly(desk, await desk.refresh("A", ALL))
    assert asked(desk).count("1h") == 1


async def test_coarser_series_share_the_fate_of_the_finest(desk: Desk) -> None:
    await desk.refresh("A", ALL)
    desk.venue.faults["A"] = VenueUnreachable("cut off")
    desk.pass_bars(12)
    ready = await desk.refresh("A", ALL)
    assert [str(one.error) for one in ready] == ["cut off"] * 3
    assert asked(desk) == ["5m"]
    desk.venue.faults.clear()
    assert truly(desk, await desk.refresh("A", ALL))


async def test_intervals_that_are_no_multiples_are_fetched_on_their_own(desk: Desk) -> None:
    await desk.refresh("A", ("5m", "1h"))
    intervals = ("15m", "1h")
    await desk.refresh("A", intervals)
    desk.pass_bars(12)
    ready = await desk.refresh("A", intervals)
    assert truly(desk, ready)
    assert asked(desk) == ["15m"]


async def test_a_late_series_is_asked_again_on_its_own_while_the_others_go_on(desk: Desk) -> None:
    await desk.refresh("AB", ALL)
    desk.pass_bars(1)
    desk.venue.slow = {"B"}
    desk.venue.late = MINUTE
    arrived = []
    desk.venue.asked.clear()
    async for ready in desk.store.refresh(desk.venue, desk.clock.now(), "AB", ALL, BARS):
        arrived.append(ready)
        if len(arrived) == 3:
            assert {one.symbol for one in arrived} == {"A"}, "whole, and not held up"
            desk.venue.slow = set()
    assert truly(desk, arrived)
    assert [symbol for symbol, *_ in desk.venue.asked].count("A") == 1
    assert [symbol for symbol, *_ in desk.venue.asked].count("B") >= 2


async def test_one_that_does_not_come_is_handed_out_with_what_there_is_and_why(desk: Desk) -> None:
    await desk.refresh("AB")
    before = desk.window("B")
    desk.pass_bars(1)
    desk.venue.slow, desk.venue.late = {"B"}, MINUTE
    ready = {one.symbol: one for one in await desk.refresh("AB", patience_s=0.5)}
    assert ready["A"].error is None
    assert isinstance(ready["B"].error, KlinesLate)
    assert ready["B"].klines.open_time.tolist() == before.open_time.tolist()[1:]
    assert ready["B"].requests >= 2


async def test_the_deadline_ends_all_patience(desk: Desk) -> None:
    await desk.refresh("A")
    desk.pass_bars(1)
    desk.venue.slow, desk.venue.late = {"A"}, MINUTE
    (ready,) = await desk.refresh("A", deadline_s=0.3)
    assert isinstance(ready.error, KlinesLate)
    assert ready.requests <= 2
    assert len(asyncio.all_tasks()) == 1


async def test_a_market_that_stands_costs_less_and_less(desk: Desk) -> None:
    await desk.refresh("A", ALL)
    stands = desk.clock.now() // STEP * STEP
    desk.venue.holes = set(range(stands, stands + 100 * STEP, STEP))
    requests = 0
    for _ in range(60):
        desk.clock.advance(desk.clock.now() + MINUTE)
        ready = await desk.refresh("A", ALL, patience_s=0.0)
        requests += len(desk.venue.asked)
        late = [one.interval for one in ready if one.error]
        assert late[:1] == (["5m"] if desk.clock.now() >= stands + STEP else [])
    assert requests <= 12 + 4
    desk.venue.holes = set(range(stands, desk.clock.now() // STEP * STEP, STEP))
    desk.pass_bars(1)
    assert truly(desk, await desk.refresh("A", ALL))


async def test_a_page_that_was_cut_short_is_followed_by_the_next_one(desk: Desk) -> None:
    desk.venue.page = 7
    assert same((await desk.one()).klines, desk.window())
    assert len(desk.venue.asked) == 5


async def test_who_is_told_to_wait_asks_nothing_more_and_says_how_long(desk: Desk) -> None:
    await desk.refresh("C")
    busy = VenueBusy("its limit allows no request until 2018-01-20 00:00:47 UTC", wait_ms=47_000, status=429)
    desk.venue.faults["B"] = busy
    ready = {one.symbol: one for one in await desk.refresh("ABCDEFGH", workers=1)}
    assert [symbol for symbol, *_ in desk.venue.asked] == ["A", "B"]
    assert {symbol for symbol, one in ready.items() if one.error is None} == {"A", "C"}
    assert all(one.error is busy for symbol, one in ready.items() if symbol not in "AC")


async def test_whoever_reads_slowly_is_not_run_over(desk: Desk) -> None:
    symbols = "".join(chr(ord("A") + number) for number in range(26))
    stream = desk.store.refresh(desk.venue, desk.clock.now(), symbols, ["5m"], BARS, terms=Terms(3))
    async with aclosing(stream) as arrivals:
        await anext(arrivals)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(desk.venue.asked) <= 1 + 3 + 3, "one read, three waiting to be read, three more at hand"
        assert len([one async for one in arrivals]) == 25


async def test_what_had_come_by_the_deadline_is_handed_out_to_whoever_reads_slowly(desk: Desk) -> None:
    terms = Terms(2, deadline_s=0.05)
    stream = desk.store.refresh(desk.venue, desk.clock.now(), "ABCDEFGH", ["5m"], BARS, terms=terms)
    async with aclosing(stream) as arrivals:
        ready = [await anext(arrivals)]
        await asyncio.sleep(0.1)  # two wait to be read meanwhile, and two more are at hand
        ready += [one async for one in arrivals]
    assert [one.symbol for one in ready if one.error is None] == ["A", "B", "C", "D", "E"]
    assert {str(one.error) for one in ready[5:]} == {f"{symbol} 5m: no answer in time" for symbol in "FGH"}


async def test_the_open_bar_is_handed_out_where_it_is_wanted_and_never_stored(desk: Desk) -> None:
    ready = await desk.refresh("A", ALL, bounds=BOUNDS)
    for one in ready:
        assert same(one.still_open, desk.still_open(one.interval))
        assert same(one.klines, desk.window(interval=one.interval))
        assert same(desk.store.read("A", one.interval), desk.window(interval=one.interval))


async def test_it_lives_as_long_as_its_time_and_then_the_finest_alone_is_asked_for(desk: Desk) -> None:
    await desk.refresh("A", ALL, bounds=BOUNDS)
    shown = desk.still_open("1h")
    desk.clock.advance(desk.clock.now() + 59_000)
    ready = {one.interval: one for one in await desk.refresh("A", ALL, bounds=BOUNDS)}
    assert asked(desk) == []
    assert same(ready["1h"].still_open, shown)
    desk.clock.advance(desk.clock.now() + 1_000)
    desk.venue.revised[desk.clock.now() // STEP * STEP] = 0.25  # trades go on
    ready = {one.interval: one for one in await desk.refresh("A", ALL, bounds=BOUNDS)}
    assert asked(desk) == ["5m"]
    assert all(same(one.still_open, desk.still_open(each)) for each, one in ready.items())
    assert all(len(one.still_open) == 1 and not len(one.revised) for one in ready.values())


async def test_without_being_wanted_it_is_not_there(desk: Desk) -> None:
    await desk.refresh("A", ALL, bounds=BOUNDS)
    assert all(not len(one.still_open) for one in await desk.refresh("A", ALL))


async def test_next_due_is_when_a_refresh_asks_again(desk: Desk) -> None:
    def next_due(bounds: Bounds | None = None) -> int:
        return desk.store.next_due(desk.clock.now(), "AB", ALL, BARS, bounds)

    assert next_due() == desk.clock.now()
    await desk.refresh("AB", ALL)
    assert next_due() == (desk.clock.now() // STEP + 1) * STEP
    desk.clock.advance(next_due() - 1)
    await desk.refresh("AB", ALL)
    assert asked(desk) == []
    desk.clock.advance(next_due())
    assert next_due() == desk.clock.now()
    assert next_due(BOUNDS) == desk.clock.now()
    await desk.refresh("AB", ALL, bounds=BOUNDS)
    assert next_due(BOUNDS) == desk.clock.now() + 60_000, "a series too short to have a normal"
    desk.venue.late = MINUTE
    desk.clock.advance(next_due())
    await desk.refresh("AB", ALL, patience_s=0.0)
    assert desk.clock.now() < next_due() <= desk.clock.now() + 10_000


class Full:
    """Chunks on a disk that is full for a while."""

    def __init__(self, chunks: Chunks) -> None:
        self.full = True
        self.waits: list[float] = []
        self._chunks = chunks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chunks, name)

    def commit(self, changes: Iterable[Change], longest_s: float) -> None:
        self.waits.append(longest_s)
        if self.full:
            raise MarketError("kline store /data: database or disk is full")
        self._chunks.commit(changes)


class Damaged:
    """Chunks of which those of one interval cannot be read."""

    def __init__(self, chunks: Chunks, interval: str) -> None:
        self._chunks, self._interval = chunks, interval

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chunks, name)

    def load_many(self, ranges: Sequence[Range]) -> list[tuple[Klines, bool]]:
        found = self._chunks.load_many(ranges)
        return [
            (klines, sound and series[1] != self._interval)
            for (series, *_), (klines, sound) in zip(ranges, found, strict=True)
        ]


@pytest.mark.parametrize("interval", ALL)
async def test_a_series_that_is_damaged_on_disk_is_fetched_anew(desk: Desk, interval: str) -> None:
    await desk.refresh("AB", ALL)
    desk.reopen()
    desk.store._memory._chunks = Damaged(desk.store._chunks, interval)  # type: ignore[assignment]
    assert truly(desk, await desk.refresh("AB", ALL))
    assert asked(desk) == [interval] * 2


async def test_a_store_that_cannot_be_written_does_not_stop_the_look(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    disk = desk.store._memory._chunks = Full(desk.store._chunks)  # type: ignore[assignment]
    for _ in range(5):
        assert truly(desk, await desk.refresh("AB", ALL))
        desk.pass_bars(1)
        assert asked(desk) in (["5m", "5m"], list(ALL) * 2)
    trouble = desk.store.trouble
    assert "disk is full" in str(trouble)
    assert len([record for record in caplog.records if "full" in record.message]) == 1
    assert disk.waits == [BRIEF_S, 0.0, 0.0, 0.0, 0.0]  # who is in the way keeps the first cycle waiting only
    disk.full = False
    assert truly(desk, await desk.refresh("AB", ALL))
    assert desk.store.trouble is None
    desk.reopen()
    assert truly(desk, await desk.refresh("AB", ALL))
    assert asked(desk) == []
