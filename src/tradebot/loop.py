"""The run loop: one cycle a minute of the venue's clock, each with a document of what it did."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from tradebot.clock import SECOND
from tradebot.documents import signal_document
from tradebot.errors import TradebotError
from tradebot.pipeline import Document, Look, Pipeline, Watch
from tradebot.trading.desk import Desk, Outcome

AT_WORK = 2  # cycles under way at once: one that executes, one that looks
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

    async def begin(self, number: int) -> Cycle:
        """Look after the exits and, meanwhile, scan, fetch, analyze and predict."""
        feed = self.session.feed
        cycle = Cycle(number, self.session.clock.now(), Watch(), feed.requests, feed.weight)
        await asyncio.gather(self._monitor(cycle), self._look(cycle))
        return cycle

    async def _monitor(self, cycle: Cycle) -> None:
        with cycle.watch("monitor"):
            try:
                cycle.marks = await self.session.feed.prices()
                self.session.mark(cycle.marks)
                cycle.outcomes += await self.desk.monitor(cycle.marks)
            except TradebotError as error:
                cycle.fail(error)

    async def _look(self, cycle: Cycle) -> None:
        try:
            cycle.look = await self.pipeline.look(cycle.watch)
            await self.pipeline.predict(cycle.look)
        except TradebotError as error:
            cycle.fail(error)

    async def finish(self, cycle: Cycle, after: Awaitable[None] | None, emit: Callable[[Document], None]) -> None:
        """Execute once the cycle before has executed, then hand out the document."""
        if after is not None:
            await asyncio.wait([asyncio.ensure_future(after)])
        if cycle.look and cycle.look.predictions and cycle.marks:
            with cycle.watch("execute"):
                try:
                    predictions, threshold = cycle.look.predictions, self.pipeline.threshold
                    outcomes, cycle.skipped = await self.desk.enter(predictions, cycle.marks, threshold)
                    cycle.outcomes += outcomes
                except TradebotError as error:
                    cycle.fail(error)
        emit(self.document(cycle))

    def document(self, cycle: Cycle) -> Document:
        """The cycle as docs/reference.md describes it."""
        look, feed = cycle.look, self.session.feed
        skipped = (look.skipped if look else {}) | cycle.skipped
        return {
            "schema": 1,
            "cycle": cycle.number,
            "venue": self.session.venue,
            "started": cycle.started,
            "now": self.session.clock.now(),
            "total_ms": cycle.watch.total_ms,
            "stages": cycle.watch.stages,
            "requests": feed.requests - cycle.requests,
            "weight": feed.weight - cycle.weight,
            "symbols": len(look.universe.symbols) if look else 0,
            "signals": [signal_document(signal, look.analysis.features.names) for signal in look.signals]
            if look and look.analysis else [],
            "predictions": [prediction.document() for prediction in look.predictions] if look else [],
            "orders": [outcome.document() for outcome in cycle.outcomes],
            "positions": [self.desk.document(position, cycle.marks) for position in self.desk.positions()],
            "skipped": [{"symbol": symbol, "reason": reason} for symbol, reason in sorted(skipped.items())],
            "warnings": cycle.warnings,
        }  # fmt: skip

    async def run(self, cycles: int | None, emit: Callable[[Document], None]) -> None:
        """`cycles` cycles, or without end; the first at once, the others on the venue's minute.

        A cycle that cannot trade is reported and the next one tried; if none could, the last
        one's error is raised. A minute that passes while a cycle works is left out and counted.
        """
        warnings = await self.desk.reconcile()
        under_way: deque[tuple[Cycle, asyncio.Task[None]]] = deque()
        traded, error = False, None
        try:
            for number in itertools.count(1):
                due = self.session.clock.now() // self.every * self.every + self.every
                cycle = await self.begin(number)
                cycle.warnings[:0], warnings = warnings, []
                before = under_way[-1][1] if under_way else None
                under_way.append((cycle, asyncio.create_task(self.finish(cycle, before, emit))))
                last = number == cycles
                while under_way and (last or self.session.stands_still or len(under_way) >= AT_WORK):
                    done, task = under_way.popleft()
                    await task
                    traded, error = traded or done.error is None, done.error
                if last:
                    break
                warnings = await self._next(due)
        finally:
            await self._settle([task for _, task in under_way])
        if error is not None and not traded:
            raise error

    async def _next(self, due: int) -> list[str]:
        """Wait for the next minute; what to say of whole minutes that have passed instead of it."""
        await self.session.clock.sleep_until(due)
        missed = (self.session.clock.now() - due) // self.every
        return [f"{missed} cycle{'s' * (missed > 1)} missed: the one before took too long"] if missed else []

    @staticmethod
    async def _settle(tasks: list[asyncio.Task[None]]) -> None:
        """Orders in the air may come back for a few seconds; then they are left in doubt, on record."""
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=GRACE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
