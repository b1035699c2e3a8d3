"""Whether a stored series is whole: what it holds of a stretch of time, and what is missing there and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tradebot.market.bars import Klines, gaps, interval_ms
from tradebot.market.chunks import Series
from tradebot.market.coverage import Span, missing
from tradebot.market.history import BLOCK, Shelf


@dataclass(frozen=True, slots=True)
class Survey:
    """What is stored of a series between two open times.

    `gaps` are what the venue itself does not have between the first bar and the last, `missing` what
    was not fetched yet; both as first and last open time (UTC ms) on the grid.
    """

    series: Series
    rows: int
    first_open: int | None
    last_open: int | None
    gaps: tuple[Span, ...]
    missing: tuple[Span, ...]


def survey(shelf: Shelf, series: Series, first: int, last: int) -> Survey:
    """Read all bars of `series` from `first` to `last` (open times, UTC ms), a block at a time, and look for holes."""
    step = interval_ms(series[1])
    lacking = tuple(shelf.missing(*series, first, last))
    rows, ends, holes = 0, list[int](), list[Span]()
    held = Klines.empty()
    for start in range(first, last + 1, BLOCK * step):
        found = shelf.read(*series, start, min(start + BLOCK * step, last + step) - 1)
        rows += len(found)
        both = Klines(np.concatenate([held.data, found.data], axis=1))
        holes += gaps(both, series[1])
        ends += [int(time) for time in (*found.data[0, :1], *found.data[0, -1:])]
        held = both.last(1)
    venues = [part for hole in holes for part in missing(lacking, *hole, step)]
    first_open, last_open = (ends[0], ends[-1]) if ends else (None, None)
    return Survey(series, rows, first_open, last_open, tuple(venues), lacking)
