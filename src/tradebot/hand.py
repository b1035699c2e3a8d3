"""What people ask of an open account, beside the loop or instead of it: to close, and to release what is in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal

from tradebot.documents import SCHEMA, Document
from tradebot.errands import Errand, Errands
from tradebot.errors import MarketError, TradebotError, UsageError
from tradebot.session import Session
from tradebot.trading.desk import Desk, Outcome, Position
from tradebot.trading.reconcile import Reconciliation

LOOK_S = 0.25
"""Real seconds between looks at what is asked."""


class Hand:
    """Carries out errands on one account. Its work may overlap with cycles."""

    def __init__(self, session: Session, desk: Desk, reconciliation: Reconciliation) -> None:
        self.session, self.desk, self.reconciliation = session, desk, reconciliation
        self._at_work = self._resting = False

    async def attend(self, errands: Errands) -> None:
        """Carry out what other processes ask, until cancelled; each answer says what happened, errors too."""
        while not self._resting:
            for errand, place in errands.take():
                self._at_work = True
                try:
                    answer = await self.carry_out(errand)
                except TradebotError as error:
                    answer = {"error": str(error), "exit_code": error.exit_code}
                errands.answer(place, answer)
                self._at_work = False
            await asyncio.sleep(LOOK_S)

    def rest(self, attending: asyncio.Task[None]) -> None:
        """End `attend`, at once unless it has orders in the air."""
        self._resting = True
        if not self._at_work:
            attending.cancel()

    async def carry_out(self, errand: Errand) -> Document:
        """What came of the errand; raises a `TradebotError` if nothing could be done."""
        return await {"close": self.close, "release": self.release}[errand.kind](errand.symbols)

    async def close(self, symbols: Sequence[str]) -> Document:
        """Leave the positions in `symbols`, or all of them, at market."""
        held = self._held(symbols)
        marks, warnings = await self._marks()
        orders: list[Outcome] = []
        for moved in await asyncio.gather(*(self.desk.close(symbol, marks) for symbol in sorted(held))):
            orders += moved
        return self._document(held, marks, warnings) | {"orders": [order.document() for order in orders]}

    async def release(self, symbols: Sequence[str]) -> Document:
        """Believe the venue on what is left of the positions in `symbols`, or of all."""
        if not symbols and await self.reconciliation.made_anew():
            lines = await self.reconciliation.begin_anew()
        else:
            lines = [line for symbol in self._held(symbols) for line in await self.reconciliation.release(symbol)]
        return self._document(symbols, {}, []) | {"released": lines}

    def _held(self, symbols: Sequence[str]) -> list[str]:
        """Those of `symbols` that are held; `UsageError` for one that is not."""
        held = list(dict.fromkeys(position.symbol for position in self.desk.positions()))
        for symbol in symbols:
            if symbol not in held:
                raise UsageError(f"no position in {symbol}; held: {', '.join(held) or 'nothing'}")
        return list(symbols) or held

    async def _marks(self) -> tuple[Mapping[str, Decimal], list[str]]:
        """Last prices; without them positions are closed all the same."""
        try:
            marks = await self.session.feed.prices()
        except MarketError as error:
            return {}, [str(error)]
        self.session.mark(marks)
        return marks, []

    def _document(self, symbols: Sequence[str], marks: Mapping[str, Decimal], warnings: list[str]) -> Document:
        left: list[Position] = [each for each in self.desk.positions() if not symbols or each.symbol in symbols]
        return {
            "schema": SCHEMA,
            "account": self.session.account,
            "now": self.session.clock.now(),
            "positions": [self.desk.document(position, marks) for position in left],
            "warnings": warnings,
        }
