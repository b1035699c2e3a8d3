"""Carrying out orders: what one would do now, and the one place where it is booked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from tradebot.market.venue import ZERO, Side
from tradebot.sim.depth import Depth, Level
from tradebot.sim.futures.contracts import Contracts
from tradebot.sim.futures.ledger import ORDERS, TRADES, Entry, Income, Ledger, Placed, Trade
from tradebot.sim.futures.positions import Account, PositionSide, Stake
from tradebot.sim.matching import worth
from tradebot.sim.proposals import Proposal, at_limit, at_market
from tradebot.sim.refusals import Refused

TAKER = Decimal("0.0005")
MAKER = Decimal("0.0002")


def reduces(order: Placed) -> bool:
    """Whether it may only make a position smaller."""
    closing = {PositionSide.LONG: Side.SELL, PositionSide.SHORT: Side.BUY}.get(order.position_side)
    return order.reduce_only or order.side is closing


def signed(side: Side, quantity: Decimal) -> Decimal:
    """A quantity as a position counts it: sold is below 0."""
    return quantity if side is Side.BUY else -quantity


class Desk:
    """Executes orders of one account at prices and times that are given; call it within a transaction."""

    def __init__(self, contracts: Contracts, ledger: Ledger) -> None:
        self.contracts = contracts
        self.ledger = ledger

    def account(self, at: int) -> Account:
        """Everything at stake, at the mark prices of a moment."""
        positions = self.ledger.positions()
        orders = self.ledger.open_orders()
        asked: dict[tuple[str, PositionSide, Side], Decimal] = defaultdict(Decimal)
        for each in orders:
            if not reduces(each):
                asked[each.symbol, each.position_side, each.side] += worth(each.price, each.remaining)
        stakes = {}
        for key in sorted(positions.keys() | {(each.symbol, each.position_side) for each in orders}):
            symbol, side = key
            bids, asks = (asked[*key, wanted] for wanted in (Side.BUY, Side.SELL))
            position = positions.get(key) or self.ledger.position(symbol, side)
            stakes[key] = Stake(position, self.ledger.terms(symbol), self.contracts.mark(symbol, at), bids, asks)
        return Account(self.ledger.wallet, stakes)

    def submit(self, order: Placed, price: Decimal, now: int) -> Placed:
        """Enter an order at the market of `price`; `Refused` if it cannot be, and then nothing is changed."""
        with self.ledger.db.transaction():
            before = self.account(now)
            order = self._cut(order)
            proposal = _propose(order, self.contracts.around(order.symbol, price, now))
            order = ORDERS.enter(self.ledger.db, replace(order, status="NEW", created=now, updated=now))
            order = self.fill(order, proposal.fills, TAKER, now)
            if proposal.status == "EXPIRED":
                order = self.close(order, "EXPIRED", now)
            after = self.account(now)
            if after.available < 0 and after.initial + after.ordered > before.initial + before.ordered:
                raise Refused(-2019, "Margin is insufficient.")
        return order

    def _cut(self, order: Placed) -> Placed:
        """An order that only reduces is cut to the position; `Refused` -2022 where there is none."""
        if not reduces(order):
            return order
        closable = self.closable(order)
        if not closable or (not order.reduce_only and order.quantity > closable):
            raise Refused(-2022, "ReduceOnly Order is rejected.")
        return replace(order, quantity=min(order.quantity, closable))

    def closable(self, order: Placed) -> Decimal:
        """How much of its position this order could close."""
        amount = self.ledger.position(order.symbol, order.position_side).amount
        return abs(amount) if amount * signed(order.side, Decimal(1)) < 0 else ZERO

    def rested(self, order: Placed, room: Decimal, now: int) -> Placed:
        """An order that rests is met by the market: up to `room` of it is filled at its price, as maker.

        One that only reduces stops at the position's end.
        """
        most = min(order.remaining, self.closable(order)) if reduces(order) else order.remaining
        size = min(most, room)
        order = self.fill(order, [(order.price, size)] if size else [], MAKER, now)
        return self.close(order, "EXPIRED", now) if order.open and size == most else order

    def fill(self, order: Placed, fills: Iterable[Level], rate: Decimal, now: int) -> Placed:
        """Book fills of an order: trades, position, profit and fee; the order as it is then."""
        for price, size in fills:
            value = worth(price, size)
            executed = order.executed + size
            order = replace(
                order, executed=executed, quote_executed=order.quote_executed + value, updated=now,
                status="FILLED" if executed == order.quantity else "PARTIALLY_FILLED",
            )  # fmt: skip
            self._trade(order, (price, size), rate)
        ORDERS.put(self.ledger.db, order)
        self._expire_reducers(order.symbol, now)
        return order

    def _trade(self, order: Placed, fill: Level, rate: Decimal) -> None:
        symbol, side, now = order.symbol, order.position_side, order.updated
        (price, size), value = fill, worth(*fill)
        position = self.ledger.position(symbol, side)
        after, realized = position.filled(signed(order.side, size), value, self.ledger.terms(symbol))
        self.ledger.hold(replace(after, updated=now))
        fee = worth(value, rate)
        trade = TRADES.enter(self.ledger.db, Trade(
            0, symbol, order.order_id, order.side, side, price, size, value, realized, fee, now, rate == MAKER,
        ))  # fmt: skip
        self.ledger.book(Entry(0, symbol, Income.REALIZED, realized, now, trade.trade_id))
        self.ledger.book(Entry(0, symbol, Income.COMMISSION, -fee, now, trade.trade_id))

    def close(self, order: Placed, status: str, now: int) -> Placed:
        """Give an order its last status."""
        order = replace(order, status=status, updated=now)
        ORDERS.put(self.ledger.db, order)
        return order

    def _expire_reducers(self, symbol: str, now: int) -> None:
        """Orders that only reduce go when there is nothing left to reduce."""
        for each in self.ledger.open_orders(symbol):
            if reduces(each) and not self.closable(each):
                self.close(each, "EXPIRED", now)


def _propose(order: Placed, depth: Depth) -> Proposal:
    """What the order takes from this book; `Refused` where its time in force forbids what would happen."""
    if order.type == "MARKET":
        proposal = at_market(order.side, order.quantity, depth)
        if not proposal.fills:
            raise Refused(-4131, "The counterparty's best price does not meet the PERCENT_PRICE filter limit.")
        return proposal
    if order.time_in_force == "GTX" and depth.crossed(order.side, order.price):
        raise Refused(-5022, "Due to the order could not be executed as maker, the Post Only order will be rejected.")
    proposal = at_limit(order.side, order.quantity, order.price, order.time_in_force, depth)
    if order.time_in_force == "FOK" and proposal.status == "EXPIRED":
        raise Refused(-5021, "Due to the order could not be filled immediately, the FOK order has been rejected.")
    return proposal
