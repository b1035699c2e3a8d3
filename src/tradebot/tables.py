"""Tables in files: CSV, or Parquet where pyarrow is installed, by the suffix of the name.

A table is a mapping from column name to its values, all of one length. Files are read and written in
blocks of rows, so that their length takes no memory. In CSV a missing number is an empty field, and every
float64 is written so that it is read back exactly.
"""

from __future__ import annotations

import csv
import io
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import IO, Any, TypeAlias

from tradebot.errors import UsageError

Table: TypeAlias = Mapping[str, Sequence[Any]]
Put: TypeAlias = Callable[[Table], None]
SUFFIXES = (".csv", ".parquet")
BLOCK = 10_000  # rows


def kind_of(path: Path) -> str:
    """`.csv` or `.parquet`; `UsageError` for another suffix."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: a table is written to a file that ends in {' or '.join(SUFFIXES)}")
    return suffix


def write(path: Path, table: Table) -> None:
    """Write a table; the file appears whole or not at all. `UsageError` if it cannot be written."""
    with written(path) as put:
        put(table)


@contextmanager
def written(path: Path) -> Iterator[Put]:
    """Write tables with the same columns as one, each with what is yielded; as `write`.

    An `OSError` of the block counts as one of the file.
    """
    rows = _parquet_rows if kind_of(path) == ".parquet" else _csv_rows
    draft = None
    try:
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file, rows(file) as put:
            yield put
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
        draft = None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; choose another place") from None
    finally:
        if draft:
            Path(draft).unlink(missing_ok=True)


def _cells(values: Sequence[Any]) -> Sequence[Any]:
    try:
        "".join(values)  # the quickest way to see that all is text, as in every column of a CSV file
    except TypeError:
        return [_cell(value) for value in values]
    return values


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return value


@contextmanager
def _csv_rows(file: IO[bytes]) -> Iterator[Put]:
    with io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")

        def put(table: Table) -> None:
            if not text.tell():
                writer.writerow(table)
            writer.writerows(zip(*map(_cells, table.values()), strict=True))

        yield put


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise UsageError("Parquet needs pyarrow: pip install 'tradebot[parquet]'; or take .csv") from None
    return pyarrow


@contextmanager
def _parquet_rows(file: IO[bytes]) -> Iterator[Put]:
    arrow, parts = _arrow(), []

    def put(table: Table) -> None:
        parts.append(arrow.table({name: list(values) for name, values in table.items()}))

    yield put
    # As a whole: what type a column has may not show in its first rows.
    arrow.parquet.write_table(arrow.concat_tables(parts, promote_options="permissive"), file)


def read(path: Path) -> Iterator[dict[str, list[Any]]]:
    """A table in blocks of rows, at least one; the columns of a CSV file are text.

    `UsageError` names file and line of what is wrong.
    """
    blocks = read_csv if kind_of(path) == ".csv" else _read_parquet
    try:
        with path.open("rb") as file:
            yield from blocks(file, str(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


def read_csv(file: IO[bytes], name: str) -> Iterator[dict[str, list[Any]]]:
    """`read` of an open CSV file; `name` is what errors call it."""
    try:
        with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            yield from _blocks(csv.reader(text, strict=True), name)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{name}: not a CSV table: {error}") from None


def _blocks(lines: Any, name: str) -> Iterator[dict[str, list[Any]]]:
    header: list[str] = next(lines, [])
    if not header or len(set(header)) < len(header):
        raise UsageError(f"{name}: the first line must name the columns, each once")
    rows: list[list[str]] = []
    none = True
    for row in lines:
        if len(row) != len(header):
            raise UsageError(f"{name}, line {lines.line_num}: {len(row)} fields for {len(header)} columns")
        rows.append(row)
        if len(rows) == BLOCK:
            yield _columns(header, rows)
            rows, none = [], False
    if rows or none:
        yield _columns(header, rows)


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, list[Any]]:
    values = zip(*rows, strict=True) if rows else repeat(())
    return {column: list(each) for column, each in zip(header, values, strict=False)}


def _read_parquet(file: IO[bytes], name: str) -> Iterator[dict[str, list[Any]]]:
    arrow = _arrow()
    try:
        source = arrow.parquet.ParquetFile(file)
        if not source.metadata.num_rows:
            yield {column: [] for column in source.schema_arrow.names}
        for batch in source.iter_batches(BLOCK):
            yield batch.to_pydict()
    except arrow.ArrowException as error:
        raise UsageError(f"{name}: not a Parquet table: {error}") from None
