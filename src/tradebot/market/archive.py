"""Kline files in and out of the store: SYMBOL-INTERVAL.csv or .parquet, and the venue's public archive.

What is written is read back to the same values. Archives are named SYMBOL-INTERVAL-2024-01 (or
-2024-01-15), as .csv or .zip. In a file's name a letter that no file name may hold stands as %XX.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np

from tradebot.clock import wall_ms
from tradebot.errors import BadKlines
from tradebot.market.bars import FIELDS, INTERVALS, Floats, Klines, Mask, interval_ms, merge, open_of
from tradebot.market.cells import SUFFIXES, Cells, blocks
from tradebot.market.chunks import Series, Stretch
from tradebot.market.figures import PLACES, count, decimal, fill, moment, scaled
from tradebot.market.history import Shelf

log = logging.getLogger(__name__)
ROWS = 50_000  # held in memory at once
_NAME = re.compile(r"(?P<symbol>[^-]+)-(?P<interval>\d+[A-Za-z])(-(?P<date>\d{4}-\d{2}(-\d{2})?))?\.(csv|zip|parquet)")
# What float() would take beside plain decimal numbers holds other letters than these.
_PLAIN = re.compile(r"[0-9.eE+,-]*")
_DIGITS = re.compile(r"[0-9,]*")
_GREAT = 1e17  # numbers from here on are looked at one by one
_FEW = 10  # rows that may lie on a coarser grid by chance


class KlineFile(NamedTuple):
    """A file with the series that its name tells."""

    path: Path
    series: Series


def file_name(series: Series, suffix: str) -> str:
    """`BTCUSDT-5m.csv` of a series and `.csv`."""
    symbol = "".join(char if char.isalnum() or char == "_" else f"%{ord(char):02X}" for char in series[0])
    return f"{symbol}-{series[1]}{suffix}"


def series_of(path: Path) -> Series | None:
    """The series that a file's name tells; None if it tells none or one of an interval that does not exist."""
    match = _NAME.fullmatch(path.name)
    return (unquote(match["symbol"]), match["interval"]) if match and match["interval"] in INTERVALS else None


def kline_files(path: Path) -> list[KlineFile]:
    """The kline files of a folder and of those in it, by name, or the one file; `BadKlines` where there is none."""
    if not path.exists():
        raise BadKlines(f"{path}: no such file or folder")
    if not path.is_dir():
        if series := series_of(path):
            return [KlineFile(path, series)]
        raise BadKlines(f"{path}: its name tells no series; call it like ETHBTC-5m.csv, ETHBTC-5m-2024-01.zip")
    named = [(each, series_of(each)) for each in sorted(path.rglob("*")) if each.suffix in SUFFIXES]
    found = [KlineFile(each, series) for each, series in named if series and each.is_file()]
    if not found:
        raise BadKlines(f"{path}: no kline files in it; they are named like ETHBTC-5m.csv, ETHBTC-5m-2024-01.zip")
    return found


def read_file(file: KlineFile, rows: int = ROWS) -> Iterator[Klines]:
    """The klines of a file, checked, so many at a time.

    Open times ascend with at most one in each bar of the grid and are of the month or day that its name
    may tell, prices are above 0 and hold together, all is finite; else `BadKlines` with file, line, column
    and reason.
    """
    before, total, distance = 0, 0, 0  # the last: the greatest that all rows are multiples of apart
    for cells in blocks(file.path, rows):
        if len(cells):
            klines = _klines(cells)
            _check(cells, klines.data, before, file)
            times = klines.open_time
            distance = int(np.gcd.reduce(np.diff(times, prepend=before or times[0]), initial=distance))
            before, total = int(times[-1]), total + len(klines)
            yield klines
    coarser = [name for name, length in INTERVALS.items() if distance % length == 0]
    if total > _FEW and coarser and INTERVALS[coarser[-1]] > interval_ms(file.series[1]):
        raise BadKlines(f"{file.path}: its rows are {coarser[-1]} apart, not {file.series[1]}; name it as such")


