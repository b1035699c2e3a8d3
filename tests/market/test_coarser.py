"""Coarse bars made of fine ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.market.bars import Klines, aggregate
from tradebot.market.coarser import made, made_open, whole

STEP = 300_000
T0 = 1_516_406_400_000


def fine(count: int, *, without: int | None = None) -> Klines:
    data = np.outer(np.arange(1.0, 11.0), np.arange(1.0, count + 1.0))
    data[0] = T0 + STEP * np.arange(count)
    return Klines(data if without is None else np.delete(data, without, axis=1))


def test_bars_are_made_where_all_their_finer_ones_are_there() -> None:
    bars = made(fine(24), STEP, "15m", T0 + 3 * STEP, T0 + 9 * STEP)
    assert bars is not None
    assert bars.open_time.tolist() == [T0 + 3 * STEP, T0 + 6 * STEP, T0 + 9 * STEP]
    assert np.array_equal(bars.data, aggregate(fine(24), "15m").data[:, 1:4])


@given(st.integers(0, 11))
def test_one_missing_bar_and_none_is_made(missing: int) -> None:
    assert made(fine(12, without=missing), STEP, "1h", T0, T0) is None


@given(st.integers(0, 11), st.integers(1, STEP - 1))
def test_one_bar_beside_the_grid_and_none_is_made(moved: int, by: int) -> None:
    bars = fine(12)
    bars.data[0, moved] += by
    assert made(bars, STEP, "1h", T0, T0) is None


def test_what_ends_too_early_or_begins_too_late_makes_none() -> None:
    assert made(fine(11), STEP, "1h", T0, T0) is None
    assert made(fine(24), STEP, "1h", T0 - 12 * STEP, T0) is None
    assert made(Klines.empty(), STEP, "1h", T0, T0) is None


def test_a_stretch_is_whole_or_none() -> None:
    found = whole(fine(24), STEP, T0 + STEP, T0 + 3 * STEP)
    assert found is not None
    assert found.open_time.tolist() == [T0 + STEP, T0 + 2 * STEP]


@pytest.mark.parametrize("closed", [0, 1, 11])
def test_an_open_bar_is_made_of_the_closed_ones_and_the_open_one(closed: int) -> None:
    bars = fine(closed + 1)
    found = made_open(bars.between(0, T0 + closed * STEP - 1), bars.last(1), STEP, "1h", T0)
    assert found is not None
    assert np.array_equal(found.data, aggregate(bars, "1h").data)


def test_no_open_bar_is_made_of_a_gap_or_of_nothing() -> None:
    assert made_open(fine(3), Klines.empty(), STEP, "1h", T0) is None
    assert made_open(fine(5, without=1), fine(6).last(1), STEP, "1h", T0) is None
    assert made_open(fine(5), fine(7).last(1), STEP, "1h", T0) is None
