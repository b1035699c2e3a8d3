"""The one place where orders change the balances: what is locked, paid, received and kept back as a fee."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TypeAlias

from tradebot.market.venue import ZERO, Fill, Instrument, Side
from tradebot.sim.books import Books, Entry
from tradebot.sim.depth import Level
from tradebot.sim.matching import EXACT, to_unit, worth
from tradebot.sim.refusals import INSUFFICIENT, rejected

# Trades: price, quantity, and what that is worth.
Values: TypeAlias = Sequence[tuple[Decimal, Decimal, Decimal]]


@dataclass(frozen=True, slots=True)
class Fees:
    """Shares of what is received: of those who take from the book and of those who wait on it."""

    taker: Decimal
    maker: Decimal


def reserved(entry: Entry) -> Decimal:
    """What an open order keeps locked: the coin that is sold, or the money for what is left to buy.

    A buy at the market that waits for its trigger locks what it would cost at the trigger.
    """
    if not entry.open:
        return ZERO
    return entry.left if entry.side is Side.SELL else worth(entry.price or entry.stop_price, entry.left)


def locked(entries: Iterable[Entry]) -> Decimal:
    """What orders of which only one can be carried out lock together."""
    return max(map(reserved, entries), default=ZERO)


def _executed(entry: Entry, values: Values) -> Entry:
    got = sum((size for _, size, _ in values), ZERO)
    spent = sum((value for _, _, value in values), ZERO)
    return replace(entry, executed=entry.executed + got, quote_executed=entry.quote_executed + spent)


class Ledger:
    """Writes changes of orders and their trades; call it within a transaction of the books."""

    def __init__(self, books: Books, fees: Fees) -> None:
        self.books = books
        self.fees = fees

    def settle(
        self, instrument: Instrument, before: Sequence[Entry], after: Sequence[Entry], trades: Sequence[Level] = (), *,
        maker: bool = False,
    ) -> tuple[list[Entry], list[Fill]]:  # fmt: skip
        """Replace an order, or those of a list, by what became of them; the first of `after` makes the trades.

        Entries of `after` without an id are new, and what is executed by `trades` is added here.
        `Refused` -2010 if the account cannot pay. Returns the entries as written, and the fills.
        """
        values = [(price, size, worth(price, size)) for price, size in trades]
        whole = _executed(after[0], values)
        self._pay(whole, instrument, values, locked(before) - locked([whole, *after[1:]]))
        known = {entry.order_id: entry for entry in before}
        written = [self._write(known.get(entry.order_id), entry) for entry in (whole, *after[1:])]
        fills = self._trade(replace(after[0], order_id=written[0].order_id), instrument, values, maker=maker)
        for entry in written:
            if entry.status in {"CANCELED", "EXPIRED"}:
                self.books.tell(entry, entry.status)
        return written, fills

    def _pay(self, entry: Entry, instrument: Instrument, values: Values, freed: Decimal) -> None:
        """Unlock what is `freed`; `Refused` -2010 if that and what is free do not cover the trades."""
        buys = entry.side is Side.BUY
        asset = instrument.quote if buys else instrument.base
        cost = sum((value if buys else size for _, size, value in values), ZERO)
        if self.books.balance(asset).free + freed < cost:
            raise rejected(INSUFFICIENT)
        if freed:
            self.books.change(asset, freed, -freed)

    def _write(self, known: Entry | None, entry: Entry) -> Entry:
        if known is None:
            entry = replace(entry, order_id=self.books.enter(entry))
            self.books.tell(replace(entry, status="NEW", executed=ZERO), "NEW")
            return entry
        self.books.amend(entry)
        if known.working != entry.working:
            self.books.tell(replace(entry, status=known.status, executed=known.executed), "TRIGGERED")
        return entry

    def _trade(
        self, entry: Entry, instrument: Instrument, values: Values, *, maker: bool
    ) -> list[Fill]:  # fmt: skip
        """Exchange the two coins; the fee is kept back from the one that is received."""
        buys = entry.side is Side.BUY
        paid, received = (instrument.quote, instrument.base) if buys else (instrument.base, instrument.quote)
        rate = self.fees.maker if maker else self.fees.taker
        fills = []
        for price, size, value in values:
            cost, gain = (value, size) if buys else (size, value)
            fee = to_unit(EXACT.multiply(gain, rate))
            self.books.change(paid, -cost)
            self.books.change(received, gain - fee)
            fill = Fill(
                0, entry.symbol, entry.order_id, entry.side, price, size, fee, received, entry.updated, maker
            )  # fmt: skip
            fills.append(replace(fill, trade_id=self.books.book(fill)))
            entry = replace(entry, executed=entry.executed + size, status="PARTIALLY_FILLED")
            entry = entry if entry.left else replace(entry, status="FILLED")
            self.books.tell(entry, "TRADE", fills[-1].trade_id)
        return fills