def _klines(cells: Cells) -> Klines:
    data = np.empty((len(FIELDS), len(cells)))
    data[0] = _times(cells)
    for row, name in enumerate(FIELDS[1:], 1):
        if name in cells.columns:
            quick = _parsed(cells.columns[name], _DIGITS if name == "trades" else _PLAIN)
            data[row] = cells.read(name, count if name == "trades" else decimal) if quick is None else quick
    for name, values in _filled(cells).items():
        data[FIELDS.index(name)] = values
    return Klines(data)


def _filled(cells: Cells) -> dict[str, list[float]]:
    """The columns that a file does not have."""
    absent = [name for name in FIELDS if name not in cells.columns]
    if not absent:
        return {}
    exact = {name: cells.read(name, scaled) for name in FIELDS[1:] if name in cells.columns and name != "trades"}
    fill(exact)
    return {name: [value / 10**PLACES for value in exact[name]] for name in absent}


def _times(cells: Cells) -> Floats:
    quick = _parsed(cells.columns["open_time"], _DIGITS)
    if quick is not None:
        times: Floats = np.where(quick >= 10**14, quick // 1000, quick)
        if ((times > 10**11) & (times < 10**13)).all():
            return times
    return np.array(cells.read("open_time", moment), np.float64)  # names the first cell that is wrong


def _parsed(column: Sequence[str], letters: re.Pattern[str]) -> Floats | None:
    """A column all at once; None if a cell may not be a number of these letters from 0 to below 10¹⁷."""
    if not letters.fullmatch(",".join(column)):
        return None
    try:
        values = np.fromiter(map(float, column), np.float64, len(column))
    except ValueError:
        return None
    return None if np.signbit(values).any() or (values >= _GREAT).any() else values


def _period(path: Path) -> tuple[str, int, int]:
    """The month or day that a file's name tells, from when to before when (UTC ms); all of time if none."""
    match = _NAME.fullmatch(path.name)
    if not match or not match["date"]:
        return "", 0, 2**53
    try:
        told = np.datetime64(match["date"])  # of the unit that it is written in
    except ValueError:
        raise BadKlines(f"{path}: {match['date']} in its name is no date") from None
    begin, end = (int(each.astype("datetime64[ms]").astype(np.int64)) for each in (told, told + 1))
    return match["date"], begin, end


def _check(cells: Cells, data: Floats, before: float, file: KlineFile) -> None:
    """Raise `BadKlines` for the first row that is wrong; `before` is the open time of the row before."""
    interval = file.series[1]
    told, begin, end = _period(file.path)
    times, opened, high, low, close = data[:5]
    bars = _grid(np.append(before, times), interval)
    problems: Sequence[tuple[str, str, Mask]] = [
        ("open_time", "does not come after the line before it", np.diff(times, prepend=before) <= 0),
        ("open_time", f"opens in the same {interval} bar as the line before it", np.diff(bars) <= 0),
        (
            "open_time",
            f"is not of {told}, which the file's name tells",
            (times <= begin - interval_ms(interval)) | (times >= end),
        ),
        ("low", "is not above 0 and at most open and close", (low <= 0) | (low > np.minimum(opened, close))),
        ("high", "is below open or close", high < np.maximum(opened, close)),
    ]
    wrong = [(int(mask.argmax()), column, text) for column, text, mask in problems if mask.any()]
    if wrong:
        raise cells.bad(*min(wrong, key=lambda each: each[0]))


def _grid(times: Floats, interval: str) -> Floats:
    """Open times of the grid bars that hold `times`."""
    grid: Floats = times - (times - open_of(interval, 0)) % interval_ms(interval)
    return grid


def off_grid(klines: Klines, interval: str) -> int:
    """How many bars open beside the grid."""
    return int((klines.data[0] != _grid(klines.data[0], interval)).sum())


def runs(klines: Klines, interval: str) -> Iterator[Klines]:
    """The stretches of a series in which no bar of the grid is missing."""
    borders = np.flatnonzero(np.diff(_grid(klines.data[0], interval)) > interval_ms(interval)) + 1
    for part in np.split(klines.data, borders, axis=1):
        if part.shape[1]:
            yield Klines(part)


def write_file(path: Path, series: Series, parts: Iterable[Klines], venue: str) -> int:
    """Write a series as CSV or Parquet, by the name's suffix; how many bars.

    The file is there only when it is whole. `BadKlines` if it cannot be written.
    """
    beside = path.with_name(f".{path.name}.part")
    write = _write_parquet if path.suffix == ".parquet" else _write_csv
    try:
        try:
            rows = write(beside, parts, {"venue": venue, "symbol": series[0], "interval": series[1]})
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise BadKlines(f"{path}: cannot be written: {error.strerror or error}") from None
    return rows


def plain(value: float) -> str:
    """The shortest decimal that reads as the same float, without an exponent."""
    text = repr(value)
    if "e" in text:
        text = np.format_float_positional(value, trim="-")
    return text.removesuffix(".0")


def _write_csv(path: Path, parts: Iterable[Klines], _: Mapping[str, str]) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(",".join(FIELDS) + "\n")
        for klines in parts:
            columns = [map(plain, row.tolist()) for row in klines.data]
            file.writelines(",".join(row) + "\n" for row in zip(*columns, strict=True))
            rows += len(klines)
    return rows


def _write_parquet(path: Path, parts: Iterable[Klines], about: Mapping[str, str]) -> int:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise BadKlines(
            f"{path}: Parquet is written by pyarrow; install it, for example as tradebot[parquet]"
        ) from None
    whole = {"open_time": arrow.timestamp("ms", tz="UTC"), "trades": arrow.int64()}
    schema = arrow.schema([(name, whole.get(name, arrow.float64())) for name in FIELDS], metadata=about)
    rows = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for klines in parts:
            columns = [
                arrow.array(row.astype(np.int64) if name in whole else row).cast(schema.field(name).type)
                for name, row in zip(FIELDS, klines.data, strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(columns, schema=schema))
            rows += len(klines)
    return rows


@dataclass
class Imported:
    """What a file brought: `rows` of it, of which `new` were stored.

    `conflicts` are rows that the store knows otherwise (it has other values, or knows that the venue
    has no such bar): what is stored stays. `off_grid` rows open beside the grid. Times are open times.
    """

    file: KlineFile
    rows: int = 0
    new: int = 0
    conflicts: int = 0
    off_grid: int = 0
    first_open: int | None = None
    last_open: int | None = None


def take_in(store: Shelf, file: KlineFile) -> Imported:
    """Store a file's klines beside what is there; a file with anything wrong in it is not taken at all.

    Only what follows without a hole counts as covered, so that a fetch asks the venue for the rest. Rows that
    this machine's clock has not seen the close of are left out, with a warning: they would be taken for final.
    """
    for _ in read_file(file):  # all of it is read before any of it is stored
        pass
    told = Imported(file)
    interval = file.series[1]
    present = open_of(interval, wall_ms())
    for whole in read_file(file):
        klines = whole.between(0, present - 1)
        if len(klines) < len(whole):
            log.warning("%s: %d rows that have not closed yet are left out", file.path, len(whole) - len(klines))
        if not len(klines):
            continue
        times = klines.open_time
        told.rows += len(klines)
        told.off_grid += off_grid(klines, interval)
        told.first_open = int(times[0]) if told.first_open is None else told.first_open
        told.last_open = int(times[-1])
        stretches, fresh = _unknown(store, file.series, klines)
        held = store.read(*file.series, int(times[0]), int(times[-1]))
        known = Klines(klines.data[:, ~fresh])
        told.conflicts += len(merge(held, known)[1]) + int((~np.isin(known.data[0], held.data[0])).sum())
        told.new += int(fresh.sum())
        store.add(stretches)
    return told


def _unknown(store: Shelf, series: Series, klines: Klines) -> tuple[list[Stretch], Mask]:
    """The parts of `klines` of which the store knows nothing, and which bars those are."""
    interval = series[1]
    places = _grid(klines.data[0], interval).astype(np.int64)
    fresh = np.zeros(len(klines), bool)
    stretches = []
    for first, last in store.missing(*series, int(places[0]), int(places[-1])):
        inside = (places >= first) & (places <= last)
        fresh |= inside
        for run in runs(Klines(klines.data[:, inside]), interval):
            since, newest = _grid(run.data[0, [0, -1]], interval).astype(np.int64).tolist()
            stretches.append(Stretch(series, run, since, newest))
    return stretches, fresh
