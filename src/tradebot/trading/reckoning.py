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
    """The record of `account`, whose results are in the coin `quote`. Raises `JournalError`."""

    def __init__(self, journal: Journal, account: str, quote: str) -> None:
        self._journal, self._account, self._quote = journal, account, quote
        self._written = journal.record_of(account)
        self.record = self._written

    def look(
        self, now: int, held: Iterable[Position], marks: Mapping[str, Decimal], equity: Decimal | None = None
    ) -> Record:
        """The record with all fills so far, as of `now` (venue ms); `equity` where the balances were read."""
        record = self._taken_in()
        for identity, last in sorted(record.pending.items(), key=lambda item: item[1].time):
            position = self._journal.position(self._account, identity)
            if position is not None and position.state in OVER:
                record = record.ended(identity, Ending(position.symbol, last.time, gain(position), last.stopped))
        worth = sum((each.sign * each.quantity * marks.get(each.symbol, each.entry) for each in held), ZERO)
        self.record = record.looked(now, worth, equity)
        return self.record

    def keep(self, now: int) -> None:
        """Write the record down, where it tells what fills do not."""
        if self.record.differs(self._written):
            self._write(now)

    def _taken_in(self) -> Record:
        """The record with the fills that have been booked since, and with what a person has written off at cost."""
        record = self.record
        off = self._journal.released_since(self._account, record.upto)
        for number, fact in self._journal.filled_since(self._account, record.upto):
            order = self._journal.order(self._account, fact.client_id)
            assert order is not None  # a fill is booked for an order only
            record = record.filled(number, fact.fill, self._quote, order.position, order.intent in STOPS)
        for number, released in off:
            record = record.written_off(number, released.cost)
        return record

    def level(self, now: int) -> None:
        """Count the drawdown from where we are: what it was counted from has stopped the trading."""
        self.record = self.record.level()
        self._write(now)

    def _write(self, now: int) -> None:
        self._journal.record(self._account, now, self.record)
        self._written = self.record


def gain(position: Position) -> Decimal:
    """What the part of a position that was left has brought, in quote coin, its fees in that coin paid."""
    return position.sign * (position.proceeds - (position.cost - position.open_cost))


def worth_by_coin(
    held: Iterable[Position], orders: Iterable[Outcome], marks: Mapping[str, Decimal]
) -> dict[str, Decimal]:
    """Quote coin that is held and that entries under way may still spend, by base coin; without a mark at its entry."""
    worth: dict[str, Decimal] = {}
    bases = {}
    for each in held:
        bases[each.id] = each.base
        worth[each.base] = worth.get(each.base, ZERO) + each.quantity * marks.get(each.symbol, each.entry)
    for order in orders:
        if order.intent == ENTER and (base := bases.get(order.position)):
            worth[base] += (order.quantity - order.executed) * order.price
    return worth
