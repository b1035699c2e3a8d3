"""Act where every interval says the same by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tradebot.analysis.features import Features
from tradebot.analysis.strategies import STRATEGIES
from tradebot.market.bars import Floats


@STRATEGIES.register("agreement")
@dataclass(frozen=True)
class Agreement:
    """Each interval votes by the mean of `rsi_7`, `mfi_14` and a squashed `ret_6`; the weakest vote counts.

    One interval that is against it, or does not care, is a veto, whereas `trend` weighs them.
    """

    local: ClassVar[bool] = True
    text: ClassVar[str] = "acts where every interval says the same by itself"

    strength: float = 1.0

    def score(self, features: Features) -> Floats:
        """Each symbol's by itself; NaN while an interval of it is not warm."""
        moves = np.tanh(self.strength * features.across("ret_6"))
        votes = (features.across("rsi_7") + features.across("mfi_14") + moves) / 3
        # The least vote where all are for it, the largest where all are against it, else 0.
        score: Floats = np.fmax(votes.min(axis=-1), 0) + np.fmin(votes.max(axis=-1), 0) + 0 * votes.sum(axis=-1)
        return score
