from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from exchanging import D, instrument, marked
from hypothesis import assume, given
from hypothesis import strategies as st

from tradebot.market.venue import ZERO, Order, OrderType, Side
from tradebot.sim.depth import Depth, Depths, Level
from tradebot.sim.matching import Quote
from tradebot.sim.proposals import NEEDS, Market, Proposal, at_market, check_fields, propose, quantity_of
from tradebot.sim.refusals import Refused

T = OrderType
BUY, SELL = Side.BUY, Side.SELL


class Shelf:
    """A book of three levels a side: 2, 3 and 4 ETH at 100, 101, 105 and at 99, 98, 90."""

    step = D("0.001")
    quote = Quote(D(99), D(100))

    def given(self, wanted: Decimal, step: Decimal = ZERO) -> Decimal:
        return wanted

    crossed = Depth.crossed

    def facing(self, side: Side) -> Iterator[Level]:
        prices = (100, 101, 105) if side is BUY else (99, 98, 90)
        return ((D(price), D(size)) for price, size in zip(prices, (2, 3, 4), strict=True))


MARKET = Market(D("99.5"), Shelf())  # type: ignore[arg-type]


def order(kind: T, side: Side = BUY, **fields: Any) -> Order:
    values = {name: D(value) if isinstance(value, (int, float)) else value for name, value in fields.items()}
    return Order("ETHUSDT", side, "a-1", kind, **values)


def refused(kind: T, side: Side = BUY, **fields: Any) -> tuple[int, str]:
    def ask() -> None:
        check_fields(order(kind, side, **fields))
        propose(order(kind, side, **fields), MARKET)

    with pytest.raises(Refused) as caught:
        ask()
    return caught.value.code, caught.value.text


@pytest.mark.parametrize(
    ("kind", "side", "fields", "expected"),
    [
        (T.MARKET, BUY, {"quantity": 3}, ("FILLED", 3, [(100, 2), (101, 1)], "")),
        (T.MARKET, SELL, {"quantity": 3}, ("FILLED", 3, [(99, 2), (98, 1)], "")),
        (T.MARKET, BUY, {"quantity": 10}, ("EXPIRED", 10, [(100, 2), (101, 3), (105, 4)], "INSUFFICIENT_LIQUIDITY")),
        (T.MARKET, BUY, {"quote_quantity": 150}, ("FILLED", 1.5, [(100, 1.5)], "")),
        (T.MARKET, SELL, {"quote_quantity": 296}, ("FILLED", 3, [(99, 2), (98, 1)], "")),
        (T.MARKET, BUY, {"quote_quantity": 923}, ("FILLED", 9, [(100, 2), (101, 3), (105, 4)], "")),
        (
            T.MARKET,
            BUY,
            {"quote_quantity": 924},
            ("EXPIRED", 9, [(100, 2), (101, 3), (105, 4)], "INSUFFICIENT_LIQUIDITY"),
        ),
        (T.LIMIT, BUY, {"quantity": 3, "price": 99, "time_in_force": "GTC"}, ("NEW", 3, [], "")),
        (T.LIMIT, BUY, {"quantity": 2, "price": 100, "time_in_force": "GTC"}, ("FILLED", 2, [(100, 2)], "")),
        (T.LIMIT, BUY, {"quantity": 3, "price": 100, "time_in_force": "GTC"}, ("PARTIALLY_FILLED", 3, [(100, 2)], "")),
        (
            T.LIMIT,
            BUY,
            {"quantity": 3, "price": 100, "time_in_force": "IOC"},
            ("EXPIRED", 3, [(100, 2)], "UNFILLED_IOC_QUANTITY_EXPIRED"),
        ),
        (
            T.LIMIT,
            BUY,
            {"quantity": 3, "price": 100, "time_in_force": "FOK"},
            ("EXPIRED", 3, [], "UNFILLED_FOK_ORDER_EXPIRED"),
        ),
        (T.LIMIT, SELL, {"quantity": 3, "price": 98, "time_in_force": "FOK"}, ("FILLED", 3, [(99, 2), (98, 1)], "")),
        (T.LIMIT_MAKER, BUY, {"quantity": 3, "price": 99.99}, ("NEW", 3, [], "")),
        (T.LIMIT_MAKER, SELL, {"quantity": 3, "price": 99.01}, ("NEW", 3, [], "")),
    ],
)
def test_what_becomes_of_an_order_at_once(
    kind: T, side: Side, fields: dict[str, Any], expected: tuple[str, Any, list[Any], str]
) -> None:
    status, quantity, fills, reason = expected
    found = propose(order(kind, side, **fields), MARKET)
    assert found == Proposal(status, D(quantity), tuple((D(p), D(q)) for p, q in fills), reason)


