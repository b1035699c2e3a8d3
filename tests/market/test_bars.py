"""Klines and panels as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import DAY, HOUR, MINUTE, parse_time
from tradebot.errors import BadKlines, ConfigError
from tradebot.market.bars import (
    FIELDS,
    INTERVALS,
    Board,
    Klines,
    aggregate,
    gaps,
    interval_ms,
    last_closed,
    merge,
    next_open,
    open_of,
    panel,
)

STEP = 5 * MINUTE
T0 = parse_time("2018-01-20")


def series(opens: Sequence[int], seed: int = 0) -> Klines:
    """Bars at `opens` whose values follow from their time and `seed`."""
    times = np.array(opens, np.float64)
    data = np.outer(np.arange(1, 11), times // 1000 % 9973 + 1 + seed)
    data[0] = times
    return Klines(data)


def row(time: int, **values: object) -> list[object]:
    texts = {"open": "1.5", "high": "2", "low": "1", "close": "1.7", "volume": "10", "close_time": time + STEP - 1}
    texts |= {"quote_volume": "16", "trades": 3, "taker_base": "4", "taker_quote": "6", "unused": "0", **values}
    return [time, *texts.values()]


def slots(least: int = 0) -> st.SearchStrategy[list[int]]:
    """Open times on the grid with random holes."""
    return st.sets(st.integers(0, 60), min_size=least).map(lambda found: [T0 + STEP * i for i in sorted(found)])


@pytest.mark.parametrize(
    ("interval", "moment", "opened"),
    [
        ("5m", "2018-01-20T00:07:59", "2018-01-20T00:05:00"),
        ("1h", "2018-01-20T00:59:59.999", "2018-01-20"),
        ("1d", "2018-01-20T23:00:00", "2018-01-20"),
        ("1w", "2018-01-21T23:00:00", "2018-01-15"),
        ("1w", "2018-01-22", "2018-01-22"),
        ("1M", "2018-02-28T12:00:00", "2018-02-01"),
    ],
)
def test_a_bar_opens_on_the_grid_of_its_interval(interval: str, moment: str, opened: str) -> None:
    assert open_of(interval, parse_time(moment)) == parse_time(opened)


def test_months_have_the_lengths_of_the_calendar() -> None:
    assert next_open("1M", parse_time("2018-01-31")) == parse_time("2018-02-01")
    assert last_closed("1M", parse_time("2018-03-05")) == parse_time("2018-02-01")


def test_a_bar_is_closed_when_the_next_one_has_opened() -> None:
    assert last_closed("5m", T0 + STEP - 1) == T0 - STEP
    assert last_closed("5m", T0 + STEP) == T0


@given(st.sampled_from(sorted(INTERVALS)), st.integers(10**12, 2 * 10**12))
def test_every_moment_lies_in_exactly_one_bar(interval: str, moment: int) -> None:
    opened = open_of(interval, moment)
    assert opened <= moment < next_open(interval, moment) == opened + interval_ms(interval)
    assert open_of(interval, opened) == opened


def test_an_unknown_interval_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="unknown interval '5min'; did you mean '5m'"):
        interval_ms("5min")


def test_rows_become_a_series_to_the_last_digit() -> None:
    klines = Klines.from_rows([row(T0, volume="431401.97869504"), row(T0 + STEP, close="0.00005290")])
    assert klines["volume"][0] == 431401.97869504
    assert klines["close"][1] == 0.00005290
    assert klines.open_time.tolist() == [T0, T0 + STEP]
    assert klines.data[:, 0].tolist() == [T0, 1.5, 2, 1, 1.7, 431401.97869504, 16, 3, 4, 6]


@given(st.decimals("0.00000001", "9999999", places=8))
def test_a_decimal_string_is_read_as_the_nearest_float(value: Decimal) -> None:
    assert Klines.from_rows([row(T0, close=format(value, "f"))])["close"][0] == float(value)


@pytest.mark.parametrize(
    "rows",
    [
        [row(T0)[:11]],
        [[*row(T0), 1], row(T0 + STEP)[:11]],
        [row(T0, close="x")],
        [row(T0, close=None)],
        [row(T0, close="NaN")],
        [row(T0, close="Infinity")],
        [row(T0 + STEP), row(T0)],
        [row(T0), row(T0)],
        [7],
        {"code": -1121, "msg": "Invalid symbol."},
    ],
)
def test_malformed_rows_are_refused(rows: list[list[object]]) -> None:
    with pytest.raises(BadKlines):
        Klines.from_rows(rows)


def test_no_rows_are_an_empty_series() -> None:
    assert len(Klines.from_rows([])) == 0


@given(slots())
def test_bytes_give_back_exactly_what_they_were_made_of(opens: list[int]) -> None:
    klines = series(opens)
    assert (Klines.from_bytes(klines.to_bytes()).data == klines.data).all()
    assert len(klines.to_bytes()) == 8 * len(FIELDS) * len(opens)


def test_parts_of_a_series_are_cut_by_open_time() -> None:
    klines = series([T0, T0 + STEP, T0 + 3 * STEP])
    assert klines.between(T0 + 1, T0 + 3 * STEP).open_time.tolist() == [T0 + STEP, T0 + 3 * STEP]
    assert klines.last(1).open_time.tolist() == [T0 + 3 * STEP]
    assert len(klines.last(0)) == 0
    assert len(klines.last(9)) == 3


@pytest.mark.parametrize("moment", [T0 - STEP, T0, T0 + 1, T0 + STEP, T0 + 9 * STEP])
def test_a_series_falls_into_what_opened_before_a_moment_and_the_rest(moment: int) -> None:
    klines = series([T0, T0 + STEP, T0 + 3 * STEP])
    before, rest = klines.split(moment)
    assert [*before.open_time, *rest.open_time] == klines.open_time.tolist()
    assert all(before.open_time < moment)
    assert all(rest.open_time >= moment)


def test_the_open_bar_is_not_closed_but_an_off_grid_one_before_it_is() -> None:
    klines = series([T0, T0 + STEP + 15_000, T0 + 2 * STEP])
    assert klines.closed("5m", T0 + 2 * STEP).open_time.tolist() == [T0, T0 + STEP + 15_000]
    assert klines.closed("5m", T0 + 2 * STEP - 1).open_time.tolist() == [T0]


@given(slots(), slots(), st.integers(0, 3))
def test_merging_is_a_union_by_open_time_in_which_the_new_wins(old: list[int], new: list[int], seed: int) -> None:
    both, revised = merge(series(old), series(new, seed))
    assert both.open_time.tolist() == sorted({*old, *new})
    truth = {**{t: series([t]) for t in old}, **{t: series([t], seed) for t in new}}
    for index, time in enumerate(both.open_time.tolist()):
        assert (both.data[:, index] == truth[time].data[:, 0]).all()
    assert revised.tolist() == (sorted({*old} & {*new}) if seed else [])


@given(slots(), slots())
def test_merging_twice_changes_nothing_more(old: list[int], new: list[int]) -> None:
    once, _ = merge(series(old), series(new, 1))
    twice, revised = merge(once, series(new, 1))
    assert (once.data == twice.data).all()
    assert not len(revised)


@given(slots(2))
def test_gaps_are_the_grid_bars_between_the_first_and_the_last_that_are_not_there(opens: list[int]) -> None:
    missing = [t for first, last in gaps(series(opens), "5m") for t in range(first, last + 1, STEP)]
    assert missing == [t for t in range(opens[0], opens[-1], STEP) if t not in opens]


def test_an_off_grid_bar_fills_its_place_and_makes_no_gap() -> None:
    assert gaps(series([T0, T0 + STEP + 15_000, T0 + 2 * STEP]), "5m") == []


volumes = st.lists(
    st.one_of(
        st.decimals("0", "900000", places=8),
        st.decimals("0", "99999999", places=8).filter(lambda value: Decimal(repr(float(value))) == value),
    ),
    min_size=1,
    max_size=40,
)


@given(volumes)
def test_volumes_of_coarser_bars_are_exact_sums(values: list[Decimal]) -> None:
    opens = [T0 + STEP * i for i in range(len(values))]
    fine = series(opens)
    fine.data[5] = [float(value) for value in values]
    coarse = aggregate(fine, "15m")
    for index in range(len(coarse)):
        assert coarse["volume"][index] == float(sum(values[3 * index : 3 * index + 3]))


@given(slots(1), st.sampled_from(["15m", "1h", "1d", "1w", "1M"]))
def test_a_coarser_bar_opens_closes_and_peaks_with_its_finer_ones(opens: list[int], interval: str) -> None:
    fine = series(opens)
    coarse = aggregate(fine, interval)
    assert coarse.open_time.tolist() == sorted({open_of(interval, t) for t in opens})
    for index, opened in enumerate(coarse.open_time.tolist()):
        part = fine.between(opened, next_open(interval, opened) - 1)
        assert coarse["open"][index] == part["open"][0]
        assert coarse["close"][index] == part["close"][-1]
        assert coarse["high"][index] == part["high"].max()
        assert coarse["low"][index] == part["low"].min()
        assert coarse["trades"][index] == part["trades"].sum()


def test_aggregating_nothing_gives_nothing() -> None:
    assert len(aggregate(Klines.empty(), "1h")) == 0


@given(st.lists(slots(), min_size=1, max_size=4), st.integers(1, 70))
def test_a_panel_lies_on_the_grid_and_flags_what_it_filled(symbols: list[list[int]], bars: int) -> None:
    end = T0 + 60 * STEP
    found = panel("5m", end, bars, [(f"S{i}", series(opens)) for i, opens in enumerate(symbols)])
    assert found.data.shape == (5, len(symbols), bars)
    assert found.times.tolist() == [end - STEP * i for i in range(bars)][::-1]
    for index, opens in enumerate(symbols):
        for column, time in enumerate(found.times.tolist()):
            before = [t for t in opens if t <= time]
            assert found.filled[index, column] == (bool(before) and before[-1] != time)
            if not before:
                assert np.isnan(found.data[:, index, column]).all()
                continue
            bar = series([before[-1]])
            if before[-1] == time:
                assert (found.data[:, index, column] == bar.data[1:6, 0]).all()
            else:
                assert (found.data[:4, index, column] == bar["close"][0]).all()
                assert found.volume[index, column] == 0


def test_an_off_grid_bar_counts_for_the_grid_bar_that_it_opens_in() -> None:
    off = T0 + 2 * STEP + 15_000
    found = panel("5m", T0 + 2 * STEP, 3, [("A", series([T0, T0 + STEP, off]))])
    assert found.close[0].tolist() == series([T0, T0 + STEP, off])["close"].tolist()
    crowded = panel("5m", T0 + 2 * STEP, 3, [("A", series([T0, T0 + 15_000, T0 + 2 * STEP]))])
    assert crowded.filled[0].tolist() == [False, True, False]


def test_a_panel_gives_its_rows_and_its_fields_by_name() -> None:
    pairs = [(name, series([T0, T0 + STEP], seed)) for seed, name in enumerate("ABC")]
    whole = panel("5m", T0 + STEP, 2, pairs)
    part = whole.take([2, 0])
    assert part.symbols == ("C", "A")
    assert (part.close == whole.close[[2, 0]]).all()
    with pytest.raises(AttributeError):
        _ = whole.typical


def test_a_board_gives_the_panel_of_any_rows_and_itself_for_all() -> None:
    pairs = [(name, series([T0, T0 + STEP], seed)) for seed, name in enumerate("ABC")]
    board = Board("5m", T0 + STEP, 2, "ABC")
    for row in (2, 0, 1):
        board.put(row, pairs[row][1])
    whole, part = panel("5m", T0 + STEP, 2, pairs), board.panel([2, 0])
    assert part.symbols == ("C", "A")
    assert (part.data == whole.data[:, [2, 0]]).all()
    assert (board.panel([0, 1, 2]).data == whole.data).all()
    assert np.shares_memory(board.panel(range(3)).data, board.panel(range(3)).data)
    assert board.panel([]).symbols == ()
    assert (board.recent([2, 0], 1) == whole.data[:, [2, 0], -1:]).all()


def test_a_row_of_a_board_that_was_not_filled_has_no_bars() -> None:
    board = Board("5m", T0 + STEP, 2, "AB")
    board.put(1, series([T0, T0 + STEP]))
    found = board.panel([0, 1])
    assert np.isnan(found.data[:, 0]).all()
    assert not found.filled.any()


def test_a_day_of_the_past_can_be_a_panel_too() -> None:
    daily = series([T0 - DAY, T0])
    assert panel("1d", T0, 2, [("A", daily)]).close.tolist() == [daily["close"].tolist()]
    assert HOUR * 24 == DAY
