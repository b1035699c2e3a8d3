"""What an account has too little of."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tradebot.market.venue import Balance, Fill, Side
from tradebot.trading.positions import Position
from tradebot.trading.shortage import by_asset, shortages

D = Decimal


def held(symbol: str, quantity: str) -> Position:
    bare = Position(symbol, symbol, "X", "USDT", Side.BUY, 0, 1000, 2000, D("0.02"), D("0.03"))
    fill = Fill(1, symbol, 7, Side.BUY, D(100), D(quantity), D(0), "BNB", 1500)
    return bare.entering().booked(fill).followed([])


def test_a_coin_is_counted_over_all_its_symbols() -> None:
    both = [held("XUSDT", "2"), held("XEUR", "3")]
    (short,) = shortages(both, {"X": Balance(D(4), D("0.5"))}).values()
    assert str(short) == "X: 5 held by the journal, 4.5 by the venue"
    assert (short.symbols, short.lacking) == ({"XUSDT", "XEUR"}, D("0.5"))


def test_what_is_not_at_the_venue_at_all_is_short_whole() -> None:
    assert shortages([held("XUSDT", "2")], {})["X"].lacking == 2


@given(st.lists(st.integers(1, 9), max_size=4), st.integers(0, 40))
def test_it_is_short_exactly_where_less_is_there_than_all_positions_hold(held_each: list[int], there: int) -> None:
    positions = [held(f"X{number}", str(quantity)) for number, quantity in enumerate(held_each)]
    found = shortages(positions, {"X": Balance(D(there), D(0))})
    assert ("X" in found) == (sum(held_each) > there)
    assert sum(map(len, by_asset(positions).values())) == len(positions)