@pytest.mark.parametrize(
    ("kind", "side", "stop", "waits"),
    [
        (T.STOP_LOSS, SELL, "99.4", True),
        (T.STOP_LOSS, SELL, "99.5", False),
        (T.STOP_LOSS, BUY, "99.6", True),
        (T.STOP_LOSS, BUY, "99.5", False),
        (T.TAKE_PROFIT, SELL, "99.6", True),
        (T.TAKE_PROFIT, SELL, "99.5", False),
        (T.TAKE_PROFIT, BUY, "99.4", True),
        (T.TAKE_PROFIT, BUY, "99.6", False),
    ],
)
def test_a_stop_waits_on_its_own_side_of_the_market(kind: T, side: Side, stop: str, waits: bool) -> None:
    limit = {"price": D(50), "time_in_force": "GTC"}
    for each, more in ((kind, {}), (T(f"{kind}_LIMIT"), limit)):
        fields: dict[str, Any] = {"quantity": D(1), "stop_price": D(stop), **more}
        if waits:
            assert propose(order(each, side, **fields), MARKET) == Proposal("NEW", D(1), working=False)
        else:
            assert refused(each, side, **fields) == (-2010, "Order would trigger immediately.")


@pytest.mark.parametrize(("side", "price"), [(BUY, 100), (BUY, 101), (SELL, 99), (SELL, 98)])
def test_a_maker_never_takes(side: Side, price: int) -> None:
    answer = (-2010, "Order would immediately match and take.")
    assert refused(T.LIMIT_MAKER, side, quantity=1, price=price) == answer


FIELDS = {"timeInForce": "time_in_force", "quantity": "quantity", "price": "price", "stopPrice": "stop_price"}
VALUES = {"time_in_force": "GTC", "quantity": D(1), "price": D(90), "stop_price": D(80), "quote_quantity": D(9)}


@pytest.mark.parametrize("kind", OrderType)
def test_each_type_needs_its_parameters_and_takes_no_others(kind: T) -> None:
    needed = {FIELDS[name]: name for name in NEEDS[kind]}
    whole = {field: VALUES[field] for field in needed}
    check_fields(order(kind, **whole))
    for field, name in needed.items():
        text = f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
        if kind is T.MARKET:
            text = "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"
        assert refused(kind, **{key: value for key, value in whole.items() if key != field}) == (-1102, text)
    for name, field in {**FIELDS, "quoteOrderQty": "quote_quantity"}.items():
        if field not in needed:
            text = f"Parameter '{name}' sent when not required."
            assert refused(kind, **whole, **{field: VALUES[field]}) == (-1106, text)
    for field in set(needed) - {"time_in_force"}:
        assert refused(kind, **{**whole, field: D(0)}) == (-1013, f"Invalid {needed[field]}.")


def test_the_market_takes_either_amount() -> None:
    check_fields(order(T.MARKET, quote_quantity=9))
    assert refused(T.MARKET, quote_quantity=0) == (-1013, "Invalid quoteOrderQty.")
    assert refused(T.MARKET)[0] == -1102


def test_parameters_of_a_leg_are_called_by_their_own_names() -> None:
    with pytest.raises(Refused, match="abovePrice"):
        check_fields(order(T.LIMIT_MAKER, quantity=1), lambda name: f"above{name.title()}")


def test_a_stop_that_buys_at_the_market_spends_no_more_than_there_is() -> None:
    found = at_market(BUY, D(4), MARKET.depth, D(250))
    assert found == Proposal("EXPIRED", D(4), ((D(100), D(2)), (D(101), D("0.495"))), "INSUFFICIENT_LIQUIDITY")


@given(st.decimals(min_value=D(8), max_value=D(400_000), places=2), st.sampled_from(Side))
def test_a_quote_amount_is_used_up_to_less_than_a_step(amount: Decimal, side: Side) -> None:
    depth = Depths(marked()).at("ETHUSDT", Quote(D("1999.60"), D("2000.40")), 0)
    found = propose(order(T.MARKET, side, quote_quantity=amount), Market(D(2000), depth))
    assume(found.status == "FILLED")
    spent = sum(price * size for price, size in found.fills)
    assert found.quantity % D("0.001") == 0
    assert spent <= amount < spent + D("0.001") * found.fills[-1][0]


@pytest.mark.parametrize(("step", "quantity"), [("0.001", "0.049"), ("0", "0.04999000")])
def test_the_quantity_of_a_quote_amount_is_that_at_the_best_price(step: str, quantity: str) -> None:
    wanted = order(T.MARKET, quote_quantity=100)
    assert quantity_of(wanted, Quote(D("1999.60"), D("2000.40")), D(step)) == D(quantity)
    assert quantity_of(order(T.LIMIT, quantity=3), Quote(D(1), D(1)), instrument().step) == 3
