"""Limit entries rest for their time, follow the price a little, and keep what they got."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tradebot.config import Trading
from tradebot.market.venue import Instrument, OrderType, Side
from tradebot.trading import entries
from tradebot.trading.orders import OrderState, Outcome
from tradebot.trading.positions import Position

D = Decimal
RULES = Instrument("XUSDT", "X", "USDT", tick=D("0.1"), step=D("0.01"), min_notional=D(5))
LIMIT = Trading.model_validate({"entry": "limit", "entry_seconds": 60, "reprice": 2, "chase": "0.01"})


def first(side: Side = Side.BUY, price: str = "100.07") -> Outcome:
    order = Outcome("tb-1", "XUSDT", side, D(2), D(price), "enter", 0, 1000, "tb-1")
    return entries.made(order, RULES, LIMIT)


def position(side: Side = Side.BUY, made: int = 0) -> Position:
    bare = Position("tb-1", "XUSDT", "X", "USDT", side, 0, 1000, 9000, D("0.02"), D("0.03"))
    return replace(bare.entering(), entries=made)


def following(mark: str | None, *, made: int = 0, now: int = 2000, side: Side = Side.BUY, **changes: object):
    last = replace(first(side), state=OrderState.ACCEPTED, **changes)
    price = None if mark is None else D(mark)
    return entries.following([first(side), last], position(side, made), RULES, LIMIT, mark=price, now=now)


class TestMade:
    def test_at_the_market_they_are_as_they_were(self):
        order = Outcome("tb-1", "XUSDT", Side.BUY, D(2), D("100.07"), "enter", 0, 1000, "tb-1")
        assert entries.made(order, RULES, Trading()) == order

    @pytest.mark.parametrize(("side", "price"), [(Side.BUY, "100.0"), (Side.SELL, "100.1")])
    def test_at_a_limit_they_lie_on_the_tick_away_from_the_market(self, side, price):
        order = first(side)
        assert (order.type, order.price, order.order().price) == (OrderType.LIMIT, D(price), D(price))


def test_their_time_is_over_when_it_is():
    assert not entries.expired(position(), 60_999, LIMIT)
    assert entries.expired(position(), 61_000, LIMIT)


class TestFollowing:
    @pytest.mark.parametrize(("side", "mark", "price"), [(Side.BUY, "100.47", "100.4"), (Side.SELL, "99.63", "99.7")])
    def test_moves_what_is_left_to_the_price(self, side, mark, price):
        order = following(mark, side=side, executed=D("0.5"))
        assert (order.price, order.quantity, order.type) == (D(price), D("1.50"), OrderType.LIMIT)
        assert order.state == "INTENDED"

    @pytest.mark.parametrize(
        ("why", "changes"),
        [
            ("no price", {"mark": None}),
            ("the price came nearer", {"mark": "99"}),
            ("it is on the same tick", {"mark": "100.05"}),
            ("no prices left", {"mark": "100.4", "made": 2}),
            ("too far from the first", {"mark": "101.2"}),
            ("no time left", {"mark": "100.4", "now": 61_000}),
            ("too little left", {"mark": "100.4", "executed": D("1.96")}),
            ("it is no limit", {"mark": "100.4", "type": OrderType.MARKET}),
        ],
    )
    def test_stays_where(self, why, changes):
        assert following(**changes) is None, why
