"""Panels to compute on: random walks, and the real klines where they are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tradebot.market.bars import FIELDS, Floats, Klines, Panel, aggregate, interval_ms, last_closed, panel

NOON = 1_750_000_000_000 // 86_400_000 * 86_400_000 + 43_200_000
INTERVALS = ("5m", "15m", "1h")
TICK = 1e-8


def random_klines(bars: int, *, seed: int = 1, price: float = 100.0, interval: str = "5m", until: int = NOON) -> Klines:
    """A random walk whose last bar closes at `until`, with volumes that are sometimes 0."""
    noise = np.random.default_rng(seed)
    close = price * np.exp(noise.normal(0, 0.002, bars).cumsum())
    opened = np.concatenate([close[:1], close[:-1]])
    step = interval_ms(interval)
    data = np.zeros((len(FIELDS), bars))
    data[0] = until - step * np.arange(bars, 0, -1)
    data[1], data[4] = opened, close
    data[2] = np.maximum(opened, close) * (1 + np.abs(noise.normal(0, 0.001, bars)))
    data[3] = np.minimum(opened, close) * (1 - np.abs(noise.normal(0, 0.001, bars)))
    data[5] = np.round(noise.gamma(2, 10, bars) * (noise.random(bars) > 0.05), 3)
    return Klines(data)


def random_panels(symbols: int, bars: int, *, seed: int = 1, until: int = NOON) -> list[Panel]:
    """Panels of the three intervals, the coarser bars made of the finer ones, `bars` of each."""
    fine = {f"S{i:03d}": random_klines(bars * 12, seed=seed * 1000 + i, until=until) for i in range(symbols)}
    return [
        panel(name, last_closed(name, until), bars, [(symbol, aggregate(k, name)) for symbol, k in fine.items()])
        for name in INTERVALS
    ]


def random_panel(symbols: int, bars: int, *, seed: int = 1) -> Panel:
    """A 5m panel."""
    series = [(f"S{i:03d}", random_klines(bars, seed=seed * 1000 + i)) for i in range(symbols)]
    return panel("5m", last_closed("5m", NOON), bars, series)


def read_csv(path: Path) -> Klines:
    """A file of recorded klines; what it does not record is 0."""
    table = np.genfromtxt(path, delimiter=",", skip_header=1)[:, :6].T
    return Klines(np.concatenate([table, np.zeros((len(FIELDS) - len(table), table.shape[1]))]))


def real_panel(path: Path) -> Panel:
    """The whole file on its grid, holes filled."""
    klines, interval = read_csv(path), path.stem.rpartition("-")[2]
    first, end = int(klines.data[0, 0]), int(klines.data[0, -1])
    return panel(interval, end, (end - first) // interval_ms(interval) + 1, [(path.stem, klines)])


def in_ticks(klines: Klines) -> Floats:
    """Open, high, low, close, volume `(5, 1, n)` in whole units of 10⁻⁸, so that sums of them are exact.

    TA-Lib takes a variance below 10⁻¹⁴ and a money flow below 1 for nothing, whatever the unit,
    and the rounding of a decimal for a move.
    """
    return np.rint(klines.data[1:6, None] / TICK)
