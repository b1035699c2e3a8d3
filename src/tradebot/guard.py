"""The watch over what is held: prices, stops, targets, times and doubts, on a beat of its own.

A pass is made in every cycle and, in between, every `run.monitor_every_s`, so that no fetch, however
slow, keeps a position from being left. One pass at a time.

The account is compared with the journal between cycles, beside the passes: neither an order nor an
exit waits for that. Only the first time, or when it was kept from being done for long, do entries wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tradebot.clock import SECOND
from tradebot.errors import MarketError, TradebotError
from tradebot.marks import MarkBoard
from tradebot.session import Session
from tradebot.trading.desk import Desk, Outcome
from tradebot.trading.positions import PositionState
from tradebot.trading.reconcile import Reconciliation

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Seen:
    """What passes have found and done. `error` is the first that kept one from doing all of its work."""

    marks: Mapping[str, Decimal] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: TradebotError | None = None

    def fail(self, error: TradebotError) -> None:
        """Note what went wrong."""
        self.error = self.error or error
        self.warnings.append(str(error))


class Guard:
    """Passes over the positions of one desk. Trouble with the venue is in what a pass returns."""

    def __init__(self, session: Session, desk: Desk, marks: MarkBoard, reconciliation: Reconciliation) -> None:
        self._session, self._desk, self._marks, self._reconciliation = session, desk, marks, reconciliation
        self._every = round(session.settings.run.monitor_every_s * SECOND)
        self._patience_s = session.settings.run.fetch_deadline_s
        run, trading = session.settings.run, session.settings.trading
        self._longest = max(trading.reconcile_s, 2 * run.every_s) * SECOND
        self._turn = asyncio.Lock()
        self._between = Seen()
        self._resting = False
        self._cycles = 0
        self._comparing: asyncio.Task[None] | None = None
        self._comparison = asyncio.Lock()

    async def look(self) -> Seen:
        """A cycle's pass, and then the comparison, if entries must wait for that; passes between cycles go on."""
        seen = await self._pass()
        if self._reconciliation.urgent(self._longest):  # now that what was in doubt has been looked up
            await self._compare(seen)
        return seen

    async def _pass(self) -> Seen:
        """One pass, when the one under way has ended."""
        async with self._turn:
            seen = Seen()
            await self._price(seen)
            await self._attend(seen)
            return seen

    async def _price(self, seen: Seen) -> None:
        held = [each.symbol for each in self._desk.positions() if each.state is not PositionState.DUST]
        try:
            async with asyncio.timeout(self._patience_s):
                seen.marks = await self._marks.good_for(held)
        except TimeoutError:
            seen.fail(MarketError(f"no prices within {self._patience_s:g} s"))
        except TradebotError as error:
            seen.fail(error)

    async def _attend(self, seen: Seen) -> None:
        """Without marks too: what is in doubt is looked up, and what is over its time is left."""
        try:
            seen.outcomes += await self._desk.monitor(seen.marks)
            seen.warnings += self._desk.doubts
        except TradebotError as error:
            seen.fail(error)

    # --- the account against the journal

    async def _compare(self, seen: Seen) -> None:
        async with self._comparison:
            try:
                if self._reconciliation.due:  # and not made just now by the one before us
                    seen.warnings += await self._reconciliation.compare((await self._session.scout.universe()).symbols)
            except TradebotError as error:
                seen.fail(error)

    def begin(self) -> None:
        """A cycle begins: no comparison does until its `end`, so that none lies between a bar's close and its order."""
        self._cycles += 1

    def end(self) -> None:
        """The orders of a cycle are out: now is the time for a comparison that is due."""
        self._cycles -= 1
        self._compare_between()

    def _compare_between(self) -> None:
        """Begin the comparison if it is due, unless one is under way or a cycle is at work."""
        if self._comparing is not None:
            if not self._comparing.done():
                return
            self._comparing.result()  # a bug in the last one comes to light here
        if not self._cycles and not self._resting and self._reconciliation.due:
            self._comparing = asyncio.create_task(self._compared_between())

    async def _compared_between(self) -> None:
        seen = Seen()
        await self._compare(seen)
        for line in seen.warnings:
            log.info("between cycles: %s", line)
        self._keep(seen)

    async def compared(self) -> None:
        """Return when no comparison is under way between cycles; a bug in that comes to light here."""
        if self._comparing is not None:
            await self._comparing

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """The comparison between cycles, if there was one."""
        return () if self._comparing is None else (self._comparing,)

    # --- between cycles

    async def keep(self) -> None:
        """Make a pass at every beat of the venue's clock until `rest`; for clocks that go by themselves."""
        while self._every and not self._resting:
            await self._session.clock.sleep_until(self._next())
            await self._beat()

    async def keep_until(self, due: int) -> None:
        """Make the passes before the venue time `due`, then wait for it; for clocks that stand while one works.

        Beats that are jumped over are not made up for.
        """
        clock = self._session.clock
        await self.compared()
        while self._every and (beat := self._next()) < due:
            await clock.sleep_until(beat)
            if clock.now() < due:
                await self._beat()
                await self.compared()
        await clock.sleep_until(due)

    def _next(self) -> int:
        return self._session.clock.now() // self._every * self._every + self._every

    async def _beat(self) -> None:
        """A pass, unless there is nothing to watch or one is under way; then the comparison, if it is due."""
        if self._turn.locked() or self._resting:
            return
        if self._desk.positions():
            seen = await self._pass()
            for order in seen.outcomes:
                log.info("between cycles: %s %s %s is %s", order.intent, order.side, order.symbol, order.state)
            self._keep(seen)
        self._compare_between()

    def _keep(self, seen: Seen) -> None:
        """Keep for the next `take`."""
        self._between.outcomes += seen.outcomes
        self._between.warnings += [each for each in seen.warnings if each not in self._between.warnings]
        self._between.error = self._between.error or seen.error

    def take(self) -> Seen:
        """What was found and done between cycles since the last `take`."""
        found, self._between = self._between, Seen()
        return found

    def rest(self, keeping: asyncio.Task[None]) -> None:
        """End `keep`, at once unless a pass is under way: its orders may come back. A comparison is abandoned."""
        self._resting = True
        if self._comparing is not None:
            self._comparing.cancel()
        if not self._turn.locked():
            keeping.cancel()
