"""The exchange itself: prices, books and the rules that tie them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from operator import add
from pathlib import Path

from tradebot.clock import DAY, Clock
from tradebot.errors import MarketError
from tradebot.market.bars import Klines
from tradebot.market.venue import ZERO, Balance, Fill, Instrument, Order, Side
from tradebot.sim import filters
from tradebot.sim.accounts import SEEN, usual_balance
from tradebot.sim.books import ALONE, WAITS, Books, Entry, Event, OrderList, Slice
from tradebot.sim.counts import MADE, TAKEN, OrderCounts
from tradebot.sim.depth import Depth, Depths
from tradebot.sim.filters import Candidate, Limits, Load
from tradebot.sim.footprint import RETURN, Gone, gone
from tradebot.sim.ledger import Fees, Ledger
from tradebot.sim.lists import check_prices, check_types
from tradebot.sim.matching import around
from tradebot.sim.prices import Prices
from tradebot.sim.progress import Progress
from tradebot.sim.proposals import Market, Proposal, check_fields, propose, quantity_of
from tradebot.sim.refusals import CLOSED, DUPLICATE, Refused, rejected, unknown_symbol
from tradebot.sim.resting import Bars
from tradebot.sim.resting import Path as PricePath


@dataclass(frozen=True, slots=True)
class Tag:
    """A client's own numbers for an order; they are kept and told, nothing else."""

    strategy_id: int | None = None
    strategy_type: int | None = None


_UNTAGGED = Tag()
ARCHIVED = 90 * DAY  # after its end an order of which nothing was executed is put away
_ARCHIVED = "Order was canceled or expired with no executed qty over 90 days ago and has been archived."


