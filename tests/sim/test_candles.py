from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from exchanging import NOW, marked
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.market.bars import INTERVALS, open_of
from tradebot.sim.candles import Candles, Page
from tradebot.sim.coins import LISTED
from tradebot.sim.exact import Exact
from tradebot.sim.playback import Playback
from tradebot.sim.prices import Marked, Prices, Range, Synthetic

PRICES = Synthetic(1, 2)
STEP = INTERVALS["5m"]
HOLES = {3, 4, 5, 6, 7, 8, 9, 10, 11, 40, 41, 60, 79}
FIRST = 1_515_560_400_000


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Playback:
    folder: Path = tmp_path_factory.mktemp("klines")
    rows = [f"{FIRST + k * STEP},2,3,1,2,{k}.5" for k in range(80) if k not in HOLES]
    (folder / "ETHBTC-5m.csv").write_text("\n".join(rows))
    return Playback(folder)


def rows(prices: Prices, now: int = NOW, **asked: Any) -> list[list[Any]]:
    page = {"symbol": "ETHUSDT", "interval": "5m", "start": None, "end": None, "limit": 500, **asked}
    loaded: list[list[Any]] = orjson.loads(Candles(prices).body(Page(**page), now))
    return loaded


def opens(found: list[list[Any]]) -> list[int]:
    return [row[0] for row in found]


def test_without_bounds_the_newest_rows_come_and_the_last_is_open() -> None:
    found = rows(PRICES, limit=3)
    assert opens(found) == [open_of("5m", NOW) + k * STEP for k in (-2, -1, 0)]
    assert found[-1][6] > NOW > found[-2][6]


def test_a_start_gives_the_oldest_rows_from_it() -> None:
    start = NOW - DAY
    found = rows(PRICES, start=start, limit=3)
    assert opens(found) == [open_of("5m", start) + k * STEP for k in (1, 2, 3)]


def test_an_end_gives_the_newest_rows_up_to_it() -> None:
    end = open_of("5m", NOW - DAY)
    assert opens(rows(PRICES, end=end, limit=2)) == [end - STEP, end], "a row that opens at the end is in"
    assert opens(rows(PRICES, end=end - 1, limit=2)) == [end - 2 * STEP, end - STEP]


def test_both_bounds_count_and_the_start_leads() -> None:
    start = open_of("5m", NOW - DAY)
    assert opens(rows(PRICES, start=start, end=start + 2 * STEP)) == [start, start + STEP, start + 2 * STEP]
    assert opens(rows(PRICES, start=start, end=start + 2 * STEP, limit=1)) == [start]
    assert opens(rows(PRICES, start=start, end=start)) == [start]
    assert rows(PRICES, start=start, end=start - 1) == []


def test_a_range_may_reach_the_open_row_or_end_before_it() -> None:
    opened = open_of("5m", NOW)
    assert opens(rows(PRICES, start=opened - STEP)) == [opened - STEP, opened]
    assert opens(rows(PRICES, start=opened - STEP, limit=1)) == [opened - STEP]
    assert opens(rows(PRICES, end=opened - 1, limit=1)) == [opened - STEP]
    assert opens(rows(PRICES, start=opened)) == [opened]
    assert rows(PRICES, start=opened + 1) == []


def test_a_start_before_the_listing_finds_the_first_row() -> None:
    assert opens(rows(PRICES, start=0, limit=1)) == [LISTED]
    assert opens(rows(PRICES, start=0, limit=1, interval="1w")) == [open_of("1w", LISTED)], "a week may begin before"
    assert rows(PRICES, end=LISTED - 1) == []


@pytest.mark.parametrize("interval", ["1m", "3m", "1h", "3d", "1w", "1M"])
def test_pages_have_as_many_rows_as_asked_for(interval: str) -> None:
    assert len(rows(PRICES, interval=interval, limit=17)) == 17
    assert len(rows(PRICES, interval=interval, limit=17, end=NOW - 40 * DAY)) == 17
    assert len(rows(PRICES, interval=interval, limit=17, start=NOW - 700 * DAY)) == 17


def test_the_open_row_goes_on_while_closed_rows_stay_the_same_bytes() -> None:
    candles = Candles(PRICES)
    page = Page("ETHUSDT", "5m", None, None, 5)
    first, second = (orjson.loads(candles.body(page, NOW + shift)) for shift in (0, 30_000))
    assert first[:-1] == second[:-1]
    assert first[-1][0] == second[-1][0]
    assert float(first[-1][5]) < float(second[-1][5])
    third = orjson.loads(candles.body(page, NOW + 5 * MINUTE))
    assert third[:-2] == second[1:-1]


