from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.sim.matching import Quote, around, on_grid, to_unit, worth

D = Decimal
amounts = st.decimals(min_value=D("0.00000001"), max_value=D(10**9), places=8)


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


@pytest.mark.parametrize(
    ("price", "size", "value"), [("2000.40", "0.5", "1000.2"), ("0.00000003", "0.5", "0.00000001")]
)
def test_what_a_quantity_costs_is_cut_too(price: str, size: str, value: str) -> None:
    assert worth(D(price), D(size)) == D(value)
