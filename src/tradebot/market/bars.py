"""Klines and panels as arrays.

A series is one `(10, n)` float64 array, a row for each field of `FIELDS`; integers (times, trade
counts) are far below 2**53 and so exact. All times are UTC milliseconds of the venue's clock; a
bar is named by its open time and closed when its close time (next open − 1) is before *now*.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradebot.clock import DAY, HOUR, MINUTE, SECOND
from tradebot.errors import BadKlines, ConfigError, suggestion

Floats: TypeAlias = NDArray[np.float64]
Times: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

FIELDS = (
    "open_time", "open", "high", "low", "close",
    "volume", "quote_volume", "trades", "taker_base", "taker_quote",
)  # fmt: skip
COLUMN = {name: index for index, name in enumerate(FIELDS)}
SUMMED = slice(5, 10)
_KEPT = (0, 1, 2, 3, 4, 5, 7, 8, 9, 10)  # of the venue's rows
_UNIT = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
INTERVALS = {
    name: int(name[:-1]) * _UNIT[name[-1]]
    for name in "1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w".split()
}  # fmt: skip
MONTH = "1M"
_MONDAY = 4 * DAY  # 1970-01-05, from which weeks are counted


def interval_ms(interval: str) -> int:
    """Length of an interval of fixed length in ms; `ConfigError` for any other name."""
    try:
        return INTERVALS[interval]
    except KeyError:
        raise ConfigError(f"unknown interval '{interval}'{suggestion(interval, INTERVALS)}") from None


def open_of(interval: str, moment: int) -> int:
    """Open time of the bar that holds `moment`. Weeks begin on Monday; months are the calendar's."""
    if interval == MONTH:
        day = datetime.fromtimestamp(moment / 1000, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000
    step = interval_ms(interval)
    origin = _MONDAY if interval == "1w" else 0
    return moment - (moment - origin) % step


def next_open(interval: str, moment: int) -> int:
    """Open time of the bar after the one that holds `moment`."""
    if interval == MONTH:
        return open_of(MONTH, open_of(MONTH, moment) + 32 * DAY)
    return open_of(interval, moment) + interval_ms(interval)


def last_closed(interval: str, now: int) -> int:
    """Open time of the newest bar that is closed at `now`."""
    return open_of(interval, open_of(interval, now) - 1)


@dataclass(frozen=True, eq=False, slots=True)
class Klines:
    """One series, oldest first, open times strictly ascending. `data` is `(10, n)` float64."""

    data: Floats

    @classmethod
    def empty(cls) -> Klines:
        """A series without a bar."""
        return cls(np.empty((len(FIELDS), 0)))

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[Any]]) -> Klines:
        """From the venue's 12-element rows of numbers or decimal strings, correctly rounded.

        `BadKlines` if a row is short, holds no number, or open times do not ascend.
        """
        if not rows:
            return cls.empty()
        try:
            if set(map(len, rows)) != {12}:
                raise ValueError("a row that does not have 12 elements")
            flat = np.fromiter(chain.from_iterable(rows), np.float64, count=12 * len(rows))
        except (ValueError, TypeError) as error:
            raise BadKlines(f"malformed kline rows: {error}") from None
        return cls(np.ascontiguousarray(flat.reshape(-1, 12)[:, _KEPT].T)).checked()

    @classmethod
    def from_numbers(cls, numbers: list[float]) -> Klines:
        """From the numbers of all of the venue's rows in one list, which is used up; `BadKlines` as `from_rows`.

        They must be finite, as all numbers in JSON are.
        """
        if len(numbers) % 12:
            raise BadKlines("malformed kline rows: a row that does not have 12 elements")
        del numbers[11::12]  # unused by the venue
        del numbers[6::11]  # close_time follows from the interval
        try:  # packing takes half the time of converting
            flat = np.frombuffer(struct.pack(f"{len(numbers)}d", *numbers))
        except struct.error as error:
            raise BadKlines(f"malformed kline rows: {error}") from None
        return cls(np.ascontiguousarray(flat.reshape(-1, len(FIELDS)).T)).ascending()

    @classmethod
    def from_bytes(cls, raw: bytes | memoryview) -> Klines:
        """The inverse of `to_bytes`, without a copy (the array is read-only)."""
        return cls(np.frombuffer(raw, np.float64).reshape(len(FIELDS), -1))

    def to_bytes(self) -> bytes:
        """All values, exactly."""
        return self.data.tobytes()

    def checked(self) -> Klines:
        """This series; `BadKlines` if open times do not ascend or a value is not a finite number."""
        if not np.isfinite(self.data).all():
            raise BadKlines("a kline holds a value that is not a number")
        return self.ascending()

    def ascending(self) -> Klines:
        """This series; `BadKlines` if open times do not ascend."""
        if (self.data[0, 1:] <= self.data[0, :-1]).any():
            raise BadKlines("open times do not ascend")
        return self

    def __len__(self) -> int:
        return int(self.data.shape[1])

    def __getitem__(self, field: str) -> Floats:
        row: Floats = self.data[COLUMN[field]]
        return row

    @property
    def open_time(self) -> Times:
        """Open times, int64 UTC ms."""
        times: Times = self.data[0].astype(np.int64)
        return times

    def between(self, start: int, end: int) -> Klines:
        """The bars with `start <= open time <= end`."""
        times = self.data[0]
        if not len(times):
            return self
        first = times.searchsorted(start) if times[0] < start else None  # usually at most one end is to be looked for
        last = times.searchsorted(end, "right") if end < times[-1] else None
        return self if first is None and last is None else Klines(self.data[:, first:last])

    def split(self, moment: int) -> tuple[Klines, Klines]:
        """The bars that opened before `moment`, and the others."""
        cut = self.data[0].searchsorted(moment)
        return Klines(self.data[:, :cut]), Klines(self.data[:, cut:])

    def last(self, bars: int) -> Klines:
        """The newest `bars` bars."""
        return Klines(self.data[:, -bars:] if bars else self.data[:, :0])

    def closed(self, interval: str, now: int) -> Klines:
        """The bars whose close time is before `now`."""
        return self.between(0, open_of(interval, now) - 1)


