"""Strategies that want pandas: a DataFrame of bars for each interval of one symbol, a Series of scores back.

They are slow (milliseconds a symbol), so live they run in the worker pool, a chunk of symbols a task.
pandas is imported only when there is such a strategy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from tradebot.errors import StrategyError
from tradebot.market.bars import PANEL, Floats, Panel

if TYPE_CHECKING:
    import pandas as pd

FRAME_MS = 5.0
"""What one symbol is expected to cost, ms."""


class FrameStrategy(Protocol):
    """A frozen dataclass with `frame`; it looks at each symbol by itself."""

    text: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def frame(self, frames: Mapping[str, pd.DataFrame]) -> pd.Series[float]:
        """A score in [−1, 1] for each bar of the finest frame, NaN for no view.

        `frames` are by interval, finest first: columns open, high, low, close, volume (float64) and filled
        (a bar that was missing), indexed by open time (UTC). A bar may use what was closed when it closed.
        """


def frames_of(panels: Sequence[Panel], row: int) -> dict[str, pd.DataFrame]:
    """The bars of the symbol in `row`, without those from before its first kline."""
    import pandas as pd

    frames = {}
    for panel in panels:
        known = ~np.isnan(panel.close[row])
        columns = {name: panel.data[index, row, known] for index, name in enumerate(PANEL)}
        index = pd.to_datetime(panel.times[known], unit="ms", utc=True)
        frames[panel.interval] = pd.DataFrame(columns | {"filled": panel.filled[row, known]}, index=index)
    return frames


def scores_of(strategy: FrameStrategy, panels: Sequence[Panel]) -> Floats:
    """Scores at each bar of the finest panel, `(bars, symbols)`. `StrategyError` if a Series does not fit its frame."""
    out = np.full((panels[0].data.shape[2], len(panels[0].symbols)), np.nan)
    for row, symbol in enumerate(panels[0].symbols):
        frames = frames_of(panels, row)
        bars = len(frames[panels[0].interval])
        if not bars:
            continue
        series = np.asarray(strategy.frame(frames), np.float64)
        if series.shape != (bars,):
            raise StrategyError(f"of {symbol} it gives {series.shape} scores for {bars} bars")
        out[len(out) - bars :, row] = series
    return out
