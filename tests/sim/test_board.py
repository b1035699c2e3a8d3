from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from exchanging import NOW
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.errors import MarketError
from tradebot.sim.board import Board
from tradebot.sim.coins import LISTED, Coin, coins
from tradebot.sim.days import Days
from tradebot.sim.path import Block
from tradebot.sim.prices import Prices, Synthetic

ALONE, TOGETHER = Synthetic(1, 50), Synthetic(1, 50)
MIDNIGHT = NOW - NOW % DAY
YOUNG = next(coin for coin in coins(50) if coin.listed != LISTED)


def same(now: int, *symbols: str) -> None:
    TOGETHER.expect(now)
    for symbol in symbols:
        assert TOGETHER.day(symbol, now) == Prices.day(ALONE, symbol, now)
        assert TOGETHER.price(symbol, now) == ALONE.price(symbol, now)


@pytest.mark.parametrize("shift", [0, 1, MINUTE - 1, 5 * MINUTE, 4 * HOUR - 1, 4 * HOUR, DAY - 1, 3 * DAY])
def test_the_day_of_all_coins_at_once_is_that_of_each(shift: int) -> None:
    same(MIDNIGHT + shift, "BTCUSDT", "DOGEUSDT", *list(TOGETHER.instruments())[40:])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2 * DAY))
def test_at_any_time_and_in_any_order_of_times(shift: int) -> None:
    same(MIDNIGHT + shift, "ETHUSDT")


def test_other_instants_than_the_one_expected_are_right_too() -> None:
    TOGETHER.expect(NOW)
    later = NOW + 7 * MINUTE
    assert TOGETHER.day("ETHUSDT", later) == Prices.day(ALONE, "ETHUSDT", later)


def test_who_was_listed_within_the_day_has_a_shorter_one() -> None:
    symbol = YOUNG.instrument.symbol
    for now in (YOUNG.listed + 3 * HOUR, YOUNG.listed + DAY + HOUR, YOUNG.listed + 2 * DAY + HOUR):
        same(now, symbol)
    TOGETHER.expect(YOUNG.listed - HOUR)
    with pytest.raises(MarketError, match="before its listing"):
        TOGETHER.day(symbol, YOUNG.listed - HOUR)


class Walked(Days):
    """Days that tell which parts of all coins were asked for."""

    def __init__(self, listed: Sequence[Coin]) -> None:
        super().__init__(1, listed, 1 << 20)
        self.asked: list[tuple[int, int, int]] = []

    def everyone(self, day: int, first: int, last: int) -> Iterator[tuple[int, Block]]:
        self.asked.append((day, first, last))
        return super().everyone(day, first, last)


def test_nothing_before_the_24_hours_is_worked_out() -> None:
    days, now = Walked(coins(3)), MIDNIGHT + 21 * HOUR
    for _ in Board(days, coins(3)).steps(now):
        pass
    today = MIDNIGHT // DAY
    assert days.asked == [(today - 1, 21, 24), (today, 0, 22)]
