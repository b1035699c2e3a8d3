"""Any sequence of orders of all types, cancels, steps of the clock and restarts: the balances always add up."""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import pytest
from exchanging import NOW, D
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tradebot.clock import HOUR, MINUTE, SECOND, SteppedClock
from tradebot.market.venue import ZERO, Order, OrderType, Side
from tradebot.sim.books import Entry, Slice
from tradebot.sim.engine import Exchange
from tradebot.sim.filters import ALGO
from tradebot.sim.matching import on_grid, worth
from tradebot.sim.prices import Synthetic
from tradebot.sim.proposals import NEEDS, falls
from tradebot.sim.refusals import Refused

START = {"USDT": D(3_000_000), "ETH": D(800), "BTC": D(50)}  # enough for more than is traded in a minute
PRICES = Synthetic(1, 2)
symbols, sides = st.sampled_from(["ETHUSDT", "BTCUSDT"]), st.sampled_from(Side)
sizes = st.one_of(st.integers(4, 25_000), st.integers(25_000, 2_500_000))  # dollars
away = st.integers(-100, 100)  # hundredths of a percent of the last price
waits = st.sampled_from(["GTC", "GTC", "IOC", "FOK"])
kinds = st.sampled_from([*OrderType, *sorted(ALGO)])


class AnyOrders(RuleBasedStateMachine):
    """`names` are the client ids that were used."""

    @initialize(fee=st.sampled_from(["0", "0.001", "0.0375"]), maker=st.sampled_from(["0", "0.0005"]))
    def begin(self, fee: str, maker: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = SteppedClock(NOW)
        self.fees = {"fee": D(fee), "maker_fee": D(maker)}
        self.names = 0
        self.open()

    def open(self) -> None:
        path = Path(self.folder.name) / "account.db"
        self.venue = Exchange(PRICES, self.clock, path, spread=D("0.0004"), start=START, **self.fees)  # type: ignore[arg-type]

    def near(self, symbol: str, share: int) -> Decimal:
        """A price on the tick, some hundredths of a percent from the last one."""
        last = self.venue.last(symbol)
        return on_grid(last + last * share / 10_000, PRICES.instruments()[symbol].tick, ROUND_HALF_EVEN)

    def order(self, symbol: str, side: Side, kind: OrderType, size: int, **fields: Any) -> Order:
        quantity = on_grid(size / self.venue.last(symbol), PRICES.instruments()[symbol].step, ROUND_DOWN)
        self.names += 1
        needed = {"price": "price", "stopPrice": "stop_price", "timeInForce": "time_in_force"}
        given = {field: fields[field] for name, field in needed.items() if name in NEEDS[kind]}
        return Order(symbol, side, f"order-{self.names}", kind, quantity, **given)

    def attempt(self, act: Any) -> None:
        """What is refused changes nothing."""
        self.venue.open_orders()
        before = self.venue.balances(), len(self.venue.executed())
        try:
            act()
        except Refused:
            assert (self.venue.balances(), len(self.venue.executed())) == before

    @rule(symbol=symbols, side=sides, kind=kinds, size=sizes, at=away, stop=st.integers(-9, 90), rest=waits)
    def place(self, symbol: str, side: Side, kind: OrderType, size: int, at: int, stop: int, rest: str) -> None:
        stop = -stop if falls(kind, side) else stop  # mostly on the side where it waits
        fields = {"price": self.near(symbol, at), "stop_price": self.near(symbol, stop), "time_in_force": rest}
        order = self.order(symbol, side, kind, size, **fields)
        self.attempt(lambda: self.venue.place(order))

    @rule(symbol=symbols, side=sides, amount=st.integers(1, 4_000_000))
    def spend(self, symbol: str, side: Side, amount: int) -> None:
        self.names += 1
        order = Order(symbol, side, f"order-{self.names}", quote_quantity=D(amount).scaleb(-2))
        self.attempt(lambda: self.venue.place(order))

    @rule(symbol=symbols, side=sides, size=sizes, gap=st.tuples(st.integers(1, 200), st.integers(1, 200)), at=away)
    def both(self, symbol: str, side: Side, size: int, gap: tuple[int, int], at: int) -> None:
        pair = [OrderType.LIMIT_MAKER, OrderType.STOP_LOSS_LIMIT]
        up, down = self.near(symbol, gap[0]), self.near(symbol, -gap[1])
        legs = [
            self.order(symbol, side, kind, size, stop_price=level, time_in_force="GTC",
                       price=level if kind is OrderType.LIMIT_MAKER else self.near(symbol, at))
            for kind, level in zip(pair if side is Side.SELL else pair[::-1], (up, down), strict=True)
        ]  # fmt: skip
        self.attempt(lambda: self.venue.place_list(legs[0], legs[1], f"list-{self.names}"))

    @precondition(lambda self: self.names)
    @rule(symbol=symbols, which=st.integers(0, 10**6))
    def cancel(self, symbol: str, which: int) -> None:
        self.attempt(lambda: self.venue.cancel(symbol, None, f"order-{which % self.names + 1}"))

    @rule(symbol=symbols, really=st.integers(0, 5))
    def cancel_all(self, symbol: str, really: int) -> None:
        if not really:
            self.attempt(lambda: self.venue.cancel_all(symbol))

    @rule(ms=st.sampled_from([1, SECOND, MINUTE + 7, HOUR, 12 * HOUR]), times=st.integers(1, 9))
    def wait(self, ms: int, times: int) -> None:
        self.clock.advance(self.clock.now() + ms * times)

    @rule()
    def restart(self) -> None:
        self.venue.close()
        self.open()

    @invariant()
    def what_is_held_is_what_was_traded(self) -> None:
        held = self.venue.balances()
        totals = defaultdict(lambda: ZERO, START)
        for event, entry in self.venue.executed():
            if (fill := event.fill) is None:
                continue
            sign = 1 if entry.side is Side.BUY else -1
            totals[entry.symbol.removesuffix("USDT")] += sign * fill.quantity
            totals["USDT"] -= sign * worth(fill.price, fill.quantity)
            totals[fill.fee_asset] -= fill.fee
        assert {asset: each.total for asset, each in held.items()} == {asset: totals[asset] for asset in held}
        assert all(each.free >= 0 and each.locked >= 0 for each in held.values())

    @invariant()
    def what_is_locked_is_what_open_orders_need(self) -> None:
        groups: dict[Any, list[Entry]] = defaultdict(list)
        for entry in self.venue.open_orders():
            groups[entry.list_id if entry.list_id >= 0 else f"alone-{entry.order_id}"].append(entry)
        needed: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for legs in groups.values():
            asset = "USDT" if legs[0].side is Side.BUY else legs[0].symbol.removesuffix("USDT")
            each = [leg.left if asset != "USDT" else worth(leg.price or leg.stop_price, leg.left) for leg in legs]
            needed[asset] += max(each)
        assert {asset: each.locked for asset, each in self.venue.balances().items() if each.locked} == needed

    @invariant()
    def every_order_agrees_with_its_trades(self) -> None:
        for symbol in ("ETHUSDT", "BTCUSDT"):
            executed: dict[int, Decimal] = defaultdict(lambda: ZERO)
            for fill in self.venue.trades(Slice(symbol, limit=10_000)):
                executed[fill.order_id] += fill.quantity
            for entry in self.venue.orders(Slice(symbol, limit=10_000)):
                assert entry.executed == executed[entry.order_id] <= entry.quantity
                assert (entry.status == "FILLED") == (entry.left == 0)
                assert (entry.status == "EXPIRED") == bool(entry.reason)
                assert entry.status != "NEW" or not entry.executed

    def teardown(self) -> None:
        if hasattr(self, "venue"):
            self.venue.close()
            self.folder.cleanup()


AnyOrders.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
test_any_orders = AnyOrders.TestCase


@pytest.mark.parametrize("seed", range(3))
def test_a_long_story_of_all_types_ends_in_every_way(seed: int) -> None:
    chance = random.Random(seed)
    story = AnyOrders()
    story.begin("0.001", "0.0005")
    for _ in range(150):
        symbol, side = chance.choice(["ETHUSDT", "BTCUSDT"]), chance.choice([*Side])
        size, at, stop, under = (chance.randint(*ends) for ends in ((10, 300_000), (-60, 60), (1, 60), (1, 60)))
        rest, kind = chance.choice(["GTC", "IOC", "FOK"]), chance.choice([*OrderType])
        acts: list[tuple[int, Any, tuple[Any, ...]]] = [
            (8, story.place, (symbol, side, kind, size, at, stop, rest)),
            (1, story.spend, (symbol, side, size * 100)),
            (2, story.both, (symbol, side, size, (stop, under), at)),
            (3, story.cancel, (symbol, story.names - chance.randint(1, 6))),
            (1, story.restart, ()),
            (4, story.wait, (chance.choice([SECOND, MINUTE + 7, HOUR]), stop)),
        ]
        ((_, act, arguments),) = chance.choices(acts, [often for often, _, _ in acts])
        if story.names or act != story.cancel:
            act(*arguments)
        story.what_is_held_is_what_was_traded()
        story.what_is_locked_is_what_open_orders_need()
        story.every_order_agrees_with_its_trades()
    happened = story.venue.executed()
    ways = {(entry.type, event.event) for event, entry in happened}
    parts = [event.fill for event, _ in happened if event.status == "PARTIALLY_FILLED"]
    story.teardown()
    assert {kind for kind, event in ways if event == "TRADE"} == {*OrderType}
    assert {kind for kind, event in ways if event == "TRIGGERED"} == ALGO
    assert {fill.maker for fill in parts if fill} == {True, False}
    assert {event for _, event in ways} == {"NEW", "TRIGGERED", "TRADE", "CANCELED", "EXPIRED"}
