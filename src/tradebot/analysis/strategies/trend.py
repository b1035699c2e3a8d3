"""Follow the move that all intervals agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tradebot.analysis.features import Features
from tradebot.analysis.strategies import STRATEGIES
from tradebot.market.bars import Floats


@STRATEGIES.register("trend")
@dataclass(frozen=True)
class Trend:
    """`ret_24` and `ema_gap` of every interval, coarse ones counting more, squashed by `strength`.

    Each interval weighs `coarser` times as much as the next finer one. A symbol whose finest
    interval has overshot (beyond its Bollinger bands by `overshoot` band widths) has passed.
    """

    local: ClassVar[bool] = True
    text: ClassVar[str] = "follows the move that the intervals agree on"

    strength: float = 0.3
    coarser: float = 1.5
    overshoot: float = 1.0

    def score(self, features: Features) -> Floats:
        """Each symbol's by itself; NaN while an interval of it is not warm."""
        move = (features.across("ret_24") + features.across("ema_gap")) / 2
        weights = self.coarser ** np.arange(move.shape[-1])
        agreed: Floats = (move * (weights / weights.sum())).sum(axis=-1)
        score: Floats = np.tanh(self.strength * agreed)
        stretched = np.abs(features.across("bollinger_20")[..., 0]) > self.overshoot
        return np.where(stretched, 0 * score, score)
