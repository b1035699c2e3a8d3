"""What becomes of orders that rest while time goes on: touched levels, oldest first, made into trades."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from tradebot.market.venue import Instrument, OrderType, Side
from tradebot.sim.books import ALONE, WAITS, Books, Entry
from tradebot.sim.depth import UNBOUNDED, Depth
from tradebot.sim.ledger import Ledger, locked
from tradebot.sim.proposals import Proposal, at_limit, at_market, falls
from tradebot.sim.resting import Level, Touch, Track, limit_level
from tradebot.sim.turnover import Turnover

OCO_TRIGGER = "OCO_TRIGGER"


class Progress:
    """Carries out what a track of prices does to orders.

    `depth` is the book of an instrument around a last price at an instant, `spread` its share of the
    price; `filled` is told the first fill of an order that rested.
    """

    def __init__(
        self, books: Books, ledger: Ledger, instrument: Callable[[str], Instrument],
        depth: Callable[[Instrument, Decimal, int], Depth], *, spread: Decimal,
        filled: Callable[[Entry], None],
    ) -> None:  # fmt: skip
        self._books = books
        self._ledger = ledger
        self._instrument = instrument
        self._depth = depth
        self._spread = spread
        self._filled = filled

    def play(self, track: Track, orders: Iterable[tuple[Entry, int]], until: int) -> bool:
        """Follow a track to `until` for orders that are open, each from its own instant on; whether anything happened.

        Call it within a transaction. Of the same instant stops come before limits, then older orders first.
        """
        turnover = Turnover(track, self._books.made)
        queue: list[tuple[int, bool, int, Decimal]] = []

        def wait(entry: Entry, after: int) -> None:
            touch = self._first(turnover, entry, after, until)
            if touch is not None:
                heapq.heappush(queue, (touch.time, entry.working != WAITS, entry.order_id, touch.price))

        known = {entry.order_id: entry for entry, _ in orders}
        for entry, after in orders:
            wait(entry, after)
        happened = bool(queue)
        while queue:
            moment, _, order_id, price = heapq.heappop(queue)
            if order_id not in known:
                continue
            for each in self._carry_out(turnover, known[order_id], Touch(moment, price)):
                known.pop(each.order_id, None)
                if each.open:
                    known[each.order_id] = each
                    wait(each, moment)
        return happened

    def _first(self, turnover: Turnover, entry: Entry, after: int, until: int) -> Touch | None:
        """When a stop is met, or the other side of the book comes to a limit with something for it."""
        if entry.working == WAITS:
            stop = Level(entry.stop_price, falls(entry.type, entry.side), through=False)
            return turnover.track.first(entry.symbol, stop, after, until)
        level = limit_level(entry.price, entry.side, self._spread)
        return turnover.first(self._instrument(entry.symbol), entry.side, level, after, until)

    def _carry_out(self, turnover: Turnover, entry: Entry, touch: Touch) -> list[Entry]:
        """The order as it is after its level was touched, and those that it excludes."""
        instrument = self._instrument(entry.symbol)
        if entry.working == WAITS:
            return self._trigger(entry, instrument, touch)
        room = turnover.room(instrument, entry.side, touch.time)
        if not room.amount:
            return [entry]  # others at this level were first: it goes on waiting
        size = min(entry.left, room.amount)
        status = "FILLED" if size == entry.left else "PARTIALLY_FILLED"
        proposal = Proposal(status, entry.quantity, ((entry.price, size),))
        return self._settle(entry, instrument, touch, proposal, self._others(entry))

    def _trigger(self, entry: Entry, instrument: Instrument, touch: Touch) -> list[Entry]:
        others = self._others(entry)
        proposal = self._triggered(entry, instrument, touch, locked([entry, *others]))
        return self._settle(entry, instrument, touch, proposal, others)

    def _others(self, entry: Entry) -> list[Entry]:
        """What is still open of its list."""
        legs = () if entry.list_id == ALONE else self._books.legs(entry.list_id)
        return [each for each in legs if each.open and each.order_id != entry.order_id]

    def _settle(
        self, entry: Entry, instrument: Instrument, touch: Touch, proposal: Proposal, others: Sequence[Entry]
    ) -> list[Entry]:
        """Write down what was proposed; an order that starts to work excludes the others of its list."""
        waited = entry.working == WAITS
        changed = replace(
            entry, status=proposal.status, reason=proposal.reason, updated=touch.time,
            working=touch.time if waited else entry.working,
        )  # fmt: skip
        expired = [replace(each, status="EXPIRED", reason=OCO_TRIGGER, updated=touch.time) for each in others]
        written, fills = self._ledger.settle(
            instrument, [entry, *others], [changed, *expired], proposal.fills, maker=not waited
        )
        if fills and not entry.executed:
            self._filled(written[0])
        return written

    def _triggered(self, entry: Entry, instrument: Instrument, touch: Touch, reserve: Decimal) -> Proposal:
        """A stop that goes to work; one at the market buys no more than the account can pay."""
        depth = self._depth(instrument, touch.price, touch.time)
        if entry.type in {OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT}:
            return at_limit(entry.side, entry.left, entry.price, entry.time_in_force, depth)
        funds = UNBOUNDED
        if entry.side is Side.BUY:
            funds = self._books.balance(instrument.quote).free + reserve
        return at_market(entry.side, entry.left, depth, funds)
