"""Klines as few bytes, exactly.

A stretch of a series is packed column by column. Prices and volumes are decimals, so a column is
mostly integers over one power of ten: the least that gives back every value bit for bit. A column
that none does that for is the bit patterns of its floats. Either way what is stored is the distance
from the column's least integer, in as few bytes as the largest needs; open times are the distance
from a regular grid, which is nothing at all where no bar is missing.

Layout: `HEAD`, then for each column its low 4, 2 or 1 bytes of all bars, then the higher ones
(`PARTS`). Everything is little-endian. Packing and unpacking work on many stretches at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tradebot.errors import BadKlines
from tradebot.market.bars import FIELDS, Floats, Mask, Times

COLUMNS = len(FIELDS)
HEAD = np.dtype(
    [("bars", "<u4"), ("step", "<u4"), ("power", "u1", COLUMNS), ("width", "u1", COLUMNS), ("base", "<i8", COLUMNS)]
)
HEAD_SIZE = HEAD.itemsize
POWERS = 16
BITS = POWERS  # in place of a power: the column holds the bit patterns of its floats
SCALE = 10.0 ** np.arange(POWERS)
SAMPLE = 16  # bars of a stretch that a first guess of its powers is made from
BATCH = 8_192  # bars packed at once: what fits the cache of one processor core
EXACT = 2.0**53
LIMITS = np.array([1, *(1 << (8 * width) for width in range(1, 8))], np.uint64)
PARTS = (
    (), ((1, 0),), ((2, 0),), ((2, 0), (1, 2)),
    ((4, 0),), ((4, 0), (1, 4)), ((4, 0), (2, 4)), ((4, 0), (2, 4), (1, 6)), ((8, 0),),
)  # fmt: skip
"""For each width the `(size, offset)` of the pieces of an integer that lie together."""

Counts = NDArray[np.intp]


def pack(stretches: Sequence[tuple[Floats, int]]) -> list[bytes]:
    """Each `(10, n)` array (n > 0, no NaN), with the interval's length in ms, as bytes."""
    out: list[bytes] = []
    batch: list[tuple[Floats, int]] = []
    bars = 0
    for stretch in stretches:
        batch.append(stretch)
        bars += stretch[0].shape[1]
        if bars >= BATCH:
            out += _pack(batch)
            batch, bars = [], 0
    return out + (_pack(batch) if batch else [])


def _pack(stretches: Sequence[tuple[Floats, int]]) -> list[bytes]:
    counts = np.array([data.shape[1] for data, _ in stretches])
    starts = np.cumsum(counts) - counts
    data = np.concatenate([data for data, _ in stretches], axis=1)
    heads = np.zeros(len(counts), HEAD)
    heads["bars"], heads["step"] = counts, [step for _, step in stretches]
    power = _powers(data, starts, counts)
    whole = _integers(data, power, counts)
    whole[0] -= _grid(heads["step"] * (power[0] == 0), counts)
    base = np.minimum.reduceat(whole, starts, axis=1)
    whole -= np.repeat(base, counts, axis=1)
    width = np.searchsorted(LIMITS, np.maximum.reduceat(whole.view(np.uint64), starts, axis=1), "right")
    heads["power"], heads["width"], heads["base"] = power.T, width.T, base.T
    pieces = {size: whole.view(f"<u{size}") for size in (1, 2, 4, 8)}
    return [
        heads[index].tobytes() + _body(pieces, start, start + count, widths)
        for index, (start, count, widths) in enumerate(
            zip(starts.tolist(), counts.tolist(), width.T.tolist(), strict=True)
        )
    ]