def test_answers_from_the_cache_are_those_without_one() -> None:
    candles, small = Candles(PRICES), Candles(PRICES, memory=0)
    for _ in range(2):
        for page in (Page("ETHUSDT", "1h", None, None, 9), Page("ETHUSDT", "1h", NOW - DAY, NOW - HOUR, 50)):
            assert candles.body(page, NOW) == small.body(page, NOW)


ASKED = st.tuples(
    st.integers(0, 7 * MINUTE),  # how far the clock moves before
    st.none() | st.integers(0, 30),  # the start, in bars back from the present
    st.none() | st.integers(-1, 30),  # the end
    st.integers(1, 30),
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["1m", "3m", "5m"]), st.lists(ASKED, min_size=1, max_size=12), st.sampled_from([24 << 20, 3000]))
def test_whatever_was_asked_before_pages_are_those_made_from_nothing(
    interval: str, asked: list[tuple[int, int | None, int | None, int]], memory: int
) -> None:
    candles, fresh, now = Candles(PRICES, memory=memory), Candles(PRICES, memory=0), NOW
    for moved, start, end, limit in asked:
        now += moved
        low, high = (None if back is None else now - back * INTERVALS[interval] for back in (start, end))
        page = Page("ETHUSDT", interval, low, high, limit)
        for _ in candles.steps(page, now):
            pass
        assert candles.body(page, now) == fresh.body(page, now)


@settings(max_examples=60, deadline=None)
@given(st.lists(ASKED, min_size=1, max_size=12))
def test_the_same_goes_for_bars_with_holes(
    holed: Playback, asked: list[tuple[int, int | None, int | None, int]]
) -> None:
    candles, fresh, now = Candles(holed), Candles(holed, memory=0), FIRST
    for moved, start, end, limit in asked:
        now += 6 * moved
        low, high = (None if back is None else now - back * STEP for back in (start, end))
        page = Page("ETHBTC", "5m", low, high, limit)
        assert candles.body(page, now) == fresh.body(page, now)


class Told(Synthetic):
    """Synthetic prices that count the bars that were looked up."""

    bars = looks = 0

    def ranges(self, asked: Sequence[Range]) -> list[Exact]:
        found = super().ranges(asked)
        self.bars += sum(map(len, found))
        self.looks += 1
        return found


def test_after_a_close_only_the_bar_that_closed_and_the_open_one_are_looked_up() -> None:
    prices = Told(1, 2)
    candles = Candles(prices)
    for shift, limit, bars in (
        (0, 201, 201), (0, 201, 0), (0, 101, 0), (0, 2, 0), (1_000, 201, 1), (1_000, 2, 0),
        (5 * MINUTE, 2, 2), (5 * MINUTE, 201, 0), (20 * MINUTE, 101, 4), (20 * MINUTE, 202, 201),
    ):  # fmt: skip
        prices.bars = 0
        candles.body(Page("ETHUSDT", "5m", None, None, limit), NOW + shift)
        assert prices.bars == bars, (shift, limit)


def test_who_asks_from_the_last_bar_on_is_served_from_the_newest_rows() -> None:
    prices = Told(1, 2)
    candles, opened = Candles(prices), open_of("5m", NOW)
    candles.body(Page("ETHUSDT", "5m", None, None, 201), NOW)
    prices.bars = 0
    body = candles.body(Page("ETHUSDT", "5m", opened - STEP, None, 1000), NOW)
    assert opens(orjson.loads(body)) == [opened - STEP, opened]
    assert prices.bars == 0


def test_the_past_does_not_drive_out_the_newest_rows() -> None:
    prices = Told(1, 2)
    candles = Candles(prices)
    newest = Page("ETHUSDT", "5m", None, None, 101)
    candles.body(newest, NOW)
    candles.body(Page("ETHUSDT", "5m", None, NOW - 5 * DAY, 101), NOW)
    prices.bars = 0
    candles.body(newest, NOW)
    assert prices.bars == 0


class Unsettled(Told):
    """The same while somebody may change closed bars."""

    settled = True


def test_bars_that_may_change_are_looked_up_each_time() -> None:
    prices = Unsettled(1, 2)
    candles, page = Candles(prices), Page("ETHUSDT", "5m", None, None, 11)
    for settled, bars in ((True, 11), (True, 0), (False, 11), (False, 11), (True, 0)):
        prices.settled, prices.bars = settled, 0
        candles.body(page, NOW)
        assert prices.bars == bars


def test_a_source_without_klines_has_empty_pages() -> None:
    assert rows(marked()) == []
    assert rows(marked(), start=0, end=NOW) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(-5, 90), st.integers(-5, 90), st.integers(1, 30), st.integers(0, 90 * STEP))
