"""Last prices of all symbols, asked for when those at hand are too old for what they are needed for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from tradebot.clock import SECOND
from tradebot.market.ttl import Bounds
from tradebot.session import Session


class MarkBoard:
    """The marks of one session. Without `bounds` they are good for the moment at which they were asked for.

    With `bounds` they are good for as long as the shortest time to live of the symbols that are held,
    by their bars of the finest `interval`.
    """

    def __init__(self, session: Session, interval: str, bounds: Bounds | None) -> None:
        self.asked = 0
        """When they were asked for, venue UTC ms."""
        self._session = session
        self._interval = interval
        self._bounds = bounds
        self._marks: Mapping[str, Decimal] = {}

    async def ask(self) -> Mapping[str, Decimal]:
        """The marks of this moment; the paper account sees them too. Raises `MarketError`."""
        now = self._session.clock.now()
        self._marks = await self._session.feed.prices()
        self._session.mark(self._marks)
        self.asked = now
        return self._marks

    async def good_for(self, held: Iterable[str]) -> Mapping[str, Decimal]:
        """Marks that will do for watching positions in these symbols. Raises `MarketError`."""
        return await self.ask() if self._session.clock.now() >= self._until(held) else self._marks

    def _until(self, held: Iterable[str]) -> float:
        if self._bounds is None or not self._marks:
            return 0.0
        store, bounds = self._session.store, self._bounds
        lives = (store.ttl_s(symbol, self._interval, bounds) for symbol in held)
        return self.asked + min(lives, default=float("inf")) * SECOND
