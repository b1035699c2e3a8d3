"""What a refresh decides. What it does is in `test_store`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.errors import ConfigError
from tradebot.market.bars import Klines
from tradebot.market.chunks import Coverage, chunk_open
from tradebot.market.refresh import Window, complete, extended, foreign, reaches, windows

STEP = 300_000
T0 = 1_516_406_400_000
WINDOW = Window(("A", "5m"), T0, T0 + 9 * STEP, STEP, chunk_open("5m", T0))


def bars(*numbers: int, value: float = 1.0) -> Klines:
    data = np.full((10, len(numbers)), value)
    data[0] = [T0 + STEP * number for number in numbers]
    return Klines(data)


def coverage(since: int, newest: int) -> Coverage:
    return Coverage(T0 + since * STEP, T0 + since * STEP, T0 + newest * STEP)


def test_windows_end_with_the_last_closed_bar_of_each_interval() -> None:
    now = T0 + 9 * STEP + 7
    found = windows(["A", "B"], ["5m", "1h"], 3, now)
    assert [window.series for window in found] == [("A", "5m"), ("A", "1h"), ("B", "5m"), ("B", "1h")]
    assert (found[0].first, found[0].last) == (T0 + 6 * STEP, T0 + 8 * STEP)
    assert [(window.symbol, window.interval) for window in found] == [window.series for window in found]
    assert all(window.border <= window.first for window in found)
    assert found[1].last + found[1].step <= now < found[1].last + 2 * found[1].step


def test_an_unknown_interval_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(ConfigError, match="unknown interval '7m'"):
        windows(["A"], ["7m"], 3, T0)


def test_a_window_takes_an_off_grid_last_bar_with_it_but_not_the_open_one() -> None:
    late = bars(8, 9, 10)
    late.data[0, 1] += 15_000
    assert WINDOW.of(late).open_time.tolist() == [T0 + 8 * STEP, T0 + 9 * STEP + 15_000]


@given(st.integers(-5, 15), st.integers(-5, 15))
def test_a_series_is_complete_or_reached_or_fetched_whole(since: int, newest: int) -> None:
    held = coverage(since, newest)
    assert complete(held, WINDOW) == (since <= 0 and 9 <= newest <= 10), (
        "bars from long after the present prove nothing"
    )
    assert reaches(held, WINDOW) == (since <= 0 and 0 <= newest < 9)
    assert not (complete(held, WINDOW) and reaches(held, WINDOW))
    assert not complete(None, WINDOW)


def test_a_reply_that_begins_with_the_newest_bar_lengthens_a_series() -> None:
    longer = extended(bars(1, 2), bars(2, 3, 4))
    assert longer is not None
    assert longer.open_time.tolist() == bars(1, 2, 3, 4).open_time.tolist()


@pytest.mark.parametrize(
    "reply", [bars(), bars(3), bars(2, 3, value=2.0), bars(1, 2)], ids=["none", "gap", "other", "old"]
)
def test_a_reply_without_the_same_overlap_does_not(reply: Klines) -> None:
    assert extended(bars(1, 2), reply) is None


@pytest.mark.parametrize(
    ("shared", "revised", "verdict"), [(0, 0, False), (1, 1, False), (10, 5, False), (10, 6, True), (2, 2, True)]
)
def test_a_folder_is_foreign_when_most_shared_bars_differ(shared: int, revised: int, verdict: bool) -> None:
    assert foreign(shared, revised) is verdict
