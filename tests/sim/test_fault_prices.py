"""A market under faults: every interval and every endpoint agree about it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from exchanging import NOW, marked
from faulty import Venue
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.clock import DAY, HOUR, MINUTE, SECOND, SteppedClock
from tradebot.errors import MarketError
from tradebot.market.bars import INTERVALS
from tradebot.sim.fault_market import Delisted, Filters, Halted, Holes, LateKlines, OffGrid, RevisedKline, Stalled
from tradebot.sim.fault_plan import Plan
from tradebot.sim.fault_prices import FaultyPrices
from tradebot.sim.faults import Fault
from tradebot.sim.playback import Playback
from tradebot.sim.prices import Running, Synthetic

SOURCE = Synthetic(1, 3)
SYMBOL = "ETHUSDT"
AT = NOW - NOW % HOUR  # a whole hour


def faulty(*faults: Fault, now: int = NOW, seed: int = 0) -> FaultyPrices:
    return FaultyPrices(SOURCE, Plan(faults, seed=seed), SteppedClock(now))


def opens(prices: FaultyPrices, interval: str, start: int, end: int, now: int = NOW) -> list[int]:
    found: list[int] = prices.exact(SYMBOL, interval, start, end, now).data[0].tolist()
    return found


@pytest.fixture
async def venue() -> Any:
    venue = Venue(Synthetic(1, 3), AT)
    venue.http = httpx.AsyncClient(transport=httpx.ASGITransport(venue.app), base_url="http://sim")
    async with venue.http:
        yield venue


def test_without_faults_of_the_market_the_source_answers() -> None:
    prices = faulty()
    assert prices.settled
    assert prices.plan.market == ()
    assert prices.instruments() is SOURCE.instruments()
    for interval in ("1m", "1h", "1d"):
        ours, theirs = (p.exact(SYMBOL, interval, NOW - DAY, NOW, NOW).data for p in (prices, SOURCE))
        assert (ours == theirs).all()
    assert prices.day(SYMBOL, NOW) == SOURCE.day(SYMBOL, NOW)
    assert not faulty(Holes()).settled


@pytest.mark.parametrize("faults", [[], [Stalled(since=AT - HOUR)], [Holes(rate=0.5, interval="5m")]])
def test_the_bars_that_run_are_those_that_the_klines_end_with(faults: list[Fault]) -> None:
    prices = faulty(*faults)
    asked = [Running(symbol, interval, NOW) for symbol in SOURCE.instruments() for interval in ("1m", "15m", "1d")]
    for bar, found in zip(asked, prices.running(asked), strict=True):
        alone = prices.exact(bar.symbol, bar.interval, bar.opened, NOW, NOW)
        assert found.data.tolist() == alone.data.tolist()


RANGES = st.tuples(st.integers(0, 2 * DAY), st.integers(0, 2 * DAY)).map(sorted)
LOSING = st.lists(
    st.builds(
        lambda kind, bounds, open_end: kind(
            since=AT - 2 * DAY + bounds[0], until=None if open_end else AT - 2 * DAY + bounds[1] + 1
        ),
        st.sampled_from([Stalled, Halted, lambda **keys: Holes(rate=0.2, interval="15m", **keys)]),
        RANGES,
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=40, deadline=None)
@given(LOSING, st.sampled_from(["3m", "5m", "15m", "1h", "4h", "1d"]), RANGES)
def test_coarser_bars_are_exact_aggregates_of_the_minutes_that_are_left(
    faults: list[Fault], interval: str, bounds: list[int]
) -> None:
    prices = faulty(*faults, seed=3)
    length = INTERVALS[interval]
    start, end = (moment - moment % length for moment in (AT - 2 * DAY + each for each in bounds))
    minutes = prices.exact(SYMBOL, "1m", start, end + length - 1, NOW)
    coarse = prices.exact(SYMBOL, interval, start, end, NOW)
    assert np.array_equal(coarse.data, minutes.aggregate(interval).data)


@settings(max_examples=40, deadline=None)
@given(LOSING, st.sampled_from(["1m", "15m", "1h"]), RANGES)
def test_any_page_is_the_same_cut_of_the_whole(faults: list[Fault], interval: str, bounds: list[int]) -> None:
    prices = faulty(*faults, OffGrid(offset_s=15, since=AT - DAY))
    start, end = (AT - 2 * DAY + each for each in bounds)
    whole = prices.exact(SYMBOL, interval, AT - 3 * DAY, NOW, NOW)
    assert np.array_equal(prices.exact(SYMBOL, interval, start, end, NOW).data, whole.between(start, end).data)


def test_bars_that_no_fault_reaches_are_the_sources_own() -> None:
    prices = faulty(Holes(interval="1m", since=AT - HOUR, until=AT - HOUR + 2 * MINUTE))
    whole = SOURCE.exact(SYMBOL, "15m", AT - 3 * HOUR, AT - 1, NOW)
    left = prices.exact(SYMBOL, "15m", AT - 3 * HOUR, AT - 1, NOW)
    differ = (whole.data != left.data).any(axis=0)
    assert np.flatnonzero(differ).tolist() == [8]
    assert whole.data[5, 8] > left.data[5, 8]


def test_a_stalled_market_keeps_its_last_price_and_goes_on_later() -> None:
    fault = Stalled(since=AT - 30 * MINUTE, until=AT)
    for now in (AT - 20 * MINUTE, AT - 1):
        prices = faulty(fault, now=now)
        last = prices.exact(SYMBOL, "1m", AT - HOUR, now, now)
        assert last.data[0, -1] == AT - 31 * MINUTE
        assert prices.price(SYMBOL, now) == Decimal(int(last.data[4, -1])).scaleb(-last.scale.price)
    assert faulty(fault, now=AT).price(SYMBOL, AT) == SOURCE.price(SYMBOL, AT)
    assert opens(faulty(fault), "15m", AT - HOUR, AT, AT) == [AT - HOUR, AT - 45 * MINUTE, AT]


def test_the_24_hours_of_a_stalled_market_are_what_its_klines_hold() -> None:
    prices = faulty(Stalled(since=AT - HOUR))
    bars = prices.exact(SYMBOL, "5m", NOW - DAY + 1, NOW, NOW)
    day = prices.day(SYMBOL, NOW)
    assert day.last == prices.price(SYMBOL, NOW) != SOURCE.price(SYMBOL, NOW)
    assert day.volume == Decimal(int(bars.data[5].sum())).scaleb(-bars.scale.amount)


def test_a_late_bar_and_its_successor_appear_together() -> None:
    fault = LateKlines(seconds=5)
    for after, newest in ((0, AT - 2 * MINUTE), (4_999, AT - 2 * MINUTE), (5_000, AT), (30_000, AT)):
        assert opens(faulty(fault, now=AT + after), "1m", AT - HOUR, AT + after, AT + after)[-1] == newest
    assert opens(faulty(LateKlines(seconds=90), now=AT + 1), "1m", AT - HOUR, AT, AT + 1)[-1] == AT - 3 * MINUTE
    assert opens(faulty(fault, now=AT + 1), "1h", AT - DAY, AT, AT + 1)[-1] == AT - 2 * HOUR, "each by its own close"


def test_the_last_bar_is_revised_after_its_close() -> None:
    fault = RevisedKline(seconds=5, early_s=20)
    true = SOURCE.exact(SYMBOL, "1m", AT - 2 * MINUTE, AT, AT + 10 * SECOND).data
    seen = faulty(fault, now=AT + 4_999).exact(SYMBOL, "1m", AT - 2 * MINUTE, AT, AT + 4_999).data
    before = SOURCE.exact(SYMBOL, "1m", AT - MINUTE, AT - MINUTE, AT - 20 * SECOND - 1).data
    assert np.array_equal(seen[:, 1], before[:, 0])
    assert seen[5, 1] < true[5, 1]
    assert np.array_equal(seen[:, 0], true[:, 0])
    later = faulty(fault, now=AT + 5_000).exact(SYMBOL, "1m", AT - 2 * MINUTE, AT, AT + 5_000).data
    assert np.array_equal(later[:, 1], true[:, 1])


def test_bars_beside_the_grid_keep_their_values() -> None:
    prices = faulty(OffGrid(offset_s=15, since=AT - 2 * MINUTE, until=AT))
    assert opens(prices, "1m", AT - 3 * MINUTE, AT) == [
        AT - 3 * MINUTE, AT - 2 * MINUTE + 15_000, AT - MINUTE + 15_000, AT,
    ]  # fmt: skip
    assert opens(prices, "1m", AT - MINUTE, AT) == [AT - 2 * MINUTE + 15_000 + MINUTE, AT]
    moved, true = (p.exact(SYMBOL, "1m", AT - 2 * MINUTE, AT - 1, NOW).data[1:] for p in (prices, SOURCE))
    assert np.array_equal(moved, true)
    assert opens(faulty(OffGrid(offset_s=60)), "1m", AT, AT) == [AT], "an interval that is not longer keeps its own"


def test_offsets_of_several_faults_do_not_add_up_to_another_bars_time() -> None:
    prices = faulty(OffGrid(offset_s=40, since=AT - 3 * MINUTE, until=AT), OffGrid(offset_s=30, since=AT - 2 * MINUTE))
    assert opens(prices, "1m", AT - 4 * MINUTE, AT + MINUTE - 1) == [
        AT - 4 * MINUTE, *[AT - each * MINUTE + 40_000 for each in (3, 2, 1)], AT + 30_000,
    ]  # fmt: skip


def test_files_without_minutes_lose_their_own_finest_bars(tmp_path: Path) -> None:
    begin = 400_000 * HOUR
    rows = "\n".join(f"{begin + at * HOUR},{at + 2},{at + 3},{at + 1},{at + 2},5" for at in range(10))
    (tmp_path / "ETHBTC-1h.csv").write_text(f"open_time,open,high,low,close,volume\n{rows}\n")
    now = begin + 10 * HOUR
    fault = Stalled(since=begin + 5 * HOUR, until=begin + 7 * HOUR)
    prices = FaultyPrices(Playback(tmp_path), Plan([fault]), SteppedClock(now))
    left = prices.exact("ETHBTC", "1h", 0, now, now).data
    assert ((left[0] - begin) // HOUR).tolist() == [0, 1, 2, 3, 4, 7, 8, 9]
    assert prices.price("ETHBTC", begin + 6 * HOUR) == 6
    two = prices.exact("ETHBTC", "2h", 0, now, now).data
    assert (two[5] / two[5].max()).tolist() == [1, 1, 0.5, 0.5, 1]


def test_where_there_are_no_klines_the_mark_stands_for_itself() -> None:
    prices = FaultyPrices(marked(), Plan([Stalled()]), SteppedClock(NOW))
    assert prices.price(SYMBOL, NOW) == 2000
    with pytest.raises(MarketError):
        FaultyPrices(marked({}), Plan([Halted()]), SteppedClock(NOW)).price("NOSUCH", NOW)


async def test_cached_pages_never_outlive_a_fault(venue: Venue) -> None:
    whole = await venue.klines(limit=10)
    await venue.under(Holes(interval="1m", since=AT - 5 * MINUTE, until=AT - 3 * MINUTE))
    assert [row for row in whole if row not in await venue.klines(limit=10)] == whole[4:6]
    await venue.under()
    assert await venue.klines(limit=10) == whole


async def test_a_late_bar_is_served_as_soon_as_it_is_there(venue: Venue) -> None:
    await venue.under(LateKlines(seconds=5))
    assert (await venue.klines(limit=5))[-1][0] == AT - 2 * MINUTE
    venue.clock.advance(AT + 5_000)
    assert [row[0] for row in (await venue.klines(limit=5))[-2:]] == [AT - MINUTE, AT]


async def test_filters_change_while_clients_hold_on_to_the_old_ones(venue: Venue) -> None:
    await venue.under(Filters(symbol=(SYMBOL,), min_notional=Decimal(50), since=AT + MINUTE))
    old = (await venue.get("exchangeInfo", symbol=SYMBOL)).json()
    assert (await venue.buy()).status_code == 200
    venue.clock.advance(AT + MINUTE)
    refused = await venue.buy()
    assert (refused.json()["code"], refused.json()["msg"]) == (-1013, "Filter failure: NOTIONAL")
    new = (await venue.get("exchangeInfo", symbol=SYMBOL)).json()
    assert old["symbols"] != new["symbols"]
    assert (await venue.buy(quoteOrderQty=60)).status_code == 200
    await venue.under()
    assert (await venue.get("exchangeInfo", symbol=SYMBOL)).json()["symbols"] == old["symbols"]


async def test_a_symbol_is_halted_and_comes_back(venue: Venue) -> None:
    await venue.under(Halted(symbol=(SYMBOL,), since=AT, until=AT + MINUTE))
    assert (await venue.buy()).json()["msg"] == "Market is closed."
    assert (await venue.buy(symbol="BTCUSDT")).status_code == 200
    venue.clock.advance(AT + MINUTE)
    assert (await venue.buy()).status_code == 200


async def test_a_delisted_symbol_is_unknown_to_every_endpoint(venue: Venue) -> None:
    await venue.under(Delisted(symbol=(SYMBOL,), since=AT))
    for path, keys in (("klines", {"interval": "1m"}), ("ticker/price", {}), ("ticker/24hr", {}), ("exchangeInfo", {})):
        assert (await venue.get(path, symbol=SYMBOL, **keys)).json()["code"] == -1121
    listed = (await venue.get("ticker/price")).json()
    assert [row["symbol"] for row in listed] == ["BTCUSDT", "BNBUSDT"]


@pytest.mark.parametrize("kind", [Stalled, Halted])
async def test_without_since_a_market_stands_still_from_the_moment_at_which_it_is_told_to(
    venue: Venue, kind: type[Fault]
) -> None:
    venue.clock.advance(AT + 10 * MINUTE + 30_000)
    await venue.under(kind(symbol=(SYMBOL,)))
    venue.clock.advance(AT + HOUR)
    rows = await venue.klines(SYMBOL, limit=5)
    assert [row[0] for row in rows] == [AT + minute * MINUTE for minute in range(5, 10)]
    assert (await venue.get("ticker/price", symbol=SYMBOL)).json()["price"] == rows[-1][4]
    await venue.under(kind(symbol=(SYMBOL,)))
    assert (await venue.klines(SYMBOL, limit=1))[0][0] == AT + 59 * MINUTE, "another plan, another begin"


def test_a_plan_of_the_start_begins_with_the_exchange() -> None:
    prices = faulty(Stalled(), now=AT)
    assert opens(prices, "1m", AT - 2 * MINUTE, NOW) == [AT - 2 * MINUTE, AT - MINUTE]
    assert prices.price(SYMBOL, NOW) == faulty(Stalled(since=AT)).price(SYMBOL, NOW)


def test_a_stand_that_was_over_before_it_was_told_of_does_nothing() -> None:
    prices = faulty(Stalled(until=AT), now=AT + HOUR)
    assert opens(prices, "5m", AT - HOUR, AT) == opens(faulty(), "5m", AT - HOUR, AT)


async def test_a_search_for_bars_that_are_all_missing_ends_soon(venue: Venue) -> None:
    await venue.under(Holes())
    async with asyncio.timeout(60):  # without an end it would search all the years that there were
        for interval in ("1m", "1h"):
            assert await venue.klines(SYMBOL, interval) == []
            assert await venue.klines(SYMBOL, interval, startTime=0) == []
