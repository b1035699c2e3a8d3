"""The purse: what the account has, asked for while others still work, so that no entry waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tradebot.clock import SECOND, monotonic_ms
from tradebot.market.venue import Balance, Broker
from tradebot.trading.journal import Journal

GOOD_MS = 5 * SECOND
"""Real ms for which balances that were asked for ahead will do."""


class Purse:
    """Balances of one account. Those asked for ahead count if the journal has noted nothing since, for `good_ms`."""

    def __init__(self, broker: Broker, journal: Journal, good_ms: float = GOOD_MS) -> None:
        self._broker, self._journal, self._good_ms = broker, journal, good_ms
        self._asked: tuple[int, float, asyncio.Task[Mapping[str, Balance]]] | None = None

    def ask(self) -> None:
        """Ask now, for the next `balances`, unless what was asked for will do."""
        if self._asked is not None and self._good(*self._asked[:2]) and not _failed(self._asked[2]):
            return
        self.drop()
        self._asked = self._journal.newest(), monotonic_ms(), asyncio.create_task(self._broker.balances())
        self._asked[2].add_done_callback(_looked_at)

    @property
    def full(self) -> bool:
        """Whether `balances` has them at hand."""
        if self._asked is None or not self._good(*self._asked[:2]):
            return False
        task = self._asked[2]
        return task.done() and not _failed(task)

    def _good(self, noted: int, at: float) -> bool:
        return self._journal.newest() == noted and monotonic_ms() - at <= self._good_ms

    async def balances(self) -> Mapping[str, Balance]:
        """The balances, once. One of `VENUE_ERRORS` if the venue does not tell them."""
        asked, self._asked = self._asked, None
        if asked is not None:
            noted, at, task = asked
            if self._good(noted, at):
                known = await task
                if self._journal.newest() == noted:
                    return known
            task.cancel()
        return await self._broker.balances()

    def drop(self) -> None:
        """Nobody needs what was asked for."""
        asked, self._asked = self._asked, None
        if asked is not None:
            asked[2].cancel()


def _failed(task: asyncio.Task[Mapping[str, Balance]]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _looked_at(task: asyncio.Task[Mapping[str, Balance]]) -> None:
    """An answer that nobody fetches is no bug."""
    if not task.cancelled():
        task.exception()
