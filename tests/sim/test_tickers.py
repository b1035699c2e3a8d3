from __future__ import annotations

from decimal import Decimal

import pytest
from exchanging import NOW, D, marked, synthetic

from tradebot.clock import DAY, MINUTE
from tradebot.market.venue import Side
from tradebot.sim import tickers
from tradebot.sim.prices import Day
from tradebot.sim.tape import identity

DAY_OF = Day(D(100), D(120), D(90), D(110), D(8), D(840), 5)


def test_changes_are_those_between_open_and_last() -> None:
    told = tickers.changes(DAY_OF)
    assert told == {"priceChange": "10.00000000", "priceChangePercent": "10.000", "weightedAvgPrice": "105.00000000"}
    falling = tickers.changes(Day(D(100), D(100), D(90), D(95)))
    assert falling == {"priceChange": "-5.00000000", "priceChangePercent": "-5.000", "weightedAvgPrice": "0.00000000"}


def test_the_small_ticker_has_amounts_and_the_numbers_of_its_trades() -> None:
    told = tickers.mini("ETHUSDT", DAY_OF, NOW - DAY, NOW)
    assert (told["volume"], told["quoteVolume"], told["count"]) == ("8.00000000", "840.00000000", 5)
    assert (told["firstId"], told["lastId"]) == (identity(NOW - DAY), identity(NOW))
    assert (told["openTime"], told["closeTime"]) == (NOW - DAY, NOW)


def test_the_full_ticker_has_the_best_of_the_book() -> None:
    depth = synthetic().depth("ETHUSDT")
    told = tickers.full("ETHUSDT", DAY_OF, depth, NOW)
    assert told.items() >= (tickers.book(depth) | tickers.changes(DAY_OF)).items()
    for side, name in (("BUY", "bid"), ("SELL", "ask")):
        ((price, size),) = depth.levels(Side(side), 1)
        assert (Decimal(told[f"{name}Price"]), Decimal(told[f"{name}Qty"])) == (price, size)


@pytest.mark.parametrize("minutes", [1, 15, 90, 1440, 7 * 1440])
def test_a_window_is_told_from_the_bars_since_it_began(minutes: int) -> None:
    prices = synthetic().prices
    start = NOW - NOW % MINUTE - minutes * MINUTE
    told = tickers.window(prices, "ETHUSDT", start, "FULL", NOW)
    grain = "1m" if minutes < 1440 else "5m"
    bars = prices.klines("ETHUSDT", grain, start, NOW, NOW)
    assert float(told["openPrice"]) == bars["open"][0]
    assert (float(told["highPrice"]), float(told["lowPrice"])) == (bars["high"].max(), bars["low"].min())
    assert float(told["volume"]) == pytest.approx(bars["volume"].sum())
    assert told["count"] == bars["trades"].sum()
    assert set(told) - set(tickers.window(prices, "ETHUSDT", start, "MINI", NOW)) == set(tickers.changes(DAY_OF))


def test_without_bars_the_last_price_is_everything() -> None:
    told = tickers.window(marked(), "ETHUSDT", NOW - DAY, "MINI", NOW)
    assert told["openPrice"] == told["highPrice"] == told["lowPrice"] == told["lastPrice"] == "2000.00000000"
    assert told["count"] == 0
