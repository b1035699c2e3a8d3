from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import DAY, MINUTE
from tradebot.market.bars import aggregate
from tradebot.sim.exact import Exact, Scale, as_float, join, merged, partial, partial_bars, price_within

SCALE = Scale(2, 3, 5)


def bars(number: int, start: int = 0, step: int = MINUTE, seed: int = 1) -> Exact:
    draw = np.random.default_rng(seed).integers(1, 10**6, (10, number))
    draw[0] = start + step * np.arange(number)
    draw[2] = draw[1:5].max(axis=0)
    draw[3] = draw[1:5].min(axis=0)
    return Exact(draw.astype(np.int64), SCALE)


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=20), st.integers(0, 8))
def test_floats_are_correctly_rounded_however_large(scaled: list[int], places: int) -> None:
    assert as_float(np.array(scaled, np.int64), places).tolist() == [value / 10**places for value in scaled]


def test_klines_have_each_row_at_its_own_scale() -> None:
    klines = Exact(np.arange(1, 11, dtype=np.int64)[:, None] * 100, SCALE).klines()
    assert klines.data[:, 0].tolist() == [100, 2.0, 3.0, 4.0, 5.0, 0.6, 0.007, 800, 0.9, 0.01]


def test_a_cut_takes_both_bounds_in() -> None:
    cut = bars(10).between(2 * MINUTE, 5 * MINUTE)
    assert cut.data[0].tolist() == [2 * MINUTE, 3 * MINUTE, 4 * MINUTE, 5 * MINUTE]


def test_more_places_leave_the_values_as_they_are() -> None:
    series = bars(5)
    finer = series.rescaled(Scale(4, 8, 8))
    assert finer.scale == Scale(4, 8, 8)
    assert finer.klines().data.tolist() == series.klines().data.tolist()


@pytest.mark.parametrize("interval", ["3m", "5m", "1h", "1d", "3d", "1w", "1M"])
def test_coarser_bars_are_those_of_the_float_aggregate(interval: str) -> None:
    series = bars(400, start=1_700_000_000_000 // DAY * DAY, step=37 * MINUTE)
    ours, theirs = series.aggregate(interval).klines(), aggregate(series.klines(), interval)
    assert ours.data.tobytes() == theirs.data.tobytes()


def test_nothing_aggregates_to_nothing() -> None:
    assert len(Exact.empty(SCALE).aggregate("1h")) == 0
    assert len(join([], SCALE)) == 0


def test_parts_join_to_the_whole() -> None:
    whole = bars(9)
    parts = [whole.between(0, 3 * MINUTE), whole.between(4 * MINUTE, 9 * MINUTE)]
    assert join(parts, SCALE).data.tobytes() == whole.data.tobytes()


def test_a_bar_begins_at_its_open_and_is_whole_at_its_end() -> None:
    bar = bars(1).data[:, 0]
    begun = partial(bar, MINUTE, 0)
    assert begun[1:].tolist() == [bar[1]] * 4 + [0] * 5
    assert partial(bar, MINUTE, MINUTE).tolist() == bar.tolist()
    assert price_within(bar, MINUTE, 0) == bar[1]
    assert price_within(bar, MINUTE, MINUTE) == price_within(bar, MINUTE, 2 * MINUTE) == bar[4]


@given(st.integers(0, 10_000), st.lists(st.integers(0, MINUTE), min_size=2, max_size=12))
def test_a_running_bar_only_grows_and_its_close_is_the_price(seed: int, moments: list[int]) -> None:
    bar = bars(1, start=seed * MINUTE, seed=seed).data[:, 0]
    seen = [partial(bar, MINUTE, moment) for moment in sorted(moments)]
    for moment, now in zip(sorted(moments), seen, strict=True):
        assert now[4] == price_within(bar, MINUTE, moment)
        assert bar[3] <= now[3] <= min(now[1], now[4]) <= max(now[1], now[4]) <= now[2] <= bar[2]
        assert (now[5:] <= bar[5:]).all()
    for before, after in pairwise(seen):
        assert before[2] <= after[2]
        assert before[3] >= after[3]
        assert (before[5:] <= after[5:]).all()


def test_high_and_low_are_visited_before_the_end_in_either_order() -> None:
    late = {
        bool(partial(bars(1, start=k * MINUTE).data[:, 0], MINUTE, MINUTE // 3)[2] == bars(1).data[2, 0])
        for k in range(30)
    }
    assert late == {True, False}
    whole = bars(1).data[:, 0]
    assert partial(whole, MINUTE, MINUTE - 1)[2:4].tolist() == whole[2:4].tolist()


@given(st.integers(0, MINUTE - 1), st.integers(0, 50))
def test_many_running_bars_at_once_are_those_of_each(elapsed: int, seed: int) -> None:
    data = bars(9, seed=seed).data
    data[0] = MINUTE * seed
    data[9] = 2**62
    together = partial_bars(data, MINUTE * seed, MINUTE, elapsed)
    assert together.T.tolist() == [partial(bar, MINUTE, elapsed).tolist() for bar in data.T]


def test_neighbours_from_each_place_on_are_one_bar() -> None:
    bars = np.arange(50).reshape(10, 5)
    found = merged(bars, np.array([0, 2, 3]))
    assert found[:5].tolist() == [[0, 2, 3], [5, 7, 8], [11, 12, 14], [15, 17, 18], [21, 22, 24]]
    assert found[5:].tolist() == [[row[0] + row[1], row[2], row[3] + row[4]] for row in bars[5:].tolist()]
