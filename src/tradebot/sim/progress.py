"""What becomes of orders that rest while time goes on: touched levels, oldest first, made into trades."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal

from tradebot.market.venue import ZERO, Instrument, OrderType, Side
from tradebot.sim.books import ALONE, WAITS, Books, Entry
from tradebot.sim.depth import Depth
from tradebot.sim.ledger import Ledger, locked
from tradebot.sim.proposals import Proposal, at_limit, at_market, falls
from tradebot.sim.resting import Level, Touch, Track, limit_level

OCO_TRIGGER = "OCO_TRIGGER"


class Progress:
    """Carries out what a track of prices does to orders.

    `depth` is the book of an instrument around a last price at an instant; `filled` is told the
    first fill of an order that rested.
    """

    def __init__(
        self, books: Books, ledger: Ledger, instrument: Callable[[str], Instrument],
        depth: Callable[[Instrument, Decimal, int], Depth], filled: Callable[[Entry], None],
    ) -> None:  # fmt: skip
        self._books = books
        self._ledger = ledger
        self._instrument = instrument
        self._depth = depth
        self._filled = filled

    def play(self, track: Track, orders: Iterable[tuple[Entry, int]], until: int) -> bool:
        """Follow a track to `until` for orders that are open, each from its own instant on; whether anything happened.

        Call it within a transaction. Of the same instant stops come before limits, then older orders first.
        """
        queue: list[tuple[int, bool, int, Decimal]] = []

        def wait(entry: Entry, after: int) -> None:
            touch = track.first(entry.symbol, self._awaited(entry, after), after, until)
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
            for each in self._carry_out(known[order_id], Touch(moment, price)):
                known.pop(each.order_id, None)
                if each.open:
                    known[each.order_id] = each
                    wait(each, moment)
        return happened

    def _awaited(self, entry: Entry, moment: int) -> Level:
        """The last price that an open order waits for: a stop its own, a limit that of the book's other side."""
        if entry.working == WAITS:
            return Level(entry.stop_price, falls(entry.type, entry.side), through=False)
        # Around 1 and on no grid, a book shows its spread as a share of the price.
        ungridded = replace(self._instrument(entry.symbol), tick=ZERO)
        half = self._depth(ungridded, Decimal(1), moment).quote.ask - 1
        return limit_level(entry.price, entry.side, 2 * half)

    def _carry_out(self, entry: Entry, touch: Touch) -> list[Entry]:
        """The order as it is after its level was touched, and those that it excludes."""
        instrument = self._instrument(entry.symbol)
        others = [
            each for each in (() if entry.list_id == ALONE else self._books.legs(entry.list_id))
            if each.open and each.order_id != entry.order_id
        ]  # fmt: skip
        group = [entry, *others]
        expired = [replace(each, status="EXPIRED", reason=OCO_TRIGGER, updated=touch.time) for each in others]
        maker = entry.working != WAITS
        if maker:
            proposal = Proposal("FILLED", entry.quantity, ((entry.price, entry.left),))
        else:
            proposal = self._triggered(entry, instrument, touch, locked(group))
        changed = replace(
            entry, status=proposal.status, reason=proposal.reason, updated=touch.time,
            working=entry.working if maker else touch.time,
        )  # fmt: skip
        written, fills = self._ledger.settle(instrument, group, [changed, *expired], proposal.fills, maker=maker)
        if fills and not entry.executed:
            self._filled(written[0])
        return written

    def _triggered(self, entry: Entry, instrument: Instrument, touch: Touch, reserve: Decimal) -> Proposal:
        """A stop that goes to work; one at the market buys no more than the account can pay."""
        depth = self._depth(instrument, touch.price, touch.time)
        if entry.type in {OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT}:
            return at_limit(entry.side, entry.left, entry.price, entry.time_in_force, depth)
        funds = None
        if entry.side is Side.BUY:
            funds = self._books.balance(instrument.quote).free + reserve
        return at_market(entry.side, entry.left, depth, funds)
