"""Kline files as the simulated exchange plays them: every number is kept to its last digit.

A float of Parquet is the shortest decimal that reads as it. What a file may look like is told in
`market.cells`, what is made of columns that it does not have in `market.figures`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tradebot.errors import BadKlines
from tradebot.market.bars import FIELDS
from tradebot.market.cells import REQUIRED, Cells, whole
from tradebot.market.figures import LIMIT, PLACES, count, fill, moment, places, scaled
from tradebot.sim.exact import Exact, Scale


def _check(cells: Cells, columns: dict[str, list[int]]) -> None:
    """Times ascend and each bar holds together; else `BadKlines` for the first cell that is wrong."""
    opened, high, low, close = (columns[name] for name in ("open", "high", "low", "close"))
    times = columns["open_time"]
    for place in range(len(times)):
        if place and times[place] <= times[place - 1]:
            raise cells.bad(place, "open_time", "does not come after the line before it")
        if not 0 < low[place] <= min(opened[place], close[place]):
            raise cells.bad(place, "low", "is not above 0 and at most open and close")
        if high[place] < max(opened[place], close[place]):
            raise cells.bad(place, "high", "is below open or close")


def read_klines(path: Path) -> Exact:
    """The series of a file, oldest first; `BadKlines` names the file, the line (of Parquet the row) and the column."""
    cells = whole(path)
    if not len(cells):
        return Exact.empty(Scale(0, 0, 0))
    columns = {"open_time": cells.read("open_time", moment)}
    for name in FIELDS[1:]:
        if name in cells.columns:
            columns[name] = cells.read(name, count if name == "trades" else scaled)
    _check(cells, columns)
    fill(columns)
    return _compact(path, columns)


def _compact(path: Path, columns: dict[str, list[int]]) -> Exact:
    """The columns with no more decimal places than they need."""
    scale = Scale(
        places(*(columns[name] for name in REQUIRED[1:5])),
        places(columns["volume"], columns["taker_base"]),
        places(columns["quote_volume"], columns["taker_quote"]),
    )
    rows = []
    for name, kept in zip(FIELDS, scale.rows, strict=True):
        unit = 1 if name in {"open_time", "trades"} else 10 ** (PLACES - kept)
        rows.append([value // unit for value in columns[name]])
    if max(sum(row) for row in rows[1:]) >= LIMIT:
        raise BadKlines(f"{path}: the sum of a column passes what 64 bits hold; keep fewer rows or decimal places")
    return Exact(np.array(rows, np.int64), scale)
