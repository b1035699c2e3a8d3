"""The keeper: looks after one position at a time, from its first fill to its last.

What should happen is decided by pure functions (`exits`, `protection`, `entries`); the keeper asks the
venue what is, has `placement` bring about what should be, and does one thing at a time with each
symbol. Positions wait for themselves only, never for another's look-ups.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

from tradebot.clock import SECOND, Clock, monotonic_ms
from tradebot.config import Settings
from tradebot.market.venue import ZERO, Balance, Instrument, OrderType
from tradebot.trading import entries, exits, protection
from tradebot.trading.exits import Exit
from tradebot.trading.facts import Intended, Judged, Watched
from tradebot.trading.halt import Switch
from tradebot.trading.journal import Journal
from tradebot.trading.orders import ENTER, GUARD_TARGET, NOTIONAL_MARGIN, Duty, Outcome, client_id, quantize, refusal
from tradebot.trading.placement import VENUE_ERRORS, Placement
from tradebot.trading.positions import Position, PositionEvent, PositionState

BARE_MS = 5 * SECOND
"""Real ms without protection, while it is changed, that are worth a warning."""

_GUARDED = frozenset({PositionState.OPEN, PositionState.ENTERING})


class Keeper:
    """Keeps the positions of one account. `warnings` holds what is amiss with whom, by symbol, as of now."""

    def __init__(
        self,
        placement: Placement,
        clock: Clock,
        settings: Settings,
        instruments: Mapping[str, Instrument],
        switch: Switch,
    ) -> None:
        self.warnings: dict[str, str] = {}
        self._placement = placement
        self._journal: Journal = placement.journal
        self._clock = clock
        self._venue = settings.venue.name + placement.journal.seal(placement.account)
        self._trading = settings.trading
        self._instruments = instruments
        self._switch = switch
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def rules(self, position: Position) -> Instrument:
        """The rules for leaving it: none of a symbol that is no longer listed, no least worth of a contract."""
        found = self._listed(position)
        return replace(found, min_notional=ZERO) if position.contract else found

    def _listed(self, position: Position) -> Instrument:
        bare = Instrument(position.symbol, position.base, position.quote)
        return self._instruments.get(position.symbol, bare)

    async def look_after(self, held: Position, mark: Decimal | None, fine: Collection[str] = ()) -> list[Outcome]:
        """Look up its orders but those of `fine`, then leave it or see that it is protected; the orders that moved."""
        async with self._locks[held.symbol]:
            self.warnings.pop(held.symbol, None)
            moved = await self._placement.resolve(order for order in self._live(held) if order.client_id not in fine)
            self.judge(held, mark)
            moved += await self._enter_on(held, mark)
            self._watch(held, mark)
            if leave := self._due(held, mark):
                moved += await self._leave(held, leave, mark)
            self.judge(held, mark)
            if leave is None or self._may_wait(leave):
                moved += await self._guard(held, mark, leave)
            self.judge(held, mark)
            return moved

    async def protect(self, held: Position, mark: Decimal | None) -> list[Outcome]:
        """See that it is protected, right after its entry was sent; the orders that moved."""
        async with self._locks[held.symbol]:
            self.judge(held, mark)
            moved = await self._guard(held, mark, None)
            self.judge(held, mark)
            return moved

    async def leave(self, held: Position, reason: str, mark: Decimal | None) -> list[Outcome]:
        """Leave it at market, whatever the price; what of it could not be sold is protected. The orders that moved."""
        async with self._locks[held.symbol]:
            now = self._now(held)
            if now.state not in _GUARDED:
                return []
            leave = Exit(reason, now.quantity)
            moved = await self._leave(held, leave, mark)
            self.judge(held, mark)
            return moved + await self._guard(held, mark, leave)

    def judge(self, held: Position, mark: Decimal | None) -> None:
        """Call what is too little to sell dust, and dust that has become enough open again."""
        position, rules = self._now(held), self.rules(held)
        price = position.entry if mark is None else mark
        quantity = quantize(rules, position.quantity, price)
        if position.state is PositionState.OPEN and refusal(rules, quantity, price) and not self._live(held):
            self._placement.record(Judged(position.id, PositionEvent.SHRINK))
        elif position.state is PositionState.DUST and mark and not refusal(rules, quantity, mark, NOTIONAL_MARGIN):
            self._placement.record(Judged(position.id, PositionEvent.GROW))

    # -- what is

    def _now(self, held: Position) -> Position:
        """The position as the journal has it."""
        return self._journal.position(self._placement.account, held.id) or held

    def _live(self, held: Position, duty: Duty | None = None) -> list[Outcome]:
        """Its orders that something can still come of, of all duties or one."""
        orders = self._journal.live(self._placement.account, held.id)
        return [order for order in orders if duty in {None, order.duty}]

    def _tries(self, held: Position, duty: Duty) -> list[Outcome]:
        """All its orders of a duty, oldest first."""
        orders = self._journal.orders_of(self._placement.account, held.id)
        return [order for order in orders if order.duty is duty]

    def _due(self, held: Position, mark: Decimal | None) -> Exit | None:
        position = self._now(held)
        kept = any(order.intent == GUARD_TARGET and order.resting for order in self._live(held, Duty.GUARD))
        return exits.due(position, mark, self._clock.now(), self.rules(held), self._trading, target=not kept)

    def _watch(self, held: Position, mark: Decimal | None) -> None:
        if seen := exits.watched(self._now(held), mark, self._trading):
            self._placement.record(Watched(held.id, *seen))

    # -- entries

    async def _enter_on(self, held: Position, mark: Decimal | None) -> list[Outcome]:
        """End a limit entry whose time is over or that is no longer wanted, or have it follow the price."""
        position = self._now(held)
        waiting = [order for order in self._live(held, Duty.ENTRY) if order.type is OrderType.LIMIT]
        if not waiting or position.state is not PositionState.ENTERING:
            return []
        unwanted = self._switch.state() is not None
        if not (unwanted or entries.expired(position, self._clock.now(), self._trading) or self._following(held, mark)):
            return []
        moved = await self._placement.recall(waiting)
        if unwanted or any(not order.settled for order in moved) or (order := self._following(held, mark)) is None:
            return moved
        position = self._now(held)
        name = client_id(self._venue, position.symbol, position.bar_time, ENTER, position.entries + 1)
        order = replace(order, client_id=name)
        return moved + await self._placement.place([Intended(order, (position.reentering(),))])

    def _following(self, held: Position, mark: Decimal | None) -> Outcome | None:
        tries, rules = self._tries(held, Duty.ENTRY), self._listed(held)
        return entries.following(tries, self._now(held), rules, self._trading, mark=mark, now=self._clock.now())

    # -- exits

    def _may_wait(self, leave: Exit) -> bool:
        """Whether the venue would take what protects the rest of an exit: not at a stop or target that was reached."""
        return leave.reason in {exits.LADDER, exits.TIME} or bool(
            leave.reason == exits.TAKE_PROFIT and self._trading.trail
        )

    async def _leave(self, held: Position, leave: Exit, mark: Decimal | None) -> list[Outcome]:
        """Take back what waits at the venue, count what it executed, and sell what is then left to be sold.

        Balances that cannot be read do not keep us from trying.
        """
        moved = await self._cleared(held, self._live(held))
        if moved is None:
            return []
        balances: Mapping[str, Balance] | None = None
        with suppress(*VENUE_ERRORS):
            balances = await self._placement.broker.balances()
        position = self._now(held)
        if position.state is not PositionState.OPEN:
            return moved
        plan = self._sale(position, leave, mark, balances)
        if isinstance(plan, Intended):
            return moved + await self._placement.place([plan])
        if plan is not None:
            self._placement.record(plan)
        return moved

    def _sale(
        self, position: Position, leave: Exit, mark: Decimal | None, balances: Mapping[str, Balance] | None
    ) -> Intended | Judged | None:
        """The intent to leave, for no more than is there; doubt if the account has too little to sell.

        None if it is the position that is too little.
        """
        rules, price = self.rules(position), position.entry if mark is None else mark
        ours = min(leave.quantity, position.quantity)
        if refusal(rules, quantize(rules, ours, price), price):
            return None
        there = ours if balances is None else min(ours, position.there(balances).free)
        quantity = quantize(rules, there, price)
        if refusal(rules, quantity, price):
            return Judged(position.id, PositionEvent.DOUBT)
        order = Outcome(
            client_id=client_id(self._venue, position.symbol, position.bar_time, leave.reason, position.exits),
            symbol=position.symbol,
            side=position.side.opposite,
            quantity=quantity,
            price=price,
            intent=leave.reason,
            bar_time=position.bar_time,
            created=self._clock.now(),
            position=position.id,
        )
        return Intended(order, (position.exiting(),))

    async def _cleared(self, held: Position, orders: Iterable[Outcome]) -> list[Outcome] | None:
        """Take back these orders; those that were, or None if any may still be filled."""
        waiting = list(orders)
        if not waiting:
            return []
        moved = await self._placement.recall(waiting)
        if {order.client_id for order in waiting} == {order.client_id for order in moved if order.settled}:
            return moved
        self.warnings[held.symbol] = f"{held.symbol}: what waits at the venue could not be taken back yet"
        return None

    # -- protection

    async def _guard(self, held: Position, mark: Decimal | None, left: Exit | None) -> list[Outcome]:
        """Have just the right orders wait at the venue, or say why the bot must watch.

        Where the market is past their prices already the position is left, unless that was tried just now.
        """
        live = self._live(held, Duty.GUARD)
        limited = any(order.type is OrderType.STOP_LOSS_LIMIT for order in live)
        if protection.stands(self._wanted(held, mark, limited=limited), live):
            return []
        started = monotonic_ms()
        moved = await self._cleared(held, live)
        if moved is None:
            return []
        if left is None and (leave := self._due(held, mark)):
            moved += await self._leave(held, leave, mark)
            return moved + (await self._guard(held, mark, leave) if self._may_wait(leave) else [])
        placed = await self._protected(held, mark)
        if live:
            self._warn_bare(held, monotonic_ms() - started)
        if left is None and protection.beyond(placed):
            placed += await self._leave(held, Exit(exits.STOP_LOSS, self._now(held).quantity), mark)
        return moved + placed

    def _wanted(self, held: Position, mark: Decimal | None, *, limited: bool) -> protection.Shield | str | None:
        """How the position is to be protected, why it cannot be, or None if it is not to be."""
        position = self._now(held)
        if self._trading.protect != "venue" or position.state not in _GUARDED or position.quantity <= 0:
            return None
        return protection.wanted(position, self.rules(held), self._trading, mark, limited=limited)

    async def _protected(self, held: Position, mark: Decimal | None) -> list[Outcome]:
        """Place what protects the position, nothing of which waits now; the orders, none if it cannot be or not yet."""
        tried, placed = self._tries(held, Duty.GUARD), list[Outcome]()
        guard = self._wanted(held, mark, limited=protection.needs_limit(tried))
        if isinstance(guard, protection.Shield):
            if self._clock.now() < protection.again_at(tried):
                placed, guard = [], tried[-1].reason
            else:
                placed = await self._placed(held, guard)
                if protection.needs_limit(placed) and not protection.needs_limit(tried):
                    return placed + await self._protected(held, mark)
                guard = next((order.reason for order in placed if not order.resting and not order.executed), None)
        if guard is not None and not protection.beyond(placed):
            self.warnings[held.symbol] = f"{held.symbol}: no stop at the venue ({guard}); the bot watches the price"
        return placed

    async def _placed(self, held: Position, shield: protection.Shield) -> list[Outcome]:
        position = self._now(held)
        after = position.guarding()
        orders = protection.orders(position, shield, self._venue, self._clock.now())
        return await self._placement.place([Intended(order, (after,)) for order in orders])

    def _warn_bare(self, held: Position, ms: float) -> None:
        """Warn of a position that was long (real ms) without protection while it was changed."""
        if ms > BARE_MS:
            self.warnings[held.symbol] = f"{held.symbol}: without a stop at the venue for {ms / SECOND:.1f} s"
