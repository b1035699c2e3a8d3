"""Fetching history, over a venue and a shelf written by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.clock import DAY, HOUR, MINUTE, SteppedClock
from tradebot.errors import BadReply, MarketError, VenueBusy, VenueRejected, VenueUnreachable
from tradebot.market.bars import Klines, aggregate, interval_ms, merge
from tradebot.market.chunks import Stretch
from tradebot.market.coverage import Span
from tradebot.market.history import History, Tally, finer, joined, made_from, span_of
from tradebot.market.venue import Feed

T0 = 1_516_406_400_000  # 2018-01-20
NOW = T0 + 10 * DAY + 7_000


class Venue(Feed):
    """One minute bars by formula, coarser ones made of them; with a listing date, an end, holes and faults."""

    def __init__(self, clock: SteppedClock) -> None:
        self.clock = clock
        self.listed, self.ended = 0, 2**53
        self.holes: set[int] = set()
        self.faults: list[MarketError | None] = []
        self.refuses: dict[str, MarketError] = {}
        self.asked: list[tuple[str, str, int, int]] = []
        self.stops_after = 2**53

    def minutes(self, first: int, last: int) -> Klines:
        first, last = max(first, self.listed), min(last, self.ended, self.clock.now())
        opens = np.array([t for t in range(-(-first // MINUTE) * MINUTE, last + 1, MINUTE) if t not in self.holes])
        data = np.empty((10, len(opens)))
        data[0] = opens
        data[1:] = np.arange(1, 10)[:, None] * 0.01 + (opens // MINUTE % 997) / 8
        return Klines(data)

    def truth(self, interval: str, first: int, last: int) -> Klines:
        return aggregate(self.minutes(first, last + interval_ms(interval) - 1), interval).between(first, last)

    async def klines(self, symbol: str, interval: str, start: int | None, limit: int) -> Klines:
        assert start is not None
        self.asked.append((symbol, interval, start, limit))
        await asyncio.sleep(0)
        if len(self.asked) > self.stops_after:
            await asyncio.Event().wait()
        if symbol in self.refuses:
            raise self.refuses[symbol]
        if self.faults and (fault := self.faults.pop(0)):
            raise fault
        step = interval_ms(interval)
        begin = max(-(-start // step) * step, self.listed // step * step)
        while True:  # over holes, however long
            found = self.truth(interval, begin, begin + 2 * limit * step)
            if len(found) or begin > min(self.clock.now(), self.ended):
                return Klines(found.data[:, :limit])
            begin += 2 * limit * step


class MemoryShelf:
    """Keeps stretches as they are told; nothing that is claimed may be untrue."""

    def __init__(self) -> None:
        self.bars: dict[tuple[str, str], Klines] = {}
        self.known: dict[tuple[str, str], set[int]] = {}
        self.kept: list[list[Stretch]] = []

    def missing(self, symbol: str, interval: str, start: int, end: int) -> list[Span]:
        step, known = interval_ms(interval), self.known.get((symbol, interval), set())
        places = [t for t in range(start, end + 1, step) if t not in known]
        return [(t, t) for t in places] if len(places) < 3 else list(_runs(places, step))

    def read(self, symbol: str, interval: str, start: int | None = None, end: int | None = None) -> Klines:
        return self.bars.get((symbol, interval), Klines.empty()).between(start or 0, 2**53 if end is None else end)

    def add(self, stretches: Iterable[Stretch]) -> None:
        self.kept.append(list(stretches))
        for series, klines, since, last in self.kept[-1]:
            self.bars[series] = merge(self.bars.get(series, Klines.empty()), klines)[0]
            self.known.setdefault(series, set()).update(range(since, last + 1, interval_ms(series[1])))


def _runs(places: list[int], step: int) -> list[Span]:
    borders = [i for i, (a, b) in enumerate(pairwise(places), 1) if b - a > step]
    parts = np.split(np.array(places), borders)
    return [(int(part[0]), int(part[-1])) for part in parts]


class Desk:
    def __init__(self) -> None:
        self.clock = SteppedClock(NOW, drive=True)
        self.venue, self.shelf = Venue(self.clock), MemoryShelf()
        self.tallies: list[str] = []

    def history(self, **options: object) -> History:
        return History(self.venue, self.clock, self.shelf, seen=self.see, pauses_s=(0, 0, 0), **options)  # type: ignore[arg-type]

    def see(self, tally: Tally) -> None:
        assert 0 <= tally.done <= tally.bars
        self.tallies.append(tally.waiting)

    async def fetch(self, *intervals: str, symbols: str = "A", first: int = T0, last: int = T0 + 5 * DAY) -> History:
        self.venue.asked.clear()
        history = self.history()
        spans = {(s, i): (first, last // interval_ms(i) * interval_ms(i)) for s in symbols for i in intervals}
        await history.fetch(spans)
        return history

    def check(self, interval: str, first: int = T0, last: int = T0 + 5 * DAY, symbol: str = "A") -> None:
        """All that the shelf claims is so."""
        stored = self.shelf.read(symbol, interval)
        known = sorted(self.shelf.known.get((symbol, interval), ()))
        truth = self.venue.truth(interval, first, last)
        claimed = truth.data[:, np.isin(truth.data[0], known)]
        assert np.array_equal(stored.between(first, last).data, claimed)

    def whole(self, interval: str, first: int = T0, last: int = T0 + 5 * DAY, symbol: str = "A") -> None:
        assert self.shelf.missing(symbol, interval, first, last // interval_ms(interval) * interval_ms(interval)) == []
        self.check(interval, first, last, symbol)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_all_of_a_range_comes_with_one_request_a_page(desk: Desk) -> None:
    history = await desk.fetch("1m")
    desk.whole("1m")
    assert len(desk.venue.asked) == 8  # 7,201 bars
    assert history.new == {("A", "1m"): 7201}
    assert (history.tally.bars, history.tally.done, history.tally.rows) == (7201, 7201, 7201)


async def test_what_is_stored_is_not_asked_for_again(desk: Desk) -> None:
    await desk.fetch("1m", first=T0 + DAY, last=T0 + 2 * DAY)
    history = await desk.fetch("1m")
    desk.whole("1m")
    assert all(not T0 + DAY < start < T0 + 2 * DAY for _, _, start, _ in desk.venue.asked)
    assert history.new == {("A", "1m"): 7201 - 1441}
    await desk.fetch("1m")
    assert desk.venue.asked == []


async def test_pages_before_the_listing_are_not_asked_one_by_one(desk: Desk) -> None:
    desk.venue.listed = T0 + 4 * DAY
    await desk.fetch("1m")
    desk.whole("1m")
    assert len(desk.venue.asked) == 1 + 2


async def test_pages_after_the_end_are_not_asked_one_by_one(desk: Desk) -> None:
    desk.venue.ended = T0 + DAY
    history = desk.history(connections=1)
    await history.fetch({("A", "1m"): (T0, T0 + 5 * DAY)})
    desk.whole("1m")
    assert len(desk.venue.asked) == 2 + 2, "nothing is believed when it was said twice"


async def test_one_empty_reply_is_no_end(desk: Desk) -> None:
    class Once(Venue):
        async def klines(self, symbol: str, interval: str, start: int | None, limit: int) -> Klines:
            found = await super().klines(symbol, interval, start, limit)
            return Klines.empty() if len(self.asked) % 3 == 0 else found

    desk.venue = Once(desk.clock)
    await desk.fetch("1m")
    desk.whole("1m")


async def test_holes_are_known_and_not_asked_for_again(desk: Desk) -> None:
    desk.venue.holes = set(range(T0 + HOUR, T0 + 3 * DAY, MINUTE)) | {T0 + 4 * DAY + n * 7 * MINUTE for n in range(9)}
    await desk.fetch("1m")
    desk.whole("1m")
    await desk.fetch("1m")
    assert desk.venue.asked == []


async def test_only_closed_bars_are_taken(desk: Desk) -> None:
    span = span_of("1h", T0, 2**53, NOW)
    assert span == (T0, T0 + 10 * DAY - HOUR)
    await desk.fetch("1h", last=span[1])
    assert desk.shelf.read("A", "1h").open_time[-1] == span[1]


async def test_what_closed_just_now_and_is_not_there_is_not_claimed(desk: Desk) -> None:
    desk.venue.ended = T0 + 10 * DAY - 3 * MINUTE
    await desk.fetch("1m", first=T0 + 10 * DAY - HOUR, last=T0 + 10 * DAY - MINUTE)
    assert desk.shelf.missing("A", "1m", T0 + 10 * DAY - HOUR, T0 + 10 * DAY - MINUTE) == [
        (T0 + 10 * DAY - MINUTE,) * 2
    ]


async def test_a_page_of_which_nothing_has_come_yet_is_not_claimed_at_all(desk: Desk) -> None:
    desk.venue.ended = T0
    history = await desk.fetch("1m", first=T0 + 10 * DAY - MINUTE, last=T0 + 10 * DAY - MINUTE)
    assert (desk.shelf.kept, history.errors) == ([], {})


async def test_a_venue_that_tells_what_was_not_asked_for_is_not_asked_for_ever(desk: Desk) -> None:
    class Stubborn(Venue):
        async def klines(self, symbol: str, interval: str, start: int | None, limit: int) -> Klines:
            return await super().klines(symbol, interval, T0, 10)

    desk.venue = Stubborn(desk.clock)
    await asyncio.wait_for(desk.fetch("1m", last=T0 + HOUR), 5)
    assert len(desk.shelf.read("A", "1m")) == 10


async def test_coarser_intervals_are_made_and_equal_the_venues(desk: Desk) -> None:
    desk.venue.holes = {T0 + 2 * DAY + 3 * MINUTE, T0 + 4 * DAY}
    history = await desk.fetch("1m", "5m", "1h", "1d")
    for interval in ("1m", "5m", "1h", "1d"):
        desk.whole(interval)
    coarse = [(interval, start) for _, interval, start, _ in desk.venue.asked if interval != "1m"]
    assert {interval for interval, _ in coarse} <= {"5m", "1h", "1d"}
    assert len(coarse) <= 5, "only what a hole has swallowed"
    assert history.tally.made > 1_500


async def test_scattered_holes_cost_a_page_and_not_a_request_each(desk: Desk) -> None:
    desk.venue.holes = {T0 + n * 97 * MINUTE for n in range(60)}
    await desk.fetch("1m", "5m")
    desk.whole("5m")
    assert len([1 for _, interval, _, _ in desk.venue.asked if interval == "5m"]) <= 3


async def test_a_venue_that_is_busy_is_waited_for_and_that_is_said(desk: Desk) -> None:
    desk.venue.faults = [None, None, VenueBusy("slow down", wait_ms=23_000, status=429)]
    await desk.fetch("1m")
    desk.whole("1m")
    assert "waiting 23 s for the venue's limit" in desk.tallies
    assert desk.tallies[-1] == ""
    assert desk.clock.now() >= NOW + 23_000


async def test_what_came_in_is_stored_before_waiting(desk: Desk) -> None:
    desk.venue.faults = [None] * 4 + [VenueBusy("slow down", wait_ms=23_000, status=429)]
    history = desk.history(connections=1)
    kept: list[int] = []
    desk.see = lambda tally: kept.append(len(desk.shelf.kept)) if tally.waiting else None  # type: ignore[method-assign]
    history = desk.history(connections=1)
    await history.fetch({("A", "1m"): (T0, T0 + 5 * DAY)})
    assert kept[-1] == 1


async def test_a_long_ban_is_not_sat_out(desk: Desk) -> None:
    desk.venue.faults = [None, VenueBusy("banned", wait_ms=2 * HOUR, status=418)]
    history = await desk.fetch("1m")
    assert str(history.errors["A", "1m"]) == "banned"
    desk.check("1m")
    assert desk.clock.now() == NOW


async def test_faults_that_pass_are_passed(desk: Desk) -> None:
    desk.venue.faults = [VenueUnreachable("cut off"), None, BadReply("html"), VenueUnreachable("timed out")]
    history = await desk.fetch("1m")
    assert history.errors == {}
    desk.whole("1m")
    assert "cut off; again in 0 s" in desk.tallies


async def test_a_series_that_cannot_be_had_does_not_hold_up_the_others(desk: Desk) -> None:
    desk.venue.refuses = {"B": VenueRejected("no such symbol", code=-1121, status=400), "C": BadReply("html")}
    history = await desk.fetch("1m", symbols="ABC")
    assert {series: str(error) for series, error in history.errors.items()} == {
        ("B", "1m"): "no such symbol",
        ("C", "1m"): "html",
    }
    desk.whole("1m")
    assert len([1 for symbol, *_ in desk.venue.asked if symbol == "B"]) == 1
    assert len([1 for symbol, *_ in desk.venue.asked if symbol == "C"]) == 1 + 3


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 8), st.booleans())
def test_whenever_it_is_stopped_the_store_knows_what_it_has(requests: int, connections: int, holes: bool) -> None:
    async def stopped() -> None:
        desk = Desk()
        desk.venue.holes = {T0 + n * 97 * MINUTE for n in range(60)} if holes else set()
        desk.venue.listed = T0 + HOUR
        desk.venue.stops_after = requests
        spans = {("A", i): (T0, T0 + 5 * DAY) for i in ("1m", "5m")}
        task = asyncio.create_task(desk.history(connections=connections).fetch(spans))
        for _ in range(400):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        desk.check("1m")
        desk.check("5m")
        had = len(desk.shelf.read("A", "1m"))
        desk.venue.stops_after = 2**53
        history = await desk.fetch("1m", "5m")
        desk.whole("1m")
        desk.whole("5m")
        assert history.new.get(("A", "1m"), 0) == 7201 - 60 - len(desk.venue.holes - {T0}) - had

    asyncio.run(stopped())


async def test_a_store_that_fails_ends_it(desk: Desk) -> None:
    class Full(MemoryShelf):
        def add(self, stretches: Iterable[Stretch]) -> None:
            raise MarketError("no space left")

    desk.shelf = Full()
    with pytest.raises(MarketError, match="no space left"):
        await desk.fetch("1m", last=T0 + 60 * DAY, first=T0)


def test_the_span_of_an_interval_begins_on_its_grid() -> None:
    assert span_of("1h", T0 + 1, T0 + 5 * HOUR, NOW) == (T0 + HOUR, T0 + 4 * HOUR)
    assert span_of("1h", T0, T0 + 5 * HOUR + 1, NOW) == (T0, T0 + 5 * HOUR)
    assert span_of("1h", NOW, 2**53, NOW) is None
    assert span_of("1w", T0, 2**53, NOW) == (T0 + 2 * DAY,) * 2


def test_ranges_that_fit_in_one_page_are_asked_for_together() -> None:
    assert list(joined([(0, 1), (3, 4), (8, 20), (21, 22)], 4)) == [(0, 4), (8, 20), (21, 22)]
    assert list(joined([], 4)) == []


@pytest.mark.parametrize(
    ("interval", "among", "expected"),
    [
        ("1h", ["5m", "15m", "1h"], "5m"),
        ("5m", ["5m", "15m"], None),
        ("5m", ["3m", "5m"], None),
        ("1w", ["1h", "3d", "1d"], "1h"),
        ("1w", ["3d"], None),
    ],
)
def test_the_finest_interval_that_divides_it_makes_a_coarser_one(
    interval: str, among: list[str], expected: str | None
) -> None:
    assert finer(interval, among) == expected


def test_no_bar_is_made_of_bars_beside_the_grid(desk: Desk) -> None:
    fine = desk.venue.minutes(T0, T0 + HOUR - 1)
    fine.data[0, 7] += 15_000
    assert made_from(fine, MINUTE, "5m").open_time.tolist() == [T0 + n * 5 * MINUTE for n in range(12) if n != 1]
