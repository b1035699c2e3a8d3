"""The futures account of the exchange: what clients ask of it, always after the market has been played."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cached_property

from tradebot.clock import DAY, MINUTE
from tradebot.errors import MarketError
from tradebot.market.bars import Klines
from tradebot.market.venue import Side
from tradebot.sim.accounts import USUAL
from tradebot.sim.engine import Exchange
from tradebot.sim.footprint import RETURN, Gone, gone
from tradebot.sim.futures import contracts as rules
from tradebot.sim.futures import counts
from tradebot.sim.futures.contracts import Contracts
from tradebot.sim.futures.desk import Desk, reduces
from tradebot.sim.futures.ledger import ENTRIES, FACTS, ORDERS, TRADES, Entry, Fact, Ledger, Placed, Range, Trade
from tradebot.sim.futures.play import Play
from tradebot.sim.futures.positions import Account, PositionSide
from tradebot.sim.refusals import Refused
from tradebot.sim.resting import Bars, Several

# Client ids stay taken for so long after their order was entered, even if it is done.
SHORTLY = MINUTE
_KEPT, _KEPT_UNFILLED = 90 * DAY, 3 * DAY
_TOLD = 183 * DAY


class Futures:
    """The contracts of an exchange with one account, whose file lies beside that of spot (in memory, if that does).

    A new account starts with what the spot account was given of the coin, or with the usual amount. The
    file is made when the account is first used. What cannot be done is a `Refused` with the venue's code.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.contracts = Contracts(exchange, self._gone)
        self._exchange = exchange

    def _gone(self, now: int) -> Gone:
        """What the account has taken from the books; nothing, as long as it was not used."""
        return gone(self.ledger.taken(now - RETURN, now), now) if "ledger" in self.__dict__ else {}

    @cached_property
    def ledger(self) -> Ledger:
        """The account's file."""
        coin, spot = self.contracts.coin, self._exchange.account
        start = (self._exchange.start or {}).get(coin, USUAL.get(coin, Decimal(10_000)))
        ledger = Ledger(spot and spot.with_name(f"{spot.stem}-usdm{spot.suffix}"), start, self.now)
        # A clock that was set back since then begins anew.
        ledger.seen = min(ledger.seen, self.now)
        return ledger

    @cached_property
    def desk(self) -> Desk:
        """Who carries out orders."""
        return Desk(self.contracts, self.ledger)

    @cached_property
    def _play(self) -> Play:
        return Play(self.contracts, self.ledger, self.desk)

    @property
    def now(self) -> int:
        """The venue's time."""
        return self.contracts.clock.now()

    def settle(self) -> int:
        """Play the market since it was last seen; the time now."""
        now = self.now
        self._play.until(now)
        return now

    def at_stake(self) -> set[str]:
        """Contracts with a position or with orders that wait or rest."""
        ledger = self.ledger
        orders, algos = ledger.open_orders(), ledger.open_algos()
        held = {symbol for symbol, _ in ledger.positions()}
        return held | {each.symbol for each in orders} | {each.symbol for each in algos}

    def show(self, klines: Mapping[str, Klines], until: int) -> None:
        """Let bars of prices that are set from outside carry out what waits, each from when it was entered.

        What came first within a bar is not known: stops come first. No time passes by it.
        """
        known = self.contracts.prices.instruments()
        track = Several({symbol: Bars(each, known[symbol].tick) for symbol, each in klines.items()})
        Play(self.contracts, self.ledger, self.desk, track).through(until)

    def pass_to(self, moment: int) -> None:
        """Let time pass up to a moment, at the prices of now: funding, and what expires."""
        self._play.until(moment)

    def close(self) -> None:
        """Release the file, if it was opened."""
        if "ledger" in self.__dict__:
            self.ledger.db.close()

    def account(self) -> Account:
        """Everything at stake, now."""
        return self.desk.account(self.settle())

    def last(self, symbol: str) -> Decimal:
        """The last price of a contract that is traded; `Refused` for one that is not."""
        each = self.contracts.instrument(symbol)
        try:
            last = self.contracts.last(symbol)
        except MarketError:
            raise Refused(-4141, "Symbol is closed.") from None
        if not each.tradable:
            raise Refused(-4141, "Symbol is closed.")
        return last

    def place(self, order: Placed) -> Placed:
        """Enter a new order and tell what became of it."""
        now = self.settle()
        last = self.last(order.symbol)
        counts.check(self.ledger, now)
        self.check_sides(order.position_side, reduce_only=order.reduce_only)
        self._check_rules(order, last)
        if len(self.ledger.open_orders(order.symbol)) >= rules.MAX_ORDERS:
            raise Refused(-2025, "Reach max open order limit.")
        known = self.ledger.find(ORDERS, order.symbol, None, order.client_id)
        if known is not None and (known.open or now - known.created < SHORTLY):
            raise Refused(-4116, "ClientOrderId is duplicated.")
        return self.desk.submit(order, last, now)

    def check_sides(self, side: PositionSide, *, reduce_only: bool) -> None:
        """`Refused` for a position side that the position mode does not have."""
        if self.ledger.dual == (side is PositionSide.BOTH):
            raise Refused(-4061, "Order's position side does not match user's setting.")
        if self.ledger.dual and reduce_only:
            raise Refused(-4062, "Invalid or improper reduceOnly value.")

    def _check_rules(self, order: Placed, last: Decimal) -> None:
        each = self.contracts.instrument(order.symbol)
        market = order.type == "MARKET"
        rules.check_quantity(each, order.quantity, market=market)
        if not market:
            rules.check_price(each, order.price)
            rules.check_band(each, order.price, last, buys=order.side is Side.BUY)
        if not reduces(order):
            rules.check_notional(each, last if market else order.price, order.quantity)

    def order(self, symbol: str, number: int | None, client_id: str | None) -> Placed:
        """An order by either id; `Refused` -2013 if the books do not hold it, or no longer."""
        self.contracts.instrument(symbol)
        now = self.settle()
        found = self.ledger.find(ORDERS, symbol, number, client_id)
        if found is None or _forgotten(found, now):
            raise Refused(-2013, "Order does not exist.")
        return found

    def cancel(self, symbol: str, number: int | None, client_id: str | None) -> Placed:
        """Take an order off the market; `Refused` -2011 if it is not open."""
        self.contracts.instrument(symbol)
        now = self.settle()
        found = self.ledger.find(ORDERS, symbol, number, client_id)
        if found is None or not found.open:
            raise Refused(-2011, "Unknown order sent.")
        return self.desk.close(found, "CANCELED", now)

    def cancel_all(self, symbol: str) -> None:
        """Take all orders of a contract off the market."""
        self.contracts.instrument(symbol)
        now = self.settle()
        with self.ledger.db.transaction():
            for each in self.ledger.open_orders(symbol):
                self.desk.close(each, "CANCELED", now)

    def open_orders(self, symbol: str | None) -> list[Placed]:
        """Orders that can still be filled, oldest first."""
        self.settle()
        return self.ledger.open_orders(symbol and self.contracts.instrument(symbol).symbol)

    def orders(self, wanted: Range) -> list[Placed]:
        """Orders, whatever became of them, oldest first; those that are forgotten are not told."""
        now = self.settle()
        return [each for each in self.ledger.listed(ORDERS, wanted) if not _forgotten(each, now)]

    def trades(self, wanted: Range, order_id: int | None) -> list[Trade]:
        """Fills of half a year, oldest first."""
        now = self.settle()
        return self.ledger.listed(TRADES, replace(wanted, start=max(wanted.start, now - _TOLD)), order_id=order_id)

    def executed(self) -> list[Trade]:
        """The truth: every fill until now, in order."""
        self.settle()
        return TRADES.select(self.ledger.db)

    def income(self, wanted: Range, kind: str | None) -> list[Entry]:
        """Changes of the wallet, oldest first."""
        self.settle()
        return self.ledger.listed(ENTRIES, wanted, kind=kind)

    def countdown(self, symbol: str, wait: int) -> None:
        """Cancel the orders of a contract `wait` ms from now, unless called again before; 0 disarms."""
        self.contracts.instrument(symbol)
        now = self.settle()
        if wait:
            FACTS.put(self.ledger.db, Fact(f"countdown/{symbol}", str(now + wait)))
        else:
            FACTS.drop(self.ledger.db, f"countdown/{symbol}")


def _forgotten(order: Placed, now: int) -> bool:
    """Whether the venue no longer tells of an order: after three days, or 90 if something of it was executed."""
    return not order.open and now - order.created > (_KEPT if order.executed else _KEPT_UNFILLED)
