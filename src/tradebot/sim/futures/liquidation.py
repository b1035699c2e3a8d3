"""Liquidation: the exchange closes what its margin no longer carries."""

from __future__ import annotations

from decimal import Decimal

from tradebot.market.venue import ZERO, Side
from tradebot.sim.futures.contracts import Contracts
from tradebot.sim.futures.desk import Desk
from tradebot.sim.futures.ledger import ORDERS, Entry, Income, Ledger, Placed
from tradebot.sim.futures.positions import Position, PositionSide
from tradebot.sim.resting import Touch


class Receiver:
    """Closes positions at the mark price and takes what is left of their margin.

    What remains goes to the insurance fund, and what lacks comes from it: nobody loses more than the
    isolated margin or, in cross margin, the wallet.
    """

    def __init__(self, contracts: Contracts, ledger: Ledger, desk: Desk) -> None:
        self.contracts = contracts
        self.ledger = ledger
        self.desk = desk

    def liquidate(self, key: tuple[str, PositionSide], touch: Touch) -> None:
        """One isolated position, or all that share the wallet."""
        position = self.ledger.position(*key)
        if self.ledger.terms(key[0]).isolated:
            self._close([position], position.margin, {key[0]: touch.price}, touch.time)
        else:
            self._close_all({key[0]: touch.price}, touch.time)

    def check_wallet(self, now: int) -> None:
        """Several positions may together have used up the wallet."""
        account = self.desk.account(now)
        cross = [each for each in account.cross if each.position.amount]
        if len(cross) > 1:
            balance = account.cross_wallet + account.cross_unrealized
            if balance <= sum((each.maintenance for each in cross), ZERO):
                self._close_all({}, now)

    def _close_all(self, prices: dict[str, Decimal], now: int) -> None:
        account = self.desk.account(now)
        positions = [each.position for each in account.cross if each.position.amount]
        self._close(positions, account.cross_wallet, prices, now)

    def _close(self, positions: list[Position], collateral: Decimal, prices: dict[str, Decimal], now: int) -> None:
        before = self.ledger.wallet
        for position in positions:
            for order in self.ledger.open_orders(position.symbol):
                self.desk.close(order, "CANCELED", now)
            price = prices.get(position.symbol) or self.contracts.mark(position.symbol, now)
            self._seize(position, price, now)
        left = collateral + self.ledger.wallet - before
        self.ledger.book(Entry(0, positions[0].symbol, Income.CLEARANCE, -left, now))

    def _seize(self, position: Position, price: Decimal, now: int) -> None:
        """Book the order that the exchange makes; clients know it by its id."""
        order = Placed(
            0, position.symbol, f"autoclose-{now}", Side.SELL if position.amount > 0 else Side.BUY, position.side,
            "LIMIT", "IOC", abs(position.amount), price, now, now,
        )  # fmt: skip
        self.desk.fill(ORDERS.enter(self.ledger.db, order), [(price, order.quantity)], ZERO, now)
