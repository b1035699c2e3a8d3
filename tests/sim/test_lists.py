from __future__ import annotations

from itertools import product

import pytest
from exchanging import D

from tradebot.market.venue import Order, OrderType, Side
from tradebot.sim.lists import check_prices, check_types
from tradebot.sim.refusals import Refused

T = OrderType
STOPS = {T.STOP_LOSS, T.STOP_LOSS_LIMIT}
TARGETS = {T.LIMIT_MAKER, T.TAKE_PROFIT, T.TAKE_PROFIT_LIMIT}


def leg(kind: T, side: Side = Side.SELL, price: int | None = None, stop: int | None = None) -> Order:
    return Order("ETHUSDT", side, "a", kind, D(1), None, price and D(price), stop and D(stop))


@pytest.mark.parametrize(("above", "below", "side"), list(product(OrderType, OrderType, Side)))
def test_only_a_target_on_the_side_of_profit_goes_with_a_stop_on_that_of_loss(above: T, below: T, side: Side) -> None:
    fits = above in TARGETS and below in STOPS if side is Side.SELL else above in STOPS and below in TARGETS
    if fits:
        check_types(leg(above, side), leg(below, side))
    else:
        with pytest.raises(Refused, match=r"-1158|-116[568]|-119[6789]"):
            check_types(leg(above, side), leg(below, side))


@pytest.mark.parametrize(
    ("side", "above", "below", "code", "text"),
    [
        (Side.SELL, T.MARKET, T.STOP_LOSS, -1158, "Order type not supported in OCO."),
        (Side.SELL, T.LIMIT_MAKER, T.LIMIT, -1158, "Order type not supported in OCO."),
        (Side.SELL, T.LIMIT_MAKER, T.LIMIT_MAKER, -1168, "At least one OCO order must be contingent."),
        (Side.BUY, T.LIMIT_MAKER, T.STOP_LOSS, -1165, "A limit order in a buy OCO must be below."),
        (Side.SELL, T.TAKE_PROFIT, T.LIMIT_MAKER, -1166, "A limit order in a sell OCO must be above."),
        (Side.BUY, T.STOP_LOSS, T.STOP_LOSS_LIMIT, -1196, "A stop loss order in a buy OCO must be above."),
        (Side.SELL, T.STOP_LOSS, T.LIMIT_MAKER, -1197, "A stop loss order in a sell OCO must be below."),
        (Side.BUY, T.TAKE_PROFIT, T.LIMIT_MAKER, -1198, "A take profit order in a buy OCO must be below."),
        (Side.SELL, T.LIMIT_MAKER, T.TAKE_PROFIT_LIMIT, -1199, "A take profit order in a sell OCO must be above."),
    ],
)
def test_the_venue_says_where_a_leg_belongs(side: Side, above: T, below: T, code: int, text: str) -> None:
    with pytest.raises(Refused) as no:
        check_types(leg(above, side), leg(below, side))
    assert (no.value.code, no.value.text) == (code, text)


@pytest.mark.parametrize(
    ("above", "below", "fits"),
    [
        (leg(T.LIMIT_MAKER, price=110), leg(T.STOP_LOSS, stop=90), True),
        (leg(T.LIMIT_MAKER, price=110), leg(T.STOP_LOSS_LIMIT, price=120, stop=90), True),
        (leg(T.TAKE_PROFIT_LIMIT, price=50, stop=110), leg(T.STOP_LOSS, stop=90), True),
        (leg(T.STOP_LOSS_LIMIT, Side.BUY, price=50, stop=110), leg(T.LIMIT_MAKER, Side.BUY, price=90), True),
        (leg(T.LIMIT_MAKER, price=100), leg(T.STOP_LOSS, stop=90), False),
        (leg(T.LIMIT_MAKER, price=110), leg(T.STOP_LOSS, stop=100), False),
        (leg(T.LIMIT_MAKER, price=90), leg(T.STOP_LOSS, stop=110), False),
    ],
)
def test_the_last_price_lies_between_the_legs(above: Order, below: Order, fits: bool) -> None:
    if fits:
        check_prices(above, below, D(100))
    else:
        with pytest.raises(Refused, match="relationship of the prices"):
            check_prices(above, below, D(100))
