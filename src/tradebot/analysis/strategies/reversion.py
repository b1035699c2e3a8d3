"""Bet on the return of a price that has run too far for no larger reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tradebot.analysis.features import Features
from tradebot.analysis.strategies import STRATEGIES
from tradebot.market.bars import Floats


@STRATEGIES.register("reversion")
@dataclass(frozen=True)
class Reversion:
    """Against the finest interval's `bollinger_20`, `rsi_7` and `stoch_14` once their mean passes `start`.

    The larger the coarsest interval's move (`ret_24` over `calm`), the smaller the score: what
    runs with a trend need not come back.
    """

    local: ClassVar[bool] = True
    text: ClassVar[str] = "bets on the return of a price that ran too far in a calm market"

    start: float = 0.5
    calm: float = 1.5

    def score(self, features: Features) -> Floats:
        """Each symbol's by itself; NaN while its finest or its coarsest interval is not warm."""
        finest = [features.across(name)[..., 0] for name in ("bollinger_20", "rsi_7", "stoch_14")]
        stretch = sum(finest) / len(finest)
        beyond = (np.abs(stretch) - self.start).clip(0) / (1 - self.start)
        quiet = np.exp(-((features.across("ret_24")[..., -1] / self.calm) ** 2))
        return (-np.sign(stretch) * beyond * quiet).clip(-1, 1)
