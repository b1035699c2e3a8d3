from __future__ import annotations

from decimal import Decimal

import pytest
from exchanging import NOW, D
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import SECOND
from tradebot.market.venue import Side
from tradebot.sim.footprint import RETURN, Taken, gone

trades = st.lists(
    st.builds(
        Taken, st.sampled_from(["ETHUSDT", "BTCUSDT"]), st.sampled_from(Side),
        st.decimals(min_value=D("0.001"), max_value=D(10**6), places=3), st.integers(NOW - 2 * RETURN, NOW + SECOND),
    ),
    max_size=9,
)  # fmt: skip


@pytest.mark.parametrize(
    ("age", "left"), [(-1, None), (0, "6"), (1, "5.9999"), (15_000, "4.5"), (59_999, "0.0001"), (60_000, None)]
)
def test_what_was_taken_comes_back_evenly_within_a_minute(age: int, left: str | None) -> None:
    missing = gone([Taken("ETHUSDT", Side.BUY, D(6), NOW - age)], NOW)
    assert missing == ({} if left is None else {("ETHUSDT", Side.SELL): D(left)})


def test_buys_take_asks_and_each_symbol_has_books_of_its_own() -> None:
    taken = [Taken(symbol, side, D(1), NOW) for symbol in ("A", "A", "B") for side in (Side.BUY, Side.SELL)]
    assert gone(taken[:-1], NOW) == {("A", Side.SELL): 2, ("A", Side.BUY): 2, ("B", Side.SELL): 1}


@given(trades)
def test_time_only_brings_back_and_never_more_than_was_taken(taken: list[Taken]) -> None:
    before = [each for each in taken if each.time <= NOW]
    now, later = gone(before, NOW), gone(before, NOW + SECOND)
    assert all(later.get(name, 0) <= amount for name, amount in now.items())
    assert sum(now.values(), Decimal(0)) <= sum(each.quantity for each in before)
    assert not gone(before, NOW + RETURN)
