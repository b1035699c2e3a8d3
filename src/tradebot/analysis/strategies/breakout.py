"""Go with a price that leaves its channel while the volume rises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tradebot.analysis.features import Features
from tradebot.analysis.strategies import STRATEGIES
from tradebot.market.bars import Floats


@STRATEGIES.register("breakout")
@dataclass(frozen=True)
class Breakout:
    """A close of the finest interval in the outer `edge` of its range of 14 bars, as `stoch_14` tells.

    It counts by how far the volume lies above its average: a quiet break is no break. Where the next
    coarser interval stands in the other half of its own range, the price comes back rather than out.
    """

    local: ClassVar[bool] = True
    text: ClassVar[str] = "goes with a price that leaves its channel with rising volume"

    edge: float = 0.4
    volume: float = 0.45

    def score(self, features: Features) -> Floats:
        """Each symbol's by itself; NaN while one of the two finer intervals is not warm."""
        place, wider = np.moveaxis(features.across("stoch_14")[..., :2], -1, 0)
        beyond = ((np.abs(place) - (1 - self.edge)) / self.edge).clip(0) * (place * wider > 0) + 0 * wider
        busy = np.tanh(features.across("volume_ratio")[..., 0] / self.volume).clip(0)
        score: Floats = np.sign(place) * beyond * busy
        return score
