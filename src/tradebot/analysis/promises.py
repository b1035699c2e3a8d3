"""What every strategy promises, tried on invented bars: pure, causal, live as in a history, local if it says so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tradebot.analysis.features import WARMUP, Features, align, names
from tradebot.analysis.strategies import Strategy
from tradebot.clock import DAY
from tradebot.market.bars import Floats, Panel, interval_ms, last_closed

SYMBOLS, BARS = 8, 2 * WARMUP
TOLERANCE = 1e-9


def invented(intervals: Sequence[str], fewer: int = 0) -> list[Panel]:
    """Random walks of `SYMBOLS` symbols, the same ones without the `fewer` last bars of the finest interval."""
    whole = 20_000 * DAY
    end = whole - fewer * interval_ms(intervals[0])
    return [
        _walks(
            number, interval, last_closed(interval, end), (last_closed(interval, whole) - last_closed(interval, end))
        )
        for number, interval in enumerate(intervals)
    ]


def _walks(seed: int, interval: str, end: int, cut_ms: int) -> Panel:
    noise = np.random.default_rng(seed)
    close = 100 * np.exp(noise.normal(0, 0.004, (SYMBOLS, BARS)).cumsum(axis=1))
    above, below = 1 + np.abs(noise.normal(0, 0.002, (2, SYMBOLS, BARS)))
    opened = np.roll(close, 1, axis=1)
    high, low = np.maximum(opened, close) * above, np.minimum(opened, close) / below
    data = np.stack([opened, high, low, close, noise.gamma(2, 10, (SYMBOLS, BARS))])
    kept = BARS - cut_ms // interval_ms(interval)
    symbols = tuple(f"TEST{number}" for number in range(SYMBOLS))
    return Panel(interval, end, symbols, data[:, :, :kept], np.zeros((SYMBOLS, kept), bool))


def _featured(panels: Sequence[Panel]) -> Features:
    return Features(names([panel.interval for panel in panels]), panels[0].symbols, align(panels), panels)


def _same(one: Floats, other: Floats) -> bool:
    return bool(np.allclose(one, other, rtol=0, atol=TOLERANCE, equal_nan=True))


def _pure(strategy: Strategy, features: Features, _intervals: Sequence[str]) -> str | None:
    """The same again for the same, and nothing changed."""
    before = features.values.copy(), [panel.data.copy() for panel in features.panels]
    first, second = strategy.score(features), strategy.score(features)
    if not _same(first, second):
        return "gives other scores for the same bars; it must be a pure function"
    same = np.array_equal(before[0], features.values, equal_nan=True)
    if not same or not all(map(np.array_equal, before[1], [panel.data for panel in features.panels])):
        return "changes the features or bars that it was given"
    return None


def _causal(strategy: Strategy, features: Features, intervals: Sequence[str]) -> str | None:
    """What comes later changes no score."""
    scores = strategy.score(features)
    for fewer in (1, 17, 50):
        earlier = strategy.score(_featured(invented(intervals, fewer)))
        if not _same(earlier, scores[: len(earlier)]):
            return "looks ahead: the score of a bar changes when later bars arrive"
    return None


def _live(strategy: Strategy, features: Features, _intervals: Sequence[str]) -> str | None:
    """One row, as in a cycle, is scored like the last of many."""
    last = Features(features.names, features.symbols, features.values[-1], features.panels)
    if not _same(strategy.score(last), strategy.score(features)[-1]):
        return "gives another score for the newest bar alone than in a history"
    return None


def _local(strategy: Strategy, features: Features, _intervals: Sequence[str]) -> str | None:
    """One that says it looks at each symbol by itself does so."""
    if not strategy.local:
        return None
    few = list(range(0, SYMBOLS, 2))
    panels = [panel.take(few) for panel in features.panels]
    part = Features(features.names, panels[0].symbols, features.values[:, few], panels)
    if not _same(strategy.score(part), strategy.score(features)[:, few]):
        return "says that it is local, but a symbol's score depends on the others"
    return None


PROMISES = (_pure, _causal, _live, _local)


def broken(strategy: Strategy, intervals: Sequence[str]) -> str | None:
    """The first promise that a strategy breaks on these intervals' invented bars, in words; None if it keeps all."""
    features = _featured(invented(intervals))
    return next((reason for kept in PROMISES if (reason := kept(strategy, features, intervals))), None)
