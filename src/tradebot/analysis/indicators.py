"""Base indicators, each written once for the last bar and for every bar.

An indicator takes `ops` and arrays `(symbols, bars)`, oldest bar first, and asks `ops` only for
windows of the bars that end at the bars it is about: `Last` is about the newest bar and answers
`(symbols,)`, `Every` about all of them and answers `(symbols, bars)`. A window that holds a NaN or
reaches back before the first bar gives NaN. A quotient 0/0 (a flat line, no volume) has a stated
value. All reductions run within one symbol's window, so that a value does not depend, to the last
bit, on which other symbols are computed with it.

Formulas and seeds are TA-Lib's, to which the tests hold them; what differs is said at each.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tradebot.market.bars import Floats


class Ops(Protocol):
    """Which bars an indicator is about."""

    def windows(self, x: Floats, n: int) -> Floats:
        """The `n` bars that end at each bar asked about, on a new first axis: `[0]` oldest, `[-1]` the bar."""

    def recent(self, x: Floats, n: int) -> Floats:
        """The part of `x` that windows of `n` bars are cut from, to be computed on before."""

    def memory(self, x: Floats) -> int:
        """How many bars a recursive average looks back on."""


class Last:
    """The newest bar; a recursive average begins with the first bar of the array."""

    def windows(self, x: Floats, n: int) -> Floats:
        """`(n, symbols)`."""
        return x[:, -n:].T if x.shape[1] >= n else np.full((n, x.shape[0]), np.nan)

    def recent(self, x: Floats, n: int) -> Floats:
        """The last `n` bars."""
        return x[:, -n:]

    def memory(self, x: Floats) -> int:
        """All there are."""
        return int(x.shape[1])


class Every:
    """Every bar; a recursive average begins `memory` bars before the bar that it is about.

    So each bar has the value that `Last` gives for the `memory` bars that end with it, whatever
    came before: a crash or a flat stretch that has left the window has left the value.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory

    def windows(self, x: Floats, n: int) -> Floats:
        """`(n, symbols, bars)`, a view of one padded copy."""
        padded = np.full((x.shape[0], x.shape[1] + n - 1), np.nan)
        padded[:, n - 1 :] = x
        windows: Floats = np.moveaxis(sliding_window_view(padded, n, axis=1), -1, 0)
        return windows

    def recent(self, x: Floats, n: int) -> Floats:
        """All bars."""
        return x

    def memory(self, x: Floats) -> int:
        """The same for every bar."""
        return self._memory


def ratio(a: Floats, b: Floats, flat: float) -> Floats:
    """`a / b`, and `flat` where `b` is 0."""
    quotient: Floats = np.divide(a, b, out=np.full(np.shape(b), flat), where=b != 0)
    return quotient


def previous(x: Floats) -> Floats:
    """Each bar's predecessor; NaN for the first."""
    return np.concatenate([np.full_like(x[:, :1], np.nan), x[:, :-1]], axis=1)


def last(ops: Ops, x: Floats) -> Floats:
    """The value at the bar itself."""
    return ago(ops, x, 0)


def ago(ops: Ops, x: Floats, bars: int) -> Floats:
    """The value `bars` bars before."""
    value: Floats = ops.windows(x, bars + 1)[0]
    return value


def highest(ops: Ops, x: Floats, n: int) -> Floats:
    """Maximum of the last `n` bars."""
    top: Floats = ops.windows(x, n).max(axis=0)
    return top


def lowest(ops: Ops, x: Floats, n: int) -> Floats:
    """Minimum of the last `n` bars."""
    bottom: Floats = ops.windows(x, n).min(axis=0)
    return bottom


def total(ops: Ops, x: Floats, n: int) -> Floats:
    """Sum of the last `n` bars."""
    result: Floats = ops.windows(x, n).sum(axis=0)
    return result


def sma(ops: Ops, x: Floats, n: int) -> Floats:
    """Simple moving average."""
    mean: Floats = ops.windows(x, n).mean(axis=0)
    return mean


@cache
def _weights(bars: int, n: int, keep: float) -> Floats:
    """What each of `bars` bars weighs in `y ← keep·y + (1 − keep)·x` that begins with the mean of the first `n`."""
    power = keep ** np.arange(bars - 1.0, -1.0, -1.0)
    weights = (1 - keep) * power
    weights[:n] = power[n - 1] / n
    return weights


def _recursive(ops: Ops, x: Floats, n: int, keep: float, lost: int = 0) -> Floats:
    """A recursive average as the weighted sum that it is. The first `lost` bars of `x` have no value."""
    bars = max(ops.memory(x) - lost, n)
    average: Floats = np.einsum("b...,b->...", ops.windows(x, bars), _weights(bars, n, keep))
    return average


