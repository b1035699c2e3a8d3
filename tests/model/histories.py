"""Made-up pasts: panels of random walks, their klines, a strategy, and signals with a rule planted in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tradebot.analysis.features import Features
from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.market.bars import FIELDS, Floats, Klines, aggregate
from tradebot.model.dataset import Dataset, Read, Recipe
from tradebot.model.labels import Barrier

INTERVALS = ("5m", "15m", "1h")
SYMBOLS = ("AUSDT", "BUSDT", "CUSDT")
BARRIER = Barrier(horizon=HOUR, spread=0.0)
BEGIN = 20_000 * DAY
STEP = 5 * MINUTE


@dataclass(frozen=True)
class Rising:
    """Buys what has risen for two hours."""

    local: ClassVar[bool] = True
    text: ClassVar[str] = "rising"

    def score(self, given: Features) -> Floats:
        return np.tanh(given["ret_24_5m"])


def walk(days: float, seed: int = 0, *, rule: float = 0.0) -> Klines:
    """A random walk of 5m bars from `BEGIN` on; with a `rule` busy hours come before rising ones."""
    random = np.random.default_rng(seed)
    bars = int(days * 288)
    busy = np.repeat(random.random(bars // 12 + 1) < 0.5, 12)[:bars]
    drift = rule * np.where(np.roll(busy, 12), 1, -1)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.002, bars) + drift))
    opened = np.concatenate([[100.0], close[:-1]])
    data = np.zeros((len(FIELDS), bars))
    data[0] = BEGIN + STEP * np.arange(bars)
    data[1], data[2], data[3], data[4] = opened, np.maximum(opened, close), np.minimum(opened, close), close
    data[5] = np.round(random.random(bars) + 0.5 + 4 * busy * (rule != 0), 3)
    return Klines(data)


def walks(days: float, **options: float) -> dict[str, Klines]:
    """A walk for each of `SYMBOLS`."""
    return {symbol: walk(days, seed, **options) for seed, symbol in enumerate(SYMBOLS)}


def reader(fine: Mapping[str, Klines]) -> Read:
    """Reads walks of 5m bars on any interval."""
    kept = {
        (symbol, interval): aggregate(klines, interval) for symbol, klines in fine.items() for interval in INTERVALS
    }
    return lambda symbols, interval, start, end: [(s, kept[s, interval].between(start, end)) for s in symbols]


def recipe(days: float, *, first: float = 0.0, min_score: float = 0.3, max_filled: int = 20) -> Recipe:
    """Signals of `Rising` from day `first` to day `days`."""
    since, until = BEGIN + round(first * DAY), BEGIN + round(days * DAY)
    return Recipe(SYMBOLS, INTERVALS, since, until, "rising", Rising(), {}, min_score, BARRIER, max_filled)


def planted(count: int = 3_000, seed: int = 0, rule: float = 2.0, minutes: int = 10) -> Dataset:
    """Signals some minutes apart whose returns follow the first feature."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 31)).astype(np.float32)
    gains = rows[:, 0] * rule + random.normal(size=count)
    times = BEGIN + np.arange(count, dtype=np.int64) * minutes * MINUTE
    return Dataset(INTERVALS, rows, gains / 100, times, times + HOUR, np.full(count, "AUSDT"))