def _body(pieces: dict[int, NDArray[Any]], start: int, stop: int, widths: Sequence[int]) -> bytes:
    return b"".join(
        pieces[size][row, (8 * start + offset) // size : 8 * stop // size : 8 // size].tobytes()
        for row, width in enumerate(widths)
        for size, offset in PARTS[width]
    )


def _grid(steps: NDArray[Any], counts: Counts) -> Times:
    """For each bar `step` times its place in its stretch."""
    total = int(counts.sum())
    places = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    grid: Times = places * np.repeat(steps.astype(np.int64), counts)
    return grid


def _powers(data: Floats, starts: Counts, counts: Counts) -> NDArray[np.intp]:
    """The least power of ten for each column and stretch, `BITS` where none is exact; `(10, stretches)`."""
    taken = np.minimum(counts, SAMPLE)
    places = np.repeat(starts, taken) + np.concatenate(
        [np.arange(take) * count // take for take, count in zip(taken.tolist(), counts.tolist(), strict=True)]
    )
    power = np.zeros((len(data), len(counts)), np.intp)
    _raise(data[:, places], np.cumsum(taken) - taken, taken, power)
    _raise(data, starts, counts, power)
    return power


def _raise(data: Floats, starts: Counts, counts: Counts, power: NDArray[np.intp]) -> None:
    """Raise `power` in place until all values are exact, or to `BITS`."""
    rows = np.arange(len(data))
    while len(rows := rows[(power[rows] < BITS).any(axis=1)]):
        fine = np.logical_and.reduceat(_exact(data[rows], power[rows], counts), starts, axis=1)
        short = ~fine & (power[rows] < BITS)
        power[rows] += short
        rows = rows[short.any(axis=1)]


def _scaled(data: Floats, power: NDArray[np.intp], counts: Counts) -> tuple[Floats, Floats]:
    scale = np.repeat(SCALE[np.minimum(power, POWERS - 1)], counts, axis=1)
    with np.errstate(over="ignore"):
        product = data * scale
    product = np.rint(product, out=product)
    product += 0.0  # no -0.0: an integer has none
    return product, scale


def _exact(data: Floats, power: NDArray[np.intp], counts: Counts) -> Mask:
    whole, scale = _scaled(data, power, counts)
    same: Mask = (whole / scale).view(np.int64) == data.view(np.int64)
    same &= np.abs(whole) < EXACT
    return same


def _integers(data: Floats, power: NDArray[np.intp], counts: Counts) -> Times:
    """Each value as an integer: scaled, or its bits."""
    if (power < BITS).all():
        return _scaled(data, power, counts)[0].astype(np.int64)
    bits = np.repeat(power == BITS, counts, axis=1)
    whole = _scaled(np.where(bits, 0.0, data), power, counts)[0].astype(np.int64)
    return np.where(bits, data.view(np.int64), whole)


def check(payload: memoryview) -> None:
    """`BadKlines` if `payload` is not what `pack` makes."""
    if len(payload) >= HEAD_SIZE:
        bars = int.from_bytes(payload[:4], "little")
        power, width = payload[8 : 8 + COLUMNS], payload[8 + COLUMNS : 8 + 2 * COLUMNS]
        if bars and max(power) <= BITS and max(width) <= 8 and len(payload) == HEAD_SIZE + bars * sum(width):
            return
    raise BadKlines("no packed klines")


def unpack(payloads: Sequence[memoryview], first: Times, last: Times) -> tuple[Floats, Counts]:
    """The bars of checked stretches one after another, `(10, n)`, and how many of each.

    Of a stretch without a gap only those with `first <= open time <= last` (int64, one each); of others all.
    """
    heads = np.frombuffer(b"".join([payload[:HEAD_SIZE] for payload in payloads]), HEAD)
    cut = _Cut(payloads, heads["bars"].astype(np.intp), *_wanted(heads, first, last))
    counts = cut.counts
    data = np.empty((COLUMNS, int(counts.sum())))
    width = heads["width"].astype(np.intp)
    begin = HEAD_SIZE + (np.cumsum(width, axis=1) - width) * cut.bars[:, None]
    for row in range(COLUMNS):
        whole = cut.distances(begin[:, row], width[:, row])
        whole += _spread(heads["base"][:, row], counts)
        power = heads["power"][:, row]
        if row == 0:
            steps = heads["step"].astype(np.int64) * (power == 0)
            whole += _grid(steps, counts)
            whole += np.repeat(cut.low * steps, counts)
        _values(whole, power, counts, data[row])
    return data, counts


def _wanted(heads: NDArray[Any], first: Times, last: Times) -> tuple[Counts, Counts]:
    """Of each stretch the first bar that is wanted, and the one after the last."""
    bars, step, base = heads["bars"].astype(np.intp), heads["step"].astype(np.int64), heads["base"][:, 0]
    regular = (heads["width"][:, 0] == 0) & (heads["power"][:, 0] == 0) & (step > 0)
    divisor = np.maximum(step, 1)
    low = np.where(regular, np.clip(-((base - first) // divisor), 0, bars), 0)
    high = np.where(regular, np.clip((last - base) // divisor + 1, low, bars), bars)
    return low, high


class _Cut(NamedTuple):
    """Of each stretch, which has `bars`, those from `low` up to `high`."""

    payloads: Sequence[memoryview]
    bars: Counts
    low: Counts
    high: Counts

    @property
    def counts(self) -> Counts:
        return self.high - self.low

    def distances(self, begin: Counts, width: Counts) -> Times:
        """One column of integers above their base; it begins at `begin` in each payload."""
        counts = self.counts
        whole = np.zeros(int(counts.sum()), "<i8")
        sizes = set(width.tolist())
        for size in sizes - {0}:
            alike = width == size
            where = slice(None) if len(sizes) == 1 else np.repeat(alike, counts)
            chosen = np.flatnonzero(alike)
            for part, offset in PARTS[size]:
                start = begin[chosen] + self.bars[chosen] * offset
                ends = (start + self.low[chosen] * part).tolist(), (start + self.high[chosen] * part).tolist()
                pieces = [self.payloads[i][a:b] for i, a, b in zip(chosen.tolist(), *ends, strict=True)]
                whole.view(f"<u{part}")[offset // part :: 8 // part][where] = np.frombuffer(
                    b"".join(pieces), f"<u{part}"
                )
        return whole


def _spread(values: NDArray[Any], counts: Counts) -> Any:
    """`values` for each bar; one number where they are all the same."""
    return values[0] if (values == values[0]).all() else np.repeat(values, counts)


def _values(whole: Times, power: NDArray[Any], counts: Counts, out: Floats) -> None:
    """The floats that integers stand for, into `out`."""
    plain = power < BITS
    np.divide(whole, _spread(SCALE[np.where(plain, power, 0)], counts), out=out)
    if not plain.all():
        bits = np.repeat(~plain, counts)
        out[bits] = whole.view(np.float64)[bits]
