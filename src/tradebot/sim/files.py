"""Kline files: CSV with a header as in `open_time,open,high,low,close,volume`, the venue's archive rows, or Parquet.

Every number is kept to its last digit; a float of Parquet is the shortest decimal that reads as it.
Where a file does not say: quote volume is volume × (open + high + low + close) / 4 rounded to eight
places, trades 0, the takers' half.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from tradebot.errors import BadKlines
from tradebot.market.bars import FIELDS
from tradebot.sim.exact import Exact, Scale

REQUIRED = FIELDS[:6]
PLACES = 8
_ARCHIVE = (*REQUIRED, "close_time", "quote_volume", "trades", "taker_base", "taker_quote", "ignore")
_ALIASES = {
    "count": "trades", "number_of_trades": "trades", "quote_asset_volume": "quote_volume",
    "taker_buy_volume": "taker_base", "taker_buy_base_asset_volume": "taker_base",
    "taker_buy_quote_volume": "taker_quote", "taker_buy_quote_asset_volume": "taker_quote",
}  # fmt: skip
# What a column may add up to, so that no sum of it passes 64 bits.
LIMIT = 2**62
_NUMBER = re.compile(r"(?=\.?[0-9])([0-9]{0,40})(?:\.([0-9]{0,40}))?(?:[eE]([+-]?[0-9]{1,3}))?")
_WHOLE = re.compile(r"[0-9]{1,18}")
_SHOWN = 40


class _Table:
    """The cells of a file by column, as text, with what is needed to say where one stands."""

    def __init__(
        self, path: Path, columns: Mapping[str, Sequence[str]], names: Sequence[str], word: str, places: Sequence[int]
    ) -> None:
        self.path = path
        self.columns = columns
        self.names = names
        self._word = word
        self._places = places
        if missing := [name for name in REQUIRED if name not in names]:
            header = ",".join(REQUIRED)
            raise BadKlines(f"{path} {word} 1: column '{missing[0]}' is missing; the header is {header}")
        if repeated := [name for name in FIELDS if names.count(name) > 1]:
            raise BadKlines(f"{path} {word} 1: more than one column is '{repeated[0]}'; keep one of them")

    def bad(self, place: int, name: str, problem: str) -> BadKlines:
        """The error for the cell in data row `place`."""
        column = list(self.names).index(name) + 1
        where = f"{self.path} {self._word} {self._places[place]}, column {column} ({name})"
        cell = self.columns[name][place]
        shown = cell if len(cell) <= _SHOWN else cell[: _SHOWN - 1] + "…"
        return BadKlines(f"{where}: {shown!r} {problem}; mend or remove the {self._word}")

    def integers(self, name: str, read: Callable[[str], int]) -> list[int]:
        """A column through `read`; a `ValueError` of it says what is wrong with its cell."""
        values: list[int] = []
        try:
            for cell in self.columns[name]:
                values.append(read(cell))  # noqa: PERF401 - how many were read says where it stopped
        except ValueError as error:
            raise self.bad(len(values), name, str(error)) from None
        return values


def _known(header: Iterable[str]) -> list[str]:
    """Names of columns as we call them."""
    plain = [cell.strip().lower().replace(" ", "_") for cell in header]
    return [_ALIASES.get(name, name) for name in plain]


def _from_csv(path: Path) -> _Table:
    rows, lines = _rows(path)
    names: Sequence[str] = _ARCHIVE[: len(rows[0])] if rows else REQUIRED
    if rows and not "".join(rows[0][:1]).strip().lstrip("-").isdigit():
        names, lines = _known(rows.pop(0)), lines[1:]
    table = _Table(path, {}, names, "line", lines)
    for line, row in zip(lines, rows, strict=True):
        if len(row) != len(names):
            column = min(len(row), len(names)) + 1
            where = f"{path} line {line}, column {column}"
            raise BadKlines(f"{where}: {len(row)} values instead of {len(names)}; mend or remove the line")
    if rows:
        table.columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return table


def _rows(path: Path) -> tuple[list[list[str]], list[int]]:
    """The rows of a file and the line each begins in; a quoted cell may go on over several."""
    rows, lines, line = list[list[str]](), list[int](), 1
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                rows.append(row)
                lines.append(line)
                line = reader.line_num + 1
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadKlines(f"{path}: cannot be read: {error}") from None
    while rows and not rows[-1]:
        rows.pop()
    return rows, lines[: len(rows)]


def _from_parquet(path: Path) -> _Table:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise BadKlines(f"{path}: Parquet is read by pyarrow; install it, for example as tradebot[parquet]") from None
    try:
        # One file, whatever its folder is called: no partitions are looked for in the path.
        table = parquet.ParquetFile(path).read()
    except (OSError, arrow.ArrowException) as error:
        raise BadKlines(f"{path}: cannot be read: {error}") from None
    columns, names = {}, _known(table.column_names)
    for name, column in zip(names, table.columns, strict=True):
        if arrow.types.is_timestamp(column.type):
            column = column.cast(arrow.timestamp("us")).cast("int64")  # noqa: PLW2901
        columns[name] = ["" if value is None else str(value) for value in column.to_pylist()]
    return _Table(path, columns, names, "row", range(1, table.num_rows + 1))


def _scaled(text: str) -> int:
    """A decimal times 10⁸; `ValueError` says why it is not one of at most eight places, from 0 to below 2⁶²."""
    whole, _, part = text.partition(".")
    if len(whole) <= 18 and whole.isdigit() and len(part) <= PLACES and (not part or part.isdigit()) and text.isascii():
        return int(whole + part.ljust(PLACES, "0"))  # what nearly every cell is, in half the time
    text = text.strip(" ")
    if not (match := _NUMBER.fullmatch(text)):
        negative = text.startswith("-") and _NUMBER.fullmatch(text[1:])
        raise ValueError("is negative" if negative else "is not a number")
    whole, part, exponent = match.groups("")
    value, rest = int(whole + part), 0
    shift = PLACES - len(part) + int(exponent or 0)
    unit: int = 10 ** abs(shift)
    if shift >= 0:
        value *= unit
    else:
        value, rest = divmod(value, unit)
    if rest:
        raise ValueError(f"has more than {PLACES} decimal places")
    if value >= LIMIT * 10**PLACES:
        raise ValueError("is too large")
    return value


def _count(text: str) -> int:
    """A number of trades; `ValueError` says why it is none."""
    if not _WHOLE.fullmatch(text.strip(" ")):
        raise ValueError("is not a whole number, 0 or more, of at most 18 digits")
    return int(text)


def _moment(text: str) -> int:
    """Epoch ms, whether on the interval's grid or not; archives from 2025 on are in microseconds."""
    value = int(text) if _WHOLE.fullmatch(text.strip(" ")) else 0
    if value >= 10**14:
        value //= 1000
    if not 10**11 < value < 10**13:
        raise ValueError("is not a time in ms")
    return value


