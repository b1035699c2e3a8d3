"""The habits that the pipeline replaces, made of the pipeline's own modules.

One stage after another, one request after another, every kline fetched again in every cycle, a
process pool made anew each cycle, one XGBoost prediction a signal, orders that block.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tradebot.analysis.analyze import conclude, own_features
from tradebot.analysis.pool import WorkerPool
from tradebot.analysis.strategies import Row
from tradebot.clock import monotonic_ms
from tradebot.look import Look, Watch
from tradebot.loop import Cycle
from tradebot.market.bars import Panel, last_closed, panel
from tradebot.market.universe import choose
from tradebot.pipeline import strategy_of
from tradebot.session import Session
from tradebot.trading.desk import Desk
from tradebot.trading.risk import Prediction


class Serial:
    """A cycle as other bots run it. `pool_ms` collects what making the pool has cost each time."""

    def __init__(self, session: Session, desk: Desk, model: Path, threshold: float) -> None:
        import xgboost

        self.session, self.desk, self.threshold = session, desk, threshold
        self.settings = session.settings
        self.strategy = strategy_of(self.settings)
        self.booster = xgboost.Booster(model_file=str(model))
        self.booster.set_param({"nthread": 1})
        self.pool_ms: list[float] = []

    async def cycle(self, number: int) -> Cycle:
        """Scan, fetch, analyze, predict, execute, monitor: each when the one before has ended."""
        watch, feed = Watch(), self.session.feed
        cycle = Cycle(number, self.session.clock.now(), watch, feed.requests, feed.weight)
        with watch("scan"):
            universe = await choose(self.settings.universe, self.session.instruments, feed)
        look = cycle.look = Look(cycle.started, universe, watch)
        with watch("fetch"):
            panels = [await self._fetch(symbol, look.now) for symbol in universe.symbols]
        with watch("analyze"):
            await self._analyze(look, panels)
        with watch("predict"):
            look.predictions = [
                Prediction(signal.symbol, signal.side, signal.bar_time, self.predict(signal.row), signal.score)
                for signal in look.signals
            ]
        with watch("monitor"):
            cycle.marks = await feed.prices()
            self.session.mark(cycle.marks)
            cycle.outcomes += await self.desk.monitor(cycle.marks)
        with watch("execute"):
            outcomes, cycle.skipped = await self.desk.enter(look.predictions, cycle.marks, self.threshold)
            cycle.outcomes += outcomes
        return cycle

    async def _fetch(self, symbol: str, now: int) -> tuple[Panel, ...]:
        """All bars of one symbol, again."""
        market, panels = self.settings.market, []
        for interval in market.intervals:
            klines = await self.session.feed.klines(symbol, interval, None, market.bars + 1)
            series = [(symbol, klines.closed(interval, now))]
            panels.append(panel(interval, last_closed(interval, now), market.bars, series))
        return tuple(panels)

    async def _analyze(self, look: Look, panels: Sequence[tuple[Panel, ...]]) -> None:
        """A new pool, one task a symbol, and the pool is thrown away."""
        start = monotonic_ms()
        with WorkerPool(self.settings.pool.workers, "always", None) as pool:
            pool.start()
            self.pool_ms.append(monotonic_ms() - start)
            own = [(await own_features(pool, each[0].symbols, [one.data for one in each]))[0] for each in panels]
        intervals = range(len(self.settings.market.intervals))
        whole = [_together([each[i] for each in panels]) for i in intervals]
        features = [np.concatenate([each[i] for each in own]) for i in intervals]
        strategy = self.settings.strategy
        look.analysis = conclude(whole, features, self.strategy, strategy.min_score, self.settings.market.max_filled)

    def predict(self, row: Row) -> float:
        """One signal, one call, by the path that `predict_proba` takes."""
        return float(self.booster.inplace_predict(row[None, :], validate_features=False)[0])


def _together(panels: Sequence[Panel]) -> Panel:
    """Panels of one interval and end, with a symbol each, as one."""
    data, filled = [each.data for each in panels], [each.filled for each in panels]
    symbols = tuple(each.symbols[0] for each in panels)
    return Panel(panels[0].interval, panels[0].end, symbols, np.concatenate(data, axis=1), np.concatenate(filled))
