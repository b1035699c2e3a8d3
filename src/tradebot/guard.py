"""The watch over what is held: prices, stops, targets, times and doubts, on a beat of its own.

A pass is made in every cycle and, in between, every `run.monitor_every_s`, so that no fetch, however
slow, keeps a position from being left. One pass at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
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
        self._turn = asyncio.Lock()
        self._between = Seen()
        self._resting = False

    async def look(self) -> Seen:
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
            if self._reconciliation.due:  # now that what was in doubt has been looked up
                seen.warnings += await self._reconciliation.compare((await self._session.scout.universe()).symbols)
        except TradebotError as error:
            seen.fail(error)

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
        while self._every and (beat := self._next()) < due:
            await clock.sleep_until(beat)
            if clock.now() < due:
                await self._beat()
        await clock.sleep_until(due)

    def _next(self) -> int:
        return self._session.clock.now() // self._every * self._every + self._every

    async def _beat(self) -> None:
        """A pass, unless there is nothing to watch or one is under way."""
        if self._turn.locked() or self._resting or not self._desk.positions():
            return
        seen = await self.look()
        for order in seen.outcomes:
            log.info("between cycles: %s %s %s is %s", order.intent, order.side, order.symbol, order.state)
        self._between.outcomes += seen.outcomes
        self._between.warnings += [each for each in seen.warnings if each not in self._between.warnings]
        self._between.error = self._between.error or seen.error

    def take(self) -> Seen:
        """What was found and done between cycles since the last `take`."""
        found, self._between = self._between, Seen()
        return found

    def rest(self, keeping: asyncio.Task[None]) -> None:
        """End `keep`, at once unless a pass is under way: its orders may come back."""
        self._resting = True
        if not self._turn.locked():
            keeping.cancel()
