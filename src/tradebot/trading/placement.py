"""Placement: how a recorded intent becomes an order, how it is taken back, and how one in doubt becomes certain.

One order takes this way: intent in the journal → marked as sent → that on disk → submitted once → what came
back in the journal. Two orders of which one cancels the other take it together, in one request. An order whose
outcome is not known is never sent again; it is looked up until the venue has told what became of
it, or until it is certainly absent. A cancel is in the journal before it is sent, and counts for
nothing until the venue has told what was executed before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from tradebot.clock import SECOND, Clock, Moments
from tradebot.errors import (
    ImpossibleTransition,
    JournalError,
    MarketError,
    OrderRejected,
    OrderUnknown,
    TradebotError,
    VenueBusy,
    VenueUnreachable,
)
from tradebot.market.venue import ZERO, Broker, ContractBroker, Fill, OrderPair, OrderReport, Side
from tradebot.trading.facts import Fact, Filled, Intended
from tradebot.trading.journal import Journal
from tradebot.trading.orders import (
    CONCLUSIVE_AFTER,
    GUARD_STOP,
    LOOKUP_GAP,
    MADE_BY_VENUE,
    ORDER,
    Duty,
    Moved,
    OrderEvent,
    OrderState,
    Outcome,
    event_of,
)

AT_ONCE = 5
"""Entries in the air at once."""

AT_ONCE_LEAVING = 50
"""Look-ups, cancels and orders that protect or leave in the air at once: enough that none waits for another's reply."""

CLOCK_SLACK = 10 * SECOND
"""Venue ms by which our idea of the venue's time may be ahead when an order's trades are asked for."""

FEW = 20
"""Look-ups that weigh as much as one for all open orders."""

PASSES = 2
"""Passes of the event loop for which an order waits for others: what came for them meanwhile has then been worked on.

That is one for what is worked on now, and one for what comes before that has ended.
"""

OVERVIEW_S = 3.0
"""Real seconds that one look at all open orders may take: everybody waits for it."""

_RESTS = {OrderState.ACCEPTED: OrderEvent.ACCEPT, OrderState.PARTIAL: OrderEvent.PART}
VENUE_ERRORS = (MarketError, OrderRejected, OrderUnknown)
T = TypeVar("T")


