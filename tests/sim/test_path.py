from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tradebot.sim import path
from tradebot.sim.coins import Coin, coins

FIRST = 19_675
COINS = {coin.instrument.base: coin for coin in coins(30)}
COINS["CHEAP"] = replace(COINS["DOGE"], level=2e-5)
COINS["DEAR"] = replace(COINS["BTC"], level=1e9)


def hours(coins: list[Coin], days: list[int], seed: int = 1) -> np.ndarray:
    return path.sketch(path.Table.of(seed, coins), np.array(days), path.market(seed, np.array(days)))


def told(sketch: np.ndarray) -> np.ndarray:
    """Minutes `(7, rows, minutes)` of some hours of each row."""
    return path.minutes(sketch.reshape(len(sketch), -1)).reshape(len(path.BLOCK), sketch.shape[1], -1)


def block(coins: list[Coin], days: list[int], seed: int = 1) -> np.ndarray:
    return told(hours(coins, days, seed))


def minutes(base: str, first: int = FIRST, days: int = 4, seed: int = 1) -> np.ndarray:
    """The ten rows of successive days."""
    found = block([COINS[base]] * days, [*range(first, first + days)], seed)
    return path.expand(found.reshape(len(path.BLOCK), -1), first * 1440)


def test_any_day_has_the_same_bytes_alone_and_among_others() -> None:
    whole = minutes("ETH", days=6)
    for day in range(6):
        alone = minutes("ETH", FIRST + day, days=1)
        assert alone.tobytes() == np.ascontiguousarray(whole[:, day * 1440 : (day + 1) * 1440]).tobytes()


def test_any_coin_has_the_same_bytes_alone_and_among_others() -> None:
    mixed = [COINS[base] for base in ("XRP", "ETH", "BTC", "ETH")]
    days = [FIRST, FIRST + 1, FIRST, FIRST]
    together = block(mixed, days)
    for row, (coin, day) in enumerate(zip(mixed, days, strict=True)):
        assert together[:, row].tolist() == block([coin], [day])[:, 0].tolist()


def test_one_row_of_the_market_stands_for_all_rows_of_its_day() -> None:
    pair, days = [COINS["XRP"], COINS["ETH"]], np.array([FIRST, FIRST])
    found = path.sketch(path.Table.of(1, pair), days, path.market(1, days[:1]))
    assert found.tobytes() == hours(pair, [FIRST, FIRST]).tobytes()


@pytest.mark.parametrize("part", [slice(0, 24), slice(0, 1), slice(23, 24), slice(3, 9), slice(7, 8)])
def test_any_hours_are_a_cut_of_the_day(part: slice) -> None:
    pair, days = [COINS["XRP"], COINS["ETH"]], [FIRST, FIRST + 1]
    minutes = slice(part.start * 60, part.stop * 60)
    assert told(hours(pair, days)[:, :, part]).tolist() == block(pair, days)[:, :, minutes].tolist()


def test_numbers_beyond_32_bits_are_not_cut_off() -> None:
    huge, usual = replace(COINS["DOGE"], turnover=COINS["DOGE"].turnover * 1e6), COINS["DOGE"]
    together, alone = block([huge, usual], [FIRST] * 2), block([usual], [FIRST])
    assert (together.dtype, alone.dtype) == (np.int64, np.int32)
    assert together[4, 0].max() > 2**31
    assert (together[:4, 0] == alone[:4, 0]).all()
    assert (together[:, 1] == alone[:, 0]).all(), "a neighbour that needs 64 bits changes no number"


def test_four_prices_of_32_bits_add_up_within_them() -> None:
    for level in 1.4 ** np.arange(40, 60):
        found = block([replace(COINS["ZEC"], level=level)], [FIRST])
        if found.dtype == np.int32:
            assert found[1].max() < 2**29


def test_bars_are_consistent_and_follow_each_other() -> None:
    for base in ("BTC", "XRP", "DOGE", "ZEC", "CHEAP", "DEAR"):
        time, first, high, low, last, amount, quote, trades, taken, taken_quote = minutes(base)
        assert (np.diff(time) == 60_000).all()
        assert (low >= 1).all()
        assert (low <= np.minimum(first, last)).all()
        assert (high >= np.maximum(first, last)).all()
        assert (first[1:] == last[:-1]).all(), "a minute opens where the one before it closed, also at midnight"
        assert (amount >= 1).all()
        assert (trades >= 1).all()
        assert ((taken >= 0) & (taken <= amount)).all()
        assert (taken_quote <= quote).all()
        assert ((amount * low <= quote) & (quote <= amount * high)).all()


def test_seeds_and_coins_have_prices_of_their_own() -> None:
    closes = [minutes("ETH")[4], minutes("ETH", seed=2)[4], minutes("BNB")[4]]
    assert not any((a == b).all() for a, b in pairwise(closes))


@pytest.mark.parametrize("base", ["BTC", "ETH", "SAND"])
def test_a_day_moves_by_two_to_six_percent(base: str) -> None:
    closes = minutes(base, days=400)[4, 1439::1440]
    assert 0.015 < np.diff(np.log(closes)).std() < 0.06


def test_prices_neither_explode_nor_vanish() -> None:
    days = np.arange(-5_000, 60_000, 13)
    for base in ("BTC", "OP", "ZEC"):
        table = path.Table.of(1, [COINS[base]] * len(days))
        far = np.log2(path.sketch(table, days, path.market(1, days))[0] / table.level)
        assert 1 < np.abs(far).max() < 4


@pytest.fixture(scope="module")
def months() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log closes and amounts of 120 days of ETH in 15-minute bars, and the mood they were made with."""
    days = np.arange(FIRST, FIRST + 120)
    walk = path.walk(path.Table.of(1, [COINS["ETH"]] * 120), days, path.market(1, days))
    bars = minutes("ETH", days=120)
    mood = np.repeat(walk.mood, 60)[14::15]
    return np.log(bars[4, 14::15]), bars[5].reshape(-1, 15).sum(axis=1), mood


def test_volatility_comes_in_clusters_and_volume_goes_with_it(
    months: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    closes, amounts, _ = months
    hour = np.abs(np.diff(closes[::4]))
    assert np.corrcoef(hour[1:], hour[:-1])[0, 1] > 0.1
    assert np.corrcoef(np.abs(np.diff(closes)), amounts[1:])[0, 1] > 0.2


def test_moves_go_on_in_momentum_and_turn_back_in_reversion(
    months: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    closes, _, mood = months
    at = np.arange(100, len(closes) - 8)
    before, after = closes[at] - closes[at - 8], closes[at + 8] - closes[at]

    def likeness(chosen: np.ndarray) -> float:
        return float(np.corrcoef(before[chosen], after[chosen])[0, 1])

    momentum, reversion = likeness(mood[at] > 0.4), likeness(mood[at] < -0.4)
    assert momentum > 0.1
    assert reversion < momentum - 0.15


def test_coins_share_the_market() -> None:
    moves = [np.diff(np.log(minutes(base, days=60)[4, 59::60])) for base in ("BTC", "ETH", "SOL")]
    assert np.corrcoef(moves)[np.triu_indices(3, 1)].min() > 0.3


def test_takers_lean_with_the_move() -> None:
    bars = minutes("ETH", days=20)
    assert np.corrcoef(bars[8] / bars[5], bars[4] - bars[1])[0, 1] > 0.2
