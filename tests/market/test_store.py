"""The kline store and its refresh, over a feed and a clock written by hand."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from supply import BARS, STEP, T0, Desk, same

from tradebot.clock import MINUTE, SteppedClock, wall_ms
from tradebot.errors import BadReply, KlinesLate, MarketError, VenueUnreachable
from tradebot.market.bars import Klines, gaps
from tradebot.market.chunks import CHUNK, Change, Chunks
from tradebot.market.store import KlineStore, Stretch, Terms


async def test_the_first_refresh_asks_once_for_the_window_and_the_open_bar(desk: Desk) -> None:
    ready = await desk.one()
    assert same(ready.klines, desk.window())
    assert (ready.new, ready.requests, ready.error) == (BARS, 1, None)
    assert [limit for *_, limit in desk.venue.asked] == [BARS + 1]


async def test_nothing_is_asked_while_nothing_is_due(desk: Desk) -> None:
    await desk.refresh("ABC")
    desk.clock.advance(desk.clock.now() + STEP - 7_001)  # one ms before the next bar closes
    again = await desk.refresh("ABC")
    assert desk.venue.asked == []
    assert all(same(ready.klines, desk.window(ready.symbol)) and not ready.requests for ready in again)


async def test_a_bar_is_due_as_soon_as_it_has_closed(desk: Desk) -> None:
    await desk.refresh()
    newest = desk.window().open_time[-1]
    desk.clock.advance(desk.clock.now() + STEP - 7_000)
    ready = await desk.one()
    assert desk.venue.asked == [("A", "5m", newest, 3)]  # the overlap, the new bar and the open one
    assert (ready.new, same(ready.klines, desk.window())) == (1, True)


async def test_each_interval_is_due_on_its_own(desk: Desk) -> None:
    await desk.refresh("AB", ("5m", "1h"))
    desk.pass_bars(1)
    await desk.refresh("AB", ("5m", "1h"))
    assert {(symbol, interval) for symbol, interval, *_ in desk.venue.asked} == {("A", "5m"), ("B", "5m")}


async def test_what_was_missed_while_the_program_slept_is_asked_for_at_once(desk: Desk) -> None:
    await desk.refresh()
    desk.reopen()
    desk.pass_bars(7)
    ready = await desk.one()
    assert (ready.new, ready.requests, same(ready.klines, desk.window())) == (7, 1, True)
    assert len(desk.store.read("A", "5m")) == BARS + 7


async def test_a_pause_longer_than_the_window_fetches_the_window(desk: Desk) -> None:
    await desk.refresh()
    desk.pass_bars(100)
    ready = await desk.one()
    assert (ready.requests, same(ready.klines, desk.window())) == (1, True)
    assert gaps(desk.store.read("A", "5m"), "5m")


async def test_a_longer_window_is_fetched_whole(desk: Desk) -> None:
    await desk.refresh()
    ready = await desk.one(bars=3 * BARS)
    assert (ready.new, same(ready.klines, desk.window(bars=3 * BARS))) == (2 * BARS, True)
    assert not (await desk.one(bars=3 * BARS)).requests


async def test_a_longer_window_is_fetched_whole_also_when_a_bar_is_due(desk: Desk) -> None:
    await desk.refresh()
    desk.pass_bars(1)
    assert same((await desk.one(bars=3 * BARS)).klines, desk.window(bars=3 * BARS))


async def test_a_window_that_is_longer_than_what_is_in_memory_is_read_from_disk(desk: Desk) -> None:
    await desk.refresh(bars=600)
    desk.pass_bars(1)
    await desk.refresh()
    ready = await desk.one(bars=600)
    assert (ready.requests, same(ready.klines, desk.window(bars=600))) == (0, True)


async def test_a_young_symbol_has_what_there_is_and_is_not_asked_for_more(desk: Desk) -> None:
    desk.venue.listed = int(desk.window().open_time[-3])
    assert len((await desk.one()).klines) == 3
    desk.reopen()
    assert len((await desk.one()).klines) == 3
    assert desk.venue.asked == []


async def test_a_symbol_without_bars_is_ready_and_empty(desk: Desk) -> None:
    desk.venue.listed = 2 * T0
    ready = await desk.one()
    assert (len(ready.klines), ready.error) == (0, None)
    assert desk.store.stored() == []


async def test_a_hole_of_the_venue_is_known_and_not_asked_for_again(desk: Desk) -> None:
    hole = int(desk.window().open_time[-5])
    desk.venue.holes = {hole}
    assert gaps((await desk.one()).klines, "5m") == [(hole, hole)]
    await desk.refresh()
    assert desk.venue.asked == []


async def test_a_bar_that_the_venue_is_late_with_is_asked_for_again_alone(desk: Desk) -> None:
    await desk.refresh("AB")
    desk.pass_bars(1)
    newest = int(desk.window().open_time[-1])
    desk.venue.late = MINUTE
    for ready in await desk.refresh("AB", patience_s=0.0):
        assert isinstance(ready.error, KlinesLate)
        assert same(ready.klines, desk.window(ready.symbol).between(0, newest - 1))
    desk.clock.advance(desk.clock.now() + MINUTE)
    ready = await desk.refresh("AB")
    assert [one.new for one in ready] == [1, 1]
    assert desk.venue.asked[0][2] == newest - STEP


async def test_the_open_bar_is_never_stored(desk: Desk) -> None:
    await desk.refresh()
    assert desk.store.read("A", "5m").open_time[-1] + STEP <= desk.clock.now()


async def test_a_revised_bar_wins_and_is_reported(desk: Desk) -> None:
    await desk.refresh()
    newest = int(desk.window().open_time[-1])
    desk.venue.revised[newest] = 0.5
    desk.pass_bars(1)
    ready = await desk.one()
    assert ready.revised.tolist() == [newest]
    assert (ready.requests, same(ready.klines, desk.window())) == (2, True)
    desk.reopen()
    assert same((await desk.one()).klines, desk.window())


async def test_a_folder_of_another_venue_is_fetched_anew_and_its_history_dropped(desk: Desk) -> None:
    await desk.refresh(bars=400)
    desk.venue.seed = 99
    desk.pass_bars(1)
    ready = await desk.one()
    assert (ready.requests, len(ready.revised)) == (2, BARS - 1)
    assert same(ready.klines, desk.window())
    assert same(desk.store.read("A", "5m"), desk.window())


async def test_bars_from_after_the_venues_now_are_not_used(desk: Desk) -> None:
    await desk.refresh()
    desk.clock = SteppedClock(desk.clock.now() - 4 * STEP)
    desk.venue.clock = desk.clock
    assert same((await desk.one()).klines, desk.window())
    desk.reopen()
    assert same((await desk.one()).klines, desk.window())
    desk.clock.advance(desk.clock.now() + 9 * STEP)
    assert same((await desk.one()).klines, desk.window())


async def test_what_is_not_due_comes_first(desk: Desk) -> None:
    await desk.refresh("C")
    assert next(ready.symbol for ready in await desk.refresh("ABC")) == "C"


async def test_a_symbol_asked_for_twice_comes_once(desk: Desk) -> None:
    assert len(await desk.refresh("AA")) == 1
    assert len(await desk.refresh("AA")) == 1


async def test_a_failing_series_comes_with_its_error_and_the_others_go_on(desk: Desk) -> None:
    desk.venue.faults["B"] = VenueUnreachable("cut off")
    ready = {one.symbol: one for one in await desk.refresh("ABC")}
    assert str(ready["B"].error) == "cut off"
    assert (len(ready["B"].klines), ready["B"].requests) == (0, 1)
    assert same(ready["C"].klines, desk.window("C"))
    desk.venue.faults.clear()
    assert [(one.symbol, one.new) for one in await desk.refresh("ABC") if one.new] == [("B", BARS)]


async def test_a_series_that_fails_later_shows_what_was_there(desk: Desk) -> None:
    await desk.refresh()
    before = desk.window()
    desk.pass_bars(1)
    desk.venue.faults["A"] = BadReply("html")
    ready = await desk.one()
    assert ready.error is not None
    assert ready.klines.open_time.tolist() == before.open_time.tolist()[1:]


async def test_a_bug_in_a_feed_is_not_taken_for_a_failing_series(desk: Desk) -> None:
    desk.venue.faults["B"] = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        await desk.refresh("ABC")


async def test_requests_at_once_are_bounded(desk: Desk) -> None:
    await desk.refresh("ABCDEFGHIJ", workers=3)
    assert desk.venue.most == 3


async def test_what_is_not_there_by_the_deadline_comes_with_an_error(desk: Desk) -> None:
    await desk.refresh("A")
    desk.venue.gate.clear()
    ready = await desk.refresh("ABC", deadline_s=0.05, workers=1)
    assert [(one.symbol, one.error is None) for one in ready] == [("A", True), ("B", False), ("C", False)]
    assert desk.venue.at_once == 0
    assert str(ready[1].error) == "B 5m: no answer in time"


async def test_closing_the_iteration_abandons_the_rest_and_stores_what_came(desk: Desk) -> None:
    stream = desk.store.refresh(desk.venue, desk.clock.now(), list("ABCDEF"), ["5m"], BARS, terms=Terms(1))
    async with aclosing(stream) as arrivals:
        async for _ in arrivals:
            break
    assert desk.venue.at_once == 0
    assert ("A", "5m") in desk.store.stored()
    assert len(desk.store.stored()) < 6
    assert len(asyncio.all_tasks()) == 1


class Slow:
    """Chunks on a disk that does not write before it is let."""

    def __init__(self, inner: Chunks) -> None:
        self.inner, self.let, self.asked = inner, threading.Event(), threading.Event()

    def commit(self, changes: Iterable[Change], *longest: float) -> None:
        self.asked.set()
        self.let.wait(20)
        self.inner.commit(changes, *longest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def test_who_is_in_a_hurry_has_the_klines_before_they_are_stored(desk: Desk) -> None:
    disk = desk.store._memory._chunks = Slow(desk.store._chunks)  # type: ignore[assignment]
    assert [one.error for one in await desk.refresh("AB", later=True)] == [None, None]
    assert not disk.asked.wait(0.01), "the disk would keep the caller from its work"
    assert desk.store.next_due(desk.clock.now(), "AB", ["5m"], BARS) > desk.clock.now(), "nothing is asked for again"
    saving = asyncio.create_task(desk.store.saved())
    await asyncio.sleep(0)
    assert not saving.done()
    disk.let.set()
    await saving
    assert desk.store.stored() == [("A", "5m"), ("B", "5m")]


@pytest.mark.parametrize("begun", [True, False])
async def test_closing_stores_what_is_not_stored_yet(desk: Desk, begun: bool) -> None:
    disk = desk.store._memory._chunks = Slow(desk.store._chunks)  # type: ignore[assignment]
    await desk.refresh("AB", later=True)
    saving = asyncio.create_task(desk.store.saved() if begun else asyncio.sleep(0))
    await asyncio.sleep(0)
    threading.Timer(0.01, disk.let.set).start()
    desk.reopen()
    assert desk.store.stored() == [("A", "5m"), ("B", "5m")]
    await saving


async def test_what_cannot_be_stored_at_the_end_is_told_and_keeps_nobody_from_closing(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(Slow):
        def commit(self, changes: Iterable[Change], *longest: float) -> None:
            raise MarketError("the disk is full")

    desk.store._memory._chunks = Full(desk.store._chunks)  # type: ignore[assignment]
    await desk.refresh("AB", later=True)
    desk.reopen()
    assert desk.store.stored() == []
    assert caplog.messages == ["the disk is full; what is new is fetched again"]


async def test_what_was_put_off_is_stored_by_the_next_refresh(desk: Desk) -> None:
    await desk.refresh("AB", later=True)
    await desk.refresh("C")
    assert desk.store.stored() == [("A", "5m"), ("B", "5m"), ("C", "5m")]


async def test_cancelling_leaves_no_task_behind(desk: Desk) -> None:
    desk.venue.gate.clear()
    refreshing = asyncio.create_task(desk.refresh("ABC"))
    while desk.venue.at_once < 3:
        await asyncio.sleep(0)
    refreshing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await refreshing
    assert desk.venue.at_once == 0
    assert len(asyncio.all_tasks()) == 1


async def test_ranges_are_read_by_open_time(desk: Desk) -> None:
    await desk.refresh(bars=600)
    whole = desk.window(bars=600)
    times = whole.open_time
    assert same(desk.store.read("A", "5m"), whole)
    assert same(desk.store.read("A", "5m", int(times[100]), int(times[300])), whole.between(times[100], times[300]))
    assert same(desk.store.read("A", "5m", start=int(times[-1])), whole.last(1))
    assert same(desk.store.read("A", "5m", end=int(times[0])), Klines(whole.data[:, :1]))
    assert len(desk.store.read("A", "5m", start=2 * T0)) == 0
    assert len(desk.store.read("Z", "5m")) == 0


async def test_another_process_sees_what_is_stored_and_builds_on_it(desk: Desk) -> None:
    await desk.refresh("AB")
    with KlineStore(desk.folder, "test") as other:
        assert other.stored() == [("A", "5m"), ("B", "5m")]
        for _ in range(2):
            desk.pass_bars(1)
            await desk.refresh("AB")
            desk.venue.asked.clear()
            ready = [one async for one in other.refresh(desk.venue, desk.clock.now(), "AB", ["5m"], BARS)]
            assert desk.venue.asked == []
            assert all(same(one.klines, desk.window(one.symbol)) for one in ready)


async def test_two_processes_that_write_the_same_series_lose_nothing(desk: Desk) -> None:
    await desk.refresh()
    with KlineStore(desk.folder, "test") as other:
        desk.pass_bars(1)
        slow = other.refresh(desk.venue, desk.clock.now(), ["A"], ["5m"], BARS)
        assert (await anext(slow)).new == 1  # but not stored yet
        desk.pass_bars(2)
        await desk.refresh()
        await slow.aclose()
        assert same(other.read("A", "5m").last(BARS), desk.window())
    desk.reopen()
    assert not (await desk.one()).requests


async def test_venues_in_one_folder_do_not_mix(desk: Desk) -> None:
    await desk.refresh()
    with KlineStore(desk.folder, "other") as other:
        assert other.stored() == []
        assert len(other.read("A", "5m")) == 0


class Life:
    """What can happen to a store; each method is one event with a number to vary it."""

    def __init__(self, folder: Path) -> None:
        self.desk = Desk(folder)
        self.bars = BARS

    async def time_passes(self, number: int) -> None:
        self.desk.pass_bars(number)
        await self.desk.refresh("AB", bars=self.bars)

    async def another_process_goes_on(self, number: int) -> None:
        self.desk.reopen()
        await self.desk.refresh("AB", bars=self.bars)

    async def a_bar_will_be_missing(self, number: int) -> None:
        self.desk.venue.holes.add((self.desk.clock.now() // STEP + number) * STEP)

    async def the_newest_bar_is_revised(self, number: int) -> None:
        if len(stored := self.desk.store.read("A", "5m")):
            self.desk.venue.revised[int(stored.open_time[-1])] = number / 8

    async def one_symbol_fails(self, number: int) -> None:
        self.desk.venue.faults = {"B": VenueUnreachable("cut off")}
        await self.desk.refresh("AB", bars=self.bars)
        self.desk.venue.faults = {}

    async def the_program_is_stopped(self, number: int) -> None:
        stream = self.desk.store.refresh(
            self.desk.venue, self.desk.clock.now(), "AB", ["5m"], self.bars, terms=Terms(1)
        )
        async with aclosing(stream) as arrivals:
            async for _ in arrivals:
                break
        self.desk.reopen()

    async def more_bars_are_wanted(self, number: int) -> None:
        self.bars = BARS + number

    async def ends_as_the_truth(self) -> None:
        self.desk.pass_bars(1)
        for ready in await self.desk.refresh("AB", bars=self.bars):
            truth = self.desk.window(ready.symbol, self.bars)
            assert same(ready.klines, truth)
            if len(truth):
                assert same(self.desk.store.read(ready.symbol, "5m", start=int(truth.open_time[0])), truth)


EVENTS = [name for name in vars(Life) if not name.startswith("_") and name != "ends_as_the_truth"]


@example([("time_passes", 0), ("the_newest_bar_is_revised", 1), ("time_passes", 30), ("more_bars_are_wanted", 2)])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 30)), min_size=3, max_size=14))
def test_whatever_happens_the_store_ends_as_the_truth(events: list[tuple[str, int]]) -> None:
    async def live(folder: Path) -> None:
        life = Life(folder)
        for name, number in events:
            await getattr(life, name)(number)
        await life.ends_as_the_truth()
        life.desk.store.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(live(Path(folder)))


async def test_status_tells_ranges_bars_holes_bytes_and_age(desk: Desk) -> None:
    desk.venue.holes.add(desk.clock.now() // STEP * STEP - 5 * STEP)
    await desk.refresh("AB")
    one, other = desk.store.status()
    times = desk.window().open_time
    assert (one.symbol, one.interval, one.first, one.newest) == ("A", "5m", int(times[0]), int(times[-1]))
    assert (one.bars, one.missing, other.symbol) == (BARS - 1, 1, "B")
    assert one.spans == desk.store.spans("A", "5m")
    assert 0 < one.bytes + other.bytes < desk.store.size()
    assert 0 <= wall_ms() - one.written < MINUTE


async def test_bars_from_before_the_first_one_are_not_missing(desk: Desk) -> None:
    desk.venue.listed = desk.clock.now() // STEP * STEP - 3 * STEP
    await desk.refresh()
    (one,) = desk.store.status()
    assert (one.bars, one.missing) == (3, 0)


async def test_history_is_added_beside_what_is_kept_up_to_date(desk: Desk) -> None:
    await desk.refresh()
    newest = desk.window()
    start = int(newest.open_time[0]) - 2_000 * STEP
    page = desk.venue.truth("A", "5m", start, start + 999 * STEP)
    desk.store.add([Stretch(("A", "5m"), page, start, start + 999 * STEP)])
    between = (start + 1_000 * STEP, int(newest.open_time[0]) - STEP)
    assert desk.store.missing("A", "5m", start - STEP, int(newest.open_time[-1])) == (
        (start - STEP, start - STEP),
        between,
    )
    assert not (await desk.one()).requests  # the newest bars are still complete
    desk.pass_bars(1)
    assert ((await desk.one()).requests, desk.store.missing("A", "5m", *between)) == (1, (between,))
    rest = desk.venue.truth("A", "5m", *between)
    desk.store.add([Stretch(("A", "5m"), rest, *between)])
    assert len(desk.store.spans("A", "5m")) == 1
    assert same(desk.store.read("A", "5m"), desk.venue.truth("A", "5m", start, desk.clock.now() - STEP))


async def test_a_long_pause_leaves_the_old_bars_as_a_span_of_their_own(desk: Desk) -> None:
    await desk.refresh()
    before = desk.store.spans("A", "5m")
    desk.pass_bars(3 * BARS)
    await desk.refresh()
    window = desk.window().open_time
    assert desk.store.spans("A", "5m") == (*before, (int(window[0]), int(window[-1])))
    assert not (await desk.one()).requests


async def test_a_fresh_process_reads_what_is_stored_with_one_query(desk: Desk) -> None:
    await desk.refresh("ABCDEF", ("5m", "15m"))
    desk.reopen()
    queries: list[str] = []
    desk.store.stored()
    desk.store._chunks.entries._database.set_trace_callback(queries.append)
    ready = await desk.refresh("ABCDEF", ("5m", "15m"))
    assert len(ready) == 12
    assert all(one.interval == "15m" or same(one.klines, desk.window(one.symbol)) for one in ready)
    assert sum("FROM Cache" in query for query in queries) == 2  # the index and the rest


async def test_a_store_that_turns_out_to_be_damaged_begins_anew_with_the_next_refresh(desk: Desk) -> None:
    symbols = [f"{letter}{number}" for letter in "ABC" for number in range(20)]
    await desk.refresh(symbols)
    desk.store.close()
    path = desk.folder / "cache.db"
    content = path.read_bytes()
    path.write_bytes(content[: 8 * 4096] + bytes(len(content) - 8 * 4096))
    desk.store = KlineStore(desk.folder, "test")
    with pytest.raises(MarketError, match="malformed; it is set aside"):
        await desk.refresh(symbols)
    ready = await desk.refresh(symbols)
    assert all(each.error is None and same(each.klines, desk.window(each.symbol)) for each in ready)
    assert len(desk.store.stored()) == len(symbols)
    assert len(list((desk.folder / "aside").glob("*.db"))) == 1


async def test_pruning_takes_what_is_named_and_what_is_old(desk: Desk) -> None:
    await desk.refresh("AB", bars=3 * CHUNK)
    times = desk.window(bars=3 * CHUNK).open_time
    pruned = desk.store.prune([("B", "5m")], before=int(times[2 * CHUNK]))
    left = desk.store.read("A", "5m")
    assert pruned.series == 1
    assert pruned.bars == 6 * CHUNK - len(left)
    assert pruned.bytes > 0
    assert CHUNK <= len(left) < 2 * CHUNK
    assert desk.store.stored() == [("A", "5m")]
    assert not (await desk.one(bars=CHUNK)).requests
    assert (await desk.one(symbols="B")).new == BARS


async def test_many_series_are_read_in_the_order_asked_for(desk: Desk) -> None:
    await desk.refresh("ABC")
    series = [("C", "5m"), ("Z", "5m"), ("A", "5m")]
    start = int(desk.window().open_time[5])
    found = list(desk.store.read_many(series, start))
    assert [name for name, _ in found] == series
    assert same(found[0][1], desk.window("C").between(start, T0 * 2))
    assert [len(klines) for _, klines in found] == [BARS - 5, 0, BARS - 5]
