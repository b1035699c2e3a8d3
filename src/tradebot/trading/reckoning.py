"""The reckoning: the record of one account, read from the journal once a cycle and written down when it matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from tradebot.market.venue import ZERO
from tradebot.trading.exits import STOP_LOSS, TRAILING_STOP
from tradebot.trading.journal import Journal
from tradebot.trading.orders import ENTER, GUARD_STOP, Outcome
from tradebot.trading.positions import GONE, Position, PositionState
from tradebot.trading.risk.record import Ending, Record

OVER = GONE | {PositionState.DUST}
"""States in which the result of a position is known."""

STOPS = frozenset({STOP_LOSS, TRAILING_STOP, GUARD_STOP})
"""Intents of orders that end a position by a stop."""


class Reckoning:
    """The record of `account`. Raises `JournalError`."""

    def __init__(self, journal: Journal, account: str) -> None:
        self._journal, self._account = journal, account
        self._written = journal.record_of(account)
        self.record = self._written

    def look(
        self, now: int, held: Iterable[Position], marks: Mapping[str, Decimal], equity: Decimal | None = None
    ) -> Record:
        """The record as of `now` (venue ms), with all that is `held`; `equity` where the balances were read.

        A position without a mark counts as worth what it cost.
        """
        rows = {position.id: position for position in held}
        record = self._taken_in()
        for identity, last in sorted(record.pending.items(), key=lambda item: item[1].time):
            position = rows.get(identity) or self._journal.position(self._account, identity)
            assert position is not None  # it has fills
            if position.state in OVER and not last.counted:
                record = record.ended(identity, Ending(position.symbol, last.time, gain(position), last.stopped))
            if position.state in GONE:
                record = record.gone(identity, brought(position))
        worth = sum((brought(each) + each.sign * each.quantity * _mark(each, marks) for each in rows.values()), ZERO)
        self.record = record.looked(now, worth, equity)
        return self.record

    def keep(self, now: int) -> None:
        """Write the record down, where it tells what fills do not."""
        if self.record.differs(self._written):
            self._write(now)

    def _taken_in(self) -> Record:
        """The record with the fills that have been booked since."""
        record = self.record
        for number, fact in self._journal.filled_since(self._account, record.upto):
            order = self._journal.order(self._account, fact.client_id)
            assert order is not None  # a fill is booked for an order only
            record = record.filled(number, fact.fill, order.position, order.intent in STOPS)
        return record

    def level(self, now: int) -> None:
        """Count the drawdown from where we are: what it was counted from has stopped the trading."""
        self.record = self.record.level()
        self._write(now)

    def _write(self, now: int) -> None:
        self._journal.record(self._account, now, self.record)
        self._written = self.record


def brought(position: Position) -> Decimal:
    """What a position has received less what it has paid, in quote coin, funding too, without what it still holds."""
    return position.sign * (position.proceeds - position.cost) + position.funding


def gain(position: Position) -> Decimal:
    """The result of the part of a position that was left."""
    return brought(position) + position.sign * position.open_cost


def _mark(position: Position, marks: Mapping[str, Decimal]) -> Decimal:
    return marks.get(position.symbol, position.entry)


def worth_by_coin(
    held: Iterable[Position], orders: Iterable[Outcome], marks: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Quote coin that is held and that entries under way may still spend, by base coin; without a mark at its entry."""
    worth: dict[str, Decimal] = {}
    bases = {}
    for each in held:
        bases[each.id] = each.base
        worth[each.base] = worth.get(each.base, ZERO) + each.quantity * _mark(each, marks)
    for order in orders:
        if order.intent == ENTER and (base := bases.get(order.position)):
            worth[base] += (order.quantity - order.executed) * order.price
    return worth
