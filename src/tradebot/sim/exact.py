"""Klines as scaled integers: what the simulated exchange computes with, so that no digit is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tradebot.market.bars import FIELDS, MONTH, SUMMED, Floats, Klines, Times, interval_ms, open_of

_SAFE = 2**53
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def as_float(scaled: Times, decimals: int) -> Floats:
    """`scaled / 10**decimals`, each correctly rounded."""
    if np.abs(scaled).max(initial=0) <= _SAFE:
        return scaled / 10.0**decimals
    return np.array([value / 10**decimals for value in scaled.tolist()], np.float64)


@dataclass(frozen=True, slots=True)
class Scale:
    """Decimal places of prices, of base amounts and of quote amounts."""

    price: int
    amount: int
    quote: int

    @property
    def rows(self) -> tuple[int, ...]:
        """Decimal places of each row of `FIELDS`."""
        p, a, q = self.price, self.amount, self.quote
        return (0, p, p, p, p, a, q, 0, a, q)


@dataclass(frozen=True, eq=False, slots=True)
class Exact:
    """One series, oldest first: `data` is `(10, n)` int64, its rows those of `FIELDS` times 10**places."""

    data: Times
    scale: Scale

    @classmethod
    def empty(cls, scale: Scale) -> Exact:
        """A series without a bar."""
        return cls(np.empty((len(FIELDS), 0), np.int64), scale)

    def __len__(self) -> int:
        return int(self.data.shape[1])

    def klines(self) -> Klines:
        """The same as floats, correctly rounded."""
        rows = [as_float(row, places) for row, places in zip(self.data, self.scale.rows, strict=True)]
        return Klines(np.array(rows).reshape(len(FIELDS), -1))

    def rescaled(self, scale: Scale) -> Exact:
        """The same values with at least as many decimal places."""
        factors = [10 ** (to - of) for to, of in zip(scale.rows, self.scale.rows, strict=True)]
        return Exact(self.data * np.array(factors, np.int64)[:, None], scale)

    def between(self, start: int, end: int) -> Exact:
        """The bars with `start <= open time <= end`."""
        left, right = np.searchsorted(self.data[0], (start, end + 1))
        return Exact(self.data[:, left:right], self.scale)

    def aggregate(self, interval: str) -> Exact:
        """Bars of a coarser interval, each from whatever bars of this series it holds."""
        if not len(self):
            return self
        opens = opens_of(self.data[0], interval)
        starts = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
        data = merged(self.data, starts)
        data[0] = opens[starts]
        return Exact(data, self.scale)


def merged(bars: Times, starts: Times) -> Times:
    """Neighbours of `(10, n)` made one bar, from each of the places `starts` to before the next."""
    ends = np.append(starts[1:], bars.shape[1]) - 1
    out = np.empty((len(FIELDS), len(starts)), np.int64)
    out[0], out[1], out[4] = bars[0, starts], bars[1, starts], bars[4, ends]
    np.maximum.reduceat(bars[2], starts, out=out[2])
    np.minimum.reduceat(bars[3], starts, out=out[3])
    np.add.reduceat(bars[SUMMED], starts, axis=1, out=out[SUMMED])
    return out


def join(parts: Sequence[Exact], scale: Scale) -> Exact:
    """Parts that follow each other, as one series."""
    return Exact(np.concatenate([part.data for part in parts], axis=1), scale) if parts else Exact.empty(scale)


def opens_of(times: Times, interval: str) -> Times:
    """When the bars open that hold `times` (UTC ms)."""
    if interval == MONTH:
        return times.astype("datetime64[ms]").astype("datetime64[M]").astype("datetime64[ms]").astype(np.int64)
    step = interval_ms(interval)
    origin = open_of(interval, 0) % step
    return times - (times - origin) % step


def _low_first(opened: int) -> bool:
    """Whether the bar that opened then visits its low before its high: one bit of its open time's hash."""
    x = opened & (2**64 - 1)
    for factor in _MIX:
        x = ((x ^ (x >> 30)) * factor) & (2**64 - 1)
    return bool(x >> 63)


def _visited(bar: Times, length: int, elapsed: int) -> list[int]:
    """Turning points of the price so far and, last, the price itself: open → extreme → extreme → close."""
    first, high, low, last = (int(value) for value in bar[1:5])
    extremes = (low, high) if _low_first(int(bar[0])) else (high, low)
    points = [first, *extremes, last]
    leg, rest = divmod(3 * elapsed, length)
    origin, change = points[leg], points[leg + 1] - points[leg]
    return [*points[: leg + 1], origin + (2 * change * rest + length) // (2 * length)]


def price_within(bar: Times, length: int, elapsed: int) -> int:
    """The price `elapsed` of `length` ms after the bar opened, in ticks; `bar` is one column of `Exact.data`."""
    return _visited(bar, length, elapsed)[-1] if elapsed < length else int(bar[4])


def prices_within(bar: Times, length: int, elapsed: Times) -> Times:
    """`price_within` for many moments of one bar, each before its end."""
    first, high, low, last = (int(value) for value in bar[1:5])
    points = np.array([first, *((low, high) if _low_first(int(bar[0])) else (high, low)), last])
    leg, rest = np.divmod(3 * elapsed, length)
    # In two parts, of which neither passes 64 bits.
    whole, part = np.divmod(points[leg + 1] - points[leg], length)
    prices: Times = points[leg] + whole * rest + (2 * part * rest + length) // (2 * length)
    return prices


def partial(bar: Times, length: int, elapsed: int) -> Times:
    """The bar as it stood `elapsed` of `length` ms after it opened; amounts grow evenly."""
    if elapsed >= length:
        return bar
    seen = _visited(bar, length, elapsed)
    amounts = [int(value) * elapsed // length for value in bar[SUMMED]]
    return np.array([int(bar[0]), seen[0], max(seen), min(seen), seen[-1], *amounts], np.int64)


def partial_bars(bars: Times, opened: int, length: int, elapsed: int) -> Times:
    """`partial` of many bars `(10, n)` that all opened at `opened`."""
    first, high, low, last = bars[1:5]
    extremes = (low, high) if _low_first(opened) else (high, low)
    points = np.stack([first, *extremes, last])
    leg, rest = divmod(3 * elapsed, length)
    origin, change = points[leg], points[leg + 1] - points[leg]
    seen = np.concatenate([points[: leg + 1], (origin + (2 * change * rest + length) // (2 * length))[None]])
    out = np.empty_like(bars)
    out[0], out[1], out[4] = opened, first, seen[-1]
    out[2], out[3] = seen.max(axis=0), seen.min(axis=0)
    # amount · elapsed / length in two parts, of which neither passes 64 bits
    whole, part = np.divmod(bars[SUMMED], length)
    out[SUMMED] = whole * elapsed + part * elapsed // length
    return out