def _check(table: _Table, columns: dict[str, list[int]]) -> None:
    """Times ascend and each bar holds together; else `BadKlines` for the first cell that is wrong."""
    opened, high, low, close = (columns[name] for name in ("open", "high", "low", "close"))
    times = columns["open_time"]
    for place in range(len(times)):
        if place and times[place] <= times[place - 1]:
            raise table.bad(place, "open_time", "does not come after the line before it")
        if not 0 < low[place] <= min(opened[place], close[place]):
            raise table.bad(place, "low", "is not above 0 and at most open and close")
        if high[place] < max(opened[place], close[place]):
            raise table.bad(place, "high", "is below open or close")


def _places(*columns: list[int]) -> int:
    """The fewest decimal places that hold every number of columns scaled by 10⁸."""
    common, places = math.gcd(*chain.from_iterable(columns)), PLACES
    while places and common % 10 == 0:
        common, places = common // 10, places - 1
    return places


def _fill(columns: dict[str, list[int]]) -> None:
    """What the file does not say; amounts are scaled by 10⁸."""
    volume = columns["volume"]
    sums = [sum(prices) for prices in zip(*(columns[name] for name in REQUIRED[1:5]), strict=True)]
    unit = 4 * 10**PLACES
    if "quote_volume" not in columns:
        columns["quote_volume"] = [(2 * v * s + unit) // (2 * unit) for v, s in zip(volume, sums, strict=True)]
    columns.setdefault("trades", [0] * len(volume))
    if "taker_base" not in columns:
        # Not finer than the volumes: the last place of the amounts is taken for the step of orders.
        step = 2 * 10 ** (PLACES - _places(volume))
        columns["taker_base"] = [value // step * step // 2 for value in volume]
    if "taker_quote" not in columns:
        columns["taker_quote"] = [value // 2 for value in columns["quote_volume"]]


def read_klines(path: Path) -> Exact:
    """The series of a file, oldest first; `BadKlines` names the file, the line (of Parquet the row) and the column."""
    table = _from_parquet(path) if path.suffix == ".parquet" else _from_csv(path)
    if not table.columns or not len(table.columns["open_time"]):
        return Exact.empty(Scale(0, 0, 0))
    columns = {"open_time": table.integers("open_time", _moment)}
    for name in FIELDS[1:]:
        if name in table.columns:
            columns[name] = table.integers(name, _count if name == "trades" else _scaled)
    _check(table, columns)
    _fill(columns)
    return _compact(path, columns)


def _compact(path: Path, columns: dict[str, list[int]]) -> Exact:
    """The columns with no more decimal places than they need."""
    scale = Scale(
        _places(*(columns[name] for name in REQUIRED[1:5])),
        _places(columns["volume"], columns["taker_base"]),
        _places(columns["quote_volume"], columns["taker_quote"]),
    )
    rows = []
    for name, places in zip(FIELDS, scale.rows, strict=True):
        unit = 1 if name in {"open_time", "trades"} else 10 ** (PLACES - places)
        rows.append([value // unit for value in columns[name]])
    if max(sum(row) for row in rows[1:]) >= LIMIT:
        raise BadKlines(f"{path}: the sum of a column passes what 64 bits hold; keep fewer rows or decimal places")
    return Exact(np.array(rows, np.int64), scale)
