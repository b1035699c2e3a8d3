"""Many rows at once: from tables, and through the worker pool where there are hundreds of thousands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tradebot.analysis.pool import WorkerPool, chunks
from tradebot.errors import ModelError
from tradebot.model.predictor import Rows, predict_rows

ROW_MS = 0.002
"""What a row is expected to cost, ms."""


async def in_batch(pool: WorkerPool, path: str, rows: Rows) -> Rows:
    """The model's `(n,)` for `(n, 31)` rows, in as many chunks as that is worth; the same however it is cut."""
    cost = ROW_MS * len(rows)
    cuts = chunks(len(rows), pool.parts(cost))
    return np.concatenate(await pool.map(partial(predict_rows, path), [rows[cut] for cut in cuts], cost))


def rows_of(name: str, table: Mapping[str, Sequence[Any]], features: Sequence[str], first: int = 1) -> Rows:
    """`(n, 31)` float32 of a table's columns of these names, whatever else it holds; an empty field is NaN.

    `name` is what errors call the table, and `first` the number of its first row. `ModelError` for a column
    that is missing or a field that is no number.
    """
    missing = [feature for feature in features if feature not in table]
    if missing:
        few = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        raise ModelError(f"{name}: lacks {len(missing)} of the model's {len(features)} columns: {few}")
    return np.stack([_column(name, feature, table[feature], first) for feature in features], axis=1)


def _column(name: str, feature: str, values: Sequence[Any], first: int) -> Rows:
    cleaned = ["nan" if value in ("", None) else value for value in values]
    try:
        with np.errstate(over="ignore"):  # beyond float32 is infinite
            return np.array(cleaned, dtype=np.float64).astype(np.float32)
    except (TypeError, ValueError):
        row, wrong = next((row, value) for row, value in enumerate(cleaned, first) if not _is_number(value))
        raise ModelError(f"{name}, row {row}, column {feature}: '{wrong}' is not a number") from None


def times_of(name: str, table: Mapping[str, Sequence[Any]], column: str) -> list[int | None]:
    """A column of times in UTC ms; None for an empty field, and for all where there is no such column.

    `ModelError` for a field that is none.
    """
    if column not in table:
        return [None] * len(next(iter(table.values()), ()))
    try:
        return [None if value in ("", None) else int(value) for value in table[column]]
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name}, column {column}: holds what is no time in ms: {error}") from None


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
