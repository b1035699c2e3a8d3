"""How the cost grows with the universe: the exponent of each stage, fitted over several sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tradebot.documents import Document

LEAST_MS = 0.5
"""Times below this are the clock's and the loop's, and say nothing of growth."""


def exponent(sizes: Sequence[int], times: Sequence[float]) -> float | None:
    """The slope of log(time) over log(size), by least squares: 1 is linear, 0 is constant.

    None with fewer than two sizes whose time is worth measuring.
    """
    pairs = [(size, time) for size, time in zip(sizes, times, strict=True) if time >= LEAST_MS]
    if len({size for size, _ in pairs}) < 2:
        return None
    size, time = np.log(np.array(pairs, float)).T
    return float(np.polyfit(size, time, 1)[0])


def scaling(sizes: Sequence[int], found: Mapping[str, Sequence[float]]) -> list[Document]:
    """A row for each figure: its values by size and its exponent."""
    return [
        {
            "name": name,
            "values": {str(size): round(value, 3) for size, value in zip(sizes, values, strict=True)},
            "exponent": None if (slope := exponent(sizes, values)) is None else round(slope, 2),
        }
        for name, values in found.items()
    ]
