"""The exchange itself: prices, books and the rules that tie them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from tradebot.clock import Clock
from tradebot.errors import MarketError
from tradebot.market.venue import Balance, Fill, Instrument, Order, Side
from tradebot.sim.books import Books, Entry, Slice
from tradebot.sim.matching import EXACT, Proposal, Quote, around, propose, to_unit
from tradebot.sim.prices import Prices
from tradebot.sim.refusals import CLOSED, DUPLICATE, INSUFFICIENT, Refused, rejected, unknown_symbol

_DOLLARS = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "DAI", "USD", "EUR")
USUAL = {**dict.fromkeys(_DOLLARS, Decimal(10_000)), "BTC": Decimal(1), "ETH": Decimal(20), "BNB": Decimal(30)}


def quote_of(instruments: Iterable[Instrument]) -> str:
    """The quote coin that most symbols share; of equals the one listed first. `MarketError` without symbols."""
    coins = Counter(instrument.quote for instrument in instruments)
    if not coins:
        raise MarketError("no symbols on offer")
    return coins.most_common(1)[0][0]


def usual_balance(instruments: Iterable[Instrument]) -> dict[str, Decimal]:
    """What a new account starts with when nobody says otherwise."""
    coin = quote_of(instruments)
    return {coin: USUAL.get(coin, Decimal(10_000))}


class Exchange:
    """A spot exchange with one account.

    `account` is its SQLite file (None: in memory); a new one starts with the balances `start`
    (None: the usual amount of the most common quote coin). `fee` and `spread` are shares of the
    price. Every order is one transaction; what cannot be done is a `Refused` with the venue's code.
    """

    def __init__(
        self, prices: Prices, clock: Clock, account: Path | None, *,
        fee: Decimal, spread: Decimal, start: Mapping[str, Decimal] | None,
    ) -> None:  # fmt: skip
        self.prices = prices
        self.clock = clock
        self.fee = fee
        self.spread = spread
        self._books = Books(account)
        if self._books.new:
            with self._books.transaction():
                for asset, amount in (usual_balance(self._on_offer()) if start is None else start).items():
                    self._books.change(asset, amount)

    def close(self) -> None:
        """Release the account file."""
        self._books.close()

    def _on_offer(self) -> list[Instrument]:
        """What is listed; everything, if that is nothing yet."""
        return list(self.instruments().values()) or list(self.prices.instruments().values())

    def instruments(self) -> Mapping[str, Instrument]:
        """The symbols that are listed at the venue's time."""
        now = self.clock.now()
        known = self.prices.instruments()
        return {symbol: each for symbol, each in known.items() if self.prices.listed(symbol) <= now}

    def instrument(self, symbol: str) -> Instrument:
        """A listed symbol; `Refused` -1121 for any other."""
        known = self.prices.instruments().get(symbol)
        if known is None or self.prices.listed(symbol) > self.clock.now():
            raise unknown_symbol()
        return known

    def last(self, symbol: str) -> Decimal:
        """Last traded price; `MarketError` before the first trade."""
        return self.prices.price(symbol, self.clock.now())

    def quote(self, symbol: str) -> Quote:
        """Best bid and ask; `MarketError` before the first trade."""
        return around(self.last(symbol), self.spread, self.prices.instruments()[symbol].tick)

    def balances(self) -> Mapping[str, Balance]:
        """What the account holds, by asset."""
        return self._books.balances()

    def place(self, order: Order) -> tuple[Entry, list[Fill]]:
        """Carry out an order: the books' entry and its fills."""
        instrument = self.instrument(order.symbol)
        try:
            quote = self.quote(order.symbol)
        except MarketError:
            raise rejected(CLOSED) from None
        if not instrument.tradable:
            raise rejected(CLOSED)
        proposal = propose(order, instrument, quote)
        with self._books.transaction():
            known = self._books.order(order.symbol, None, order.client_id)
            if known is not None and known.open:
                raise rejected(DUPLICATE)
            return self._commit(order, instrument, proposal)

    def _commit(self, order: Order, instrument: Instrument, proposal: Proposal) -> tuple[Entry, list[Fill]]:
        now = self.clock.now()
        amounts = [(price, size, to_unit(EXACT.multiply(price, size))) for price, size in proposal.fills]
        executed = sum((size for _, size, _ in amounts), Decimal(0))
        quote_executed = sum((value for _, _, value in amounts), Decimal(0))
        entry = Entry(
            0, order.symbol, order.client_id, order.side, order.type, proposal.status, proposal.quantity,
            order.quote_quantity or Decimal(0), order.price or Decimal(0), order.time_in_force or "GTC",
            executed, quote_executed, now, now,
        )  # fmt: skip
        entry = replace(entry, order_id=self._books.enter(entry))
        return entry, [self._fill(entry, instrument, *amount) for amount in amounts]

    def _fill(self, entry: Entry, instrument: Instrument, price: Decimal, size: Decimal, value: Decimal) -> Fill:
        """Exchange the two coins; the fee is kept back from the one that is received."""
        buys = entry.side is Side.BUY
        paid, received = (instrument.quote, instrument.base) if buys else (instrument.base, instrument.quote)
        cost, gain = (value, size) if buys else (size, value)
        if self._books.balance(paid).free < cost:
            raise rejected(INSUFFICIENT)
        fee = to_unit(EXACT.multiply(gain, self.fee))
        self._books.change(paid, -cost)
        self._books.change(received, gain - fee)
        fill = Fill(0, entry.symbol, entry.order_id, entry.side, price, size, fee, received, entry.updated)
        return replace(fill, trade_id=self._books.book(fill))

    def order(self, symbol: str, order_id: int | None, client_id: str | None) -> Entry:
        """An order by either id; `Refused` -2013 if the books do not hold it."""
        self.instrument(symbol)
        entry = self._books.order(symbol, order_id, client_id)
        if entry is None:
            raise Refused(-2013, "Order does not exist.")
        return entry

    def cancel(self, symbol: str, order_id: int | None, client_id: str | None) -> Entry:
        """Take an order off the market; `Refused` -2011 if it is not open."""
        self.instrument(symbol)
        with self._books.transaction():
            entry = self._books.order(symbol, order_id, client_id)
            if entry is None or not entry.open:
                raise Refused(-2011, "Unknown order sent.")
            now = self.clock.now()
            self._books.close_order(entry.order_id, "CANCELED", now)
            return replace(entry, status="CANCELED", updated=now)

    def open_orders(self, symbol: str | None = None) -> list[Entry]:
        """Orders that can still be filled, oldest first."""
        return self._books.open_orders(symbol and self.instrument(symbol).symbol)

    def orders(self, wanted: Slice) -> list[Entry]:
        """Orders of a symbol, oldest first."""
        self.instrument(wanted.symbol)
        return self._books.orders(wanted)

    def trades(self, wanted: Slice, order_id: int | None = None) -> list[Fill]:
        """Trades of a symbol, oldest first."""
        self.instrument(wanted.symbol)
        return self._books.trades(wanted, order_id)
