"""Reconciliation: orders, trades and balances of the venue against the journal.

What is not in the journal is somebody else's (a person, another bot, another data folder): it is
reported, left alone, and its symbol not entered. A coin of which the venue has less than the journal
is a doubt, unless trades of others explain it; while there is one, nothing at all is entered. More
than the journal has is no doubt: an account may hold coins that are not the bot's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from tradebot.clock import DAY, HOUR, SECOND, Clock
from tradebot.errors import TradingError
from tradebot.market.venue import ZERO, Balance, Broker, Fill, Instrument, OrderReport, Side
from tradebot.trading.facts import Audited, Released, Wiped
from tradebot.trading.journal import Journal
from tradebot.trading.orders import Moved, OrderEvent, OrderState, Outcome, figure
from tradebot.trading.placement import VENUE_ERRORS
from tradebot.trading.positions import Position, PositionState
from tradebot.trading.shortage import Shortage, by_asset, shortages

LOOK_BACK = DAY
"""Venue ms for which trades of others count."""

SURE_AFTER = HOUR
"""Venue ms after which a venue that does not know an order is believed."""

AGAIN_MS = 30 * SECOND
"""Venue ms until the next comparison where one could not be made or left something unsettled: each weighs 100."""

AT_ONCE = 10
"""Symbols whose trades are asked for in one comparison: each weighs as much as all balances."""

OURS = "tb-"
"""What the client ids of every tradebot begin with."""


class Reconciliation:
    """Compares an account with its journal, at the start and every `every_s` venue seconds.

    `findings` are of the last comparison; until there was one, nothing may be entered.
    """

    def __init__(
        self,
        broker: Broker,
        journal: Journal,
        clock: Clock,
        account: str,
        *,
        instruments: Mapping[str, Instrument],
        every_s: int,
    ) -> None:
        self.broker, self.journal, self.clock, self.account = broker, journal, clock, account
        self.instruments = instruments
        self.findings: Audited | None = None
        self._every = every_s * SECOND
        self._due = 0
        self._told = Audited({}, ())
        self._trouble = "not compared with the venue yet"
        self._short: dict[str, Decimal] = {}
        self._searched: dict[str, tuple[Decimal, int]] = {}
        self._traded: dict[str, str] = {}

    @property
    def due(self) -> bool:
        """Whether it is time for the next comparison."""
        return self.clock.now() >= self._due

    def urgent(self, longest: int) -> bool:
        """Whether it is due and there was none yet, or it has been due for the `longest` venue ms that it may."""
        return self.due and (self.findings is None or self.clock.now() - self._due >= longest)

    @property
    def external(self) -> list[dict[str, str]]:
        """For `external[]`: symbols that somebody else trades."""
        found = self.findings.external if self.findings else {}
        return [{"symbol": symbol, "reason": why} for symbol, why in sorted(found.items())]

    def refusal(self, symbol: str) -> str | None:
        """Why nothing may be entered, or not in this symbol; None if it may."""
        if self.findings is None:
            return f"exits only: {self._trouble}"
        if self.findings.doubts:
            return f"exits only: {self.findings.doubts[0]}"
        return self.findings.external.get(symbol)

    async def compare(self, universe: Iterable[str]) -> list[str]:
        """Compare now; what is new, a line each. `universe` are the symbols that may be entered.

        A venue that does not answer is told and asked again soon. Raises `JournalError`.
        """
        before = self._positions()
        try:
            orders, balances = await asyncio.gather(self.broker.open_orders(), self.broker.balances())
            external = {order.symbol: _described(order) for order in orders if self._is_foreign(order)}
            short, unclear = self._shortages(before, balances)
            traded = await self._traded_by_others(short, universe, balances, before)
        except VENUE_ERRORS as error:
            self._due = self.clock.now() + AGAIN_MS
            self._trouble = f"the account could not be compared with the journal: {error}"
            return [self._trouble]
        lacking = [str(each) for each in short if not each.symbols & traded.keys()]
        doubtful = self.journal.doubtful(self.account)
        doubts = (*lacking, *(f"{each.symbol}: in doubt, the venue had too little to sell" for each in doubtful))
        self._due = self.clock.now() + (min(AGAIN_MS, self._every) if unclear or doubts else self._every)
        return self._found(Audited({**traded, **external}, doubts))

    def _found(self, findings: Audited) -> list[str]:
        """Keep the findings; the lines that were not there before."""
        old = self._told
        self.findings = findings
        if findings != self.journal.audit(self.account):
            self.journal.record(self.account, self.clock.now(), findings)
        self._told = findings
        new = {symbol: why for symbol, why in findings.external.items() if old.external.get(symbol) != why}
        over = [f"{symbol}: no longer left alone" for symbol in old.external if symbol not in findings.external]
        return [
            *(f"{symbol}: {why}; left alone, and not entered" for symbol, why in new.items()),
            *(f"{doubt}; no entries until that is settled" for doubt in findings.doubts if doubt not in old.doubts),
            *over,
        ]

    def _is_foreign(self, order: OrderReport) -> bool:
        known = self.journal.known(self.account, [order.client_id])
        return not known and order.order_id not in {each.order_id for each in self.journal.unresolved(self.account)}

    def _positions(self) -> list[Position]:
        return self.journal.positions(self.account)

    def _shortages(self, before: Iterable[Position], balances: Mapping[str, Balance]) -> tuple[list[Shortage], bool]:
        """What the venue has too little of, by what was held `before` it was asked and is now; and if more is unclear.

        With an order under way the venue may know of a fill that the journal does not: only what is short
        twice in a row by the same amount is short.
        """
        moving = {order.symbol for order in self.journal.unresolved(self.account)}
        earlier, now = shortages(before, balances), shortages(self._positions(), balances)
        short = [replace(now[it], ours=min(earlier[it].ours, now[it].ours)) for it in now if it in earlier]
        sure = [each for each in short if self._short.get(each.asset) == each.lacking or not moving & each.symbols]
        self._short = {each.asset: each.lacking for each in short}
        return sure, len(sure) < len(short)

    async def _traded_by_others(
        self,
        short: Iterable[Shortage],
        universe: Iterable[str],
        balances: Mapping[str, Balance],
        before: Collection[Position],
    ) -> dict[str, str]:
        """Symbols whose difference trades of others explain: what is short, or held beyond what is ours.

        Trades are asked for again where the difference is another one than before, and else every hour. What we
        trade meanwhile is left to the next comparison.
        """
        lacking, moving = {each.asset: each for each in short}, self._moving(before)
        found = self._differences(lacking, universe, balances)
        differences = {symbol: size for symbol, size in found.items() if symbol not in moving}
        hour = self.clock.now() // HOUR
        seen = {symbol: (size, hour) for symbol, size in differences.items()}
        self._traded = {symbol: why for symbol, why in self._traded.items() if symbol in seen.keys() | moving}
        self._searched = {symbol: size for symbol, size in self._searched.items() if symbol in seen}
        changed = [symbol for symbol in sorted(seen) if self._searched.get(symbol) != seen[symbol]]
        for symbol in changed[:AT_ONCE]:
            why = await self._made_by(symbol, differences[symbol], lacking)
            if symbol in self._moving(before):
                continue
            self._traded.pop(symbol, None)
            if why:
                self._traded[symbol] = why
            self._searched[symbol] = seen[symbol]
        return dict(self._traded)

    def _moving(self, before: Collection[Position]) -> set[str]:
        """Symbols of which we have traded since `before`, or have an order without an answer.

        Its trades would look like those of others.
        """
        nameless = {order.symbol for order in self.journal.unresolved(self.account) if order.order_id is None}
        return nameless | {each.symbol for each in {*before} ^ {*self._positions()}}

    def _differences(
        self, short: Mapping[str, Shortage], universe: Iterable[str], balances: Mapping[str, Balance]
    ) -> dict[str, Decimal]:
        """How much more (less: negative) than ours there is, where that is not nothing, by symbol."""
        ours = {
            asset: sum((p.sign * p.quantity for p in held), ZERO) for asset, held in by_asset(self._positions()).items()
        }
        listed = {*universe}.union(*(each.symbols for each in short.values())) & self.instruments.keys()
        found = {}
        for symbol in listed:
            rules = self.instruments[symbol]
            beyond = balances.get(rules.asset, Balance()).total - ours.get(rules.asset, ZERO)
            if beyond <= -rules.step or beyond >= max(rules.min_quantity, rules.step) or rules.asset in short:
                found[symbol] = beyond
        return found

    async def release(self, symbol: str) -> list[str]:
        """Believe the venue, by a person's word: what it does not have is written off, lost orders are given up.

        What was done, a line each. `TradingError` if the venue knows an order that would have to be given
        up, or if nothing of `symbol` is held; one of `VENUE_ERRORS` if it does not answer.
        """
        if not self._of(symbol):
            raise TradingError(f"{symbol}: nothing is held, so there is nothing to release")
        balances = await self.broker.balances()
        lines = []
        for position in self._of(symbol):
            if position.state is not PositionState.IN_DOUBT and self._there(position, balances) >= position.quantity:
                lines.append(f"{symbol}: the venue has all of {figure(position.quantity)} {position.base}")
                continue
            lines += [await self._give_up(order) for order in self.journal.live(self.account, position.id)]
            lines += [self._write_off(each, balances) for each in self._of(symbol) if each.id == position.id]
        self._due = 0
        return lines

    async def made_anew(self) -> bool:
        """Whether the venue has forgotten what it executed for us, as a testnet that was wiped; asked of one old order.

        Both the order and its trades must be unknown to it. One of `VENUE_ERRORS` if it does not answer.
        """
        old = self.journal.executed(self.account, self.clock.now() - SURE_AFTER)
        if old is None or await self.broker.order(old.symbol, old.client_id) is not None:
            return False
        trades = await self.broker.trades(old.symbol, old.created - SECOND)
        return not any(trade.order_id == old.order_id for trade in trades)

    async def begin_anew(self) -> list[str]:
        """Take the account for a new one, by a person's word: all that was held is written off; a line each."""
        lines = ["the venue made this account anew: its trades are numbered from the beginning again"]
        lines += [await self._give_up(order) for order in self.journal.unresolved(self.account)]
        lines += [self._write_off(position, {}) for position in self._positions()]
        self.journal.record(self.account, self.clock.now(), Wiped())
        self._due = 0
        return lines

    def _of(self, symbol: str) -> list[Position]:
        return [position for position in self._positions() if position.symbol == symbol]

    def _there(self, position: Position, balances: Mapping[str, Balance]) -> Decimal:
        """What the venue has of a position's coin, beyond what belongs to others of ours."""
        others = sum((p.quantity for p in by_asset(self._positions())[position.asset] if p.id != position.id), ZERO)
        return max(ZERO, position.there(balances).total - others)

    def _write_off(self, position: Position, balances: Mapping[str, Balance]) -> str:
        there = self._there(position, balances)
        left = min(position.quantity, there)
        cost = position.cost - position.released(left).cost
        self.journal.record(self.account, self.clock.now(), Released(position.id, left, cost))
        return (
            f"{position.symbol}: {figure(position.quantity)} {position.base} by the journal, {figure(there)} by the "
            f"venue; {figure(position.quantity - left)} written off, {figure(left)} kept"
        )

    async def _give_up(self, order: Outcome) -> str:
        """An order that the venue does not know is taken for one that is no more."""
        if await self.broker.order(order.symbol, order.client_id) is not None:
            raise TradingError(
                f"{order.symbol}: the venue knows order {order.client_id}; close the position, or cancel it there first"
            )
        reason = "given up by a person"
        doubted = [] if order.state is OrderState.UNKNOWN else [Moved(order.client_id, OrderEvent.DOUBT, reason)]
        absent = Moved(order.client_id, OrderEvent.ABSENT, reason)
        self.journal.record(self.account, self.clock.now(), *doubted, absent)
        return f"{order.symbol}: order {order.client_id}, which the venue does not know, is given up"

    async def _foreign_fills(self, symbol: str) -> list[Fill]:
        trades = await self.broker.trades(symbol, self.clock.now() - LOOK_BACK)
        booked = self.journal.booked(self.account, symbol)
        mine = {order.order_id for order in self.journal.unresolved(self.account)}
        return [trade for trade in trades if trade.trade_id not in booked and trade.order_id not in mine]

    async def _made_by(self, symbol: str, difference: Decimal, short: Collection[str]) -> str | None:
        """Who made a difference, if that can be seen; of a contract more than ours is never ours."""
        found = self._explained(symbol, await self._foreign_fills(symbol), difference)
        if found is None and self.instruments[symbol].contract and symbol not in short:
            return f"a position of {figure(difference)} that is not ours"
        return found

    def _explained(self, symbol: str, fills: list[Fill], difference: Decimal) -> str | None:
        """What others have done, if it goes the way of the difference and as far."""
        base = self.instruments[symbol].base
        net = sum((_signed(fill, base) for fill in fills), ZERO)
        if not net or (difference < 0 and net > difference) or (difference > 0 and net <= 0):
            return None
        word = "bought" if net > 0 else "sold"
        return f"{figure(abs(net))} {base} {word} by somebody else within a day"


def _signed(fill: Fill, base: str) -> Decimal:
    """What a fill did to the base coin."""
    fee = fill.fee if fill.fee_asset == base else ZERO
    return (fill.quantity if fill.side is Side.BUY else -fill.quantity) - fee


def _described(order: OrderReport) -> str:
    """An order that is not ours, in words."""
    who = "another tradebot" if order.client_id.startswith(OURS) else "somebody else"
    left = figure(order.quantity - order.executed)
    return f"an open order of {who} ({order.side} {left}, {order.type}, {order.client_id})"