def ema(ops: Ops, x: Floats, n: int) -> Floats:
    """Exponential average, 2/(n + 1) for the newest bar, begun with the mean of the first `n`."""
    return _recursive(ops, x, n, 1 - 2 / (n + 1))


def wilder(ops: Ops, x: Floats, n: int) -> Floats:
    """Wilder's average, 1/n for the newest bar; of changes, so the first bar of `x` has no value."""
    return _recursive(ops, x, n, 1 - 1 / n, lost=1)


def rsi(ops: Ops, close: Floats, n: int) -> Floats:
    """Relative strength, 0…100 (Wilder 1978). A flat line has 50 (TA-Lib: 0)."""
    change = close - previous(close)
    up, down = wilder(ops, np.maximum(change, 0), n), wilder(ops, np.maximum(-change, 0), n)
    return 100 * ratio(up, up + down, 0.5)


def _from_last(ops: Ops, x: Floats, n: int) -> Floats:
    """Windows less their last value: exactly 0 on a flat line, and precise where the price is large."""
    windows = ops.windows(x, n)
    away: Floats = windows - windows[-1]
    return away


def stddev(ops: Ops, x: Floats, n: int) -> Floats:
    """Standard deviation of the population (divisor n)."""
    deviation: Floats = _from_last(ops, x, n).std(axis=0)
    return deviation


def bollinger(ops: Ops, close: Floats, n: int, width: float) -> Floats:
    """Place of the close in its Bollinger bands: −1 on the lower, 0 on the average, 1 on the upper; 0 if flat."""
    away = _from_last(ops, close, n)
    return ratio(-away.mean(axis=0), width * away.std(axis=0), 0.0)


def stochastic_k(ops: Ops, high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Fast %K: place of the close in the range of the last `n` bars, 0…100. Without a range 50 (TA-Lib: 0)."""
    top, bottom = highest(ops, high, n), lowest(ops, low, n)
    return 100 * ratio(last(ops, close) - bottom, top - bottom, 0.5)


def mfi(ops: Ops, high: Floats, low: Floats, close: Floats, volume: Floats, n: int) -> Floats:  # noqa: PLR0917
    """Money flow index, 0…100 (Quong and Soudack 1989). Without any flow 50 (TA-Lib: 0).

    Typical prices that differ by less than 10⁻¹² of themselves are equal: thirds of decimal sums
    are not exact, and TA-Lib takes their rounding for a move.
    """
    high, low, close, volume = (ops.recent(x, n + 1) for x in (high, low, close, volume))
    typical = (high + low + close) / 3
    before = previous(typical)
    change, flow = typical - before, typical * volume
    flow = np.where(np.abs(change) > 1e-12 * before, flow, 0 * change)
    up, down = total(ops, flow * (change > 0), n), total(ops, flow * (change < 0), n)
    return 100 * ratio(up, up + down, 0.5)


def true_range(high: Floats, low: Floats, close: Floats) -> Floats:
    """The bar's range, stretched to the close before it; NaN for the first bar."""
    before = previous(close)
    return np.maximum(high, before) - np.minimum(low, before)


def atr(ops: Ops, high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Average true range (Wilder 1978), in units of the price."""
    return wilder(ops, true_range(high, low, close), n)


def natr(ops: Ops, high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Average true range in percent of the close."""
    return 100 * atr(ops, high, low, close, n) / last(ops, close)


def roc(ops: Ops, close: Floats, n: int) -> Floats:
    """Rate of change over `n` bars, percent."""
    return 100 * (last(ops, close) / ago(ops, close, n) - 1)


def cci(ops: Ops, high: Floats, low: Floats, close: Floats, n: int) -> Floats:
    """Commodity channel index (Lambert 1980); 0 if flat."""
    high, low, close = (ops.recent(x, n) for x in (high, low, close))
    away = _from_last(ops, (high + low + close) / 3, n)
    middle = away.mean(axis=0)
    return ratio(-middle, 0.015 * np.abs(away - middle).mean(axis=0), 0.0)


def aroon(ops: Ops, high: Floats, low: Floats, n: int) -> Floats:
    """Aroon oscillator, −100…100 (Chande 1995): the newer of equal extremes counts."""
    tops, bottoms = ops.windows(high, n + 1)[::-1], ops.windows(low, n + 1)[::-1]
    unknown = 0 * (tops + bottoms).sum(axis=0)  # argmax does not hand NaN on
    oscillator: Floats = 100 / n * (bottoms.argmin(axis=0) - tops.argmax(axis=0)) + unknown
    return oscillator


def returns(close: Floats) -> Floats:
    """Logarithmic return of each bar; NaN for the first."""
    return np.log(close / previous(close))


def volatility(ops: Ops, moves: Floats, n: int) -> Floats:
    """Root mean square of the last `n` returns; their mean is taken to be 0, so a steady climb is a move too."""
    squares: Floats = ops.recent(moves, n) ** 2
    return np.sqrt(sma(ops, squares, n))