def test_pages_over_holes_equal_the_cut_of_all_there_is(
    holed: Playback, start: int, end: int, limit: int, passed: int
) -> None:
    now = FIRST + passed
    everything = rows(holed, now, symbol="ETHBTC", start=0, limit=1000)
    assert opens(everything) == [FIRST + k * STEP for k in range(80) if k not in HOLES and k * STEP <= passed]
    low, high = FIRST + start * STEP, FIRST + end * STEP
    asked = {"symbol": "ETHBTC", "limit": limit}
    assert rows(holed, now, start=low, **asked) == [row for row in everything if row[0] >= low][:limit]
    assert rows(holed, now, end=high, **asked) == [row for row in everything if row[0] <= high][-limit:]
    assert rows(holed, now, start=low, end=high, **asked) == [r for r in everything if low <= r[0] <= high][:limit]


def test_following_the_last_open_time_reads_everything(holed: Playback) -> None:
    found, at = [], 0
    while page := rows(holed, FIRST + DAY, symbol="ETHBTC", start=at, limit=7):
        found += opens(page)
        at = found[-1] + 1
    assert found == [FIRST + k * STEP for k in range(80) if k not in HOLES]


@pytest.mark.parametrize(
    "page",
    [
        Page("ETHUSDT", "5m", None, None, 1000),
        Page("ETHUSDT", "1h", None, None, 200),
        Page("ETHUSDT", "5m", NOW - 10 * DAY, None, 100),
        Page("ETHUSDT", "1m", None, NOW - 3 * DAY, 100),
        Page("ETHUSDT", "1d", NOW - 100 * DAY, None, 40),
        Page("ETHUSDT", "1w", None, NOW - 50 * DAY, 1000),
        Page("ETHUSDT", "1w", 0, None, 10),
    ],
)
def test_after_the_steps_nothing_is_left_to_do(page: Page) -> None:
    prices = Synthetic(1, 2)
    candles, alone = Candles(prices), Candles(PRICES)
    done = sum(1 for _ in candles.steps(page, NOW))
    assert done > 50 if page.limit == 1000 and page.interval == "1w" else done >= 1
    assert len(list(Candles(prices).steps(page, NOW))) == 1, "it is only written again"
    assert candles.body(page, NOW) == alone.body(page, NOW)
    assert list(candles.steps(page, NOW)) == []


def test_pages_that_are_asked_for_together_are_those_that_are_asked_for_alone() -> None:
    together, alone = Candles(Synthetic(1, 20)), Candles(Synthetic(1, 20))
    pages = [
        Page(symbol, interval, None, NOW - 7 * place * HOUR, limit)
        for place, symbol in enumerate(together.prices.instruments())
        for interval, limit in (("5m", 100), ("1h", 30), ("1d", 2))
    ]
    pages += [
        Page(symbol, interval, start, None, 20)
        for symbol in together.prices.instruments()
        for interval, start in (("5m", None), ("15m", None), ("1w", None), ("5m", NOW - HOUR), ("5m", NOW - 9 * DAY))
    ]
    going = [together.steps(page, NOW) for page in pages]
    while going:
        going = [each for each in going if next(each, "done") is None]
    assert [together.body(page, NOW) for page in pages] == [alone.body(page, NOW) for page in pages]


def test_pages_that_are_asked_for_together_are_looked_up_in_one_go() -> None:
    prices = Told(1, 9)
    for known in (False, True):
        candles, prices.looks, prices.bars = Candles(prices), 0, 0
        going = [candles.steps(Page(each, "5m", None, NOW - 9 * DAY, 20), NOW) for each in prices.instruments()]
        while going:
            going = [each for each in going if next(each, "done") is None]
        assert (prices.looks, prices.bars) == (1, 9 * 20), known


def test_a_page_that_ends_before_the_open_bar_does_not_look_it_up() -> None:
    prices = Told(1, 2)
    candles = Candles(prices)
    page = Page("ETHUSDT", "5m", NOW - 9 * DAY, None, 20)
    for _ in candles.steps(page, NOW):
        pass
    assert prices.bars == 20


def test_rows_that_are_kept_take_no_steps_though_the_days_are_forgotten() -> None:
    candles, page = Candles(Synthetic(1, 2, memory=1)), Page("ETHUSDT", "5m", None, NOW - DAY, 100)
    candles.body(page, NOW)
    assert list(candles.steps(page, NOW)) == []


class Emptied(Marked):
    """Prices without bars that are made anew each time."""

    def __init__(self) -> None:
        super().__init__(marked().instruments())
        self.asked: list[int] = []

    @property
    def settled(self) -> bool:
        return False

    def exact(self, symbol: str, interval: str, start: int, end: int, now: int) -> Exact:
        self.asked.append(end - start)
        return super().exact(symbol, interval, start, end, now)


@pytest.mark.parametrize("start", [None, 0])
def test_where_bars_are_made_anew_it_looks_over_holes_of_60_days(start: int | None) -> None:
    prices = Emptied()
    assert rows(prices, start=start) == []
    assert 59 * DAY <= max(prices.asked) <= 60 * DAY
    assert len(prices.asked) <= 6
