from __future__ import annotations

import hashlib
from decimal import Decimal

import numpy as np
import pytest
from exchanging import NOW, instrument, marked
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.errors import MarketError
from tradebot.market.bars import INTERVALS, MONTH, aggregate, next_open, open_of
from tradebot.sim.coins import LISTED
from tradebot.sim.prices import Marked, Range, Running, Synthetic

ALL = [interval for interval in (*INTERVALS, MONTH) if interval != "1s"]
PRICES = Synthetic(1, 5)
LATER = NOW + 60 * DAY


def test_prices_are_these_bytes_on_every_machine_and_in_every_version() -> None:
    klines = Synthetic(1, 1).klines("BTCUSDT", "1m", 1_700_000_000_000, 1_700_000_000_000 + 3 * DAY, LATER)
    assert hashlib.sha256(klines.to_bytes()).hexdigest() == (
        "43cd3b4d52d5242cb5a1214e45f60cbce6278fd4fc5b23da764ae17188150975"
    )


def test_prices_depend_on_the_seed_but_not_on_the_number_of_symbols() -> None:
    asked = ("ETHUSDT", "1h", NOW - 3 * DAY, NOW, NOW)
    assert Synthetic(1, 2).klines(*asked).to_bytes() == Synthetic(1, 9).klines(*asked).to_bytes()
    assert Synthetic(2, 2).klines(*asked).to_bytes() != Synthetic(1, 2).klines(*asked).to_bytes()


def test_a_small_cache_changes_no_price() -> None:
    small = Synthetic(1, 2, memory=1)
    for interval in ("1m", "15m", "1d", "1h"):
        asked = ("ETHUSDT", interval, NOW - 3 * DAY, NOW, NOW)
        assert small.klines(*asked).to_bytes() == PRICES.klines(*asked).to_bytes()


@pytest.mark.parametrize("interval", ALL)
def test_every_interval_is_the_exact_aggregate_of_minutes(interval: str) -> None:
    start = open_of(interval, open_of(interval, NOW) - 1)
    minutes = PRICES.klines("BNBUSDT", "1m", start, NOW, NOW)
    bars = PRICES.klines("BNBUSDT", interval, start, NOW, NOW)
    wanted = minutes if interval == "1m" else aggregate(minutes, interval)
    assert bars.data.tolist() == wanted.data.tolist()
    assert len(bars) == 2, "the bar before, and the running one up to now"


@pytest.mark.parametrize("interval", ALL)
def test_open_times_lie_on_the_grid_without_a_gap(interval: str) -> None:
    times = PRICES.klines("BTCUSDT", interval, NOW - 200 * DAY if interval in ("1w", MONTH) else NOW - DAY, NOW, NOW)
    opens = times.open_time.tolist()
    assert opens == [open_of(interval, moment) for moment in opens]
    assert opens[1:] == [next_open(interval, moment) for moment in opens[:-1]]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["1m", "5m", "30m", "4h", "1d", "1w", "1M"]), st.integers(0, 40 * DAY), st.integers(0, 10 * DAY))
def test_any_range_is_the_same_cut_of_the_whole(interval: str, back: int, length: int) -> None:
    start = NOW - back
    whole = PRICES.exact("ETHUSDT", interval, NOW - 45 * DAY, NOW, NOW)
    part = PRICES.exact("ETHUSDT", interval, start, start + length, NOW)
    assert part.data.tolist() == whole.between(start, start + length).data.tolist()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(PRICES.instruments())), st.sampled_from(["1m", "3m", "5m", "30m", "1h", "1d", "1w"]),
            st.integers(0, 40 * DAY), st.integers(-HOUR, 2 * DAY),
        ),
        max_size=9,
    )
)  # fmt: skip
def test_ranges_are_the_same_together_as_one_by_one(asked: list[tuple[str, str, int, int]]) -> None:
    ranges = [Range(symbol, each, NOW - back, NOW - back + length, NOW) for symbol, each, back, length in asked]
    for each, found in zip(ranges, PRICES.ranges(ranges), strict=True):
        assert found.data.tolist() == PRICES.exact(*each).data.tolist()
        assert found.scale == PRICES.exact(*each).scale


def test_the_running_bar_is_partial_and_ends_at_the_last_price() -> None:
    for moment in (NOW, NOW + 1, NOW + 20_000, NOW + MINUTE):
        for interval in ("1m", "5m", "1h", "1d", "1w"):
            running = PRICES.exact("ETHUSDT", interval, moment - 10 * DAY, moment, moment).data[:, -1]
            assert running[0] == open_of(interval, moment)
            assert Decimal(int(running[4])).scaleb(-2) == PRICES.price("ETHUSDT", moment)


def test_a_bar_that_is_closed_no_longer_changes() -> None:
    for interval in ("1m", "5m", "1h"):
        end = open_of(interval, NOW)
        early = PRICES.exact("ETHUSDT", interval, end - 5 * HOUR, end - 1, end)
        late = PRICES.exact("ETHUSDT", interval, end - 5 * HOUR, end - 1, LATER)
        assert early.data.tolist() == late.data.tolist()


