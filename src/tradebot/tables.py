"""Tables in files: CSV, or Parquet where pyarrow is installed, by the suffix of the name.

A table is a mapping from column name to its values, all of one length. In CSV a missing number is an
empty field, and every float64 is written so that it is read back exactly.
"""

from __future__ import annotations

import csv
import io
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tradebot.errors import UsageError

Table: TypeAlias = Mapping[str, Sequence[Any]]
SUFFIXES = (".csv", ".parquet")


def kind_of(path: Path) -> str:
    """`.csv` or `.parquet`; `UsageError` for another suffix."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: a table is written to a file that ends in {' or '.join(SUFFIXES)}")
    return suffix


def write(path: Path, table: Table) -> None:
    """Write a table; the file appears whole or not at all. `UsageError` if it cannot be written."""
    content = _parquet(table) if kind_of(path) == ".parquet" else _csv(table)
    draft = None
    try:
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except OSError as error:
        if draft:
            Path(draft).unlink(missing_ok=True)
        raise UsageError(f"{path}: {error.strerror}; choose another place") from None


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(float(value))
    return value


def _csv(table: Table) -> bytes:
    content = io.BytesIO()
    text = io.TextIOWrapper(content, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows([_cell(value) for value in row] for row in zip(*table.values(), strict=True))
    return content.getvalue()


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise UsageError("Parquet needs pyarrow: pip install 'tradebot[parquet]'; or take .csv") from None
    return pyarrow


def _parquet(table: Table) -> bytes:
    arrow = _arrow()
    sink = arrow.BufferOutputStream()
    arrow.parquet.write_table(arrow.table({name: list(values) for name, values in table.items()}), sink)
    return bytes(sink.getvalue())


def read(path: Path) -> dict[str, list[Any]]:
    """A table's columns; those of a CSV file are text. `UsageError` names file and line of what is wrong."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    return read_csv(raw, str(path)) if kind_of(path) == ".csv" else _read_parquet(raw, str(path))


def read_csv(raw: bytes, name: str) -> dict[str, list[Any]]:
    """The columns of a CSV table; `name` is what errors call it."""
    try:
        # Read as it is decoded: whole as text it would take four bytes a character.
        rows = csv.reader(io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig", newline=""), strict=True)
        header = next(rows, [])
        columns: dict[str, list[Any]] = {column: [] for column in header}
        if not header or len(columns) < len(header):
            raise UsageError(f"{name}: the first line must name the columns, each once")
        for row in rows:
            if len(row) != len(header):
                raise UsageError(f"{name}, line {rows.line_num}: {len(row)} fields for {len(header)} columns")
            for values, value in zip(columns.values(), row, strict=True):
                values.append(value)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{name}: not a CSV table: {error}") from None
    return columns


def _read_parquet(raw: bytes, name: str) -> dict[str, list[Any]]:
    arrow = _arrow()
    try:
        columns: dict[str, list[Any]] = arrow.parquet.read_table(arrow.BufferReader(raw)).to_pydict()
    except arrow.ArrowException as error:
        raise UsageError(f"{name}: not a Parquet table: {error}") from None
    return columns
