"""What a trade would have brought: the triple barrier of take-profit, stop-loss and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tradebot.clock import HOUR, SECOND
from tradebot.config import Settings
from tradebot.market.bars import Floats, Mask, Panel, Times, interval_ms

Indices: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True)
class Barrier:
    """The three ends of a trade: a share below entry, a share above, a time (ms).

    `fee` is a share of each fill, `spread` ask minus bid as a share of the price: it is bought half
    a spread above the klines' prices and sold half a spread below.
    """

    stop_loss: float = 0.02
    take_profit: float = 0.03
    horizon: int = 4 * HOUR
    fee: float = 0.001
    spread: float = 0.0004

    @classmethod
    def of(cls, settings: Settings) -> Barrier:
        """The ends and costs of the trades that these settings make."""
        trading, paper = settings.trading, settings.paper
        horizon = trading.max_hold_s * SECOND
        return cls(float(trading.stop_loss), float(trading.take_profit), horizon, float(paper.fee), float(paper.spread))

    def __str__(self) -> str:
        return (
            f"net gain > 0 at the first of +{self.take_profit:.4g}, -{self.stop_loss:.4g} and "
            f"{self.horizon // 60_000} min; fee {self.fee:.4g} each side, spread {self.spread:.4g}; "
            "stop before target within a bar"
        )


def outcomes(panel: Panel, symbols: Indices, bars: Indices, barrier: Barrier) -> tuple[Floats, Times]:
    """Net return of a purchase on the close of each `(symbol, bar)`, and when it ended (UTC ms).

    Bought at the next bar's open, sold at the first barrier that a bar touches (stop before
    target, and at the open where a bar opens beyond it) or at the close of the last bar in the
    horizon, fees and half the spread paid on both fills. NaN, ended at the end of the horizon,
    where the panel does not reach that far, holds no price, or the bar of entry was filled flat.
    """
    step = interval_ms(panel.interval)
    length = barrier.horizon // step
    paid, got = (1 + barrier.spread / 2) * (1 + barrier.fee), (1 - barrier.spread / 2) * (1 - barrier.fee)
    opened = _at(panel.open, symbols, bars + 1)
    entry = opened * (1 + barrier.spread / 2)
    stop, target = entry * (1 - barrier.stop_loss), entry * (1 + barrier.take_profit)
    known = (bars + length < panel.data.shape[2]) & (_at(panel.filled, symbols, bars + 1) == 0)
    exit_, ended = np.full(len(bars), np.nan), np.full(len(bars), length)
    running = known.copy()
    for ahead in range(1, length + 1):
        if not running.any():
            break
        opens, highs, lows, closes = (_at(row, symbols, bars + ahead) for row in panel.data[:4])
        stopped, taken = running & (lows <= stop), running & (highs >= target)
        exit_ = np.where(taken, np.maximum(target, opens), exit_)
        exit_ = np.where(stopped, np.minimum(stop, opens), exit_)
        if ahead == length:
            exit_ = np.where(running & ~stopped & ~taken, closes, exit_)
        ended[stopped | taken] = ahead
        running &= ~(stopped | taken)
    returns = np.where(known, exit_ * got / (opened * paid) - 1, np.nan)
    ended[np.isnan(returns)] = length
    return returns, panel.times[bars] + (ended + 1) * step


def _at(values: Floats | Mask, symbols: Indices, bars: Indices) -> Floats:
    """`values[symbols, bars]`, NaN beyond the last bar."""
    last = values.shape[1] - 1
    return np.where(bars <= last, values[symbols, np.minimum(bars, last)], np.nan)
