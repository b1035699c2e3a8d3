"""The market since it was last seen: resting orders, stops, liquidations and funding, each at its own time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from tradebot.clock import MINUTE
from tradebot.market.venue import Instrument
from tradebot.sim.futures import conditional, trailing
from tradebot.sim.futures.contracts import Contracts
from tradebot.sim.futures.desk import Desk
from tradebot.sim.futures.funding import PERIOD, funding_rate, next_funding
from tradebot.sim.futures.ledger import ALGOS, FACTS, Algo, Entry, Income, Ledger, Placed
from tradebot.sim.futures.liquidation import Receiver
from tradebot.sim.futures.positions import Account
from tradebot.sim.futures.trailing import Trail
from tradebot.sim.matching import worth
from tradebot.sim.resting import Level, Path, Touch, Track, limit_level
from tradebot.sim.turnover import Turnover

# With several positions in one wallet, what the others are worth is looked at so often.
_JOINT = 15 * MINUTE


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is waited for: when it first happens in `(since, until]`, and what is done then.

    `entered` is since when it is waited for, UTC ms.
    """

    first: Callable[[int, int], Touch | None]
    act: Callable[[Touch], object]
    entered: int = 0


class Play:
    """Plays an account up to the present, with the same outcome however often it is asked.

    `track` is where prices went (None: where the exchange's own have gone).
    """

    def __init__(self, contracts: Contracts, ledger: Ledger, desk: Desk, track: Track | None = None) -> None:
        self.contracts = contracts
        self.ledger = ledger
        self.desk = desk
        self.receiver = Receiver(contracts, ledger, desk)
        self.path: Track = track or Path(contracts.prices)
        self.turnover = Turnover(self.path, ledger.made)
        self.trail = Trail(Path(contracts.prices))

    def until(self, now: int) -> None:
        """Everything that happened since the market was last seen, in the order of time."""
        since = self.ledger.seen
        if since >= now:
            return
        with self.ledger.db.transaction():
            while since < now:
                since = self._step(since, now) if self._at_stake() else now
            self.ledger.seen = now

    def through(self, until: int) -> None:
        """What waits is carried out where the track comes to it, each from when it was entered; no time passes.

        Of one instant stops come first, older ones before younger, then orders, then liquidations.
        """
        with self.ledger.db.transaction():
            while self._at_stake():
                events = self._events(self.desk.account(until))
                found = [(touch, event) for event in events if (touch := event.first(event.entered, until))]
                if not found:
                    return
                touch, event = min(found, key=lambda pair: pair[0].time)
                event.act(touch)

    def _at_stake(self) -> bool:
        return bool(self.ledger.positions() or self.ledger.open_orders() or self.ledger.open_algos())

    def _step(self, since: int, now: int) -> int:
        """Up to the first event after `since`, or to the next time at which something is due; the time then."""
        account = self.desk.account(since)
        stop = min([now, *(due for due in self._due(account, since) if due > since)])
        found = [(touch, event) for event in self._events(account) if (touch := event.first(since, stop))]
        if not found:
            self._pull_trails(since, stop)
            self._at(stop)
            return stop
        # Of several at one instant the first in the list: stops and orders come before liquidation.
        touch, event = min(found, key=lambda pair: pair[0].time)
        self._pull_trails(since, touch.time)
        event.act(touch)
        # Others may wait for this very instant, so it is looked at once more.
        return touch.time - 1

    def _due(self, account: Account, since: int) -> Iterator[int]:
        """Times at which something is due whatever the prices are."""
        yield next_funding(since)
        if len([each for each in account.cross if each.position.amount]) > 1:
            yield (since // _JOINT + 1) * _JOINT
        yield from (each.good_till for each in self.ledger.open_orders())
        yield from (each.good_till for each in self.ledger.open_algos())
        yield from self._countdowns().values()

    def _countdowns(self) -> dict[str, int]:
        facts = FACTS.select(self.ledger.db, "name LIKE 'countdown/%'")
        return {fact.name.partition("/")[2]: int(fact.value) for fact in facts}

    def _events(self, account: Account) -> Iterator[Event]:
        for algo in self.ledger.open_algos():
            yield self._of_algo(algo)
        for order in self.ledger.open_orders():
            level = limit_level(order.price, order.side, self.contracts.exchange.spread)
            rules = self.contracts.prices.instruments()[order.symbol]
            first = partial(self.turnover.first, rules, order.side, level)
            yield Event(first, partial(self._rested, order, rules), order.updated)
        for key, stake in account.stakes.items():
            if price := account.liquidation(key):
                level = Level(price, falling=stake.position.amount > 0, through=False)
                yield self._at_level(key[0], level, partial(self.receiver.liquidate, key), stake.position.updated)

    def _at_level(self, symbol: str, level: Level, act: Callable[[Touch], object], entered: int) -> Event:
        return Event(partial(self.path.first, symbol, level), act, entered)

    def _rested(self, order: Placed, rules: Instrument, touch: Touch) -> None:
        room = self.turnover.room(rules, order.side, touch.time)
        done = self.desk.rested(order, room.amount, touch.time)
        for algo in () if done.open else ALGOS.select(self.ledger.db, "order_id = ?", (done.order_id,)):
            ALGOS.put(self.ledger.db, replace(algo, status="FINISHED", updated=touch.time))

    def _of_algo(self, algo: Algo) -> Event:
        def fire(touch: Touch) -> None:
            conditional.trigger(self.desk, algo, touch.price, touch.time)

        if algo.type != conditional.TRAILING:
            return self._at_level(algo.symbol, conditional.waits_for(algo), fire, algo.updated)
        if trailing.active(algo):
            return Event(lambda since, until: self.trail.follow(algo, since, until)[0], fire, algo.updated)
        return self._at_level(algo.symbol, trailing.activation(algo), partial(self._activate, algo), algo.updated)

    def _activate(self, algo: Algo, touch: Touch) -> None:
        ALGOS.put(self.ledger.db, replace(algo, extreme=touch.price, updated=touch.time))

    def _pull_trails(self, since: int, until: int) -> None:
        """Trailing stops remember how far the price has come."""
        for algo in self.ledger.open_algos():
            if algo.type == conditional.TRAILING and trailing.active(algo):
                _, extreme = self.trail.follow(algo, since, until)
                if extreme != algo.extreme:
                    ALGOS.put(self.ledger.db, replace(algo, extreme=extreme))

    def _at(self, moment: int) -> None:
        """What is due at this moment."""
        if moment % PERIOD == 0:
            self._fund(moment)
        for order in self.ledger.open_orders():
            if 0 < order.good_till <= moment:
                self.desk.close(order, "EXPIRED", moment)
        for algo in self.ledger.open_algos():
            if 0 < algo.good_till <= moment:
                ALGOS.put(self.ledger.db, replace(algo, status="EXPIRED", updated=moment))
        for symbol, deadline in self._countdowns().items():
            if deadline <= moment:
                FACTS.drop(self.ledger.db, f"countdown/{symbol}")
                for order in self.ledger.open_orders(symbol):
                    self.desk.close(order, "CANCELED", moment)
        self.receiver.check_wallet(moment)

    def _fund(self, moment: int) -> None:
        """Longs pay shorts the rate of their notional, or get it; isolated positions from their own margin."""
        for (symbol, _), position in self.ledger.positions().items():
            notional = position.notional(self.contracts.mark(symbol, moment))
            payment = -worth(notional, funding_rate(symbol, moment))
            self.ledger.book(Entry(0, symbol, Income.FUNDING, payment, moment))
            if self.ledger.terms(symbol).isolated:
                self.ledger.hold(replace(position, margin=position.margin + payment))
