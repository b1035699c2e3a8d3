"""One look at the whole universe: panels → features → scores → signals.

It has two halves. `own_features` is about symbols by themselves: batches of them may be done as
their klines arrive, and spread over worker processes. `conclude` is about all of them together
and runs once. Results do not depend on how the universe was cut, to the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tradebot.analysis.features import FEATURES, WARMUP, Features, assemble, latest_of, names, unusable
from tradebot.analysis.pool import WorkerPool
from tradebot.analysis.strategies import Signal, Strategy, signals
from tradebot.market.bars import Floats, Panel

DEADLY = "worker processes die of its bars"


@dataclass(frozen=True, eq=False)
class Analysis:
    """What a strategy sees and says. `scores` `(symbols,)` are NaN for a symbol that is in `skipped`, with its reason.

    `bar_time` is the open time (UTC ms) of the finest interval's newest bar.
    """

    features: Features
    scores: Floats
    signals: list[Signal]
    skipped: Mapping[str, str]
    bar_time: int


def own_of(data: Sequence[Floats]) -> tuple[Floats, ...]:
    """`latest_of` each interval's bare arrays, all of one shape: the task of a worker.

    They are computed as if they were one interval's, since most of the time goes into the steps, not the rows.
    """
    return tuple(np.split(latest_of(np.concatenate(data, axis=1)), len(data)))


Own: TypeAlias = tuple[tuple[Floats, ...], dict[str, str]]


async def own_features(pool: WorkerPool, symbols: Sequence[str], data: Sequence[Floats]) -> Own:
    """Own features at the last bars of panels' bare `data`, `(symbols, 10)` for each, `latest` of each.

    And the symbols whose worker process died of them, with that reason; their features are NaN. To hand
    a series to a worker takes four times as long as to compute on it, however many there are, so its
    cost counts as nothing: in workers only if the pool is always to be used.
    """
    found = tuple(np.full((len(symbols), len(FEATURES)), np.nan) for _ in data)
    done, deadly = await pool.spread(own_of, len(symbols), lambda cut: [each[:, cut, -WARMUP:] for each in data])
    for cut, parts in done:
        for whole, part in zip(found, parts, strict=True):
            whole[cut] = part
    return found, {symbols[row]: DEADLY for row in deadly}


def featured(panels: Sequence[Panel], own: Sequence[Floats]) -> Features:
    """The whole universe's features from each panel's own, finest panel first, all of the same symbols."""
    return Features(names([panel.interval for panel in panels]), panels[0].symbols, assemble(own), panels)


def judged(features: Features, scores: Floats, min_score: float, max_filled: int) -> Analysis:
    """The signals that follow from the scores of all symbols, and the reasons of those that have none."""
    symbols, panels = features.symbols, features.panels
    skipped = unusable(panels, max_filled)
    odd = np.isnan(features.values).any(axis=-1)
    for row in np.flatnonzero(odd).tolist():
        skipped.setdefault(symbols[row], _odd(features, row))
    silent = np.array([symbol in skipped for symbol in symbols], bool)
    scores = np.where(silent, np.nan, scores)
    bar_time = panels[0].end
    return Analysis(features, scores, signals(features, scores, min_score, bar_time), skipped, bar_time)


def conclude(
    panels: Sequence[Panel], own: Sequence[Floats], strategy: Strategy, min_score: float, max_filled: int
) -> Analysis:
    """Both steps at once, for a strategy that needs no workers."""
    features = featured(panels, own)
    return judged(features, strategy.score(features), min_score, max_filled)


def _odd(features: Features, row: int) -> str:
    column = int(np.flatnonzero(np.isnan(features.values[row]))[0])
    return f"its klines give no number for {features.names[column]}"


def analyze(panels: Sequence[Panel], strategy: Strategy, min_score: float, max_filled: int) -> Analysis:
    """Both halves at once, inline: a pure function."""
    return conclude(panels, own_of([panel.data for panel in panels]), strategy, min_score, max_filled)
