"""Why a symbol has a signal or none, and where its features stand in the universe."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tradebot.analysis.analyze import Analysis
from tradebot.errors import UnknownName, suggestion


@dataclass(frozen=True)
class Place:
    """A feature of one symbol among those of the universe.

    `rank` is the share of the other symbols that have it whose value is smaller (ties count half), None
    where it stands alone or is not known; `median` is over all that have it.
    """

    name: str
    value: float
    rank: float | None
    median: float


@dataclass(frozen=True)
class Explanation:
    """What the analysis says of one symbol; `reason` in words, whether it is a signal or not."""

    symbol: str
    score: float
    signal: bool
    reason: str
    places: tuple[Place, ...]


def explain(analysis: Analysis, symbol: str, min_score: float) -> Explanation:
    """One symbol of the universe. `UnknownName` for one that the universe does not hold."""
    symbols = analysis.features.symbols
    if symbol not in symbols:
        known = {*symbols, *analysis.skipped}
        raise UnknownName(f"symbol '{symbol}' is not in the universe{suggestion(symbol, known)}")
    row = symbols.index(symbol)
    score = float(analysis.scores[row])
    signal = any(each.symbol == symbol for each in analysis.signals)
    columns = zip(analysis.features.names, analysis.features.values.T, strict=True)
    places = tuple(_place(name, column, row) for name, column in columns)
    return Explanation(symbol, score, signal, _reason(analysis, symbol, score, min_score), places)


def _reason(analysis: Analysis, symbol: str, score: float, min_score: float) -> str:
    if symbol in analysis.skipped:
        return analysis.skipped[symbol]
    if math.isnan(score):
        return "the strategy has no view"
    if score == 0:
        return "the strategy sees nothing to do (score 0)"
    side, size = ("buy", "sell")[score < 0], f"score {score:+.3f}"
    if abs(score) < min_score:
        return f"{size} would be a {side}, but is below the least size of {min_score:g} (strategy.min_score)"
    return f"{side}: {size} reaches the least size of {min_score:g}"


def _place(name: str, column: np.ndarray[tuple[int, ...], np.dtype[np.float64]], row: int) -> Place:
    value, known = float(column[row]), column[~np.isnan(column)]
    median = float(np.median(known)) if len(known) else math.nan
    others = len(known) - 1
    if math.isnan(value) or others < 1:
        return Place(name, value, None, median)
    below, same = int((known < value).sum()), int((known == value).sum()) - 1
    return Place(name, value, (below + same / 2) / others, median)
