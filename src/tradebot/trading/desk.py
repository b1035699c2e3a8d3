"""The desk: what to buy, what to leave, and what does not add up.

Pure functions (`risk`, `positions`, `orders`) decide; the desk gathers what they look at and hands
their intents to `placement`. `monitor`, `enter` and `close` may overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import TypeAlias

from tradebot import config
from tradebot.clock import SECOND, Clock
from tradebot.market.venue import ZERO, Balance, Broker, Instrument
from tradebot.trading.journal import Fact, Intended, Journal, Judged
from tradebot.trading.orders import ENTER, NOTIONAL_MARGIN, Outcome, client_id, figure, quantize, refusal
from tradebot.trading.placement import VENUE_ERRORS, Placement, to_the_end
from tradebot.trading.positions import BUSY, Position, PositionEvent, PositionState, exit_reason
from tradebot.trading.risk import ABOUT_MONEY, Account, Candidate, Prediction, refused, sized

__all__ = ["CLOSE", "Desk", "Marks", "Outcome", "Position", "Prediction"]

CLOSE = "close"
"""The intent of an exit that a person asked for."""

Marks: TypeAlias = Mapping[str, Decimal]
"""Last price by symbol, in quote coin."""


_LEFT_ALONE = "; the position is left alone, and keeps its place, until they agree"


class Desk:
    """Trades `account` through `broker`. `quote` is the coin that everything is paid in.

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
        self._placement = Placement(broker, journal, clock, account)

    def positions(self) -> list[Position]:
        """What is held or under way, dust included, oldest entry first."""
        return self.journal.positions(self.account)

    def document(self, position: Position, marks: Marks) -> dict[str, object]:
        """For `positions[]`; mark and gain are null for a symbol without a mark."""
        return position.document(marks.get(position.symbol))

    async def reconcile(self) -> list[str]:
        """Settle what an earlier process left open; what was found, could not be settled or does not add up.

        An intent that was never sent is abandoned. An order that was sent is looked up; while its
        outcome is not known its symbol stays blocked.
        """
        resolved = [order for order in await self._placement.resolve() if order.settled]
        told = [_told(order) for order in [*resolved, *self.journal.unresolved(self.account)]]
        self.doubts = await self._audit()
        return told + self.doubts

    async def monitor(self, marks: Marks) -> list[Outcome]:
        """Settle what is in doubt and leave what has reached its stop, target or time; the orders that moved.

        Exits do not wait for the look-ups of other symbols. A position without a mark is left only
        when its time is over.
        """
        self.doubts = await self._audit() if self._doubtful() else []
        self._tidy(marks)
        resolved, exits = await to_the_end(self._placement.resolve(), self._exit(self._due(marks), marks))
        settled = {order.symbol for order in resolved if order.settled}
        self._tidy(marks)
        exits += await self._exit(self._due(marks, settled), marks)
        self._tidy(marks)
        return resolved + exits

    async def close(self, symbol: str, marks: Marks) -> list[Outcome]:
        """Leave the open position of `symbol` at market; the orders sent, none if there was nothing to sell."""
        due = {p.id: CLOSE for p in self.positions() if p.symbol == symbol and p.state is PositionState.OPEN}
        done = await self._exit(due, marks)
        self._tidy(marks)
        return done

    async def enter(
        self, predictions: Sequence[Prediction], marks: Marks, threshold: float
    ) -> tuple[list[Outcome], dict[str, str]]:
        """Enter the best predictions that the rules allow, and say why not the others.

        The orders sent, whatever their outcome, and `{symbol: reason}` for every symbol of which
        nothing was bought. Probabilities below `threshold` (or NaN) are not entered.
        """
        best = sorted(predictions, key=_rank)
        hopeless = self._hopeless(best, marks, self._state({}, best, marks, threshold))
        if len(hopeless) == len(best):  # as in every minute in which no bar has closed
            return [], {prediction.symbol: reason for prediction, reason in zip(best, hopeless, strict=True)}
        try:
            balances = await self.broker.balances()
        except VENUE_ERRORS as error:
            return [], {prediction.symbol: f"balances not known: {error}" for prediction in best}
        intents, skipped = self._choose(best, marks, self._state(balances, best, marks, threshold))
        done = await self._placement.place(intents)
        self._tidy(marks)
        return done, skipped | {order.symbol: _told(order) for order in done if not order.executed}

    def hopeful(self, predictions: Sequence[Prediction], marks: Marks, threshold: float) -> bool:
        """Whether any of these may be entered, whatever the balances are."""
        return len(self._hopeless(predictions, marks, self._state({}, predictions, marks, threshold))) < len(
            predictions
        )

    def _entry_id(self, prediction: Prediction) -> str:
        return client_id(self.settings.venue.name, prediction.symbol, prediction.bar_time, ENTER, 0)

    def _state(
        self, balances: Mapping[str, Balance], predictions: Iterable[Prediction], marks: Marks, threshold: float
    ) -> Account:
        """What the rules look at, as of now."""
        purse, held = balances.get(self.quote, Balance()), self.positions()
        return Account(
            quote=self.quote,
            equity=purse.total + sum((p.quantity * marks.get(p.symbol, p.entry) for p in held), ZERO),
            free=purse.free,
            held=frozenset(p.symbol for p in held if p.state in BUSY),
            unresolved=frozenset(order.symbol for order in self.journal.unresolved(self.account)),
            acted=self.journal.known(self.account, [self._entry_id(p) for p in predictions]),
            threshold=threshold,
            limits=self.settings.trading,
        )

    def _candidate(self, prediction: Prediction, marks: Marks) -> Candidate:
        symbol = prediction.symbol
        return Candidate(prediction, self._entry_id(prediction), self.instruments.get(symbol), marks.get(symbol))

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
        for prediction in predictions:
            symbol, candidate = prediction.symbol, self._candidate(prediction, marks)
            reason = refused(candidate, account)
            if reason is None:
                intents[symbol] = self._entry(candidate, sized(candidate, account))
                account = account.after(symbol, intents[symbol].order.worth)
            else:
                skipped.setdefault(symbol, reason)
        return list(intents.values()), {symbol: why for symbol, why in skipped.items() if symbol not in intents}

    def _entry(self, candidate: Candidate, quantity: Decimal) -> Intended:
        """The intent to enter, taking over what dust there is of the symbol."""
        prediction, limits, now = candidate.prediction, self.settings.trading, self.clock.now()
        position = Position(
            id=candidate.client_id,
            symbol=candidate.symbol,
            base=candidate.rules.base,
            quote=candidate.rules.quote,
            side=prediction.side,
            bar_time=prediction.bar_time,
            opened=now,
            until=now + limits.max_hold_s * SECOND,
            stop_share=limits.stop_loss,
            target_share=limits.take_profit,
        )
        order = self._intent(position, ENTER, quantity, candidate.price)
        for dust in self.positions():
            if dust.symbol == position.symbol and dust.state is PositionState.DUST:
                return Intended(order, (dust.absorbed(), position.entering(dust)))
        return Intended(order, (position.entering(),))

    def _intent(self, position: Position, intent: str, quantity: Decimal, price: Decimal) -> Outcome:
        """The order that enters `position`, or leaves it for the reason `intent`."""
        enters, venue = intent == ENTER, self.settings.venue.name
        leaving = client_id(venue, position.symbol, position.bar_time, intent, position.exits)
        return Outcome(
            client_id=position.id if enters else leaving,
            symbol=position.symbol,
            side=position.side if enters else position.side.opposite,
            quantity=quantity,
            price=price,
            intent=intent,
            bar_time=position.bar_time,
            created=self.clock.now(),
            position=position.id,
        )

    def _due(self, marks: Marks, only: Iterable[str] | None = None) -> dict[str, str]:
        """`{position id: reason}` of what is to be left now, of all symbols or `only` these."""
        now = self.clock.now()
        reasons = {
            p.id: exit_reason(p, marks.get(p.symbol), now) for p in self.positions() if only is None or p.symbol in only
        }
        return {identity: reason for identity, reason in reasons.items() if reason}

    async def _exit(self, due: Mapping[str, str], marks: Marks) -> list[Outcome]:
        """Leave these positions at market. Balances that cannot be read do not keep us from trying."""
        if not due:
            return []
        balances: Mapping[str, Balance] | None = None
        with suppress(*VENUE_ERRORS):
            balances = await self.broker.balances()
        # Looked at again, since meanwhile somebody else may have left them.
        still = [p for p in self.positions() if p.id in due and p.state is PositionState.OPEN]
        plans = [self._sale(position, due[position.id], marks, balances) for position in still]
        self._placement.record(*(plan for plan in plans if isinstance(plan, Judged)))
        return await self._placement.place([plan for plan in plans if isinstance(plan, Intended)])

    def _sale(
        self, position: Position, reason: str, marks: Marks, balances: Mapping[str, Balance] | None
    ) -> Intended | Judged:
        """The intent to leave, for no more than is there; doubt if the account has too little to sell."""
        rules, mark = self._rules(position), marks.get(position.symbol, position.entry)
        quantity = quantize(rules, _there(position, balances), mark)
        if refusal(rules, quantity, mark):
            return Judged(position.id, PositionEvent.DOUBT)
        order = self._intent(position, reason, quantity, mark)
        return Intended(order, (position.exiting(),))

    def _rules(self, position: Position) -> Instrument:
        """Its trading rules; a symbol that is no longer listed has none."""
        bare = Instrument(position.symbol, position.base, position.quote)
        return self.instruments.get(position.symbol, bare)

    def _tidy(self, marks: Marks) -> None:
        """Mark what is too little to sell as dust, and dust that has become enough as open again."""
        facts: list[Fact] = []
        for position in self.positions():
            rules, mark = self._rules(position), marks.get(position.symbol)
            price = position.entry if mark is None else mark
            quantity = quantize(rules, position.quantity, price)
            if position.state is PositionState.OPEN and refusal(rules, quantity, price):
                facts.append(Judged(position.id, PositionEvent.SHRINK))
            elif position.state is PositionState.DUST and mark and not refusal(rules, quantity, mark, NOTIONAL_MARGIN):
                facts.append(Judged(position.id, PositionEvent.GROW))
        self._placement.record(*facts)

    def _doubtful(self) -> list[Position]:
        """Positions in doubt for another reason than an order."""
        unresolved = {order.position for order in self.journal.unresolved(self.account)}
        return [p for p in self.positions() if p.state is PositionState.IN_DOUBT and p.id not in unresolved]

    async def _audit(self) -> list[str]:
        """Compare what is held with the venue's balances; positions that can be sold again are open again."""
        if not self.positions():
            return []
        try:
            balances = await self.broker.balances()
        except VENUE_ERRORS as error:
            return [f"balances not known: {error}"]
        for position in self._doubtful():
            rules = self._rules(position)
            if not refusal(rules, quantize(rules, _there(position, balances), position.entry), position.entry):
                self._placement.record(Judged(position.id, PositionEvent.HELD))
        return [
            f"{p.symbol}: {figure(p.quantity)} {p.base} held by the journal, {figure(total)} by the venue"
            f"{_LEFT_ALONE if p.state is PositionState.IN_DOUBT else ''}"
            for p in self.positions()
            if (total := balances.get(p.base, Balance()).total) < p.quantity
        ]


def _there(position: Position, balances: Mapping[str, Balance] | None) -> Decimal:
    """How much of the position can be sold: no more than is free, where that is known."""
    if balances is None:
        return position.quantity
    return min(position.quantity, balances.get(position.base, Balance()).free)


def _rank(prediction: Prediction) -> tuple[float, str]:
    """Best probability first, NaN last, ties by name."""
    probability = prediction.probability
    return (-probability if probability >= 0 else 1.0, prediction.symbol)


def _told(order: Outcome) -> str:
    """An order in words."""
    return f"{order.symbol}: {order.intent} {order.state}" + (f" ({order.reason})" if order.reason else "")
