"""The corridor: scan → fetch → analyze → predict → execute → monitor.

The stages overlap. Exits are looked after first and beside the fetch; klines are turned into each
symbol's own features while other requests are in the air; what compares symbols, and the one
batch prediction, runs once when the universe is complete or its deadline has passed, so results
do not depend on the order of arrival; orders go out while the next cycle may already begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager

import numpy as np

from tradebot.analysis import plugins
from tradebot.analysis.analyze import Analysis, featured, judged, own_features
from tradebot.analysis.features import MARKET, Features, assemble
from tradebot.analysis.pool import WorkerPool
from tradebot.analysis.strategies import Strategy
from tradebot.clock import SECOND, monotonic_ms
from tradebot.config import Settings
from tradebot.errors import ConfigError, MarketError, TradebotError, UnknownName, VenueRejected
from tradebot.intake import fetch, revisions, ttl_bounds
from tradebot.look import Arrivals, Look, Watch
from tradebot.market.bars import Floats, Panel, interval_ms, last_closed
from tradebot.market.universe import Universe
from tradebot.model import predictor
from tradebot.model.batch import in_batch
from tradebot.progress import Progress, unseen
from tradebot.session import Session
from tradebot.trading.risk.view import Prediction

BATCH = 50  # symbols analyzed at once while others are still in the air: what comes in at once by default


def _nothing_expected() -> None:
    """Where nobody wants to know that klines are asked for."""


class Pipeline:
    """Cycles over one session. The pool, the model and the strategy are made once and kept."""

    def __init__(self, session: Session, pool: WorkerPool, *, progress: Progress = unseen) -> None:
        self.expecting: Callable[[], None] = _nothing_expected
        """Is called when klines are about to be asked for: signals may follow."""
        self.session, self.pool = session, pool
        self.settings: Settings = session.settings
        self.progress = progress
        self.intervals = fine_to_coarse(self.settings)
        self._trouble: MarketError | None = None
        self._last: tuple[Universe | None, Analysis | None, dict[str, str]] = None, None, {}
        self.strategy: Strategy = strategy_of(self.settings)

    async def scan(self) -> Universe:
        """The universe in force; chosen now if there is none."""
        return await self.session.scout.universe()

    @asynccontextmanager
    async def _scouting(self, look: Look) -> AsyncGenerator[None, None]:
        """Rules and universe are read anew beside what is done meanwhile, if that is due.

        Symbols that left are out of this look too, with the reason; symbols that joined are in the next.
        """
        task = asyncio.create_task(self._scout(look))
        try:
            yield
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _scout(self, look: Look) -> None:
        if not self.session.scout.due:
            return
        with look.watch("scan"):
            try:
                look.follow(await self.session.scout.refresh(self.settings.run.fetch_deadline_s))
            except TradebotError as error:
                look.warnings.append(f"the universe is the one of before: {error}")

    async def look(self, watch: Watch | None = None, early: Callable[[Look], None] | None = None) -> Look:
        """Scan, fetch and analyze. `MarketError` if not one series could be had.

        `early` gets parts of the look, with their predictions, as they are done; see `_early`. New klines are
        in memory when it returns; `stored` brings them to disk.
        """
        watch = watch or Watch()
        with watch("scan"):
            universe = await self.scan()
        now = self.session.clock.now()
        look = Look(now, universe, watch, skipped=dict(universe.skipped))
        if self._unchanged(look):
            return look
        self.expecting()
        arrivals = Arrivals(look, self.intervals, self.settings.market.bars, self.settings.run.every_s * SECOND)
        async with self._scouting(look):
            await self._take_in(arrivals, early)
        if any(isinstance(ready.error, VenueRejected) for ready in arrivals.failed):
            self.session.scout.doubt()
        arrivals.refuse_nothing()
        look.warnings += revisions(arrivals.revised)
        with watch("analyze"):
            rows = arrivals.rows
            await self._judge(look, featured(arrivals.panels(rows), [own[rows] for own in arrivals.own]))
        self._last = (universe, look.analysis, look.skipped)
        return look

    async def _take_in(self, arrivals: Arrivals, early: Callable[[Look], None] | None) -> None:
        """Fetch, and compute own features of those that are there while others are in the air."""
        look, deadline_s = arrivals.look, self.settings.run.fetch_deadline_s
        with look.watch("fetch"):
            stream = fetch(self.session, arrivals.symbols, look.now, deadline_s, self.progress)
            async with aclosing(stream):
                async for ready in stream:
                    arrivals.add(ready)
                    if rows := arrivals.batch(BATCH):
                        own = await self._own(arrivals, rows)
                        if early is not None and (part := await self._early(look, arrivals.panels(rows), own)):
                            early(part)
        if rows := arrivals.batch(1):
            await self._own(arrivals, rows)

    def _unchanged(self, look: Look) -> bool:
        """Whether the look would see what the last one saw; it then has that already, as in most minutes."""
        with look.watch("fetch"):
            universe, analysis, skipped = self._last
            if analysis is None or universe is None or universe.symbols != look.universe.symbols:
                return False
            if self.session.scout.due or analysis.bar_time != last_closed(self.intervals[0], look.now):
                return False
            market = self.settings.market
            due = self.session.store.next_due(
                look.now, universe.symbols, market.intervals, market.bars, ttl_bounds(self.settings)
            )
            if due <= look.now:
                return False
            look.analysis, look.skipped = analysis, dict(skipped)
            return True

    async def _early(self, look: Look, batch: tuple[Panel, ...], own: tuple[Floats, ...]) -> Look | None:
        """A batch judged by itself; None where it has to wait for the others.

        What the strategy says must not depend on other symbols, and the one feature that does, the market's,
        must be known: it is that of the last look until the next bar of the coarsest interval closes.
        """
        universe, known, _ = self._last
        if known is None or universe is None or not self.strategy.local or self.session.scout.due:
            return None
        whole = known.features
        if universe.symbols != look.universe.symbols or whole.panels[-1].end != batch[-1].end:
            return None
        part = Look(look.now, look.universe, look.watch, moments=look.moments)
        values = assemble(own)
        values[:, whole.names.index(MARKET)] = whole[MARKET][0]
        await self._judge(part, Features(whole.names, batch[0].symbols, values, batch))
        part.coarsest = whole.panels[-1]
        return await self.predict(part)

    async def stored(self) -> list[str]:
        """Store the klines of the last look; that they cannot be is told once."""
        await self.session.store.saved()
        before, self._trouble = self._trouble, self.session.store.trouble
        return [] if self._trouble in (None, before) else [f"{self._trouble}; the cycle has its klines all the same"]

    async def _own(self, arrivals: Arrivals, rows: list[int]) -> tuple[Floats, ...]:
        """The own features of some symbols, which the arrivals then have too."""
        look, started = arrivals.look, monotonic_ms()
        with look.watch("analyze"):
            symbols = tuple(arrivals.symbols[row] for row in rows)
            own, deadly = await own_features(self.pool, symbols, arrivals.recent(rows))
            arrivals.take(rows, own)
        look.batches.append((started, monotonic_ms(), symbols))
        look.skipped |= deadly
        return own

    async def _judge(self, look: Look, features: Features) -> None:
        scores, deadly = await plugins.scores(self.pool, self.strategy, features)
        look.moments.note("features", features.symbols)
        look.analysis = judged(features, scores, self.settings.strategy.min_score, self.settings.market.max_filled)
        look.skipped = {**look.analysis.skipped, **look.skipped, **deadly}

    async def predict(self, look: Look) -> Look:
        """One batch for all signals, in a worker or inline. Raises `ModelError`."""
        with look.watch("predict"):
            path = model_path(self.settings)  # once: the current model may change at any time
            card = predictor.load(path).card
            look.threshold = threshold_of(self.settings, card)
            stale = predictor.check_age(card, look.now, self.settings.model.max_age_days)
            look.warnings += [stale] if stale else []
            signals = look.signals
            if signals:
                rows = np.stack([signal.row for signal in signals])
                chances = await in_batch(self.pool, path, rows)
                look.predictions = [
                    Prediction(signal.symbol, signal.side, signal.bar_time, float(chance), signal.score)
                    for signal, chance in zip(signals, chances, strict=True)
                ]
                look.moments.note("prediction", [signal.symbol for signal in signals])
        return look


def strategy_of(settings: Settings) -> Strategy:
    """The strategy of the settings; one of the user's is checked first. Raises `UsageError`s."""
    wanted, intervals = settings.strategy, fine_to_coarse(settings)
    with settings.blaming("strategy.name", UnknownName), settings.blaming("strategy.parameters", ConfigError):
        return plugins.make(wanted.name, wanted.parameters, wanted.folder, intervals)


def threshold_of(settings: Settings, card: predictor.Card) -> float:
    """Least probability of an entry: the settings' or else the model's own."""
    chosen = settings.model.threshold
    return card.threshold if chosen is None else chosen


def model_path(settings: Settings) -> str:
    """The model of the settings, checked against the features of their intervals. Raises `ModelError`."""
    path = str(predictor.resolve(settings.model.path, settings.models))
    card = predictor.load(path).card
    predictor.check_schema(card, settings.market.intervals)
    predictor.check_output(card)
    return path


def fine_to_coarse(settings: Settings) -> tuple[str, ...]:
    """The three intervals of the features; `ConfigError` if they are unknown, not three or not in order."""
    intervals = settings.market.intervals
    with settings.blaming("market.intervals"):
        lengths = [interval_ms(interval) for interval in intervals]
        if len(lengths) != 3 or lengths != sorted(set(lengths)):
            raise ConfigError(f"{','.join(intervals)}: must be three intervals, from fine to coarse, as 5m,15m,1h")
    return intervals
