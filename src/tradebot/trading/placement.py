"""Placement: how a recorded intent becomes an order, and how an order in doubt becomes certain.

One order takes this way: intent in the journal → marked as sent → submitted once → what came back in
the journal. An order whose outcome is not known is never sent again; it is looked up until the
venue has told what became of it, or until it is certainly absent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from tradebot.clock import SECOND, Clock
from tradebot.errors import JournalError, MarketError, OrderRejected, OrderUnknown, VenueBusy, VenueUnreachable
from tradebot.market.venue import ZERO, Broker, Fill, OrderReport
from tradebot.trading.journal import Fact, Filled, Intended, Journal
from tradebot.trading.orders import (
    CONCLUSIVE_AFTER,
    LOOKUP_GAP,
    ORDER,
    Moved,
    OrderEvent,
    OrderState,
    Outcome,
    event_of,
)

AT_ONCE = 5
"""Orders and look-ups in the air at once."""

CLOCK_SLACK = 10 * SECOND
"""Venue ms by which our idea of the venue's time may be ahead when an order's trades are asked for."""

VENUE_ERRORS = (MarketError, OrderRejected, OrderUnknown)
T = TypeVar("T")


async def to_the_end(*jobs: Awaitable[T]) -> list[T]:
    """All results, side by side. A job that fails does not stop the others; the first failure is raised after them."""
    done = await asyncio.gather(*jobs, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [one for one in done if not isinstance(one, BaseException)]


class Placement:
    """Sends and looks up the orders of one account.

    Calls may overlap: an order that one of them has in flight, the others leave alone. Trouble with
    the venue becomes the order's state; only a `JournalError` is raised, and then nothing more is
    sent.
    """

    def __init__(self, broker: Broker, journal: Journal, clock: Clock, account: str) -> None:
        self.broker = broker
        self.journal = journal
        self.clock = clock
        self.account = account
        self._flying: set[str] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def record(self, *facts: Fact) -> None:
        """Facts of this moment, in one transaction."""
        if facts:
            self.journal.record(self.account, self.clock.now(), *facts)

    async def place(self, intents: Sequence[Intended]) -> list[Outcome]:
        """Record all intents at once, then send them side by side; the orders as they are after that."""
        self.record(*intents)
        return await self._fly([intent.order for intent in intents], self._send)

    async def resolve(self) -> list[Outcome]:
        """Look up what is unresolved and not in flight; the orders that changed."""
        before = [o for o in self.journal.unresolved(self.account) if o.client_id not in self._flying]
        after = await self._fly(before, self._resolve)
        return [new for old, new in zip(before, after, strict=True) if _moved(old, new)]

    async def _fly(self, orders: Sequence[Outcome], work: Callable[[Outcome], Awaitable[Outcome]]) -> list[Outcome]:
        names = {order.client_id for order in orders}

        async def slotted(order: Outcome) -> Outcome:
            async with self._slots:
                return await work(order)

        self._flying |= names
        try:
            return await to_the_end(*(slotted(order) for order in orders))
        finally:
            self._flying -= names

    def _move(self, order: Outcome, event: OrderEvent, reason: str = "") -> Outcome:
        self.record(Moved(order.client_id, event, reason))
        return self._now(order)

    def _now(self, order: Outcome) -> Outcome:
        """The order as the journal has it."""
        return self.journal.order(self.account, order.client_id) or order

    async def _send(self, order: Outcome) -> Outcome:
        """Submit an order whose intent is recorded, once, and record what became of it."""
        order = self._move(order, OrderEvent.SEND)
        try:
            report = await self.broker.submit(order.order())
        except OrderRejected as error:
            return self._move(order, OrderEvent.REJECT, str(error))
        except VENUE_ERRORS as error:
            if isinstance(error, VenueBusy) or (isinstance(error, VenueUnreachable) and not error.sent):
                return self._move(order, OrderEvent.BOUNCE, str(error))
            return await self._resolve(self._move(order, OrderEvent.DOUBT, str(error)))
        except BaseException as error:
            # Ctrl-C or a bug, with the order in the air. Where even this cannot be written, the
            # journal says SENT, which the next look-up treats alike.
            with suppress(JournalError):
                self._move(order, OrderEvent.DOUBT, f"interrupted ({type(error).__name__})")
            raise
        return await self._settle(order, report)

    async def _resolve(self, order: Outcome) -> Outcome:
        """Ask the venue what became of an order; the order as it is now."""
        if order.state is OrderState.INTENDED:
            return self._move(order, OrderEvent.ABANDON, "decided, but never sent")
        if order.state is OrderState.SENT:
            order = self._move(order, OrderEvent.DOUBT, "its reply was not recorded")
        try:
            report = await self.broker.order(order.symbol, order.client_id)
            if report is not None:
                return await self._settle(order, report)
            return await self._seek(order) if self._may_be_absent(order) else order
        except VENUE_ERRORS:
            return order

    def _may_be_absent(self, order: Outcome) -> bool:
        """Whether "not found" is evidence by now. An order that the venue once acknowledged did exist."""
        late = self.clock.now() - order.doubted >= CONCLUSIVE_AFTER
        return late and order.order_id is None and order.state is OrderState.UNKNOWN

    async def _seek(self, order: Outcome) -> Outcome:
        """Look where else the order may be; absent when no trade can be its own and a second look agrees."""
        for report in await self.broker.open_orders():
            if report.client_id == order.client_id:
                return await self._settle(order, report)
        known = self.journal.booked(self.account, order.symbol)
        start, end = order.created - CLOCK_SLACK, order.doubted + CONCLUSIVE_AFTER
        trades = await self.broker.trades(order.symbol, start)
        if any(t.trade_id not in known and t.side is order.side and start <= t.time <= end for t in trades):
            return order
        if not order.missed:
            return self._move(order, OrderEvent.MISS, order.reason)
        if self.clock.now() - order.missed < LOOKUP_GAP:
            return order
        return self._move(order, OrderEvent.ABSENT, f"never reached the venue ({order.reason})")

    async def _settle(self, order: Outcome, report: OrderReport) -> Outcome:
        """Record what a report says; older news than we have changes nothing.

        An order is over only when all its fills are booked: until then it is in doubt and asked
        for again.
        """
        if report.executed < order.executed:
            return order
        fills, whole = await self._fills(order, report)
        event = event_of(report)
        reason = f"the venue calls it {report.status}" if event in {OrderEvent.DOUBT, OrderEvent.REJECT} else ""
        if not whole and ORDER.step(order.state, event) in ORDER.terminal:
            event, reason = OrderEvent.DOUBT, "not all of its fills are known yet"
        moved = Moved(order.client_id, event, reason, report.order_id, report.executed, report.quote_executed)
        if fills or _moved(order, order.moved(moved, order.doubted)):
            self.record(*(Filled(order.client_id, fill) for fill in fills), moved)
        return self._now(order)

    async def _fills(self, order: Outcome, report: OrderReport) -> tuple[list[Fill], bool]:
        """Fills of the order that are not booked, and whether they make up what was executed."""
        booked = {fill.trade_id: fill for fill in self.journal.fills(self.account, order.client_id)}
        found = booked | {fill.trade_id: fill for fill in report.fills}
        if _total(found) != report.executed:
            with suppress(*VENUE_ERRORS):
                trades = await self.broker.trades(order.symbol, order.created - CLOCK_SLACK)
                found |= {trade.trade_id: trade for trade in trades if trade.order_id == report.order_id}
        new = [fill for trade, fill in sorted(found.items()) if trade not in booked]
        return new, _total(found) == report.executed


def _total(fills: dict[int, Fill]) -> object:
    return sum((fill.quantity for fill in fills.values()), ZERO)


def _moved(old: Outcome, new: Outcome) -> bool:
    return (old.state, old.executed, old.order_id) != (new.state, new.executed, new.order_id)
