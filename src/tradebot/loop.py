"""The run loop: one cycle a minute of the venue's clock, each with a document of what it did."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeAlias

from tradebot import budget
from tradebot.admission import Admission
from tradebot.clock import SECOND, format_time, monotonic_ms
from tradebot.cycle import Bar, Cycle
from tradebot.documents import Document
from tradebot.eager import Eager
from tradebot.errands import Errands
from tradebot.errors import JournalError, MarketError, TooSlow, TradebotError
from tradebot.guard import Guard
from tradebot.hand import Hand
from tradebot.intake import ttl_bounds
from tradebot.latency import in_words, summary
from tradebot.look import Look, Watch
from tradebot.market.bars import interval_ms, last_closed
from tradebot.market.memo import Memo
from tradebot.marks import MarkBoard
from tradebot.pipeline import Pipeline
from tradebot.summary import Summary
from tradebot.trading.desk import Desk
from tradebot.trading.orders import OrderState
from tradebot.trading.reconcile import Reconciliation

__all__ = ["Cycle", "Emit", "Loop"]

log = logging.getLogger(__name__)
AT_WORK = 2  # cycles under way at once: one that executes, one that looks
SOON = 3 * SECOND  # a single cycle waits so long for a bar that is about to close
LOOKED = "looked"  # the note of which bar the last cycle was about
LOOK_AHEAD = 5 * SECOND  # venue time before a cycle at which the venue's clock is measured anew
ALL_OF_IT = 60  # cycles after which old objects are looked through for garbage too
JUMP = 2 * SECOND  # a change of the venue's clock that is worth a warning
Emit: TypeAlias = Callable[[Document], None]
GRACE_S = 4.0  # for orders in the air when the program is told to end


def _unobserved(_: Cycle) -> None:
    """Where cycles go that nobody looks at."""


class Loop:
    """Cycles with orders. Exits are looked after in every cycle, whatever else fails."""

    def __init__(self, pipeline: Pipeline, desk: Desk) -> None:
        self.observe: Callable[[Cycle], None] = _unobserved
        """Is called with every cycle that has ended."""
        self.pipeline, self.desk, self.session = pipeline, desk, pipeline.session
        pipeline.expecting = desk.expect
        self.run_settings = pipeline.settings.run
        self.every = self.run_settings.every_s * SECOND
        self.step = interval_ms(pipeline.intervals[0])
        self.marks = MarkBoard(self.session, pipeline.intervals[0], ttl_bounds(pipeline.settings))
        self.reconciliation = Reconciliation(
            desk.broker, desk.journal, self.session.clock, self.session.account,
            instruments=self.session.instruments, every_s=pipeline.settings.trading.reconcile_s,
        )  # fmt: skip
        self.hand = Hand(self.session, desk, self.reconciliation)
        self.guard = Guard(self.session, desk, self.marks, self.reconciliation)
        self.admission = Admission(pipeline, desk, self.marks, self.reconciliation)
        self.summary = Summary()
        self._memo = Memo(pipeline.settings.data_path / "known", self.session.account)
        looked = self._memo.load(LOOKED, int)
        self._looked = looked[1] if looked else None
        self._under_way: deque[tuple[Cycle, asyncio.Task[None]]] = deque()
        self._traded = False
        self._error: TradebotError | None = None
        self._ending = False
        self._stopped: TooSlow | None = None
        self._eager: Eager | None = None

    async def begin(self, number: int) -> Cycle:
        """Look after the exits and, meanwhile, scan, fetch, analyze and predict."""
        cycle = self._begun(number)
        monitoring = asyncio.create_task(self._monitor(cycle))
        if self.run_settings.execute == "eager":
            before = [task for _, task in list(self._under_way)[-1:]]
            cycle.eager = self._eager = Eager(partial(self._enter, cycle), monitoring, *before)
        await asyncio.gather(monitoring, self._look(cycle))
        self._judge(cycle)
        return cycle

    def _begun(self, number: int) -> Cycle:
        self.guard.begin()
        return Cycle(number, self.session.clock.now(), Watch(), *self.session.used)

    async def _monitor(self, cycle: Cycle) -> None:
        with cycle.watch("monitor"):
            seen = await self.guard.look()
            cycle.marks = seen.marks
            cycle.guarded(seen)
        if cycle.look is None:  # klines are in the air, and what was found may have changed what is there
            self.desk.expect()

    async def _look(self, cycle: Cycle) -> None:
        try:
            cycle.look = look = await self.pipeline.look(cycle.watch, cycle.eager.take if cycle.eager else None)
            try:
                await self.pipeline.predict(look)
            finally:
                cycle.warnings += look.warnings
        except TradebotError as error:
            cycle.fail(error)

    async def finish(self, cycle: Cycle, after: Awaitable[None] | None, emit: Emit) -> None:
        """Execute once the cycle before has executed, then hand out the document."""
        if after is not None:
            await asyncio.wait([asyncio.ensure_future(after)])
        if cycle.eager is not None:
            await cycle.eager.done()
        self._place(cycle)
        if cycle.look is not None:
            await self._enter(cycle, cycle.look)
            self._note(cycle)
            self.desk.purse.drop()
            await self._store(cycle)
        self._judge(cycle)
        cycle.guarded(self.guard.take())
        if any(outcome.state is OrderState.REJECTED for outcome in cycle.outcomes):
            self.session.scout.doubt()
        cycle.warnings += self._doubted(cycle)
        cycle.orders = self.desk.moments.take()
        cycle.follow(self.session.clock)
        self._tell(cycle)
        self.summary.add(cycle)
        self.observe(cycle)
        emit(self.document(cycle))
        self.guard.end()
        # Now, and not between a bar's close and its order; of what is older there is hardly any garbage.
        gc.collect(1 if cycle.number % ALL_OF_IT else 2)

    async def _store(self, cycle: Cycle) -> None:
        """What no order has to wait for: the klines on disk, and with them the paper account up to date."""
        cycle.warnings += await self.pipeline.stored()
        try:
            cycle.warnings += await self.session.play()
        except TradebotError as error:
            cycle.fail(error)

    def _place(self, cycle: Cycle) -> None:
        """Tell which bar the cycle is about, and from the state what was done about it before."""
        look = cycle.look
        if look is None or look.analysis is None:
            return
        earlier = [each for each in look.predictions if each.symbol not in cycle.offered]
        acted = sorted(symbol for symbol, _ in self.desk.acted(earlier))
        cycle.bar = bar = Bar(self.pipeline.intervals[0], look.analysis.bar_time, self._looked, acted)
        if bar.unseen:
            cycle.warnings.append(
                f"{bar.unseen} bar{'s' * (bar.unseen > 1)} of {bar.interval} closed unseen since "
                f"{format_time(bar.before or 0)}; nothing is entered on them any more"
            )

    def _note(self, cycle: Cycle) -> None:
        """Note for the next process which bar has been looked at, if all went well."""
        if (bar := cycle.bar) and bar.before != bar.opened and cycle.error is None:
            self._memo.keep(LOOKED, self.session.clock.now(), bar.opened)
            self._looked = bar.opened

    async def _enter(self, cycle: Cycle, look: Look) -> None:
        """Execute the predictions of a look, or of a part of it, that were not executed before."""
        self._judge(cycle)
        left = [each for each in look.predictions if each.symbol not in cycle.offered]
        if cycle.slow and self.run_settings.on_slow != "warn":
            cycle.skipped |= dict.fromkeys((p.symbol for p in left), f"the cycle is too slow: {cycle.slow[0]}")
            return
        if not left or not cycle.marks or self._ending:
            return
        cycle.offered |= {each.symbol for each in left}
        with cycle.watch("execute"):
            try:
                await self.admission.enter(cycle, look, left)
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

    @staticmethod
    def _doubted(cycle: Cycle) -> list[str]:
        """What to say, here and in the log, of orders to which the venue has given no answer."""
        doubted = {each.client_id: each for each in cycle.outcomes if each.state is OrderState.UNKNOWN}
        lines = [
            f"{each.symbol}: {each.intent} in doubt ({each.reason}); it is not sent again, but looked up until "
            "the venue tells what became of it"
            for each in doubted.values()
        ]
        for line in lines:
            log.warning("cycle %d: %s", cycle.number, line)
        return lines

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
            "halt": halted.document() if (halted := self.desk.switch.state()) else None,
            "positions": [self.desk.document(position, cycle.marks) for position in self.desk.positions()],
            "external": self.reconciliation.external,
        }

    async def run(self, cycles: int | None, emit: Emit) -> None:
        """`cycles` cycles, or without end; the first at once, the others on the venue's minute.

        A cycle that cannot trade is reported and the next one tried; if none could, or if the state cannot
        be written in the end, the last one's error is raised. A minute that passes while a cycle works is left
        out and counted.
        """
        warnings = await self.ready()
        attending = asyncio.create_task(self.hand.attend(Errands(self.pipeline.settings.data_path)))
        keeping = asyncio.create_task(asyncio.sleep(0) if self.session.stands_still else self.guard.keep())
        missed = 0
        try:
            await self._await_close(cycles)
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
        self._conclude()

    async def ready(self) -> list[str]:
        """Before the first cycle: settle what an earlier process left open, and open connections; what was found."""
        warnings, _ = await asyncio.gather(self.desk.reconcile(), self._connect())
        return warnings

    async def _connect(self) -> None:
        """As many as the first cycle needs, if anything of the universe is due; nothing is known of a first one."""
        scout, wanted = self.session.scout, self.pipeline.settings.universe
        if self.session.remote:
            with suppress(MarketError):  # the first cycle tells it
                if not scout.size or self._due((await scout.universe()).symbols):
                    await self.session.feed.connect(scout.size or len(wanted.symbols) or wanted.top)

    def _due(self, symbols: Sequence[str]) -> bool:
        settings, now = self.pipeline.settings, self.session.clock.now()
        market, bounds = settings.market, ttl_bounds(settings)
        return self.session.store.next_due(now, symbols, market.intervals, market.bars, bounds) <= now

    def _conclude(self) -> None:
        """Raise what has ended the run, or what makes its exit code."""
        if self._stopped is not None:
            raise self._stopped
        if self._error is not None and (not self._traded or isinstance(self._error, JournalError)):
            raise self._error

    async def _await_close(self, cycles: int | None) -> None:
        """A single cycle waits for a bar that closes in a moment: the clock that started it may be a little fast."""
        close = last_closed(self.pipeline.intervals[0], self.session.clock.now()) + 2 * self.step
        if cycles == 1 and not self.session.stands_still and close - self.session.clock.now() <= SOON:
            await self.session.clock.sleep_until(close)

    async def _launch(self, number: int, missed: int, warnings: list[str], emit: Emit) -> None:
        """One cycle up to its orders, which go out while the loop goes on."""
        cycle = await self.begin(number)
        cycle.missed, cycle.warnings[:0] = missed, [*budget.missed(missed, warnings), *warnings]
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
            self.admission.clock_doubt = next(iter(warnings), "")
            due = min(due, self.session.clock.now() // self.every * self.every + self.every)
            if due % self.step == 0:
                await self.session.feed.connect(self.session.scout.size)
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
        self.desk.purse.drop()
        for task, rest in zip(beside, (self.hand.rest, self.guard.rest), strict=True):
            rest(task)
        beside = (*beside, *self.guard.tasks)
        tasks = [*beside, *(task for _, task in self._under_way), *(self._eager.tasks if self._eager else ())]
        _, late = await asyncio.wait(tasks, timeout=GRACE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in beside:
            if not task.cancelled() and (bug := task.exception()):
                raise bug
