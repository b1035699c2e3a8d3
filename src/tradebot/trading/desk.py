"""The desk: what to buy, what to leave, and what does not add up.

Pure functions (`risk`, `positions`, `orders`) decide; the desk gathers what they look at and hands
their intents to `placement`. `monitor`, `enter` and `close` may overlap.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from itertools import chain
from typing import TypeAlias

from tradebot import config
from tradebot.clock import SECOND, Clock, Moments
from tradebot.errors import ImpossibleTransition, MarketError, TradingError
from tradebot.market.venue import ZERO, Balance, Broker, ContractBroker, Instrument
from tradebot.trading import entries
from tradebot.trading.contracts import Contracts
from tradebot.trading.facts import Intended, Judged
from tradebot.trading.halt import RELEASE, Switch, halt
from tradebot.trading.journal import Journal
from tradebot.trading.keeper import Keeper
from tradebot.trading.orders import ENTER, GUARD_STOP, Duty, Outcome, client_id, figure, quantize, refusal
from tradebot.trading.placement import VENUE_ERRORS, Placement, to_the_end
from tradebot.trading.positions import BUSY, Position, PositionEvent, PositionState
from tradebot.trading.purse import Purse
from tradebot.trading.reckoning import Reckoning, worth_by_coin
from tradebot.trading.risk import (
    ABOUT_MONEY,
    NOTHING,
    Account,
    Candidate,
    Costs,
    Outlook,
    Prediction,
    fallen,
    refused,
    sized,
)
from tradebot.trading.shortage import shortages

__all__ = ["CLOSE", "Desk", "Marks", "Outcome", "Position", "Prediction"]

CLOSE = "close"
"""The intent of an exit that a person asked for."""

Marks: TypeAlias = Mapping[str, Decimal]
"""Last price by symbol, in quote coin."""

Renew: TypeAlias = Callable[[], Awaitable[object]]

FILTER_FAILED = frozenset({-1013, -4003, -4004, -4005, -4014, -4023, -4164})
"""The venues' codes for an order that does not keep to the symbol's rules."""

_LEFT_ALONE = "; the position is left alone, and keeps its place, until they agree"


class Desk:
    """Trades `account` through `broker`. `quote` is the coin that everything is paid in.

    `renew` reads the trading rules anew into `instruments`.

    Call `reconcile` first, then `monitor` and `enter` in every cycle. Raises `JournalError` when the
    state cannot be written (nothing is sent then); trouble with the venue is in what is returned.
    """

    def __init__(  # noqa: PLR0917
        self,
        broker: Broker,
        journal: Journal,
        clock: Clock,
        settings: config.Settings,
        instruments: Mapping[str, Instrument],
        quote: str,
        account: str,
        renew: Renew | None = None,
    ) -> None:
        self.broker = broker
        self.journal = journal
        self.clock = clock
        self.settings = settings
        self.instruments = instruments
        self.quote = quote
        self.account = account
        self.doubts: list[str] = []
        """What did not add up at the last `reconcile` or `monitor`, a line each."""
        self.reckoning = Reckoning(journal, account)
        self.purse = Purse(broker, journal)
        self._name = settings.venue.name + journal.seal(account)
        self._placement = Placement(broker, journal, clock, account)
        self.switch = Switch(journal.path.parent)
        self._keeper = Keeper(self._placement, clock, settings, instruments, self.switch)
        self._contracts = Contracts(broker, journal, clock, account) if isinstance(broker, ContractBroker) else None
        self._leverage = settings.trading.leverage if self._contracts else 1
        self._renew = renew

    def positions(self) -> list[Position]:
        """What is held or under way, dust included, oldest entry first."""
        return self.journal.positions(self.account)

    @property
    def moments(self) -> Moments:
        """When orders were intended, sent and acknowledged, by client id; take them, or they stay."""
        return self._placement.moments

    def document(self, position: Position, marks: Marks) -> dict[str, object]:
        """For `positions[]`; mark and gain are null for a symbol without a mark.

        `protected` is how much of it has a stop at the venue, by the last look.
        """
        live = self.journal.live(self.account, position.id)
        stopped = sum((order.left for order in live if order.intent == GUARD_STOP and order.resting), ZERO)
        return position.document(marks.get(position.symbol)) | {"protected": figure(stopped)}

    async def reconcile(self) -> list[str]:
        """Settle what an earlier process left open; what was found, could not be settled or is in doubt.

        An intent that was never sent is abandoned. An order that was sent is looked up; while its
        outcome is not known its symbol stays blocked.
        """
        looked_up = await self._placement.resolve(self.journal.unresolved(self.account))
        unclear = [order for order in self.journal.unresolved(self.account) if not order.resting]
        told = [_told(order) for order in [*(each for each in looked_up if each.settled), *unclear]]
        self.doubts = await self._doubted()
        return told + self.doubts

    async def monitor(self, marks: Marks) -> list[Outcome]:
        """Look after every position: settle what is in doubt, leave what is due, protect the rest.

        The orders that moved. No position waits for the look-ups of another, nor does trouble with one keep
        the others from being left; it is in `doubts`. A position without a mark is left by the bot only
        when its time is over.
        """
        self.doubts = await self._doubted()
        held = {position.id: position for position in self.positions()}
        live = self.journal.unresolved(self.account)
        fine = await self._placement.unchanged(live)
        moved = await to_the_end(
            self._placement.resolve(order for order in live if order.position not in held),
            *(self._look_after(position, marks.get(position.symbol), fine) for position in held.values()),
        )
        self.doubts += [warning for _, warning in sorted(self._keeper.warnings.items())]
        if self._contracts:
            self.doubts += await self._contracts.look()
        moved += [await self._flatten(marks)]
        self._reckon(marks)
        return [order for orders in moved for order in orders]

    async def _flatten(self, marks: Marks) -> list[Outcome]:
        """Leave all that is held, if the kill switch wants that."""
        halted = self.switch.state()
        if halted is None or not halted.flatten:
            return []
        symbols = sorted({position.symbol for position in self.positions()})
        return [*chain(*await to_the_end(*(self.close(symbol, marks) for symbol in symbols)))]

    def _reckon(self, marks: Marks) -> None:
        """Bring the record up to date; a drawdown that reaches its limit pulls the kill switch.

        Where that cannot be pulled it is a doubt, and the rule of the same name goes on refusing entries.
        """
        now = self.clock.now()
        record = self.reckoning.look(now, self.positions(), marks)
        reason = fallen(record, self.settings.risk)
        if reason and self.switch.state() is None:
            try:
                self.switch.pull(halt(reason, "drawdown"))
            except TradingError as error:
                self.doubts.append(str(error))
            else:
                self.reckoning.level(now)
        self.reckoning.keep(now)

    async def _look_after(self, position: Position, mark: Decimal | None, fine: Collection[str]) -> list[Outcome]:
        try:
            return await self._keeper.look_after(position, mark, fine)
        except ImpossibleTransition as error:
            self.doubts.append(f"{position.symbol}: {error}; it stays as it is")
            return []

    async def close(self, symbol: str, marks: Marks) -> list[Outcome]:
        """Leave the open position of `symbol` at market; the orders that moved, none if there was nothing to sell."""
        held = [position for position in self.positions() if position.symbol == symbol]
        return [*chain(*[await self._keeper.leave(position, CLOSE, marks.get(symbol)) for position in held])]

    def expect(self) -> None:
        """Entries may follow soon: ask for the balances ahead, unless all places are taken or trading is halted."""
        held = sum(position.state in BUSY for position in self.positions())
        if held < self.settings.trading.max_positions and self.switch.state() is None:
            self.purse.ask()

    async def enter(
        self, predictions: Sequence[Prediction], marks: Marks, threshold: float, outlook: Outlook = NOTHING
    ) -> tuple[list[Outcome], dict[str, str]]:
        """Enter the best predictions that the rules allow, and say why not the others.

        The orders sent, whatever their outcome, and `{symbol: reason}` for every symbol of which
        nothing was bought. Probabilities below `threshold` (or NaN) are not entered.
        """
        best = sorted(predictions, key=_rank)
        if not self.purse.full:
            hopeless = self._hopeless(best, marks, self._state(None, best, marks, threshold, outlook))
            if len(hopeless) == len(best):  # as in every minute in which no bar has closed
                return [], {prediction.symbol: reason for prediction, reason in zip(best, hopeless, strict=True)}
        try:
            balances = await self.purse.balances()
        except VENUE_ERRORS as error:
            return [], {prediction.symbol: f"balances not known: {error}" for prediction in best}
        intents, skipped = self._choose(best, marks, self._state(balances, best, marks, threshold, outlook))
        done, guards = await self._carried_out(intents, marks)
        latest = {order.symbol: order for order in done}
        skipped |= {s: _told(order) for s, order in latest.items() if not order.executed and not order.resting}
        self.reckoning.keep(self.clock.now())
        return done + guards, skipped

    async def _carried_out(self, intents: Sequence[Intended], marks: Marks) -> tuple[list[Outcome], list[Outcome]]:
        """Send all entries; they, with those that were made once more, and what protects them."""
        orders = self._placement.intend(intents)
        moved = await to_the_end(*(self._bought([order], marks) for order in orders))
        entered = [*chain(*(sent for sent, _ in moved))]
        again = await self._again(entered, marks)
        return entered + again, [*chain(*(guards for _, guards in moved)), *await self._protect(again, marks)]

    async def _bought(self, orders: Sequence[Outcome], marks: Marks) -> tuple[list[Outcome], list[Outcome]]:
        """Send entries and protect what they bought, whatever others still wait for; both as they are then."""
        entered = await self._placement.send(orders)
        return entered, await self._protect(entered, marks)

    async def _again(self, done: Iterable[Outcome], marks: Marks) -> list[Outcome]:
        """Once more, by rules read anew, what the venue refused by other rules than we knew."""
        failed = [order for order in done if order.code in FILTER_FAILED]
        if not failed or self._renew is None:
            return []
        with suppress(MarketError):
            await self._renew()
        intents = [self._requantized(order, marks.get(order.symbol)) for order in failed]
        return await self._placement.place([intent for intent in intents if intent])

    def _requantized(self, order: Outcome, price: Decimal | None) -> Intended | None:
        """The entry as the present rules want it; None if that is as it was, or nothing at all."""
        position, rules = self.journal.position(self.account, order.position), self.instruments.get(order.symbol)
        if position is None or rules is None or price is None:
            return None
        quantity = quantize(rules, order.quantity, price)
        new = entries.made(self._order(position, quantity, price), rules, self.settings.trading)
        if (new.quantity, new.price) == (order.quantity, order.price) or refusal(rules, quantity, price):
            return None
        name = client_id(self._name, order.symbol, order.bar_time, ENTER, position.entries + 1)
        return Intended(replace(new, client_id=name), (position.reentering(),))

    async def _protect(self, entered: Iterable[Outcome], marks: Marks) -> list[Outcome]:
        """Protect what was bought just now, side by side."""
        names = dict.fromkeys(order.position for order in entered)
        held = [self.journal.position(self.account, name) for name in names]
        jobs = (self._keeper.protect(position, marks.get(position.symbol)) for position in held if position)
        return [order for orders in await to_the_end(*jobs) for order in orders]

    def acted(self, predictions: Sequence[Prediction]) -> frozenset[tuple[str, int]]:
        """Symbol and bar time of those whose bar was acted on already, in this process or an earlier one."""
        done = {bar: self.journal.entered(self.account, bar) for bar in {each.bar_time for each in predictions}}
        return frozenset((each.symbol, each.bar_time) for each in predictions if each.symbol in done[each.bar_time])

    def hopeful(
        self, predictions: Sequence[Prediction], marks: Marks, threshold: float, outlook: Outlook = NOTHING
    ) -> bool:
        """Whether any of these may be entered, whatever the balances are."""
        state = self._state(None, predictions, marks, threshold, outlook)
        return len(self._hopeless(predictions, marks, state)) < len(predictions)

    def _state(
        self,
        balances: Mapping[str, Balance] | None,
        predictions: Sequence[Prediction],
        marks: Marks,
        threshold: float,
        outlook: Outlook,
    ) -> Account:
        """What the rules look at, as of now; without balances there is no money."""
        purse, held = (balances or {}).get(self.quote, Balance()), self.positions()
        equity = purse.total + sum((p.worth(marks.get(p.symbol, p.entry)) for p in held), ZERO)
        now, unresolved = self.clock.now(), self.journal.unresolved(self.account)
        return Account(
            quote=self.quote,
            equity=equity,
            free=purse.free * self._leverage,
            held=frozenset(p.symbol for p in held if p.state in BUSY),
            unresolved=frozenset(o.symbol for o in unresolved if not (o.duty is Duty.GUARD and o.resting)),
            acted=self.acted(predictions),
            threshold=threshold,
            limits=self.settings.trading,
            risk=self.settings.risk,
            costs=Costs(self.settings.paper.fee, self.settings.paper.spread),
            now=now,
            worth=worth_by_coin(held, unresolved, marks),
            record=self.reckoning.look(now, held, marks, equity if balances else None),
            outlook=outlook,
            halted=f"{halted}; {RELEASE} ends that" if (halted := self.switch.state()) else "",
        )

    def _candidate(self, prediction: Prediction, marks: Marks) -> Candidate:
        symbol = prediction.symbol
        return Candidate(prediction, self.instruments.get(symbol), marks.get(symbol))

    def _hopeless(self, predictions: Iterable[Prediction], marks: Marks, account: Account) -> list[str]:
        """Reasons against those predictions that no balance could help."""
        reasons = (refused(self._candidate(each, marks), account, unasked=ABOUT_MONEY) for each in predictions)
        return [reason for reason in reasons if reason]

    def _choose(
        self, predictions: Iterable[Prediction], marks: Marks, account: Account
    ) -> tuple[list[Intended], dict[str, str]]:
        """Intents for what the rules allow, in this order, each seeing what those before it spend."""
        intents: dict[str, Intended] = {}
        skipped: dict[str, str] = {}
        held = reversed(self.positions())  # of two the older one
        dust = {(each.symbol, each.side): each for each in held if each.state is PositionState.DUST}
        for prediction in predictions:
            symbol, candidate = prediction.symbol, self._candidate(prediction, marks)
            reason = refused(candidate, account)
            if reason is None:
                intent = self._entry(candidate, sized(candidate, account), dust.get((symbol, prediction.side)))
                reason = entries.refused(intent.order, candidate.rules)
            if reason is None:
                intents[symbol] = intent
                account = account.after(candidate, intent.order.worth)
            else:
                skipped.setdefault(symbol, reason)
        return list(intents.values()), {symbol: why for symbol, why in skipped.items() if symbol not in intents}

    def _entry(self, candidate: Candidate, quantity: Decimal, dust: Position | None) -> Intended:
        """The intent to enter, taking over the symbol's `dust`."""
        prediction, limits, now = candidate.prediction, self.settings.trading, self.clock.now()
        position = Position(
            id=client_id(self._name, candidate.symbol, prediction.bar_time, ENTER, 0),
            symbol=candidate.symbol,
            base=candidate.rules.base,
            quote=candidate.rules.quote,
            side=prediction.side,
            bar_time=prediction.bar_time,
            opened=now,
            until=now + limits.max_hold_s * SECOND,
            stop_share=limits.stop_loss,
            target_share=limits.take_profit,
            contract=candidate.rules.contract,
        )
        order = entries.made(self._order(position, quantity, candidate.price), candidate.rules, limits)
        absorbed = () if dust is None else (dust.absorbed(),)
        return Intended(order, (*absorbed, position.entering(dust)))

    def _order(self, position: Position, quantity: Decimal, price: Decimal) -> Outcome:
        """The order that enters `position`."""
        return Outcome(
            client_id=position.id,
            symbol=position.symbol,
            side=position.side,
            quantity=quantity,
            price=price,
            intent=ENTER,
            bar_time=position.bar_time,
            created=self.clock.now(),
            position=position.id,
        )

    async def audit(self) -> list[str]:
        """What the venue has too little of, a line each; what was in doubt and can be sold again is open again."""
        if not self.positions():
            return []
        try:
            balances = await self.broker.balances()
        except VENUE_ERRORS as error:
            return [f"balances not known: {error}"]
        for position in self.journal.doubtful(self.account):
            rules, free = self._keeper.rules(position), position.there(balances).free
            quantity = quantize(rules, min(position.quantity, free), position.entry)
            if not refusal(rules, quantity, position.entry):
                self._placement.record(Judged(position.id, PositionEvent.HELD))
        alone = {position.asset for position in self.positions() if position.state is PositionState.IN_DOUBT}
        short = shortages(self.positions(), balances)
        return [f"{each}{_LEFT_ALONE if asset in alone else ''}" for asset, each in short.items()]

    async def _doubted(self) -> list[str]:
        """What keeps positions in doubt; of all else the venue has too little of, the reconciliation tells."""
        return await self.audit() if self.journal.doubtful(self.account) else []


def _rank(prediction: Prediction) -> tuple[float, str]:
    """Best probability first, NaN last, ties by name."""
    probability = prediction.probability
    return (-probability if probability >= 0 else 1.0, prediction.symbol)


def _told(order: Outcome) -> str:
    """An order in words."""
    return f"{order.symbol}: {order.intent} {order.state}" + (f" ({order.reason})" if order.reason else "")