def merge(old: Klines, new: Klines) -> tuple[Klines, Times]:
    """Both series by open time, `new` winning; and the open times whose values were revised."""
    if not len(old) or not len(new):
        return (new if len(new) else old), np.empty(0, np.int64)
    before = int(old.data[0].searchsorted(new.data[0, 0]))
    again, first = old.data[:, before:], new.data[:, : len(old) - before]
    # The usual case: they follow, after some or none that are known.
    if again.shape == first.shape and (again[0] == first[0]).all():
        revised = (again != first).any(axis=0)
        return Klines(np.concatenate([old.data[:, :before], new.data], axis=1)), first[0][revised].astype(np.int64)
    kept = ~np.isin(old.data[0], new.data[0])
    known = np.isin(new.data[0], old.data[0])
    revised = (old.data[:, ~kept] != new.data[:, known]).any(axis=0)
    both = np.concatenate([old.data[:, kept], new.data], axis=1)
    return Klines(both[:, np.argsort(both[0], kind="stable")]), new.data[0, known][revised].astype(np.int64)


def gaps(klines: Klines, interval: str) -> list[tuple[int, int]]:
    """Missing bars inside a series as `(first, last)` open times on the grid.

    An off-grid bar counts for the grid bar that it opens in.
    """
    step = interval_ms(interval)
    times = _opens(klines, interval).astype(np.int64)
    holes = np.flatnonzero(np.diff(times) > step)
    return [(int(times[i]) + step, int(times[i + 1]) - step) for i in holes]


def _sums_exactly(rows: Floats, edges: NDArray[np.intp]) -> Floats:
    """Sums of groups of decimal numbers of up to eight places, correctly rounded, row by row; between `edges`.

    Float sums of the venue's decimals err in the last digit for nearly half of all real hours;
    integers of 10⁻⁸ do not. Python's integers take over where 2**53 would be passed.
    """
    starts, ends = edges[:-1], edges[1:]
    peak = float(np.abs(rows).max(initial=0.0)) * 1e8
    # Up to 2**50 the error of value * 1e8 is below a half; up to 2**53 the sum is an exact float.
    if peak < 2**50 and peak * int((ends - starts).max(initial=1)) < 2**53:
        sums: Floats = np.add.reduceat(np.rint(rows * 1e8).astype(np.int64), starts, axis=1) / 1e8
        return sums
    if len(rows) > 1:
        return np.concatenate([_sums_exactly(row[np.newaxis], edges) for row in rows])
    from decimal import Decimal

    exact = [round(Decimal(repr(value)).scaleb(8)) for value in rows[0].tolist()]
    return np.array([[sum(exact[a:b]) / 10**8 for a, b in zip(starts, ends, strict=True)]])


def aggregate(fine: Klines, interval: str) -> Klines:
    """Bars of `interval` from finer ones; a bar is made of whatever finer bars there are.

    Volumes and counts are summed exactly (see `_sums_exactly`). The caller sees to it that the
    first and last bars are whole.
    """
    if not len(fine):
        return fine
    opens = (
        np.array([open_of(interval, int(t)) for t in fine.open_time], np.float64)
        if interval == MONTH
        else _opens(fine, interval)
    )
    edges = np.concatenate([[0], np.flatnonzero(opens[1:] != opens[:-1]) + 1, [len(opens)]])
    starts = edges[:-1]
    data = np.empty((len(FIELDS), len(starts)))
    data[0], data[1], data[4] = opens[starts], fine["open"][starts], fine["close"][edges[1:] - 1]
    data[2] = np.maximum.reduceat(fine["high"], starts)
    data[3] = np.minimum.reduceat(fine["low"], starts)
    data[SUMMED] = _sums_exactly(fine.data[SUMMED], edges)
    return Klines(data)