async def to_the_end(*jobs: Awaitable[T]) -> list[T]:
    """All results, side by side. A job that fails does not stop the others; the first failure is raised after them."""
    if len(jobs) == 1:  # which then begins now, and ends without others in between
        return [await jobs[0]]
    done = await asyncio.gather(*jobs, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [one for one in done if not isinstance(one, BaseException)]


@dataclass(eq=False)
class News:
    """What is to be recorded with one stroke, and whether it has been."""

    facts: list[Fact] = field(default_factory=list)
    recorded: bool = False


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
        self.moments = Moments()
        """Of each order (by client id): `intent` stored, `sent`, `acknowledged`. Whoever wants them takes them."""
        self._flying: set[str] = set()
        self._ready: set[str] = set()  # marked as sent with their intents, and not sent yet
        self._news = News()
        self._entries = asyncio.Semaphore(AT_ONCE)
        self._others = asyncio.Semaphore(AT_ONCE_LEAVING)

    def record(self, *facts: Fact) -> None:
        """Facts of this moment, in one transaction."""
        if facts:
            self.journal.record(self.account, self.clock.now(), *facts)

    async def _note(self, facts: Sequence[Fact]) -> None:
        """Record what the venue says of orders in the air together with all that it says in this pass of the loop.

        If that cannot be, each by itself, so that nobody's facts keep another's from being recorded.
        """
        news = self._news
        news.facts += facts
        try:
            await asyncio.sleep(0)
        finally:  # who is told to end has his facts recorded too
            if self._news is news:  # the first of them, for all
                self._news = News()
                with suppress(TradebotError):
                    self.record(*news.facts)
                    news.recorded = True
            if not news.recorded:
                self.record(*facts)

    async def place(self, intents: Sequence[Intended]) -> list[Outcome]:
        """Record all intents at once, then `send` them; the orders as they are after that."""
        return await self.send(self.intend(intents))

    def intend(self, intents: Sequence[Intended]) -> list[Outcome]:
        """Record all intents at once; their orders, to be sent at once: till then others leave them alone.

        Those that need not wait for others' replies are marked as sent with the same stroke.
        """
        now = self.clock.now()
        at_once = [replace(intent, order=intent.order.moved(_sent(intent.order), now)) for intent in intents[:AT_ONCE]]
        intents = [*at_once, *intents[AT_ONCE:]]
        self.record(*intents)
        names = [intent.order.client_id for intent in intents]
        self._flying.update(names)
        self._ready.update(names[:AT_ONCE])
        self.moments.note("intent", names)
        return [intent.order for intent in intents]

    async def send(self, orders: Iterable[Outcome]) -> list[Outcome]:
        """Send orders whose intents are recorded side by side, two of one `pair` in one request; as they are then."""
        groups: dict[str, list[Outcome]] = {}
        for order in orders:
            groups.setdefault(order.pair or order.client_id, []).append(order)
        return await self._fly(list(groups.values()), self._send)

    async def unchanged(self, orders: Sequence[Outcome]) -> frozenset[str]:
        """Client ids of those that rest at the venue just as the journal has them, if one request can tell it cheaper.

        It weighs as much as `FEW` look-ups. Where it gets no answer soon nothing is known.
        """
        resting = {order.client_id: order for order in orders if order.resting}
        if len(resting) <= FEW:
            return frozenset()
        try:
            async with asyncio.timeout(OVERVIEW_S):
                reports = await self.broker.open_orders()
        except (TimeoutError, *VENUE_ERRORS):
            return frozenset()
        return frozenset(
            each.client_id
            for each in reports
            if (order := resting.get(each.client_id))
            and (each.executed, each.quantity, event_of(each)) == (order.executed, order.quantity, _RESTS[order.state])
        )

    async def resolve(self, orders: Iterable[Outcome]) -> list[Outcome]:
        """Look up those of these unresolved orders that are not in flight; the ones that changed."""
        before = self._landed(orders)
        after = await self._fly([[order] for order in before], self._look_up)
        return [new for old, new in zip(before, after, strict=True) if _moved(old, new)]

    async def recall(self, orders: Iterable[Outcome]) -> list[Outcome]:
        """Take back those of these resting orders that are not in flight; all of them as they are after that.

        One that is not settled then may still be filled.
        """
        before = [self._now(each) for each in self._landed(orders)]
        self.record(*(Moved(each.client_id, OrderEvent.RECALL) for each in before if each.resting))
        there = [each for each in map(self._now, before) if each.state is OrderState.CANCELING]
        firsts = {each.pair or each.client_id: each for each in reversed(there)}
        await self._fly([[each] for each in firsts.values()], self._cancel)
        await self.resolve(each for each in map(self._now, before) if not each.settled)
        return [self._now(each) for each in before]

    def _landed(self, orders: Iterable[Outcome]) -> list[Outcome]:
        """Those that nobody has in flight."""
        return [each for each in orders if each.client_id not in self._flying]

    async def _fly(
        self, groups: Sequence[Sequence[Outcome]], work: Callable[[Sequence[Outcome]], Awaitable[list[Outcome]]]
    ) -> list[Outcome]:
        """Work on groups of orders side by side, while everybody else leaves them alone."""
        names = {order.client_id for group in groups for order in group}

        async def slotted(group: Sequence[Outcome]) -> list[Outcome]:
            async with self._entries if work == self._send and group[0].duty is Duty.ENTRY else self._others:
                return await work(group)

        self._flying |= names
        try:
            return [order for group in await to_the_end(*map(slotted, groups)) for order in group]
        finally:
            self._flying -= names

    def _move(self, order: Outcome, event: OrderEvent, reason: str = "", code: int = 0) -> Outcome:
        self.record(Moved(order.client_id, event, reason, code=code))
        return self._now(order)

    def _now(self, order: Outcome) -> Outcome:
        """The order as the journal has it."""
        return self.journal.order(self.account, order.client_id) or order

    async def _send(self, orders: Sequence[Outcome]) -> list[Outcome]:
        """Submit an order, or two of a pair, whose intents are recorded, once, and record what became of them."""
        orders = self._marked(orders)
        for _ in range(PASSES):  # so that one write is enough for all who go out now
            await asyncio.sleep(0)
        self.journal.secure()
        try:
            reports = await self._told(orders)
        except VENUE_ERRORS as error:
            return [await self._failed(order, error) for order in orders]
        told = [(order, reports[order.client_id]) for order in orders if order.client_id in reports]
        await self._note([fact for each in told for fact in await self._news_of(*each)])
        return [await self._answered(order, told=order.client_id in reports) for order in orders]

    def _marked(self, orders: Sequence[Outcome]) -> Sequence[Outcome]:
        """The orders as sent in the journal; `ImpossibleTransition` if one of them was before."""
        unmarked = [order for order in orders if order.state is OrderState.INTENDED]
        if again := {order.client_id for order in orders if order not in unmarked} - self._ready:
            raise ImpossibleTransition(f"order {min(again)}: it was sent before")
        self._ready.difference_update(order.client_id for order in orders)
        if not unmarked:
            return orders
        self.record(*map(_sent, unmarked))
        return [self._now(order) for order in orders]

    async def _told(self, orders: Sequence[Outcome]) -> dict[str, OrderReport]:
        """What the venue says of orders that go out now, by client id."""
        names = [order.client_id for order in orders]
        self.moments.note("sent", names)
        try:
            reports = await self._submit(orders)
        except VENUE_ERRORS:
            raise
        except BaseException as error:
            # Ctrl-C or a bug, with the orders in the air. Where even this cannot be written, the
            # journal says SENT, which the next look-up treats alike.
            reason = f"interrupted ({type(error).__name__})"
            with suppress(JournalError):
                self.record(*(Moved(order.client_id, OrderEvent.DOUBT, reason) for order in orders))
            raise
        self.moments.note("acknowledged", names)
        return {report.client_id: report for report in reports}

    async def _failed(self, order: Outcome, error: Exception) -> Outcome:
        """An order whose request was not answered with a report."""
        if isinstance(error, OrderRejected):
            return self._move(order, OrderEvent.REJECT, str(error), error.code)
        if isinstance(error, VenueBusy) or (isinstance(error, VenueUnreachable) and not error.sent):
            return self._move(order, OrderEvent.BOUNCE, str(error))
        return await self._resolve(self._move(order, OrderEvent.DOUBT, str(error)))

    async def _submit(self, orders: Sequence[Outcome]) -> list[OrderReport]:
        if len(orders) == 1:
            return [await self.broker.submit(orders[0].order())]
        stop, target = sorted(orders, key=lambda order: order.intent != GUARD_STOP)
        above, below = (target, stop) if stop.side is Side.SELL else (stop, target)
        return await self.broker.submit_pair(OrderPair(stop.pair, above.order(), below.order()))

    async def _answered(self, order: Outcome, *, told: bool) -> Outcome:
        """An order whose request was answered, with or without a word about it."""
        if told:
            return self._now(order)
        return await self._resolve(self._move(order, OrderEvent.DOUBT, "the reply does not name it"))

    async def _cancel(self, orders: Sequence[Outcome]) -> list[Outcome]:
        """Ask for the end of an order, once; what became of it, as far as the venue tells."""
        order = self._now(orders[0])
        try:
            report = await self.broker.cancel(order.symbol, order.client_id)
        except VENUE_ERRORS:
            return [order]
        return [await self._settle(order, report)]

    async def _look_up(self, orders: Sequence[Outcome]) -> list[Outcome]:
        return [await self._resolve(self._now(orders[0]))]

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
        new = [t for t in trades if t.trade_id not in known and t.side is order.side and start <= t.time <= end]
        if [number for number in {t.order_id for t in new} if not await self._is_anothers(order, number)]:
            return order
        if not order.missed:
            return self._move(order, OrderEvent.MISS, order.reason)
        if self.clock.now() - order.missed < LOOKUP_GAP:
            return order
        return self._move(order, OrderEvent.ABSENT, f"never reached the venue ({order.reason})")

    async def _is_anothers(self, order: Outcome, number: int) -> bool:
        """Whether the venue says that the order of that number is certainly not this one.

        What a conditional order becomes may have another name; then only the venue's own orders are others.
        """
        if not isinstance(self.broker, ContractBroker):
            return False
        report = await self.broker.numbered(order.symbol, number)
        if report is None or report.client_id == order.client_id:
            return False
        return order.duty is not Duty.GUARD or report.client_id.startswith(MADE_BY_VENUE)

    async def _settle(self, order: Outcome, report: OrderReport) -> Outcome:
        """Record what a report says; the order as it is then."""
        await self._note(await self._news_of(order, report))
        return self._now(order)

    async def _news_of(self, order: Outcome, report: OrderReport) -> list[Fact]:
        """What a report says that is not recorded; older news than we have says nothing.

        An order is over only when all its fills are booked: until then it is in doubt and asked
        for again.
        """
        if report.executed < order.executed:
            return []
        fills, whole = await self._fills(order, report)
        event = event_of(report)
        reason = f"the venue calls it {report.status}" if event in {OrderEvent.DOUBT, OrderEvent.REJECT} else ""
        if not whole and ORDER.step(order.state, event) in ORDER.terminal:
            event, reason = OrderEvent.DOUBT, "not all of its fills are known yet"
        moved = Moved(
            order.client_id, event, reason, report.order_id, report.executed, report.quote_executed,
            quantity=None if report.quantity == order.quantity else report.quantity, list_id=report.list_id,
        )  # fmt: skip
        new = fills or _moved(order, order.moved(moved, order.doubted))
        return [*(Filled(order.client_id, fill) for fill in fills), moved] if new else []

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


def _sent(order: Outcome) -> Moved:
    return Moved(order.client_id, OrderEvent.SEND)


def _total(fills: dict[int, Fill]) -> object:
    return sum((fill.quantity for fill in fills.values()), ZERO)


def _moved(old: Outcome, new: Outcome) -> bool:
    def facts(order: Outcome) -> tuple[object, ...]:
        return order.state, order.executed, order.order_id, order.quantity, order.list_id

    return facts(old) != facts(new)
