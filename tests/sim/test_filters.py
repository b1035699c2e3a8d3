from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from exchanging import D, instrument
from hypothesis import given
from hypothesis import strategies as st

from tradebot.market.venue import OrderType, Side
from tradebot.sim.filters import EXCHANGE, SYMBOL, Candidate, Limits, Listing, Load, check, describe, describe_exchange
from tradebot.sim.refusals import Refused

T = OrderType
LIMITS = Limits(
    orders=3, algo_orders=2, lists=1, position=D(10), exchange_orders=5, exchange_algo_orders=4, exchange_lists=2
)
FULL = Load(3, 2, 1, D(10), 5, 4, 2)
GOOD = Candidate(instrument(), Side.BUY, T.LIMIT, D("0.5"), D(2000), None, D(2000), FULL, LIMITS)


def broken(**changes: Any) -> str:
    """The filter that refuses the good order with these changes; empty if none does."""
    try:
        check(replace(GOOD, **changes))
    except Refused as no:
        return str(no).removeprefix("-1013: Filter failure: ")
    return ""


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, ""),
        ({"price": D("2000.005")}, "PRICE_FILTER"),
        ({"price": D("0.005")}, "PRICE_FILTER"),
        ({"type": T.STOP_LOSS_LIMIT, "stop_price": D("1900.001")}, "PRICE_FILTER"),
        ({"price": D("10000.01")}, "PERCENT_PRICE_BY_SIDE"),
        ({"price": D("10000")}, ""),
        ({"price": D("400")}, ""),
        ({"price": D("399.99")}, "PERCENT_PRICE_BY_SIDE"),
        ({"quantity": D("0.0105")}, "LOT_SIZE"),
        ({"quantity": D("0.0001")}, "LOT_SIZE"),
        ({"quantity": D("0")}, "LOT_SIZE"),
        ({"quantity": D("9000")}, ""),
        ({"quantity": D("9000.001")}, "LOT_SIZE"),
        ({"quantity": D("501")}, ""),
        ({"quantity": D("500"), "type": T.MARKET, "price": None}, ""),
        ({"quantity": D("500.001"), "type": T.MARKET, "price": None}, "MARKET_LOT_SIZE"),
        ({"quantity": D("0.002")}, "NOTIONAL"),
        ({"quantity": D("0.0025"), "instrument": instrument(step=D(0))}, ""),
        ({"quantity": D("0.002"), "type": T.MARKET, "price": None}, "NOTIONAL"),
        ({"quantity": D("0.003"), "type": T.STOP_LOSS, "price": None, "stop_price": D(1000)}, "NOTIONAL"),
        ({"quantity": D(5), "instrument": instrument(max_notional=D(9999))}, "NOTIONAL"),
        ({"quantity": D(5), "instrument": instrument(max_notional=D(9999)), "type": T.MARKET, "price": None}, ""),
        ({"load": replace(FULL, position=D("10.001"))}, "MAX_POSITION"),
        ({"load": replace(FULL, position=D("10.001")), "side": Side.SELL}, ""),
        ({"load": replace(FULL, orders=4)}, "MAX_NUM_ORDERS"),
        ({"load": replace(FULL, algo_orders=3)}, ""),
        ({"load": replace(FULL, algo_orders=3), "type": T.TAKE_PROFIT}, "MAX_NUM_ALGO_ORDERS"),
        ({"load": replace(FULL, lists=2)}, "MAX_NUM_ORDER_LISTS"),
        ({"load": replace(FULL, exchange_orders=6)}, "EXCHANGE_MAX_NUM_ORDERS"),
        ({"load": replace(FULL, exchange_algo_orders=5), "type": T.STOP_LOSS}, "EXCHANGE_MAX_NUM_ALGO_ORDERS"),
        ({"load": replace(FULL, exchange_lists=3)}, "EXCHANGE_MAX_NUM_ORDER_LISTS"),
    ],
)
def test_an_order_is_held_back_by_the_filter_that_it_breaks(changes: dict[str, Any], name: str) -> None:
    assert broken(**changes) == name


def test_the_first_filter_of_the_table_is_told() -> None:
    assert broken(price=D("0.005"), quantity=D("0.0001"), load=replace(FULL, orders=99)) == "PRICE_FILTER"


def test_without_rules_everything_passes() -> None:
    none = Limits(0, 0, 0, D(0), D(0), D(0))
    free = instrument(**dict.fromkeys(("tick", "step", "min_quantity", "max_quantity", "min_notional"), D(0)))
    many = Load(999, 999, 999, D(999), 999, 999, 999)
    check(Candidate(free, Side.BUY, T.STOP_LOSS_LIMIT, D("0.123456789"), D("1e-9"), D(5), D(2000), many, none))
    names = [each["filterType"] for each in describe(Listing(free, none))]
    assert names == ["PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "NOTIONAL"]
    assert describe_exchange(none) == []


def test_the_exchange_shows_the_filters_that_it_applies() -> None:
    shown = {each.pop("filterType"): each for each in describe(Listing(instrument(), LIMITS))}
    assert list(shown) == list(SYMBOL)
    assert shown["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert shown["LOT_SIZE"] == {"minQty": "0.00100000", "maxQty": "9000.00000000", "stepSize": "0.00100000"}
    assert shown["MAX_NUM_ALGO_ORDERS"] == {"maxNumAlgoOrders": 2}
    assert shown["MAX_POSITION"] == {"maxPosition": "10.00000000"}
    assert [each["filterType"] for each in describe_exchange(LIMITS)] == list(EXCHANGE)


@given(st.decimals(min_value=D("0.001"), max_value=D(9000), places=8))
def test_a_quantity_off_the_step_is_refused_and_one_on_it_is_not(quantity: Decimal) -> None:
    rules = instrument(min_notional=D(0))
    assert broken(quantity=quantity, instrument=rules) == ("LOT_SIZE" if quantity % rules.step else "")


@given(st.decimals(min_value=D(400), max_value=D(10_000), places=6))
def test_a_price_off_the_tick_is_refused_and_one_on_it_is_not(price: Decimal) -> None:
    assert broken(price=price) == ("PRICE_FILTER" if price % D("0.01") else "")
