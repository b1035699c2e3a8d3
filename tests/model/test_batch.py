"""Many rows at once, from tables and through the worker pool."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from boosters import numbers
from hypothesis import given
from hypothesis import strategies as st

from tradebot.analysis.features import names
from tradebot.analysis.pool import WorkerPool
from tradebot.errors import ModelError
from tradebot.model.batch import in_batch, rows_of, times_of
from tradebot.model.predictor import load

NAMES = names(("5m", "15m", "1h"))


@pytest.mark.parametrize("use", ["never", "always"])
async def test_a_batch_gives_the_same_in_workers_as_here(exported: Path, use: str) -> None:
    rows = numbers(1_001)
    with WorkerPool(2, use) as pool:  # type: ignore[arg-type]
        found = await in_batch(pool, str(exported), rows)
    np.testing.assert_array_equal(found, load(str(exported)).predict(rows))


def test_columns_are_found_by_name_in_whatever_order() -> None:
    table = {name: [str(column), ""] for column, name in enumerate(NAMES)} | {"symbol": ["A", "B"]}
    rows = rows_of("t.csv", dict(reversed(table.items())), NAMES)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows[0], np.arange(31))
    assert np.isnan(rows[1]).all()


def test_missing_columns_are_counted_and_named() -> None:
    with pytest.raises(
        ModelError, match=r"t\.csv: lacks 29 of the model's 31 columns: ret_24_5m, rsi_7_5m, ema_gap_5m …"
    ):
        rows_of("t.csv", {NAMES[0]: [], NAMES[1]: []}, NAMES)


def test_a_field_that_is_no_number_is_named_with_row_and_column() -> None:
    table = {name: ["1", "2", "x"] for name in NAMES}
    with pytest.raises(ModelError, match=r"t\.csv, row 3, column ret_1_5m: 'x' is not a number"):
        rows_of("t.csv", table, NAMES)
    with pytest.raises(ModelError, match=r"t\.csv, row 20003, column ret_1_5m"):
        rows_of("t.csv", table, NAMES, first=20_001)


def test_what_is_beyond_a_float32_is_infinite() -> None:
    assert np.isinf(rows_of("t", {name: ["1e39", "-inf"] for name in NAMES}, NAMES)).all()


def test_times_are_ms_or_nothing() -> None:
    assert times_of("t.csv", {"a": ["1", "2"], "bar_time": ["1700000000000", ""]}, "bar_time") == [1700000000000, None]
    assert times_of("t.csv", {"a": ["1", "2"]}, "bar_time") == [None, None]
    with pytest.raises(ModelError, match=r"t\.csv, column bar_time: holds what is no time in ms: .*'yesterday'"):
        times_of("t.csv", {"bar_time": ["yesterday"]}, "bar_time")


@given(st.lists(st.floats(width=32), min_size=1, max_size=5))
def test_numbers_of_a_table_are_those_of_a_live_row(values: list[float]) -> None:
    rows = rows_of("t", {name: [repr(value) for value in values] for name in NAMES}, NAMES)
    np.testing.assert_array_equal(rows[:, 7], np.array(values, np.float32))