class Exchange:
    """A spot exchange with one account.

    `account` is its SQLite file (None: in memory); a new one starts with the balances `start`
    (None: the usual amount of the most common quote coin). `fee`, `maker_fee` (None: the same) and
    `spread` are shares of the price. Every request is one transaction; what cannot be done is a
    `Refused` with the venue's code. Orders that rest progress whenever the account is asked for
    something: the path of the prices since the last time is followed then.
    """

    def __init__(
        self, prices: Prices, clock: Clock, account: Path | None, *,
        fee: Decimal, spread: Decimal, start: Mapping[str, Decimal] | None, maker_fee: Decimal | None = None,
        limits: Limits = Limits(),
    ) -> None:  # fmt: skip
        self.prices = prices
        self.clock = clock
        self.account = account
        self.start = start
        self.fees = Fees(fee, fee if maker_fee is None else maker_fee)
        self.spread = spread
        self.limits = limits
        self._books = Books(account)
        self.counts = OrderCounts(self._books)
        self._depths = Depths(prices)
        self._path = PricePath(prices)
        self._ledger = Ledger(self._books, self.fees)
        self._progress = Progress(
            self._books, self._ledger, lambda symbol: prices.instruments()[symbol], self._book_at,
            spread=spread, filled=lambda entry: self.counts.give_back(MADE, entry.updated),
        )  # fmt: skip
        self._rules: dict[str, Instrument] = {}  # of symbols with open orders, should they be delisted
        # A clock that was set back since then begins anew.
        self._seen = min(self._books.notes().get(SEEN) or clock.now(), clock.now())
        if self._books.new:
            with self._books.transaction():
                for asset, amount in (usual_balance(self._on_offer()) if start is None else start).items():
                    self._books.change(asset, amount)

    def pause(self) -> None:
        """Play everything up to now and remember the time, so that a restart goes on from here."""
        now = self._catch_up()
        with self._books.transaction():
            self._books.keep({SEEN: now})

    @property
    def seen(self) -> int:
        """Up to when the account has been played, UTC ms."""
        return self._seen

    def close(self) -> None:
        """Release the account file."""
        self._books.close()

    @property
    def fee(self) -> Decimal:
        """The share that takers pay."""
        return self.fees.taker

    # -- the market

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

    def depth(self, symbol: str) -> Depth:
        """The order book now; `MarketError` before the first trade."""
        now = self.clock.now()
        return self.book(symbol, now, self.gone(now))

    def book(self, symbol: str, now: int, gone: Gone) -> Depth:
        """The order book at an instant, without what is `gone`; `MarketError` before the first trade."""
        return self._around(self.prices.instruments()[symbol], self.prices.price(symbol, now), now, gone)

    def gone(self, now: int) -> Gone:
        """What the account has lately taken from the books of all symbols."""
        return gone(self._books.taken(now - RETURN, now), now)

    def _around(self, instrument: Instrument, last: Decimal, moment: int, gone: Gone) -> Depth:
        return self._depths.at(instrument.symbol, around(last, self.spread, instrument.tick), moment, gone)

    def _book_at(self, instrument: Instrument, last: Decimal, moment: int) -> Depth:
        return self._around(instrument, last, moment, self.gone(moment))

    # -- time

    def _catch_up(self) -> int:
        """Follow the prices to the venue's time, which is returned."""
        now = self.clock.now()
        if now > self._seen and (waiting := self._books.open_orders()):
            known = self.prices.instruments()
            self._rules |= {entry.symbol: known[entry.symbol] for entry in waiting if entry.symbol in known}
            # Where nothing is traded nothing happens to orders, until trading goes on from there.
            open_for = {symbol for symbol, each in known.items() if each.tradable}
            trading = [(entry, self._seen) for entry in waiting if entry.symbol in open_for]
            with self._books.transaction():
                happened = self._progress.play(self._path, trading, now)
                if self._give_up(known) or happened:
                    self._books.keep({SEEN: now})
        self._seen = max(now, self._seen)
        return now

    def _give_up(self, known: Mapping[str, Instrument]) -> bool:
        """Orders of symbols that are no longer listed expire; whether there were any."""
        delisted = self._rules.keys() - known.keys()
        gone = [entry for symbol in sorted(delisted) for entry in self._books.open_orders(symbol)]
        ended: set[int] = set()
        for entry in gone:
            if entry.order_id not in ended:
                ended |= {each.order_id for each in self._end(entry, "EXPIRED", "EXCHANGE_CANCELED")}
        return bool(gone)

    def play(self, symbol: str, klines: Klines) -> None:
        """Show resting orders of a symbol what became of prices that are set from outside.

        Only bars that opened after an order was placed (or triggered) count for it; what came first
        within a bar is not known, and so stops are carried out before limits.
        """
        now = self._catch_up()
        waiting = [(each, max(each.created, each.working)) for each in self._books.open_orders(symbol)]
        with self._books.transaction():
            self._progress.play(Bars(klines, self.instrument(symbol).tick), waiting, now)

    # -- orders

    def place(self, order: Order, tag: Tag = _UNTAGGED) -> tuple[Entry, list[Fill]]:
        """Carry out an order: the books' entry and its fills."""
        self.instrument(order.symbol)
        check_fields(order)
        now = self._catch_up()
        instrument, market = self._market(order.symbol)
        self._admit((order,), instrument, market)
        with self._books.transaction():
            self._unused(order)
            proposal = propose(order, market)
            self._count(1, now)
            entry = _entry(order, proposal, now, tag)
            (entry,), fills = self._ledger.settle(instrument, (), [entry], proposal.fills)
            if fills:
                self.counts.give_back(TAKEN, now)
        return entry, fills

    def test(self, order: Order) -> None:
        """Everything that is checked of an order before it reaches the books."""
        check_fields(order)
        self._admit((order,), *self._market(order.symbol))

    def place_list(
        self, above: Order, below: Order, client_id: str, tags: tuple[Tag, Tag] = (_UNTAGGED, _UNTAGGED)
    ) -> tuple[OrderList, list[Entry]]:
        """Place an OCO: the list and its two orders, the above leg first."""
        self.instrument(above.symbol)
        check_types(above, below)
        for leg, prefix in ((above, "above"), (below, "below")):
            check_fields(leg, lambda name, prefix=prefix: _leg_name(prefix, name))  # type: ignore[misc]
        now = self._catch_up()
        instrument, market = self._market(above.symbol)
        self._admit((above, below), instrument, market)
        check_prices(above, below, market.last)
        with self._books.transaction():
            known = self._books.order_list(None, client_id)
            if above.client_id == below.client_id or (
                known and any(leg.open for leg in self._books.legs(known.list_id))
            ):
                raise rejected(DUPLICATE)
            for leg in (above, below):
                self._unused(leg)
            self._count(2, now)
            made = OrderList(0, above.symbol, client_id, now)
            made = replace(made, list_id=self._books.enter_list(made))
            legs = [
                replace(_entry(leg, propose(leg, market), now, tag), list_id=made.list_id)
                for leg, tag in zip((above, below), tags, strict=True)
            ]
            legs, _ = self._ledger.settle(instrument, (), legs)
        return made, legs

    def _market(self, symbol: str) -> tuple[Instrument, Market]:
        """The symbol, its last price and its book; `Refused` -2010 where nothing is traded."""
        instrument = self.instrument(symbol)
        try:
            market = Market(self.last(symbol), self.depth(symbol))
        except MarketError:
            raise rejected(CLOSED) from None
        if not instrument.tradable:
            raise rejected(CLOSED)
        self._rules[symbol] = instrument
        return instrument, market

    def _admit(self, orders: Sequence[Order], instrument: Instrument, market: Market) -> None:
        """The filters, for orders that come together."""
        load = self._load(orders, instrument)
        for order in orders:
            quantity = quantity_of(order, market.depth.quote, instrument.step)
            load = replace(load, position=load.position + quantity)
            candidate = Candidate(
                instrument, order.side, order.type, quantity, order.price, order.stop_price, market.last,
                load, self.limits,
            )  # fmt: skip
            filters.check(candidate)

    def _load(self, orders: Sequence[Order], instrument: Instrument) -> Load:
        """What is open, with the new orders; of the position what is there without them."""
        here, everywhere = self._books.load(instrument.symbol), self._books.load()
        more = len(orders), sum(order.type in filters.ALGO for order in orders), int(len(orders) > 1)
        position = self._position(instrument) if self.limits.position else ZERO
        (count, algos, lists), (all_orders, all_algos, all_lists) = (
            map(add, each, more) for each in (here, everywhere)
        )
        return Load(count, algos, lists, position, all_orders, all_algos, all_lists)

    def _position(self, instrument: Instrument) -> Decimal:
        """What is held of the base coin, and what orders to buy it would bring."""
        waiting = self._books.open_orders(instrument.symbol)
        bought = sum((entry.left for entry in waiting if entry.side is Side.BUY), ZERO)
        return self._books.balance(instrument.base).total + bought

    def _unused(self, order: Order) -> None:
        known = self._books.order(order.symbol, None, order.client_id)
        if known is not None and known.open:
            raise rejected(DUPLICATE)

    def count(self, orders: int) -> None:
        """Count orders that were asked for and not attempted; `Refused` -1015 if they are too many."""
        with self._books.transaction():
            self.counts.add(orders, self.clock.now())

    def _count(self, orders: int, now: int) -> None:
        self.counts.add(orders, now)
        self._books.keep({SEEN: now})

    def cancel(self, symbol: str, order_id: int | None, client_id: str | None, only: str | None = None) -> Entry:
        """Take an order off the market, and with it the list that it is in; its entry then.

        `only` is the one status in which to do so. `Refused` -2011 if it is not open or in another status.
        """
        self.instrument(symbol)
        self._catch_up()
        with self._books.transaction():
            entry = self._books.order(symbol, order_id, client_id)
            if entry is None or not entry.open:
                raise Refused(-2011, "Unknown order sent.")
            if only is not None and entry.status != only:
                raise Refused(-2011, "Order was not canceled due to cancel restrictions.")
            return self._end(entry)[0]

    def cancel_all(self, symbol: str) -> list[list[Entry]]:
        """Take everything of a symbol off the market: each order alone, or the orders of a list together.

        `Refused` -2011 if nothing is open.
        """
        self.instrument(symbol)
        self._catch_up()
        ended: list[list[Entry]] = []
        with self._books.transaction():
            while waiting := self._books.open_orders(symbol):
                ended.append(self._end(waiting[0]))
            if not ended:
                raise Refused(-2011, "Unknown order sent.")
        return ended

    def cancel_list(self, symbol: str, list_id: int | None, client_id: str | None) -> tuple[OrderList, list[Entry]]:
        """Take the orders of a list off the market; `Refused` -2011 if none is open."""
        self.instrument(symbol)
        self._catch_up()
        with self._books.transaction():
            known = self._books.order_list(list_id, client_id)
            legs = [] if known is None else [leg for leg in self._books.legs(known.list_id) if leg.open]
            if known is None or known.symbol != symbol or not legs:
                raise Refused(-2011, "Unknown order list sent.")
            self._end(legs[0])
            return known, self._books.legs(known.list_id)

    def _end(self, entry: Entry, status: str = "CANCELED", reason: str = "") -> list[Entry]:
        """End an open order and those in its list; the order itself comes first."""
        legs = [] if entry.list_id == ALONE else self._books.legs(entry.list_id)
        group = [entry, *(leg for leg in legs if leg.open and leg.order_id != entry.order_id)]
        now = self.clock.now()
        gone = [replace(each, status=status, reason=reason, updated=now) for each in group]
        rules = self.prices.instruments().get(entry.symbol) or self._rules[entry.symbol]
        return self._ledger.settle(rules, group, gone)[0]

    # -- questions

    def balances(self) -> Mapping[str, Balance]:
        """What the account holds, by asset."""
        self._catch_up()
        return self._books.balances()

    def order(self, symbol: str, order_id: int | None, client_id: str | None) -> Entry:
        """An order by either id; `Refused` -2013 if the books do not hold it, -2039 if the ids disagree.

        -2026 for one that ended long ago and of which nothing was executed.
        """
        self.instrument(symbol)
        now = self._catch_up()
        entry = self._books.order(symbol, order_id, client_id)
        if entry is not None:
            if not entry.open and not entry.executed and now - entry.updated > ARCHIVED:
                raise Refused(-2026, _ARCHIVED)
            return entry
        if order_id and client_id and self._books.order(symbol, order_id, None):
            raise Refused(-2039, "Client order ID is not correct for this order ID.")
        raise Refused(-2013, "Order does not exist.")

    def open_orders(self, symbol: str | None = None) -> list[Entry]:
        """Orders that can still be filled, oldest first."""
        known = symbol and self.instrument(symbol).symbol
        self._catch_up()
        return self._books.open_orders(known)

    def orders(self, wanted: Slice) -> list[Entry]:
        """Orders of a symbol, oldest first."""
        self.instrument(wanted.symbol)
        self._catch_up()
        return self._books.orders(wanted)

    def trades(self, wanted: Slice, order_id: int | None = None) -> list[Fill]:
        """Trades of a symbol, oldest first."""
        self.instrument(wanted.symbol)
        self._catch_up()
        return self._books.trades(wanted, order_id)

    def order_list(self, list_id: int | None, client_id: str | None) -> tuple[OrderList, list[Entry]]:
        """A list by either id, and its orders; `Refused` -2013 if the books do not hold it."""
        self._catch_up()
        known = self._books.order_list(list_id, client_id)
        if known is None:
            raise Refused(-2013, "Order list does not exist.")
        return known, self._books.legs(known.list_id)

    def order_lists(self, wanted: Slice) -> list[tuple[OrderList, list[Entry]]]:
        """Lists of every symbol, oldest first, and their orders."""
        self._catch_up()
        return [(each, self._books.legs(each.list_id)) for each in self._books.lists(wanted)]

    def open_lists(self) -> list[tuple[OrderList, list[Entry]]]:
        """Lists with an order that can still be filled, oldest first, and their orders."""
        self._catch_up()
        return [(each, self._books.legs(each.list_id)) for each in self._books.open_lists()]

    def executed(self) -> list[tuple[Event, Entry]]:
        """The truth: all that happened to orders until now, in order, each with its order as it is now."""
        self._catch_up()
        return self._books.log()

    def next_id(self, table: str) -> int:
        """The id that the next order ("orders") or list ("lists") gets."""
        return self._books.last_id(table) + 1


def _leg_name(prefix: str, name: str) -> str:
    """What the request calls a field of a leg; both legs share their quantity."""
    return name if name == "quantity" else prefix + name[0].upper() + name[1:]


def _entry(order: Order, proposal: Proposal, now: int, tag: Tag) -> Entry:
    return Entry(
        0, order.symbol, order.client_id, order.side, order.type, proposal.status, proposal.quantity,
        order.quote_quantity or ZERO, order.price or ZERO, order.time_in_force or "GTC", ZERO, ZERO, now, now,
        order.stop_price or ZERO, now if proposal.working else WAITS, ALONE, proposal.reason,
        tag.strategy_id, tag.strategy_type,
    )  # fmt: skip
