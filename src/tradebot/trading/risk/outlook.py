"""What the closed bars of a cycle say about risk: how much a coin moves, and which move together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from tradebot.clock import DAY
from tradebot.market.bars import Floats, Panel, interval_ms

LEAST_RETURNS = 30
"""Returns that a figure needs; with fewer it is not known."""


@dataclass(frozen=True, eq=False)
class Outlook:
    """One cycle's panels, finest first, and what else it has seen of the market.

    `spreads` are ask minus bid as a share of the price, for the symbols of which they are known.
    `clock_doubt` says why the venue's clock cannot be relied on ("": it can). Whatever needs a symbol that
    is not in the panels is not known: None.
    """

    panels: Sequence[Panel] = ()
    spreads: Mapping[str, Decimal] = field(default_factory=dict)
    clock_doubt: str = ""

    def volatility(self, symbol: str) -> float | None:
        """Usual move in a day, as a share of the price.

        Root mean square of the log returns of the coarsest panel's closes, times the root of its bars in
        a day. Bars that were filled in do not count.
        """
        returns = self._returns(symbol)
        if returns is None:
            return None
        known = returns[np.isfinite(returns)]
        if len(known) < LEAST_RETURNS:
            return None
        found = math.sqrt(float(np.mean(known**2)) * DAY / interval_ms(self.panels[-1].interval))
        return found if found > 0 else None

    def correlation(self, one: str, other: str) -> float | None:
        """Pearson's, of the log returns of the coarsest panel's closes, over the bars that both have."""
        first, second = self._returns(one), self._returns(other)
        if first is None or second is None:
            return None
        both = np.isfinite(first) & np.isfinite(second)
        if int(both.sum()) < LEAST_RETURNS:
            return None
        x, y = first[both] - first[both].mean(), second[both] - second[both].mean()
        size = math.sqrt(float(x @ x) * float(y @ y))
        return float(x @ y) / size if size > 0 else None

    def closed(self, symbol: str) -> int | None:
        """When the newest bar of the finest panel that the venue really had closed, UTC ms."""
        if not self.panels or symbol not in self.panels[0].symbols:
            return None
        finest = self.panels[0]
        real = np.flatnonzero(~finest.filled[finest.symbols.index(symbol)])
        return int(finest.times[real[-1]]) + interval_ms(finest.interval) if len(real) else None

    def _returns(self, symbol: str) -> Floats | None:
        """Log returns, NaN from and to a bar that was filled in; None for a symbol without bars."""
        if not self.panels or symbol not in self.panels[-1].symbols:
            return None
        panel = self.panels[-1]
        row = panel.symbols.index(symbol)
        closes = np.where(panel.filled[row] | (panel.close[row] <= 0), np.nan, panel.close[row])
        returns: Floats = np.diff(np.log(closes))
        return returns


NOTHING = Outlook()
"""A cycle that has seen nothing of the market."""
