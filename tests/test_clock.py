"""Venue time."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import (
    DAY,
    HOUR,
    MINUTE,
    Moments,
    RealClock,
    SteppedClock,
    cpu_seconds,
    format_time,
    monotonic_ms,
    parse_time,
    wall_ms,
)
from tradebot.errors import UsageError

Y2018 = 1_516_406_400_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2018-01-20", Y2018),
        ("2018-01-20T00:00:00Z", Y2018),
        ("2018-01-20T01:00:00+01:00", Y2018),
        ("2018-01-20 00:00:00.5", Y2018 + 500),
        ("1516406400000", Y2018),
    ],
)
def test_a_time_is_read_as_utc_unless_it_says_otherwise(text: str, ms: int) -> None:
    assert parse_time(text) == ms


@pytest.mark.parametrize("text", ["", "yesterday", "2018-13-01", "1516406400", "1516406400000000", "1970-01-01"])
def test_what_is_no_time_in_ms_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        parse_time(text)


@given(st.integers(10**11 + 1000, 4 * 10**12))
def test_a_time_survives_being_written_and_read(ms: int) -> None:
    assert parse_time(format_time(ms)) == ms // 1000 * 1000


def test_units_fit_each_other() -> None:
    assert DAY == 24 * HOUR == 24 * 60 * MINUTE


def test_the_real_clock_goes_with_the_machine_until_it_is_synced() -> None:
    clock = RealClock()
    assert abs(clock.now() - wall_ms()) < 1000
    clock.sync(Y2018, 100)
    assert 50 <= clock.now() - Y2018 < 1000  # half of the round trip has passed since the venue read its clock


async def test_a_scaled_clock_runs_through_venue_time() -> None:
    clock = RealClock(start=Y2018, speed=60_000)
    started = monotonic_ms()
    await clock.sleep_until(Y2018 + HOUR)
    real = monotonic_ms() - started
    assert clock.now() >= Y2018 + HOUR
    assert 30 < real < 2000


async def test_sleeping_until_a_moment_gone_by_returns_at_once() -> None:
    clock = RealClock(start=Y2018)
    started = monotonic_ms()
    await clock.sleep_until(Y2018 - DAY)
    assert monotonic_ms() - started < 20_000


async def test_a_stepped_clock_stands_still_until_it_is_moved() -> None:
    clock = SteppedClock(Y2018)
    sleeper = asyncio.create_task(clock.sleep_until(Y2018 + MINUTE))
    await asyncio.sleep(0.01)
    assert clock.now() == Y2018
    clock.advance(Y2018 + MINUTE - 1)
    await asyncio.sleep(0)
    assert not sleeper.done()
    clock.advance(Y2018 + MINUTE)
    await asyncio.wait_for(sleeper, 1)


async def test_a_driven_clock_is_moved_by_who_sleeps() -> None:
    clock = SteppedClock(Y2018, drive=True)
    await clock.sleep_until(Y2018 + HOUR)
    assert clock.now() == Y2018 + HOUR


@given(st.lists(st.integers(0, 10**12)))
def test_a_stepped_clock_never_goes_back(moments: list[int]) -> None:
    async def check() -> None:
        clock = SteppedClock(5 * 10**11)
        for moment in moments:
            before = clock.now()
            clock.sync(moment, 50.0)
            assert clock.now() == max(before, moment)

    asyncio.run(check())


def test_cpu_time_grows_with_work() -> None:
    before = cpu_seconds()
    sum(range(200_000))
    assert cpu_seconds() > before


def test_a_real_clock_tells_when_a_moment_was_in_real_time() -> None:
    clock = RealClock(start=1_000_000, speed=60.0)
    before = monotonic_ms()
    assert clock.real_ms(1_000_000) <= before
    assert clock.real_ms(1_000_000 - 60_000) == pytest.approx(clock.real_ms(1_000_000) - 1_000)


def test_a_stepped_clock_says_that_all_was_when_it_was_moved_last() -> None:
    clock = SteppedClock(0)
    made = clock.real_ms(0)
    clock.advance(5)
    assert made <= clock.real_ms(3) <= monotonic_ms()
    moved = clock.real_ms(3)
    clock.advance(4)  # no step
    assert clock.real_ms(4) == moved


def test_of_a_steps_moments_the_last_counts_and_what_is_taken_is_forgotten() -> None:
    moments = Moments()
    moments.note("sent", ["a", "b"])
    first = moments.of("a")["sent"]
    moments.note("sent", ["a"])
    assert moments.of("a")["sent"] >= first
    assert moments.of("c") == {}
    assert set(moments.take()) == {"a", "b"}
    assert moments.take() == {}
