"""Buy the strongest of the universe, sell the weakest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tradebot.analysis.features import Features
from tradebot.analysis.strategies import STRATEGIES
from tradebot.market.bars import Floats


def ranks(values: Floats) -> Floats:
    """Place of each value among the known ones of its row, from −1 (least) to 1; equal values share theirs.

    `(…, symbols)` in and out. NaN stays NaN, and a row with fewer than two known values is all NaN.
    """
    order = np.argsort(values, axis=-1)  # NaN last
    ordered = np.take_along_axis(values, order, axis=-1)
    place = np.broadcast_to(np.arange(values.shape[-1], dtype=np.float64), values.shape)
    begins = np.ones(values.shape, bool)
    begins[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    ends = np.ones(values.shape, bool)
    ends[..., :-1] = begins[..., 1:]
    first = np.maximum.accumulate(np.where(begins, place, 0.0), axis=-1)
    last = np.minimum.accumulate(np.where(ends, place, np.inf)[..., ::-1], axis=-1)[..., ::-1]
    top = (~np.isnan(values)).sum(axis=-1, keepdims=True) - 1.0
    scaled = np.divide(first + last, top, out=np.full(values.shape, np.nan), where=top > 0) - 1
    out = np.empty_like(values)
    np.put_along_axis(out, order, np.where(np.isnan(ordered), np.nan, scaled), axis=-1)
    return out


@STRATEGIES.register("momentum")
@dataclass(frozen=True)
class Momentum:
    """The extremes of a ranking of all symbols by `ret_24` over the two coarser intervals.

    Only the uppermost and the lowest `share` of the ranks have a score other than 0.
    """

    local: ClassVar[bool] = False
    text: ClassVar[str] = "buys the strongest of the universe and sells the weakest"

    share: float = 0.15

    def score(self, features: Features) -> Floats:
        """Each symbol's within its row; NaN while its coarser intervals are not warm or it stands alone."""
        rank = ranks(features.across("ret_24")[..., 1:].mean(axis=-1))
        edge = 1 - 2 * self.share
        score: Floats = np.sign(rank) * ((np.abs(rank) - edge) / (1 - edge)).clip(0, 1)
        return score
