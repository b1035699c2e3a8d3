"""Which bars a refresh wants, when a series is due, and what to make of a bar that is not there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.errors import ConfigError
from tradebot.market.bars import Klines
from tradebot.market.chunks import Coverage, chunk_open
from tradebot.market.due import (
    LATE_MS,
    LEAST_MS,
    Silence,
    Window,
    complete,
    due_at,
    groups,
    late,
    not_come,
    overlapping,
    reaches,
    silence,
)

STEP = 300_000
T0 = 1_516_406_400_000
WINDOW = Window(("A", "5m"), T0, T0 + 9 * STEP, STEP, chunk_open("5m", T0))


def bars(*numbers: int) -> Klines:
    data = np.ones((10, len(numbers)))
    data[0] = [T0 + STEP * number for number in numbers]
    return Klines(data)


def coverage(since: int, newest: int) -> Coverage:
    return Coverage(T0 + since * STEP, T0 + since * STEP, T0 + newest * STEP)


def test_windows_end_with_the_last_closed_bar_of_each_interval() -> None:
    now = T0 + 9 * STEP + 7
    (leader, (coarse,)), other = groups(["A", "B"], ["5m", "1h"], 3, now)
    assert (leader.series, coarse.series, other.leader.series) == (("A", "5m"), ("A", "1h"), ("B", "5m"))
    assert (leader.symbol, leader.interval) == leader.series
    assert (leader.first, leader.last, leader.end) == (T0 + 6 * STEP, T0 + 8 * STEP, T0 + 9 * STEP)
    assert leader.border <= leader.first
    assert coarse.end <= now < coarse.end + coarse.step


def test_the_finest_interval_leads_those_that_are_multiples_of_it() -> None:
    first, second = groups(["A"], ["1h", "15m", "5m", "3m"], 3, T0)[:2]
    assert (first.leader.interval, [each.interval for each in first.coarser]) == ("3m", ["15m", "1h"])
    assert (second.leader.interval, second.coarser) == ("5m", ())


def test_symbols_and_intervals_that_are_named_twice_count_once() -> None:
    (group,) = groups(["A", "A"], ["5m", "5m"], 3, T0)
    assert group.coarser == ()


def test_an_unknown_interval_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(ConfigError, match="unknown interval '7m'"):
        groups(["A"], ["7m"], 3, T0)


def test_a_window_takes_an_off_grid_last_bar_with_it_but_not_the_open_one() -> None:
    beside = bars(8, 9, 10)
    beside.data[0, 1] += 15_000
    assert WINDOW.of(beside).open_time.tolist() == [T0 + 8 * STEP, T0 + 9 * STEP + 15_000]


@given(st.integers(-5, 15), st.integers(-5, 15))
def test_a_series_is_complete_or_reached_or_fetched_whole(since: int, newest: int) -> None:
    held = coverage(since, newest)
    assert complete(held, WINDOW) == (since <= 0 and 9 <= newest <= 10), (
        "bars from long after the present prove nothing"
    )
    assert reaches(held, WINDOW) == (since <= 0 and 0 <= newest <= 10)
    assert not complete(None, WINDOW)
    assert not reaches(None, WINDOW)


def test_a_complete_series_is_due_at_the_close_of_its_next_bar() -> None:
    assert due_at(WINDOW, coverage(0, 9), None, WINDOW.end + 1) == WINDOW.end + STEP


def test_an_incomplete_one_is_due_now_unless_it_is_known_to_be_silent_about_this_very_bar() -> None:
    now, held = WINDOW.end + 60_000, coverage(0, 8)
    assert due_at(WINDOW, held, None, now) == now
    assert due_at(WINDOW, held, Silence(WINDOW.last, now + 5_000, hole=False), now) == now + 5_000
    assert due_at(WINDOW, held, Silence(WINDOW.last - STEP, now + 5_000, hole=False), now) == now


def test_a_later_bar_proves_a_hole_and_so_does_a_series_without_any() -> None:
    close = WINDOW.end + STEP
    assert silence(WINDOW, T0 + 8 * STEP, WINDOW.end, later=True) == Silence(WINDOW.last, close, hole=True)
    assert silence(WINDOW, None, WINDOW.end, later=False) == Silence(WINDOW.last, close, hole=True)


@given(st.integers(-20, 8), st.integers(0, STEP - 1))
def test_what_is_silent_is_asked_again_soon_at_first_and_then_at_each_close(newest: int, after: int) -> None:
    now = WINDOW.end + after
    found = silence(WINDOW, T0 + newest * STEP, now, later=False)
    silent = now - (T0 + (newest + 2) * STEP)
    assert not found.hole
    assert found.again == min(WINDOW.end + STEP, now + max(silent // 2, LEAST_MS))
    assert now < found.again or after > STEP - LEAST_MS


def test_a_halt_of_a_day_costs_no_more_requests_than_a_series_that_trades() -> None:
    asked, now, newest = 0, WINDOW.end, WINDOW.last - STEP
    quiet = None
    while now < WINDOW.end + 288 * STEP:
        window = groups(["A"], ["5m"], 10, now)[0].leader
        if due_at(window, coverage(0, 8), quiet, now) <= now:
            asked += 1
            quiet = silence(window, newest, now, later=False)
        now += 60_000
    assert 288 <= asked < 288 + 10


@pytest.mark.parametrize(
    ("newest", "after", "verdict"), [(8, 0, True), (8, LATE_MS, False), (7, 0, False), (-50, 0, False)]
)
def test_only_the_newest_bar_can_be_late_and_only_shortly_after_its_close(
    newest: int, after: int, verdict: bool
) -> None:
    assert late(WINDOW, T0 + newest * STEP, WINDOW.end + after) is verdict


def test_the_error_names_the_bar_that_has_not_come() -> None:
    error = not_come(WINDOW, T0 + 8 * STEP + 15_000)
    assert str(error) == "A 5m: the kline of 2018-01-20 00:45:00 has not come yet"


def test_what_ends_right_before_a_window_is_asked_for_with_its_newest_bar() -> None:
    for newest, first in ((-2, 0), (0, 0), (4, 0), (-1, -1)):
        asked = overlapping(coverage(-5, newest), WINDOW)
        assert asked.first == T0 + first * STEP
        assert asked.border == chunk_open("5m", asked.first)
        assert asked.end == WINDOW.end
    assert reaches(coverage(-5, -1), overlapping(coverage(-5, -1), WINDOW))
    assert overlapping(None, WINDOW) is WINDOW
