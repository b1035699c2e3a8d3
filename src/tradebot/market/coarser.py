"""Coarse bars from fine ones, but only from all of them: what a hole has swallowed only the venue knows."""

from __future__ import annotations

import numpy as np

from tradebot.market.bars import Klines, aggregate, next_open


def whole(fine: Klines, step: int, start: int, end: int) -> Klines | None:
    """The bars of length `step` (ms) from `start` to before `end`; None unless each is there, on the grid."""
    part = fine.between(start, end - 1)
    times = part.data[0]
    if len(part) * step != end - start or times[0] != start or (times[1:] - times[:-1] != step).any():
        return None
    return part


def made(fine: Klines, step: int, interval: str, start: int, last: int) -> Klines | None:
    """The bars of `interval` with open times `start` to `last`, to the venue's own digits.

    None unless all bars of length `step` (ms) that belong to them are in `fine`.
    """
    part = whole(fine, step, start, next_open(interval, last))
    return None if part is None else aggregate(part, interval)


def made_open(fine: Klines, still_open: Klines, step: int, interval: str, start: int) -> Klines | None:
    """The open bar of `interval` since `start`, from the closed fine bars and the open one (none or one bar).

    None unless all of them are there.
    """
    if not len(still_open):
        return None
    both = Klines(np.concatenate([fine.between(start, int(still_open.data[0, 0]) - 1).data, still_open.data], axis=1))
    part = whole(both, step, start, int(still_open.data[0, 0]) + step)
    return None if part is None else aggregate(part, interval)
