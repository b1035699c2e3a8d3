"""The run loop: one cycle a minute of the venue's clock, each with a document of what it did."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from tradebot import budget
from tradebot.admission import Admission
from tradebot.clock import SECOND, monotonic_ms
from tradebot.cycle import Cycle
from tradebot.documents import Document
from tradebot.errands import Errands
from tradebot.errors import TooSlow, TradebotError
from tradebot.guard import Guard
from tradebot.hand import Hand
from tradebot.intake import ttl_bounds
from tradebot.latency import in_words, summary
from tradebot.marks import MarkBoard
from tradebot.pipeline import Pipeline, Watch
from tradebot.trading.desk import Desk
from tradebot.trading.orders import OrderState
from tradebot.trading.reconcile import Reconciliation

__all__ = ["Cycle", "Emit", "Loop"]

log = logging.getLogger(__name__)
KEPT = 10_000  # signals whose way is remembered for the summary
AT_WORK = 2  # cycles under way at once: one that executes, one that looks
LOOK_AHEAD = 5 * SECOND  # venue time before a cycle at which the venue's clock is measured anew
JUMP = 2 * SECOND  # a change of the venue's clock that is worth a warning
Emit: TypeAlias = Callable[[Document], None]
GRACE_S = 4.0  # for orders in the air when the program is told to end


class Loop:
    """Cycles with orders. Exits are looked after in every cycle, whatever else fails."""

    def __init__(self, pipeline: Pipeline, desk: Desk) -> None:
        self.pipeline, self.desk, self.session = pipeline, desk, pipeline.session
        self.run_settings = pipeline.settings.run
        self.every = self.run_settings.every_s * SECOND
        self.marks = MarkBoard(self.session, pipeline.intervals[0], ttl_bounds(pipeline.settings))
        self.reconciliation = Reconciliation(
            desk.broker, desk.journal, self.session.clock, self.session.account,
            instruments=self.session.instruments, every_s=pipeline.settings.trading.reconcile_s,
        )  # fmt: skip
        self.hand = Hand(self.session, desk, self.reconciliation)
        self.guard = Guard(self.session, desk, self.marks, self.reconciliation)
        self.admission = Admission(pipeline, desk, self.marks, self.reconciliation)
        self.latencies: deque[Document] = deque(maxlen=KEPT)
        """The way of the last signals from bar close to order; see `latency`."""
        self._under_way: deque[tuple[Cycle, asyncio.Task[None]]] = deque()
        self._traded = False
        self._error: TradebotError | None = None
        self._ending = False
        self._stopped: TooSlow | None = None

    async def begin(self, number: int) -> Cycle:
        """Look after the exits and, meanwhile, scan, fetch, analyze and predict."""
        cycle = self._begun(number)
        await asyncio.gather(self._monitor(cycle), self._look(cycle))
        self._judge(cycle)
        return cycle

    def _begun(self, number: int) -> Cycle:
        return Cycle(number, self.session.clock.now(), Watch(), *self.session.used)

    async def _monitor(self, cycle: Cycle) -> None:
        with cycle.watch("monitor"):
            seen = await self.guard.look()
            cycle.marks = seen.marks
            cycle.guarded(seen)

    async def _look(self, cycle: Cycle) -> None:
        try:
            cycle.look = look = await self.pipeline.look(cycle.watch)
            try:
                cycle.warnings += await self.session.play()
                await self.pipeline.predict(look)
            finally:
                cycle.warnings += look.warnings
        except TradebotError as error:
            cycle.fail(error)

    async def finish(self, cycle: Cycle, after: Awaitable[None] | None, emit: Emit) -> None:
        """Execute once the cycle before has executed, then hand out the document."""
        if after is not None:
            await asyncio.wait([asyncio.ensure_future(after)])
        if self._enters(cycle):
            await self._enter(cycle)
        self._judge(cycle)
        cycle.guarded(self.guard.take())
        if any(outcome.state is OrderState.REJECTED for outcome in cycle.outcomes):
            self.session.scout.doubt()
        cycle.follow(self.session.clock, self.desk.moments.take())
        self._tell(cycle)
        emit(self.document(cycle))

    def _enters(self, cycle: Cycle) -> bool:
        if cycle.slow and self.run_settings.on_slow != "warn":
            symbols = (each.symbol for each in cycle.look.predictions) if cycle.look else ()
            cycle.skipped |= dict.fromkeys(symbols, f"the cycle is too slow: {cycle.slow[0]}")
            return False
        return bool(cycle.look and cycle.look.predictions and cycle.marks and not self._ending)

    async def _enter(self, cycle: Cycle) -> None:
        with cycle.watch("execute"):
            try:
                await self.admission.enter(cycle, cycle.look.predictions if cycle.look else ())
            except TradebotError as error:
                cycle.fail(error)

    def _judge(self, cycle: Cycle) -> None:
        """Compare with the budget what has been done so far; a stage is told of once."""
        limits = {str(stage): limit for stage, limit in self.run_settings.budget_ms.items()}
        known = {line.partition(" ")[0] for line in cycle.slow}
        for stage, took in budget.broken(cycle.watch.stages, cycle.watch.total_ms, limits):
            if stage not in known:
                line = budget.told(stage, took, limits[stage], self._waits(cycle, stage))
                cycle.slow.append(line)
                cycle.warnings.append(line)
                log.warning("cycle %d: %s", cycle.number, line)
        if cycle.slow and self.run_settings.on_slow == "stop":
            self._stopped = self._stopped or TooSlow(f"run.on_slow = stop: {cycle.slow[0]}")

    def _waits(self, cycle: Cycle, stage: str) -> Mapping[str, float]:
        """How long the symbols of a stage took, real ms, where that is known."""
        if stage not in ("fetch", "total") or cycle.look is None:
            return {}
        return cycle.look.arrivals

    def _tell(self, cycle: Cycle) -> None:
        if cycle.latency:
            words = ", ".join(in_words(summary(cycle.latency)))
            log.info("cycle %d: %d signals, after the close (median/most): %s", cycle.number, len(cycle.latency), words)
        self.latencies.extend(cycle.latency)

    def document(self, cycle: Cycle) -> Document:
        """The cycle as docs/reference.md describes it."""
        requests, weight = self.session.used
        return {
            **cycle.document(),
            "venue": self.session.venue,
            "mode": self.pipeline.settings.trading.mode,
            "account": self.session.account,
            "now": self.session.clock.now(),
            "requests": requests - cycle.requests,
            "weight": weight - cycle.weight,
            "positions": [self.desk.document(position, cycle.marks) for position in self.desk.positions()],
            "external": self.reconciliation.external,
        }

    async def run(self, cycles: int | None, emit: Emit) -> None:
        """`cycles` cycles, or without end; the first at once, the others on the venue's minute.

        A cycle that cannot trade is reported and the next one tried; if none could, the last
        one's error is raised. A minute that passes while a cycle works is left out and counted.
        """
        warnings = await self.desk.reconcile()
        attending = asyncio.create_task(self.hand.attend(Errands(self.pipeline.settings.data_path)))
        keeping = asyncio.create_task(asyncio.sleep(0) if self.session.stands_still else self.guard.keep())
        missed = 0
        try:
            for number in itertools.count(1):
                due = self.session.clock.now() // self.every * self.every + self.every
                await self._launch(number, missed, warnings, emit)
                if number == cycles or self._stopped:
                    break
                # A clock that stands still must not be moved on while orders are in the air.
                await self._drain(0 if self.session.stands_still else AT_WORK - 1)
                missed, warnings = await self._next(due)
                if self._stopped or (keeping.done() and keeping.exception()):  # no cycles without the guard
                    break
            await self._drain(0)
        finally:
            await self._settle(attending, keeping)
        if self._stopped is not None:
            raise self._stopped
        if self._error is not None and not self._traded:
            raise self._error

    async def _launch(self, number: int, missed: int, warnings: list[str], emit: Emit) -> None:
        """One cycle up to its orders, which go out while the loop goes on."""
        cycle = await self.begin(number)
        cycle.missed, cycle.warnings[:0] = missed, [*budget.missed(missed), *warnings]
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

    async def _next(self, due: int) -> tuple[int, list[str]]:
        """Wait for the next minute; how many have passed instead, and what to say of the venue's clock."""
        warnings: list[str] = []
        if self.session.remote and not self.session.stands_still:
            await self.session.clock.sleep_until(due - LOOK_AHEAD)
            warnings = await self._measure()
            due = min(due, self.session.clock.now() // self.every * self.every + self.every)
        await (self.guard.keep_until(due) if self.session.stands_still else self.session.clock.sleep_until(due))
        return (self.session.clock.now() - due) // self.every, warnings

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

    async def _settle(self, *beside: asyncio.Task[None]) -> None:
        """Orders in the air may come back for a few seconds; then they are left in doubt, on record."""
        self._ending = True
        for task, rest in zip(beside, (self.hand.rest, self.guard.rest), strict=True):
            rest(task)
        tasks = [*beside, *(task for _, task in self._under_way)]
        _, late = await asyncio.wait(tasks, timeout=GRACE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in beside:
            if not task.cancelled() and (bug := task.exception()):
                raise bug