def test_nothing_is_known_of_the_future_nor_before_the_listing() -> None:
    assert len(PRICES.klines("ETHUSDT", "1m", NOW + 1, NOW + HOUR, NOW)) == 0
    assert PRICES.klines("ETHUSDT", "1d", 0, LISTED + 3 * DAY, NOW).open_time[0] == LISTED == PRICES.listed("ETHUSDT")
    with pytest.raises(MarketError, match="before its listing"):
        PRICES.price("ETHUSDT", LISTED - 1)


def test_a_coin_listed_later_has_bars_from_then_on_and_a_week_that_begins_before() -> None:
    source = Synthetic(1, 60)
    young = next(symbol for symbol in source.instruments() if source.listed(symbol) != LISTED)
    listed = source.listed(young)
    for interval in ("1m", "5m", "1h", "1d"):
        assert source.klines(young, interval, 0, listed + DAY, NOW).open_time[0] == listed
    for interval in ("3d", "1w", MONTH):
        bars = source.exact(young, interval, 0, listed + 40 * DAY, NOW)
        minutes = source.exact(young, "1m", 0, next_open(interval, int(bars.data[0, -1])) - 1, NOW)
        assert bars.data.tolist() == minutes.aggregate(interval).data.tolist()
        assert bars.data[0, 0] == open_of(interval, listed)
        assert len(source.exact(young, interval, listed + 1, listed + 2, NOW)) == 0


@pytest.mark.parametrize("interval", ALL)
def test_what_was_computed_in_steps_is_there_at_once(interval: str) -> None:
    asked = ("ETHUSDT", interval, NOW - 40 * DAY, NOW, NOW)
    source, steps = Synthetic(1, 5), Synthetic(1, 5)
    assert sum(1 for _ in steps.steps(*asked)) >= 1
    assert sum(1 for _ in steps.steps(*asked)) == 0
    assert steps.exact(*asked).data.tolist() == source.exact(*asked).data.tolist()


def test_steps_of_nothing_are_none() -> None:
    assert list(PRICES.steps("ETHUSDT", "1h", 0, LISTED - 1, NOW)) == []


def test_seconds_are_finer_than_the_source() -> None:
    assert len(PRICES.klines("ETHUSDT", "1s", NOW - MINUTE, NOW, NOW)) == 0


def test_unknown_symbols_are_key_errors() -> None:
    with pytest.raises(KeyError):
        PRICES.klines("NOSUCH", "1m", 0, NOW, NOW)


def test_every_price_lies_on_the_tick() -> None:
    for symbol, rules in PRICES.instruments().items():
        assert PRICES.price(symbol, NOW) % rules.tick == 0


def test_ten_thousand_bars_page_by_page_are_the_whole() -> None:
    start = open_of("5m", NOW) - 10_000 * INTERVALS["5m"]
    whole = PRICES.exact("BTCUSDT", "5m", start, NOW, NOW)
    pages, at = [], start
    while len(page := PRICES.exact("BTCUSDT", "5m", at, at + 999 * INTERVALS["5m"], NOW)):
        pages.append(page.data)
        at = int(page.data[0, -1]) + 1
    assert np.concatenate(pages, axis=1).tolist() == whole.data.tolist()


def test_marks_are_prices_and_stay_until_the_next() -> None:
    source = marked({"ETHUSDT": "2000.5"})
    source.mark({"BTCUSDT": Decimal(40_000)})
    assert (source.price("ETHUSDT", NOW), source.price("BTCUSDT", NOW)) == (Decimal("2000.5"), Decimal(40_000))
    assert len(source.klines("ETHUSDT", "5m", 0, NOW, NOW)) == len(source.exact("ETHUSDT", "5m", 0, NOW, NOW)) == 0


def test_without_a_mark_there_is_no_price() -> None:
    source = Marked({"ETHUSDT": instrument()})
    with pytest.raises(MarketError, match="no price of ETHUSDT"):
        source.price("ETHUSDT", NOW)


RUNNING = st.tuples(st.sampled_from(list(PRICES.instruments())), st.sampled_from([*ALL, "1s"]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(RUNNING, st.sampled_from([0, 0, 0, 0, 1, 3 * HOUR])), max_size=12),
    st.sampled_from([NOW, NOW - NOW % DAY, LISTED, LISTED - 1, LISTED + 61_000]),
)
def test_bars_that_run_are_the_same_together_as_one_by_one(asked: list[tuple[tuple[str, str], int]], now: int) -> None:
    bars = [Running(*series, now + later) for series, later in asked]
    found = PRICES.running(bars)
    for bar, each in zip(bars, found, strict=True):
        alone = PRICES.exact(bar.symbol, bar.interval, bar.opened, bar.now, bar.now)
        assert (each.data.tolist(), each.scale) == (alone.data.tolist(), alone.scale)


def test_coins_that_are_not_listed_yet_have_no_bar_that_runs() -> None:
    prices = Synthetic(1, 300)
    late = max(prices.instruments(), key=prices.listed)
    now = prices.listed(late) - 1
    found = prices.running([Running(symbol, "1h", now) for symbol in (late, "BTCUSDT", "ETHUSDT")])
    assert [len(each) for each in found] == [0, 1, 1]
