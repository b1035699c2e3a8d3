"""How an account trades: leverage, margin types and the position mode, and when they may be changed."""

from __future__ import annotations

from dataclasses import replace

from tradebot.sim.futures.contracts import MAX_LEVERAGE
from tradebot.sim.futures.engine import Futures
from tradebot.sim.futures.ledger import TERMS
from tradebot.sim.futures.positions import Terms
from tradebot.sim.refusals import Refused


class Settings:
    """Reads and changes the terms of contracts."""

    def __init__(self, futures: Futures) -> None:
        self.futures = futures

    def terms(self, symbol: str) -> Terms:
        """Leverage and margin type of a contract."""
        return self.futures.ledger.terms(self.futures.contracts.instrument(symbol).symbol)

    def leverage(self, symbol: str, leverage: int) -> Terms:
        """Set the leverage; `Refused` where what is held could not be carried with it."""
        before = self.terms(symbol)
        if not 1 <= leverage <= MAX_LEVERAGE:
            raise Refused(-4028, f"Leverage {leverage} is not valid.")
        account = self.futures.account()
        held = any(stake.position.amount for (name, _), stake in account.stakes.items() if name == symbol)
        if before.isolated and held and leverage < before.leverage:
            raise Refused(-4161, "Leverage reduction is not supported in Isolated Margin Mode with open positions.")
        after = replace(before, leverage=leverage)
        with self.futures.ledger.db.transaction():
            TERMS.put(self.futures.ledger.db, after)
            if leverage < before.leverage and self.futures.account().available < 0:
                raise Refused(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
        return after

    def isolate(self, symbol: str, *, isolated: bool) -> None:
        """Set the margin type; `Refused` -4046 if it is so already, -4047 or -4048 with open orders or a position."""
        before = self.terms(symbol)
        if before.isolated is isolated:
            raise Refused(-4046, "No need to change margin type.")
        self.futures.settle()
        ledger = self.futures.ledger
        if ledger.open_orders(symbol) or ledger.open_algos(symbol):
            raise Refused(-4047, "Margin type cannot be changed if there exists open orders.")
        if any(name == symbol for name, _ in ledger.positions()):
            raise Refused(-4048, "Margin type cannot be changed if there exists position.")
        TERMS.put(ledger.db, replace(before, isolated=isolated))

    @property
    def dual(self) -> bool:
        """Whether longs and shorts are held side by side."""
        return self.futures.ledger.dual

    def set_dual(self, *, dual: bool) -> None:
        """Set the position mode; `Refused` -4059 if it is so already, -4067 or -4068 with open orders or positions."""
        if dual is self.dual:
            raise Refused(-4059, "No need to change position side.")
        self.futures.settle()
        ledger = self.futures.ledger
        if ledger.open_orders() or ledger.open_algos():
            raise Refused(-4067, "Position side cannot be changed if there exists open orders.")
        if ledger.positions():
            raise Refused(-4068, "Position side cannot be changed if there exists position.")
        ledger.dual = dual
