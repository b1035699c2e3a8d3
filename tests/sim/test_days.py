from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from tradebot.sim import path
from tradebot.sim.asks import Need
from tradebot.sim.coins import Coin, coins
from tradebot.sim.days import SHARE, TILE, Days, grouped_bars, grouped_block
from tradebot.sim.path import MINUTES

COINS = coins(80)
FIRST = 19_675
PLENTY = 64 << 20


class Counting(Days):
    """Counts the rows that were computed."""

    def __init__(self, memory: int = PLENTY) -> None:
        super().__init__(1, COINS, memory)
        self.rows = self.hours = 0

    def compute(self, needs: Sequence[Need]) -> Iterator[tuple[Sequence[Need], path.Block]]:
        for made, block in super().compute(needs):
            self.rows += len(made)
            self.hours += block.shape[1]
            yield made, block


def whole(days: Days, coin: Coin, day: int) -> np.ndarray:
    return days.minutes(coin, day * MINUTES, (day + 1) * MINUTES)


def since(first: int, last: int) -> tuple[int, int]:
    """The minutes of some days."""
    return first * MINUTES, (last + 1) * MINUTES


def direct(coin: Coin, first: int, last: int) -> np.ndarray:
    days = np.arange(first, last + 1)
    hours = path.sketch(path.Table.of(1, [coin] * len(days)), days, path.market(1, days))
    return path.minutes(hours.reshape(len(hours), -1)).reshape(len(path.BLOCK), -1)


def test_minutes_of_many_days_follow_each_other() -> None:
    days = Days(1, COINS, PLENTY)
    for first, last in ((FIRST, FIRST), (FIRST - 1, FIRST + 1), (FIRST - 12, FIRST + 2)):
        found = days.minutes(COINS[3], first * MINUTES, (last + 1) * MINUTES)
        assert found.tolist() == direct(COINS[3], first, last).tolist()


@pytest.mark.parametrize("memory", [PLENTY, 1])
def test_any_minutes_are_a_cut_of_the_days(memory: int) -> None:
    days, expected = Days(1, COINS, memory), direct(COINS[3], FIRST, FIRST + 2)
    for first, until in ((700, 720), (719, 725), (0, 1), (1439, 1441), (100, 4000), (4319, 4320), (1500, 1501)):
        found = days.minutes(COINS[3], FIRST * MINUTES + first, FIRST * MINUTES + until)
        assert found.tolist() == expected[:, first:until].tolist()


def test_a_day_is_computed_once_and_its_neighbours_with_it() -> None:
    days = Counting()
    whole(days, COINS[0], FIRST)
    assert days.rows == SHARE
    for coin in COINS[:SHARE]:
        assert whole(days, coin, FIRST).tolist() == direct(coin, FIRST, FIRST).tolist()
    assert days.rows == SHARE
    whole(days, COINS[SHARE], FIRST)
    assert days.rows == 2 * SHARE, "who has come so far goes on"
    whole(days, COINS[-1], FIRST)
    assert days.rows == 2 * SHARE + 1, "who asks for one somewhere else does not"


def test_who_asks_for_parts_of_a_day_again_and_again_has_all_of_it() -> None:
    days, start = Counting(), FIRST * MINUTES
    far, counts = COINS[-1], []
    for minute in (800, 810, 790, 1300, 0):
        days.minutes(far, start + minute, start + minute + 5)
        counts.append(days.rows)
    assert counts == [1, 1, 1, 2, 2]


def test_who_goes_through_the_list_in_steps_finds_its_neighbours_made() -> None:
    days, counts = Counting(), []
    for coin in [*COINS[: SHARE + 1], COINS[-1]]:
        for _ in days.steps(coin, [(MINUTES, FIRST * MINUTES, FIRST * MINUTES + 100)]):
            pass
        counts.append(days.rows)
    assert counts == [*[SHARE] * SHARE, 2 * SHARE, 2 * SHARE + 1]
    for coin in COINS[:2]:
        for _ in days.steps(coin, [(MINUTES, FIRST * MINUTES, FIRST * MINUTES + 900)]):
            pass
    assert days.rows == 3 * SHARE + 2, "a longer part of the day is made for all of them too"


def test_long_ranges_bring_no_company() -> None:
    days = Counting()
    days.minutes(COINS[0], FIRST * MINUTES, (FIRST + 10) * MINUTES)
    assert days.rows == 10


