"""Signals of the past with their features and outcomes, stretch by stretch of time.

The very code that looks at the market live computes the features: closed bars only, and each
stretch is read with as many bars before it as a cycle keeps, so a row is what live would have
seen. However long the period, no more than a stretch of panels is in memory at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradebot.analysis import features
from tradebot.analysis.strategies import Strategy
from tradebot.errors import MarketError
from tradebot.market.bars import Floats, Klines, Mask, Panel, Times, interval_ms, last_closed, open_of, panel
from tradebot.model.labels import Barrier, outcomes
from tradebot.model.predictor import Rows
from tradebot.progress import Progress, unseen

# (symbols, interval, first, last) → each symbol with its closed bars that open from `first` to `last`, UTC ms.
Read: TypeAlias = Callable[[Sequence[str], str, int, int], Iterable[tuple[str, Klines]]]

STRETCH = 300_000  # some 300 MB

COLD, HOLES, SILENT, SELLS = "not warm", "too many klines missing", "no signal", "signal to sell"
UNTRADED, UNENDED, KEPT = "nothing traded in the bar of entry", "outcome beyond the end of the data", "kept"


@dataclass(frozen=True)
class Recipe:
    """What a dataset is made of: signals on the bars that open from `since` to before `until`, UTC ms.

    Nothing from `until` on is looked at. `name` and `parameters` are the strategy's. `intervals` go from fine to
    coarse; `bars` are read before each stretch, as many as a cycle keeps; `max_filled` of the bars
    that a feature sees may be missing.
    """

    symbols: tuple[str, ...]
    intervals: tuple[str, ...]
    since: int
    until: int
    name: str
    strategy: Strategy
    parameters: Mapping[str, float]
    min_score: float
    barrier: Barrier
    max_filled: int
    bars: int = 200


@dataclass(frozen=True, eq=False)
class Dataset:
    """One row a BUY signal, ordered by time, then symbol; only warm ones whose outcome is known.

    `rows` `(n, 31)` float32; `returns` net of fees; `labels` 1 where the return is above 0;
    `times` the signal bar's open, `ends` the end of its trade, UTC ms; `symbols` names.
    """

    intervals: tuple[str, ...]
    rows: Rows
    returns: Floats
    times: Times
    ends: Times
    symbols: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def labels(self) -> Rows:
        """1 for a trade that earned more than it cost, else 0, float32."""
        return (self.returns > 0).astype(np.float32)

    def take(self, chosen: Mask) -> Dataset:
        """The rows where `chosen` is true."""
        return Dataset(self.intervals, *(getattr(self, name)[chosen] for name in _ARRAYS))

    def during(self, start: int, end: int) -> Dataset:
        """The signals from `start` on whose trades had ended by `end`: of what begins before, nothing comes later."""
        return self.take((self.times >= start) & (self.ends <= end))

    def begun(self, start: int, end: int) -> Dataset:
        """The signals from `start` to before `end`, whenever their trades ended: none is chosen by its outcome."""
        return self.take((self.times >= start) & (self.times < end))

    def shuffled(self, seed: int) -> Dataset:
        """The same rows with the outcomes of others: there is nothing left to learn."""
        order = np.random.default_rng(seed).permutation(len(self))
        return Dataset(self.intervals, self.rows, self.returns[order], self.times, self.ends, self.symbols)

    @classmethod
    def join(cls, stretches: Sequence[Dataset]) -> Dataset:
        """Successive stretches of time as one."""
        arrays = (np.concatenate([getattr(each, name) for each in stretches]) for name in _ARRAYS)
        return cls(stretches[0].intervals, *arrays)


_ARRAYS = ("rows", "returns", "times", "ends", "symbols")


def gather(
    read: Read, recipe: Recipe, progress: Progress = unseen, *, stretch: int = STRETCH
) -> tuple[Dataset, Counter[str]]:
    """The dataset, and what became of every bar of every symbol in the period, by reason.

    `stretch` bars of all symbols together are computed at once. `MarketError` where the period
    holds no kline of any symbol, and what `read` raises.
    """
    found, counts = list[Dataset](), Counter[str]()
    cuts = _stretches(recipe, stretch)
    for done, (first, last) in enumerate(cuts, 1):
        data, judged = _stretch(read, recipe, first, last)
        found.append(data)
        counts += judged
        progress("dataset", done, len(cuts))
    if not counts:
        raise MarketError(f"no klines of {_some(recipe.symbols)} in the period")
    return Dataset.join(found), counts


def _some(symbols: Sequence[str]) -> str:
    return ", ".join(symbols[:3]) + (f" and {len(symbols) - 3} more" if len(symbols) > 3 else "")


def _stretches(recipe: Recipe, bars: int) -> list[tuple[int, int]]:
    length = max(bars // len(recipe.symbols), 1) * interval_ms(recipe.intervals[0])
    begins = range(recipe.since, recipe.until, length)
    return [(first, min(first + length, recipe.until)) for first in begins]


def _stretch(read: Read, recipe: Recipe, first: int, last: int) -> tuple[Dataset, Counter[str]]:
    """The signals of the bars that open from `first` to before `last`, and what became of all bars."""
    until = min(last + recipe.barrier.horizon + interval_ms(recipe.intervals[0]), recipe.until)
    panels = [_panel(read, recipe, interval, first, until) for interval in recipe.intervals]
    times = panels[0].times
    inside = ((times >= first) & (times < last))[:, None] & ~np.isnan(panels[0].close.T)
    values = features.align(panels)
    scores = recipe.strategy.score(features.Features(features.names(recipe.intervals), recipe.symbols, values, panels))
    warm = ~np.isnan(values).any(axis=-1)
    sound = warm & features.usable(panels, recipe.max_filled)
    with np.errstate(invalid="ignore"):
        buys, sells = ((sign * scores >= recipe.min_score) & (scores != 0) for sign in (1, -1))
    bars, rows = np.nonzero(inside & sound & buys)
    returns, ends = outcomes(panels[0], rows, bars, recipe.barrier)
    names = np.array(recipe.symbols)[rows]
    data = Dataset(recipe.intervals, values[bars, rows].astype(np.float32), returns, times[bars], ends, names)
    counts = Counter(
        {
            COLD: int((inside & ~warm).sum()),
            HOLES: int((inside & warm & ~sound).sum()),
            SILENT: int((inside & sound & ~buys & ~sells).sum()),
            SELLS: int((inside & sound & sells).sum()),
        }
    )
    return _ended(data, until, counts)


def _ended(data: Dataset, until: int, counts: Counter[str]) -> tuple[Dataset, Counter[str]]:
    """The rows whose outcome is known, the others counted."""
    known = ~np.isnan(data.returns)
    counts[KEPT] = int(known.sum())
    counts[UNENDED] = int((~known & (data.ends > until)).sum())
    counts[UNTRADED] = len(data) - counts[KEPT] - counts[UNENDED]
    return data.take(known), +counts


def _panel(read: Read, recipe: Recipe, interval: str, first: int, until: int) -> Panel:
    """All bars from `recipe.bars` before `first` to the newest that is closed at `until`."""
    step = interval_ms(interval)
    start, end = open_of(interval, first) - recipe.bars * step, last_closed(interval, until)
    return panel(interval, end, (end - start) // step + 1, read(recipe.symbols, interval, start, end + step - 1))
