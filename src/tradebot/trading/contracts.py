"""What happens to contracts without an order of ours: funding, and positions that the venue or somebody else closed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tradebot.clock import DAY, HOUR, Clock
from tradebot.market.venue import ZERO, ContractBroker, Fill, OrderReport
from tradebot.trading.facts import Filled, Funded, Intended
from tradebot.trading.journal import Journal
from tradebot.trading.orders import MADE_BY_VENUE, Moved, OrderEvent, Outcome, figure
from tradebot.trading.placement import CLOCK_SLACK, VENUE_ERRORS
from tradebot.trading.positions import GONE, Position, PositionEvent, PositionState

LIQUIDATION = "liquidation"
ELSEWHERE = "closed-elsewhere"
"""The intents of exits that were none of ours: made by the venue, or by somebody else with the account."""

LOOK_BACK = 7 * DAY
"""Venue ms for which funding that is not booked yet is looked for."""

_HELD = frozenset({PositionState.OPEN, PositionState.IN_DOUBT})


class Contracts:
    """Keeps the journal of one account in step with what its venue does to contracts.

    Trouble with the venue is told, and the same looked at again the next time. Raises `JournalError`.
    """

    def __init__(self, broker: ContractBroker, journal: Journal, clock: Clock, account: str) -> None:
        self._broker, self._journal, self._clock, self._account = broker, journal, clock, account
        self._asked = 0

    async def look(self) -> list[str]:
        """Book what happened since the last time; what is worth a word, a line each."""
        try:
            lines = [line for each in await self._short() for line in await self._book_ending(each)]
            await self._book_funding()
            return lines
        except VENUE_ERRORS as error:
            return [f"contracts could not be compared with the venue: {error}"]

    async def _book_funding(self) -> None:
        """Once in each hour, on which funding is paid at most; what is told late is booked an hour later."""
        now = self._clock.now()
        everything = [*self._journal.positions(self._account), *self._journal.history(self._account)]
        mine = [each for each in everything if each.contract and each.bought]
        if self._asked == now // HOUR or not mine:
            return
        # Of what is held all is asked for: what was in doubt when it was paid is not ours before that is settled.
        held = [each.opened for each in mine if each.state not in GONE]
        since = max(min([self._journal.funded_until(self._account) - HOUR, *held]), now - LOOK_BACK)
        for payment in await self._broker.funding(since):
            theirs = [each for each in mine if each.symbol == payment.symbol and each.opened <= payment.time]
            if theirs:
                position = max(theirs, key=lambda each: each.opened)
                self._journal.record(self._account, now, Funded(position.id, payment))
        self._asked = now // HOUR

    async def _short(self) -> list[Position]:
        """Positions of which the venue has less than the journal, though no order of ours is in doubt."""
        waiting = {order.position for order in self._journal.unresolved(self._account) if not order.resting}
        held = [each for each in self._journal.positions(self._account) if each.contract and each.state in _HELD]
        held = [each for each in held if each.id not in waiting]
        balances = await self._broker.balances() if held else {}
        return [each for each in held if each.there(balances).total < each.quantity]

    async def _book_ending(self, position: Position) -> list[str]:
        """Book what others have closed of a position, as exits with a reason of their own."""
        trades = await self._broker.trades(position.symbol, position.opened - CLOCK_SLACK)
        booked = self._journal.booked(self._account, position.symbol)
        against = [each for each in trades if each.trade_id not in booked and each.side is not position.side]
        lines = []
        for number in dict.fromkeys(each.order_id for each in against):
            report = await self._broker.numbered(position.symbol, number)
            fills = [each for each in against if each.order_id == number]
            now = self._journal.position(self._account, position.id) or position
            if report is None or self._is_ours(report) or _total(fills) > now.quantity:
                continue
            lines.append(self._book(now, report, fills))
        return lines

    def _is_ours(self, report: OrderReport) -> bool:
        """Whether its fills will be booked when our own order is looked up."""
        return bool(self._journal.known(self._account, [report.client_id]))

    def _book(self, position: Position, report: OrderReport, fills: Sequence[Fill]) -> str:
        """One exit that was not ours, with its fills, in one transaction; what it was, in words."""
        executed, paid = _total(fills), sum((each.worth for each in fills), ZERO)
        reason = LIQUIDATION if report.client_id.startswith(MADE_BY_VENUE) else ELSEWHERE
        name = f"{report.client_id}/{report.order_id}"
        self._asked = 0  # what a liquidation leaves or lacks is told there too
        order = Outcome(
            client_id=name,
            symbol=position.symbol,
            side=report.side,
            quantity=executed,
            price=paid / executed,
            intent=reason,
            bar_time=position.bar_time,
            created=fills[0].time,
            position=position.id,
        )
        if position.state is PositionState.IN_DOUBT:
            position = position.step(PositionEvent.HELD)
        self._journal.record(
            self._account,
            self._clock.now(),
            Intended(order, (position.exiting(),)),
            Moved(name, OrderEvent.SEND),
            *(Filled(name, fill) for fill in fills),
            Moved(name, OrderEvent.FILL, reason, report.order_id, executed, paid),
        )
        return f"{position.symbol}: {reason} of {figure(executed)} at {figure(order.price)}"


def _total(fills: Sequence[Fill]) -> Decimal:
    return sum((each.quantity for each in fills), ZERO)
