"""Walk-forward validation: what is judged comes after all that was learnt from, purged and with an embargo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from tradebot.clock import DAY
from tradebot.market.bars import Floats, Times
from tradebot.model.dataset import Dataset
from tradebot.model.metrics import blocks

LEARNT = 0.4
WATCHED = 0.2  # of the time before a part, its last: on it fitting learns when to stop
_DRAWS = 2_000


@dataclass(frozen=True)
class Walk:
    """How the period is cut: so many folds, a last share of the time to test on, an embargo in ms before each part."""

    folds: int = 5
    test: float = 0.2
    embargo: int = DAY // 6


@dataclass(frozen=True, eq=False)
class Part:
    """A stretch of time to judge on, and what may be known before it: rows to fit and, later, to watch."""

    name: str
    start: int
    end: int
    fit: Dataset
    watch: Dataset
    judge: Dataset


def parts(data: Dataset, walk: Walk, since: int, until: int) -> Iterator[Part]:
    """The folds from the earliest on, then the test part (if it has a share) of a period `since` to `until`.

    Of the time before the test part the first `LEARNT` is only learnt from, the rest cut into folds;
    each is judged by what was known before it, on all of its signals: those whose trades ended within it
    would be the quick ones, which succeed more or less often than the others, as the barriers lie.
    """
    begin, cut = int(data.times.min()), round(until - (until - since) * walk.test)
    edges = np.linspace(begin + (cut - begin) * LEARNT, cut, walk.folds + 1).astype(np.int64).tolist()
    named = [(f"fold {number}", *span) for number, span in enumerate(pairwise(edges), 1)]
    for name, start, stop in [*named, ("test", cut, until)] if walk.test else named:
        yield Part(name, start, stop, *known(data, start, walk.embargo), data.begun(start, stop))


def known(data: Dataset, until: int, embargo: int) -> tuple[Dataset, Dataset]:
    """What is known an embargo before `until`: rows to fit, and later ones to watch, themselves an embargo apart.

    A trade that had not ended when its rows' time was over is in neither.
    """
    begin, end = int(data.times.min()), until - embargo
    border = round(end - (end - begin) * WATCHED)
    return data.during(begin, border - embargo), data.during(border, end)


class Margin(NamedTuple):
    """A mean, and between which values 95% of the bootstrap's means lie; NaN where there is no row."""

    mean: float
    low: float
    high: float
    blocks: int


def margin(values: Floats, times: Times, length: int, seed: int) -> Margin:
    """The mean of values and its interval by a bootstrap over stretches of `length` ms.

    Stretches, not rows, are drawn: signals of a day share their market, and a thousand of them may
    be one lucky move. One stretch alone has no interval (NaN).
    """
    sums, counts = blocks(values, times, length)
    if not len(sums):
        return Margin(float("nan"), float("nan"), float("nan"), 0)
    mean = float(sums.sum() / counts.sum())
    if len(sums) < 2:
        return Margin(mean, float("nan"), float("nan"), 1)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=_DRAWS)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), [0.025, 0.975])
    return Margin(mean, float(low), float(high), len(sums))