def _opens(fine: Klines, interval: str) -> Floats:
    origin = _MONDAY if interval == "1w" else 0
    opens: Floats = fine.data[0] - (fine.data[0] - origin) % interval_ms(interval)
    return opens


PANEL = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, eq=False, slots=True)
class Panel:
    """The last bars of one interval over the whole universe, on the time grid.

    `data` is `(5, symbols, bars)` float64 (`PANEL` names the first axis), oldest bar first; all
    symbols share the grid, whose last open time is `end`. A missing bar is filled flat from the
    last close with zero volume and flagged in `filled` `(symbols, bars)`; bars from before a
    symbol's first kline are NaN and not flagged.
    """

    interval: str
    end: int
    symbols: tuple[str, ...]
    data: Floats
    filled: Mask

    def __getattr__(self, name: str) -> Floats:
        if name in PANEL:
            values: Floats = self.data[PANEL.index(name)]
            return values
        raise AttributeError(name)

    @property
    def times(self) -> Times:
        """Open times of the grid, int64 UTC ms."""
        step = interval_ms(self.interval)
        return self.end + step * np.arange(1 - self.data.shape[2], 1, dtype=np.int64)

    def take(self, rows: Sequence[int]) -> Panel:
        """The same panel with only these symbols."""
        index = list(rows)
        names = tuple(self.symbols[row] for row in index)
        return Panel(self.interval, self.end, names, self.data[:, index], self.filled[index])


@cache
def _ramp(bars: int, step: int) -> Floats:
    return np.arange(bars, dtype=np.float64) * step


class Board:
    """A panel in the making: the `bars` grid bars up to open time `end`, filled one symbol's series after another."""

    def __init__(self, interval: str, end: int, bars: int, symbols: Sequence[str]) -> None:
        self._interval, self._end, self._symbols = interval, end, tuple(symbols)
        self._step = interval_ms(interval)
        self._grid = end - (bars - 1) * self._step + _ramp(bars, self._step)
        self._times = self._grid.tobytes()
        self._data = np.full((len(PANEL), len(self._symbols), bars), np.nan)
        self._filled = np.zeros((len(self._symbols), bars), bool)

    def put(self, row: int, klines: Klines) -> None:
        """Lay a series on the grid, as that of the symbol in `row`."""
        newest = klines.data[: 1 + len(PANEL), -len(self._grid) :]
        if newest[0].tobytes() == self._times:  # the usual case: on the grid as it is
            self._data[:, row] = newest[1:]
        else:
            inside = klines.between(0, self._end + self._step - 1)
            self._data[:, row], self._filled[row] = _on_grid(inside, self._grid, self._step)

    def recent(self, rows: Sequence[int], bars: int) -> Floats:
        """The newest bars of these rows, `(5, rows, bars)`."""
        return self._data[:, list(rows), -bars:]

    def panel(self, rows: Sequence[int]) -> Panel:
        """The panel of these rows; of all of them in their order it is the board itself, not a copy."""
        whole = Panel(self._interval, self._end, self._symbols, self._data, self._filled)
        return whole if list(rows) == list(range(len(self._symbols))) else whole.take(rows)


def panel(interval: str, end: int, bars: int, series: Iterable[tuple[str, Klines]]) -> Panel:
    """Panel of the `bars` grid bars up to open time `end` from each symbol's series."""
    pairs = list(series)
    board = Board(interval, end, bars, [symbol for symbol, _ in pairs])
    for row, (_, klines) in enumerate(pairs):
        board.put(row, klines)
    return board.panel(range(len(pairs)))


def _on_grid(klines: Klines, grid: Floats, step: int) -> tuple[Floats, Mask]:
    """One series laid on the grid; an off-grid bar counts for the grid bar that it opens in."""
    out = np.full((len(PANEL), len(grid)), np.nan)
    slot = np.searchsorted(grid, klines.data[0], side="right") - 1
    inside = slot >= 0
    out[:, slot[inside]] = klines.data[1:6, inside]
    missing = np.isnan(out[3])
    source = np.searchsorted(klines.data[0], grid + step, side="left") - 1
    filled = missing & (source >= 0)
    out[:4, filled] = klines["close"][source[filled]]
    out[4, filled] = 0.0
    return out, filled
