from __future__ import annotations

import numpy as np
import pytest

from tradebot.sim import path
from tradebot.sim.coins import Coin, coins
from tradebot.sim.days import TILE, Days, grouped_bars

COINS = coins(80)
FIRST = 19_675
PLENTY = 64 << 20


class Counting(Days):
    """Counts the rows that were computed."""

    def __init__(self, memory: int = PLENTY) -> None:
        super().__init__(1, COINS, memory)
        self.rows = 0

    def compute(self, rows):  # type: ignore[no-untyped-def]
        for part, block in super().compute(rows):
            self.rows += len(part)
            yield part, block


def direct(coin: Coin, first: int, last: int) -> np.ndarray:
    days = np.arange(first, last + 1)
    table, market = path.Table.of(1, [coin] * len(days)), path.Market.of(1, days)
    return path.minutes(table, days, path.nodes(table, days, market.at), market).reshape(len(path.BLOCK), -1)


def test_minutes_of_many_days_follow_each_other() -> None:
    days = Days(1, COINS, PLENTY)
    for first, last in ((FIRST, FIRST), (FIRST - 1, FIRST + 1), (FIRST - 12, FIRST + 2)):
        assert days.minutes(COINS[3], first, last).tolist() == direct(COINS[3], first, last).tolist()


def test_a_day_is_computed_once_and_its_neighbours_with_it() -> None:
    days = Counting()
    days.minutes(COINS[0], FIRST, FIRST)
    assert days.rows == TILE
    for coin in COINS[:TILE]:
        assert days.minutes(coin, FIRST, FIRST).tolist() == direct(coin, FIRST, FIRST).tolist()
    assert days.rows == TILE
    days.minutes(COINS[TILE], FIRST, FIRST)
    assert days.rows == 2 * TILE, "who has come so far goes on"
    days.minutes(COINS[-1], FIRST, FIRST)
    assert days.rows == 2 * TILE + 1, "who asks for one somewhere else does not"


def test_long_ranges_bring_no_company() -> None:
    days = Counting()
    days.minutes(COINS[0], FIRST, FIRST + 9)
    assert days.rows == 10


@pytest.mark.parametrize("memory", [PLENTY, 1])
@pytest.mark.parametrize("bars", [1, 24])
def test_coarse_bars_are_groups_of_minutes_whatever_is_known_already(memory: int, bars: int) -> None:
    days = Days(1, COINS, memory)
    last = FIRST + TILE + 3
    wanted = grouped_bars(path.expand(direct(COINS[1], FIRST, last), FIRST * 1440), 1440 // bars).tolist()
    days.minutes(COINS[1], FIRST + 2, FIRST + 3)
    days.coarse(COINS[1], FIRST + 5, FIRST + 6, 24)
    for _ in range(2):
        assert days.coarse(COINS[1], FIRST, last, bars).tolist() == wanted


def test_steps_do_the_work_a_tile_at_a_time() -> None:
    days = Counting()
    done = [days.rows for _ in days.steps(COINS[0], FIRST, FIRST + 3 * TILE - 1, 1)]
    assert done == [TILE, 2 * TILE, 3 * TILE]
    days.coarse(COINS[0], FIRST, FIRST + 3 * TILE - 1, 1)
    assert days.rows == 3 * TILE


def test_days_are_made_from_hours_that_are_there() -> None:
    days = Counting()
    days.coarse(COINS[0], FIRST, FIRST + 4, 24)
    days.coarse(COINS[0], FIRST, FIRST + 4, 1)
    assert days.rows == 5


@pytest.mark.parametrize(("memory", "again"), [(PLENTY, 0), (1, len(COINS))])
def test_a_day_of_everyone_is_kept_where_there_is_room(memory: int, again: int) -> None:
    days = Counting(memory)
    for _ in range(2):
        found = np.concatenate([block for _, block in days.everyone(FIRST)], axis=1)
        assert found[:, 13].tolist() == direct(COINS[13], FIRST, FIRST).tolist()
    assert days.rows == len(COINS) + again
