"""The run loop: one cycle a minute of the venue's clock, each with a document of what it did."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeAlias

from tradebot.clock import HOUR, SECOND, monotonic_ms
from tradebot.documents import SCHEMA, Document, signal_document, skipped_document
from tradebot.errands import Errands
from tradebot.errors import TradebotError
from tradebot.hand import Hand
from tradebot.intake import ttl_bounds
from tradebot.market.scout import RULES_LAST_MS
from tradebot.market.universe import spread
from tradebot.marks import MarkBoard
from tradebot.pipeline import Look, Pipeline, Watch
from tradebot.trading.desk import Desk, Outcome, Prediction
from tradebot.trading.orders import OrderState
from tradebot.trading.positions import PositionState
from tradebot.trading.reconcile import Reconciliation
from tradebot.trading.risk import NOTHING, Outlook, needs_spreads

AT_WORK = 2  # cycles under way at once: one that executes, one that looks
LOOK_AHEAD = 5 * SECOND  # venue time before a cycle at which the venue's clock is measured anew
JUMP = 2 * SECOND  # a change of the venue's clock that is worth a warning
Emit: TypeAlias = Callable[[Document], None]
GRACE_S = 4.0  # for orders in the air when the program is told to end


@dataclass(eq=False)
class Cycle:
    """One pass, as far as it has come."""

    number: int
    started: int
    watch: Watch
    requests: int
    weight: int
    look: Look | None = None
    marks: Mapping[str, Decimal] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: TradebotError | None = None

    def fail(self, error: TradebotError) -> None:
        """Note what kept the cycle from doing all of its work; the first cause counts."""
        self.error = self.error or error
        self.warnings.append(str(error))


class Loop:
    """Cycles with orders. Exits are looked after in every cycle, whatever else fails."""

    def __init__(self, pipeline: Pipeline, desk: Desk) -> None:
        self.pipeline, self.desk, self.session = pipeline, desk, pipeline.session
        self.every = pipeline.settings.run.every_s * SECOND
        self.marks = MarkBoard(self.session, pipeline.intervals[0], ttl_bounds(pipeline.settings))
        self.reconciliation = Reconciliation(
            desk.broker, desk.journal, self.session.clock, self.session.account,
            instruments=self.session.instruments, every_s=pipeline.settings.trading.reconcile_s,
        )  # fmt: skip
        self.hand = Hand(self.session, desk, self.reconciliation)
        self._under_way: deque[tuple[Cycle, asyncio.Task[None]]] = deque()
        self._traded = False
        self._error: TradebotError | None = None
        self._ending = False

    async def begin(self, number: int) -> Cycle:
        """Look after the exits and, meanwhile, scan, fetch, analyze and predict."""
        cycle = self._begun(number)
        await asyncio.gather(self._monitor(cycle), self._look(cycle))
        if self.reconciliation.due:
            await self._reconcile(cycle)
        return cycle

    async def _reconcile(self, cycle: Cycle) -> None:
        """Compare the account with the journal, now that what was in doubt has been looked up."""
        with cycle.watch("monitor"):
            try:
                cycle.warnings += await self.reconciliation.compare(cycle.look.universe.symbols if cycle.look else ())
            except TradebotError as error:
                cycle.fail(error)

    def _begun(self, number: int) -> Cycle:
        feed = self.session.feed
        return Cycle(number, self.session.clock.now(), Watch(), feed.requests, feed.weight)

    async def _monitor(self, cycle: Cycle) -> None:
        with cycle.watch("monitor"):
            try:
                held = [each.symbol for each in self.desk.positions() if each.state is not PositionState.DUST]
                cycle.marks = await self.marks.good_for(held)
            except TradebotError as error:
                cycle.fail(error)
            try:  # without marks too: what is in doubt is looked up, and what is over its time ends
                cycle.outcomes += await self.desk.monitor(cycle.marks)
                cycle.warnings += self.desk.doubts
            except TradebotError as error:
                cycle.fail(error)

    async def _look(self, cycle: Cycle) -> None:
        try:
            cycle.look = await self.pipeline.look(cycle.watch)
            cycle.warnings += [*cycle.look.warnings, *await self.session.play()]
            await self.pipeline.predict(cycle.look)
        except TradebotError as error:
            cycle.fail(error)

    async def finish(self, cycle: Cycle, after: Awaitable[None] | None, emit: Emit) -> None:
        """Execute once the cycle before has executed, then hand out the document."""
        if after is not None:
            await asyncio.wait([asyncio.ensure_future(after)])
        if cycle.look and cycle.look.predictions and cycle.marks and not self._ending:
            with cycle.watch("execute"):
                try:
                    await self._enter(cycle, cycle.look.predictions)
                except TradebotError as error:
                    cycle.fail(error)
        if any(outcome.state is OrderState.REJECTED for outcome in cycle.outcomes):
            self.session.scout.doubt()
        emit(self.document(cycle))

    async def _enter(self, cycle: Cycle, predictions: Sequence[Prediction]) -> None:
        """Entries, unless the rules that they would be made by are too old; exits are made by any."""
        age = self.session.scout.rules_age
        if age > RULES_LAST_MS:
            reason = f"the trading rules are {age / HOUR:.0f} h old and cannot be read anew"
            cycle.skipped = dict.fromkeys((prediction.symbol for prediction in predictions), reason)
            return
        refused = {each.symbol: why for each in predictions if (why := self.reconciliation.refusal(each.symbol))}
        predictions = [each for each in predictions if each.symbol not in refused]
        threshold, outlook = self.pipeline.threshold, _outlook(cycle.look)
        old, wide = self.marks.asked < cycle.started, needs_spreads(self.pipeline.settings.risk)
        if (old or wide) and self.desk.hopeful(predictions, cycle.marks, threshold, outlook):
            cycle.marks = await self.marks.ask() if old else cycle.marks
            outlook = replace(outlook, spreads=await self._spreads(cycle)) if wide else outlook
        outcomes, skipped = await self.desk.enter(predictions, cycle.marks, threshold, outlook)
        cycle.outcomes += outcomes
        cycle.skipped = refused | skipped

    async def _spreads(self, cycle: Cycle) -> dict[str, Decimal]:
        """How far ask and bid of each symbol lie apart now; empty if the venue does not answer."""
        try:
            tickers = await self.session.feed.tickers()
        except TradebotError as error:
            cycle.warnings.append(f"spreads not known: {error}")
            return {}
        return {symbol: Decimal(str(spread(ticker))) for symbol, ticker in tickers.items()}

    def document(self, cycle: Cycle) -> Document:
        """The cycle as docs/reference.md describes it."""
        feed = self.session.feed
        return {
            "schema": SCHEMA,
            "cycle": cycle.number,
            "venue": self.session.venue,
            "mode": self.pipeline.settings.trading.mode,
            "account": self.session.account,
            "started": cycle.started,
            "now": self.session.clock.now(),
            "total_ms": cycle.watch.total_ms,
            "stages": cycle.watch.stages,
            "requests": feed.requests - cycle.requests,
            "weight": feed.weight - cycle.weight,
            **_seen(cycle.look),
            "orders": [outcome.document() for outcome in cycle.outcomes],
            "positions": [self.desk.document(position, cycle.marks) for position in self.desk.positions()],
            "external": self.reconciliation.external,
            "skipped": skipped_document({**(cycle.look.skipped if cycle.look else {}), **cycle.skipped}),
            "warnings": cycle.warnings,
        }

    async def run(self, cycles: int | None, emit: Emit) -> None:
        """`cycles` cycles, or without end; the first at once, the others on the venue's minute.

        A cycle that cannot trade is reported and the next one tried; if none could, the last
        one's error is raised. A minute that passes while a cycle works is left out and counted.
        """
        warnings = await self.desk.reconcile()
        attending = asyncio.create_task(self.hand.attend(Errands(self.pipeline.settings.data_path)))
        try:
            for number in itertools.count(1):
                due = self.session.clock.now() // self.every * self.every + self.every
                await self._launch(number, warnings, emit)
                if number == cycles:
                    break
                # A clock that stands still must not be moved on while orders are in the air.
                await self._drain(0 if self.session.stands_still else AT_WORK - 1)
                warnings = await self._next(due)
            await self._drain(0)
        finally:
            await self._settle(attending)
        if self._error is not None and not self._traded:
            raise self._error

    async def _launch(self, number: int, warnings: list[str], emit: Emit) -> None:
        """One cycle up to its orders, which go out while the loop goes on."""
        cycle = await self.begin(number)
        cycle.warnings[:0] = warnings
        before = self._under_way[-1][1] if self._under_way else None
        self._under_way.append((cycle, asyncio.create_task(self.finish(cycle, before, emit))))

    async def _drain(self, most: int) -> None:
        """Wait until at most `most` cycles are under way."""
        while len(self._under_way) > most:
            cycle, task = self._under_way[0]
            await asyncio.wait([task])  # told to end, we stop waiting; the orders in the air are `_settle`'s
            task.result()
            self._under_way.popleft()
            self._traded, self._error = self._traded or cycle.error is None, cycle.error

    async def _next(self, due: int) -> list[str]:
        """Wait for the next minute; what to say of the venue's clock and of minutes that have passed instead."""
        warnings = []
        if self.session.remote and not self.session.stands_still:
            await self.session.clock.sleep_until(due - LOOK_AHEAD)
            warnings = await self._measure()
            due = min(due, self.session.clock.now() // self.every * self.every + self.every)
        await self.session.clock.sleep_until(due)
        missed = (self.session.clock.now() - due) // self.every
        if missed:
            warnings.append(f"{missed} cycle{'s' * (missed > 1)} missed: the one before took too long")
        return warnings

    async def _measure(self) -> list[str]:
        """Measure the venue's clock anew: an offset that was taken once drifts, and machines sleep."""
        clock = self.session.clock
        before, started = clock.now(), monotonic_ms()
        try:
            await self.session.feed.time()
        except TradebotError as error:
            return [f"the venue's clock could not be read: {error}"]
        jump = clock.now() - before - (monotonic_ms() - started) * getattr(clock, "speed", 1.0)
        return [f"the venue's clock jumped by {jump / SECOND:+.0f} s"] if abs(jump) > JUMP else []

    async def _settle(self, attending: asyncio.Task[None]) -> None:
        """Orders in the air may come back for a few seconds; then they are left in doubt, on record."""
        self._ending = True
        self.hand.rest(attending)
        tasks = [attending, *(task for _, task in self._under_way)]
        _, late = await asyncio.wait(tasks, timeout=GRACE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not attending.cancelled() and (bug := attending.exception()):
            raise bug


def _outlook(look: Look | None) -> Outlook:
    """What the look's bars say about risk."""
    return Outlook(look.analysis.features.panels) if look and look.analysis else NOTHING


def _seen(look: Look | None) -> Document:
    """The part of a cycle's document that its look gives; empty where there was none."""
    if look is None or look.analysis is None:
        return {"symbols": 0, "joined": [], "left": [], "signals": [], "predictions": []}
    names = look.analysis.features.names
    return {
        "symbols": len(look.universe.symbols),
        "joined": list(look.joined),
        "left": skipped_document(look.left),
        "signals": [signal_document(signal, names) for signal in look.signals],
        "predictions": [prediction.document() for prediction in look.predictions],
    }