@pytest.mark.parametrize("memory", [PLENTY, 1])
@pytest.mark.parametrize("bars", [1, 24])
def test_coarse_bars_are_groups_of_minutes_whatever_is_known_already(memory: int, bars: int) -> None:
    days = Days(1, COINS, memory)
    last = FIRST + TILE + 3
    wanted = grouped_bars(path.expand(direct(COINS[1], FIRST, last), FIRST * 1440), 1440 // bars).tolist()
    days.minutes(COINS[1], (FIRST + 2) * MINUTES, (FIRST + 4) * MINUTES - 7)
    days.coarse(24, COINS[1], *since(FIRST + 5, FIRST + 6))
    for _ in range(2):
        assert days.coarse(bars, COINS[1], *since(FIRST, last)).tolist() == wanted


def test_a_block_is_grouped_like_its_bars() -> None:
    block = np.stack([direct(coin, FIRST, FIRST) for coin in COINS[:3]], axis=1)
    found = grouped_block(block, 5, np.array([[FIRST * MINUTES]] * 3))
    for row in range(3):
        assert found[:, row].tolist() == grouped_bars(path.expand(block[:, row], FIRST * MINUTES), 5).tolist()


def test_steps_do_the_work_a_tile_at_a_time() -> None:
    days = Counting()
    wanted = [(1, FIRST * MINUTES, (FIRST + 3 * TILE) * MINUTES)]
    done = [days.rows for _ in days.steps(COINS[0], wanted)]
    assert done == [0, TILE, 2 * TILE], "the first step only waits for others, the last one ends it"
    assert days.rows == 3 * TILE
    days.coarse(1, COINS[0], *since(FIRST, FIRST + 3 * TILE - 1))
    assert days.rows == 3 * TILE


def test_years_are_asked_for_piece_by_piece() -> None:
    days, start, end = Counting(), (FIRST - 1200) * MINUTES, FIRST * MINUTES
    for _ in days.steps(COINS[0], [(1, start, end), (MINUTES, end, end + 10)]):
        pass
    assert days.rows == 1201
    days.coarse(1, COINS[0], *since(FIRST - 1200, FIRST - 1))
    days.minutes(COINS[0], end, end + 10)
    assert days.rows == 1201


def test_a_day_that_is_wanted_as_hours_and_minutes_is_computed_once() -> None:
    days, start = Counting(), FIRST * MINUTES
    for _ in days.steps(COINS[-1], [(24, start, start + MINUTES), (MINUTES, start + 600, start + 700)]):
        pass
    assert days.rows == 1
    assert (
        days.minutes(COINS[-1], start + 600, start + 700).tolist()
        == direct(COINS[-1], FIRST, FIRST)[:, 600:700].tolist()
    )
    days.coarse(24, COINS[-1], *since(FIRST, FIRST))
    assert days.rows == 1


def test_many_who_ask_at_once_are_answered_by_one_computation() -> None:
    days, start = Counting(), FIRST * MINUTES
    asking = [days.steps(coin, [(MINUTES, start + 3 * place, start + 400)]) for place, coin in enumerate(COINS[::5])]
    for each in asking:
        next(each)
    assert days.rows == 0
    assert next(asking[0], "done") == "done"
    assert days.rows == len(asking)
    assert all(next(each, "done") == "done" for each in asking)
    assert days.rows == len(asking)
    for coin in COINS[::5]:
        assert days.minutes(coin, start + 300, start + 400).tolist() == direct(coin, FIRST, FIRST)[:, 300:400].tolist()


@pytest.mark.parametrize("memory", [PLENTY, 1])
def test_any_hours_are_a_cut_of_the_days(memory: int) -> None:
    days, start = Days(1, COINS, memory), FIRST * MINUTES
    whole = Days(1, COINS, PLENTY).coarse(24, COINS[3], start, start + 3 * MINUTES)
    for first, until in ((5, 7), (6, 9), (0, 24), (20, 50), (71, 72), (1, 2)):
        found = days.coarse(24, COINS[3], start + 60 * first, start + 60 * until)
        assert found.tolist() == whole[:, first:until].tolist()


def test_hours_of_a_part_of_the_day_cost_no_more_than_that_part() -> None:
    days, start = Counting(), FIRST * MINUTES
    days.coarse(24, COINS[-1], start + 20 * 60, start + MINUTES + 3 * 60)
    assert days.hours == 4 + 3


def test_days_are_made_from_hours_that_are_there() -> None:
    days = Counting()
    days.coarse(24, COINS[0], *since(FIRST, FIRST + 8))
    days.coarse(1, COINS[0], *since(FIRST, FIRST + 8))
    assert days.rows == 9


@pytest.mark.parametrize("first", [0, 2, 11])
def test_hours_of_a_day_of_everyone(first: int) -> None:
    days = Days(1, COINS, PLENTY)
    for last in (first + 13, first + 1):
        tiles = list(days.everyone(FIRST, first, last))
        assert [at for at, _ in tiles][:2] == [0, tiles[0][1].shape[1]][: len(tiles)]
        found = np.concatenate([block for _, block in tiles], axis=1)
        for place in (0, 33, len(COINS) - 1):
            assert found[:, place].tolist() == direct(COINS[place], FIRST, FIRST)[:, first * 60 : last * 60].tolist()
