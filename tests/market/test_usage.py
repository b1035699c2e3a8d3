"""Windows and silences, as values of venue time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.market.usage import LONGEST_SILENCE, ORDERS, REQUESTS, WEIGHT, Cost, Silence, Traffic, Usage, Window

T0 = 1_516_406_400_000  # begins a day
FULL = Window(WEIGHT, MINUTE, 100, T0, 90)


def test_a_cost_has_a_share_of_each_kind_of_limit() -> None:
    cost = Cost(2, 1, 3)
    assert [cost.of(what) for what in (WEIGHT, REQUESTS, ORDERS)] == [2, 1, 3]
    assert Cost(2, 1, 3, Traffic.BULK).times(4) == Cost(8, 4, 12, Traffic.BULK)


@pytest.mark.parametrize(
    ("now", "begin", "used"),
    [
        (T0, T0, 90),
        (T0 + MINUTE - 1, T0, 90),
        (T0 + MINUTE, T0 + MINUTE, 0),
        (T0 + DAY, T0 + DAY, 0),
        (T0 - 1, T0, 90),  # a clock that is late
        (T0 - MINUTE, T0, 90),
        (T0 - MINUTE - 1, T0 - 2 * MINUTE, 90),  # one that was set back
        (T0 - 365 * DAY, T0 - 365 * DAY, 90),
    ],
)
def test_a_window_goes_on_with_the_clock_and_is_taken_along_when_that_is_set_back(
    now: int, begin: int, used: int
) -> None:
    assert FULL.at(now) == FULL._replace(begin=begin, used=used)


@given(begin=st.integers(0, 100), now=st.integers(0, 100 * MINUTE))
def test_no_clock_has_to_wait_longer_than_one_window(begin: int, now: int) -> None:
    window = FULL._replace(begin=begin * MINUTE).at(now)
    assert 1 <= window.left(now) <= MINUTE
    assert window.at(now + 2 * MINUTE).used == 0


def test_a_silence_holds_to_its_end_for_what_it_is_about() -> None:
    usage = Usage().silenced(Traffic.ORDER, 10_000, T0).silenced(Traffic.BULK, 20_000, T0)
    assert [usage.silent_ms(each, T0) for each in (Traffic.READ, Traffic.BULK, Traffic.ORDER)] == [0, 20_000, 10_000]
    usage = usage.silenced(Traffic.READ, 15_000, T0)
    assert [usage.silent_ms(each, T0) for each in Traffic] == [15_000, 20_000, 15_000]
    assert usage.silent_ms(Traffic.READ, T0 + 14_999) == 1
    assert usage.silent_ms(Traffic.READ, T0 + 15_000) == 0


def test_a_silence_that_ends_later_stays_and_none_is_longer_than_any_ban() -> None:
    usage = Usage().silenced(Traffic.READ, 60_000, T0)
    assert usage.silenced(Traffic.READ, 1_000, T0) == usage
    assert Usage().silenced(Traffic.READ, 400 * DAY, T0).silent_ms(Traffic.READ, T0) == LONGEST_SILENCE


def test_a_silence_out_of_reach_of_a_clock_that_was_set_back_begins_anew() -> None:
    silence = Silence(T0 + MINUTE, MINUTE)
    assert silence.at(T0 - HOUR) == silence  # late, perhaps
    assert silence.at(T0 - DAY) == Silence(T0 - DAY + MINUTE, MINUTE)


def test_limits_that_the_venue_names_take_over_and_keep_what_is_used() -> None:
    usage = Usage((FULL, Window(ORDERS, DAY, 5, T0, 2), Window(REQUESTS, MINUTE, 9)))
    named = (Window(WEIGHT, MINUTE, 60), Window(ORDERS, 10_000, 7))
    assert usage.limited(named).windows == (
        Window(WEIGHT, MINUTE, 60, T0, 90), Window(ORDERS, 10_000, 7), Window(REQUESTS, MINUTE, 9)
    )  # fmt: skip
