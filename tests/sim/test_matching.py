from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import pytest
from exchanging import instrument
from hypothesis import assume, given
from hypothesis import strategies as st

from tradebot.market.venue import Instrument, Order, OrderType, Side
from tradebot.sim.matching import Proposal, Quote, around, on_grid, propose, to_unit
from tradebot.sim.refusals import Refused

D = Decimal
QUOTE = Quote(D("1999.60"), D("2000.40"))
amounts = st.decimals(min_value=D("0.00000001"), max_value=D(10**9), places=8)


def order(side: Side = Side.BUY, **fields: Any) -> Order:
    return Order("ETHUSDT", side, "a-1", **fields)


def refused(order: Order, rules: Instrument | None = None) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        propose(order, rules or instrument(), QUOTE)
    return caught.value.code, caught.value.text


def test_a_buy_meets_the_ask_and_a_sell_the_bid() -> None:
    assert propose(order(quantity=D("0.5")), instrument(), QUOTE) == Proposal(
        "FILLED", D("0.5"), ((D("2000.40"), D("0.5")),)
    )
    assert propose(order(Side.SELL, quantity=D("0.5")), instrument(), QUOTE).fills == ((D("1999.60"), D("0.5")),)


@given(st.decimals(min_value=D(8), max_value=D(400_000), places=2), st.sampled_from(Side))
def test_a_quote_amount_is_used_up_to_less_than_a_step(amount: Decimal, side: Side) -> None:
    proposal = propose(order(side, quote_quantity=amount), instrument(), QUOTE)
    ((price, quantity),) = proposal.fills
    assert quantity % D("0.001") == 0
    assert price * quantity <= amount < price * (quantity + D("0.001"))


def test_a_quote_amount_without_a_step_keeps_eight_places() -> None:
    rules = instrument(step=D(0), min_quantity=D(0))
    assert propose(order(quote_quantity=D(100)), rules, QUOTE).quantity == D("0.04999000")


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"quantity": D("0.0105")}, (-1013, "Filter failure: LOT_SIZE")),
        ({"quantity": D("0.0001")}, (-1013, "Filter failure: LOT_SIZE")),
        ({"quantity": D("9001")}, (-1013, "Filter failure: LOT_SIZE")),
        ({"quantity": D("501")}, (-1013, "Filter failure: MARKET_LOT_SIZE")),
        ({"quantity": D("0.002")}, (-1013, "Filter failure: NOTIONAL")),
        ({"quote_quantity": D("4")}, (-1013, "Filter failure: NOTIONAL")),
        ({"quote_quantity": D("0.5")}, (-1013, "Filter failure: LOT_SIZE")),
        ({"quantity": D(0)}, (-1013, "Invalid quantity.")),
        ({"quote_quantity": D(0)}, (-1013, "Invalid quoteOrderQty.")),
        ({}, (-1102, "Mandatory parameter 'quantity' was not sent, was empty/null, or malformed.")),
        ({"quantity": D(1), "quote_quantity": D(9)}, (-1106, "Parameter 'quoteOrderQty' sent when not required.")),
        ({"quantity": D(1), "price": D(9)}, (-1106, "Parameter 'price' sent when not required.")),
        ({"quantity": D(1), "stop_price": D(9)}, (-1106, "Parameter 'stopPrice' sent when not required.")),
        ({"quantity": D(1), "time_in_force": "GTC"}, (-1106, "Parameter 'timeInForce' sent when not required.")),
    ],
)
def test_an_order_that_breaks_a_rule_is_refused(fields: dict[str, Any], answer: tuple[int, str]) -> None:
    assert refused(order(**fields)) == answer


@pytest.mark.parametrize("kind", [kind for kind in OrderType if kind is not OrderType.MARKET])
def test_types_that_are_not_simulated_say_so(kind: OrderType) -> None:
    code, text = refused(order(type=kind, quantity=D(1)))
    assert code == -1116
    assert f"{kind} is not simulated" in text


@given(amounts)
def test_a_quantity_off_the_step_is_refused_and_one_on_it_is_not(quantity: Decimal) -> None:
    rules = instrument(min_notional=D(0), max_quantity=D(0), max_market_quantity=D(0))
    assume(quantity >= D("0.001"))
    if quantity % rules.step:
        assert refused(order(quantity=quantity), rules) == (-1013, "Filter failure: LOT_SIZE")
    else:
        assert propose(order(quantity=quantity), rules, QUOTE).quantity == quantity


@given(
    amounts,
    st.decimals(min_value=D(0), max_value=D("0.5"), places=4),
    st.sampled_from(["0.01", "0.00000001", "0", "5"]),
)
def test_the_book_lies_around_the_last_price_on_the_tick(last: Decimal, spread: Decimal, tick: str) -> None:
    quote = around(last, spread, D(tick))
    assert quote.bid > 0
    if last >= D(tick) > 0:
        assert quote.bid <= last <= quote.ask
    if D(tick):
        assert quote.bid % D(tick) == quote.ask % D(tick) == 0


def test_the_spread_is_rounded_outward() -> None:
    assert around(D("100.01"), D("0.0002"), D("0.01")) == Quote(D("99.99"), D("100.03"))
    assert around(D("100.01"), D(0), D("0.01")) == Quote(D("100.01"), D("100.01"))


@given(amounts, st.decimals(min_value=D("0.00000001"), max_value=D(1000), places=8))
def test_the_grid_holds_the_nearest_multiples(value: Decimal, step: Decimal) -> None:
    low, high = (on_grid(value, step, rounding) for rounding in (ROUND_FLOOR, ROUND_CEILING))
    assert low <= value <= high
    assert high - low in (0, step)


def test_amounts_are_cut_not_rounded() -> None:
    assert to_unit(D("0.123456789")) == D("0.12345678")
