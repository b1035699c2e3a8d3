from __future__ import annotations

from decimal import Decimal

from tradebot.clock import DAY, parse_time
from tradebot.sim.coins import LISTED, coins

MANY = coins(1200)


def test_a_shorter_list_is_the_beginning_of_a_longer_one() -> None:
    for number in (0, 1, 29, 30, 31, 200):
        assert coins(number) == MANY[:number]


def test_symbols_differ_and_begin_with_the_known_ones() -> None:
    symbols = [coin.instrument.symbol for coin in MANY]
    assert symbols[:3] == ["BTCUSDT", "ETHUSDT", "BNBUSDT"]
    assert len(set(symbols)) == len(symbols)
    assert all(coin.instrument.base.isalpha() and len(coin.instrument.base) in range(2, 6) for coin in MANY)


def test_rules_suit_the_price() -> None:
    for coin in MANY:
        rules = coin.instrument
        assert rules.tick == Decimal(1).scaleb(-coin.price_places)
        assert rules.step == rules.min_quantity == Decimal(1).scaleb(-coin.amount_places)
        assert coin.price_places + coin.amount_places <= 8, "amounts in the quote coin have eight places"
        assert 4_000 <= coin.level * 10**coin.price_places <= 10_000_000, "ticks are fine against the price"
        assert coin.level * float(rules.step) < 5, "one step is worth less than the least order"
        assert 0.01 <= coin.volatility <= 0.06


def test_the_first_are_traded_most() -> None:
    turnovers = [coin.turnover for coin in MANY[30:]]
    assert turnovers == sorted(turnovers, reverse=True)
    assert min(coin.turnover for coin in MANY[:5]) > max(turnovers)


def test_most_coins_are_old_and_some_were_listed_later_but_none_of_the_most_traded() -> None:
    later = [coin for coin in MANY if coin.listed != LISTED]
    assert 0.1 < len(later) / len(MANY) < 0.25
    assert all(coin.listed == LISTED for coin in MANY[:40])
    assert all(coin.listed % DAY == 0 for coin in later)
    assert all(parse_time("2018-01-01") <= coin.listed < parse_time("2025-01-01") for coin in later)
    assert len({coin.listed for coin in later}) > 100
