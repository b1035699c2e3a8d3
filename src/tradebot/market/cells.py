"""The cells of kline files as text, in blocks of rows: CSV, also zipped, the venue's archive rows, or Parquet.

A CSV file has a header as in `open_time,open,high,low,close,volume`, or is the venue's archive with
twelve columns and none. Columns are known by name, in any order; others do not count. Every error is
a `BadKlines` that names the file, the line (of Parquet the row) and the column.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, TypeVar

from tradebot.errors import BadKlines
from tradebot.market.bars import FIELDS

T = TypeVar("T")
REQUIRED = FIELDS[:6]
SUFFIXES = (".csv", ".zip", ".parquet")
_ARCHIVE = (*REQUIRED, "close_time", "quote_volume", "trades", "taker_base", "taker_quote", "ignore")
_ALIASES = {
    "count": "trades", "number_of_trades": "trades", "quote_asset_volume": "quote_volume",
    "taker_buy_volume": "taker_base", "taker_buy_base_asset_volume": "taker_base",
    "taker_buy_quote_volume": "taker_quote", "taker_buy_quote_asset_volume": "taker_quote",
}  # fmt: skip
_SHOWN = 40
_WHOLE_FILE = 2**62


class Cells:
    """Rows of a file by column, as text, with what is needed to say where one stands."""

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

    def __len__(self) -> int:
        return len(self._places)

    def bad(self, place: int, name: str, problem: str) -> BadKlines:
        """The error for the cell in data row `place`."""
        column = list(self.names).index(name) + 1
        where = f"{self.path} {self._word} {self._places[place]}, column {column} ({name})"
        cell = self.columns[name][place]
        shown = cell if len(cell) <= _SHOWN else cell[: _SHOWN - 1] + "…"
        return BadKlines(f"{where}: {shown!r} {problem}; mend or remove the {self._word}")

    def read(self, name: str, reader: Callable[[str], T]) -> list[T]:
        """A column through `reader`; a `ValueError` of it says what is wrong with its cell."""
        values: list[T] = []
        try:
            for cell in self.columns[name]:
                values.append(reader(cell))  # noqa: PERF401 - how many were read says where it stopped
        except ValueError as error:
            raise self.bad(len(values), name, str(error)) from None
        return values


def whole(path: Path) -> Cells:
    """All rows of a file."""
    return next(blocks(path, _WHOLE_FILE))


def blocks(path: Path, rows: int) -> Iterator[Cells]:
    """The rows of a file, so many at a time, oldest first; at least one block, which may be empty."""
    return _parquet_blocks(path, rows) if path.suffix == ".parquet" else _csv_blocks(path, rows)


def _known(header: Iterable[str]) -> list[str]:
    """Names of columns as we call them."""
    plain = [cell.strip().lower().replace(" ", "_") for cell in header]
    return [_ALIASES.get(name, name) for name in plain]


def _csv_blocks(path: Path, rows: int) -> Iterator[Cells]:
    numbered = _rows(path)
    names: Sequence[str] = REQUIRED
    if first := next(numbered, None):
        names = _ARCHIVE[: len(first[1])]
        if "".join(first[1][:1]).strip().lstrip("-").isdigit():
            numbered = chain([first], numbered)
        else:
            names = _known(first[1])
    while True:
        block = list(islice(numbered, rows))
        yield _block(path, names, block)
        if len(block) < rows:
            return


def _block(path: Path, names: Sequence[str], numbered: Sequence[tuple[int, list[str]]]) -> Cells:
    cells = Cells(path, {}, names, "line", [line for line, _ in numbered])
    if {len(row) for _, row in numbered} - {len(names)}:
        line, row = next((line, row) for line, row in numbered if len(row) != len(names))
        where = f"{path} line {line}, column {min(len(row), len(names)) + 1}"
        raise BadKlines(f"{where}: {len(row)} values instead of {len(names)}; mend or remove the line")
    if numbered:
        cells.columns = dict(zip(names, zip(*(row for _, row in numbered), strict=True), strict=True))
    return cells


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    """A file's text, or that of the one file in a zip."""
    if path.suffix != ".zip":
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
        return
    with zipfile.ZipFile(path) as packed:
        members = [name for name in packed.namelist() if name.endswith(".csv")]
        if len(members) != 1:
            raise BadKlines(f"{path}: holds {len(members)} CSV files; one is expected")
        with packed.open(members[0]) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
            yield file


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file with the line each begins in; a cell may hold line ends. Blank last lines do not count."""
    blank: list[tuple[int, list[str]]] = []
    line = 1
    try:
        with _text(path) as file:
            reader = csv.reader(file)
            for row in reader:
                blank.append((line, row))
                line = reader.line_num + 1
                if row:
                    yield from blank
                    blank.clear()
    except (OSError, UnicodeDecodeError, csv.Error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise BadKlines(f"{path}: cannot be read: {error}") from None  # the last two: a zip with a password or method


def _parquet_blocks(path: Path, rows: int) -> Iterator[Cells]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise BadKlines(f"{path}: Parquet is read by pyarrow; install it, for example as tradebot[parquet]") from None
    try:
        # One file, whatever its folder is called: no partitions are looked for in the path.
        with parquet.ParquetFile(path) as file:
            yield from _cut(path, file, rows)
    except (OSError, arrow.ArrowException) as error:
        raise BadKlines(f"{path}: cannot be read: {error}") from None


def _cut(path: Path, file: Any, rows: int) -> Iterator[Cells]:
    import pyarrow as arrow

    parts = [file.read()] if file.metadata.num_rows <= rows else file.iter_batches(batch_size=rows)
    names, begin = _known(file.schema_arrow.names), 1
    for part in parts:
        columns = {}
        for name, column in zip(names, part.columns, strict=True):
            if arrow.types.is_timestamp(column.type):
                column = column.cast(arrow.timestamp("us")).cast("int64")  # noqa: PLW2901
            columns[name] = ["" if value is None else str(value) for value in column.to_pylist()]
        yield Cells(path, columns, names, "row", range(begin, begin + part.num_rows))
        begin += part.num_rows
