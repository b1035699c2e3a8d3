"""ccxt, a real client, against the served exchange: its addresses are changed, and currencies are not asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import ccxt
import pytest
import uvicorn
from exchanging import D, exchange

from tradebot.clock import RealClock
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET, create_app
from tradebot.sim.engine import Exchange
from tradebot.sim.futures.funding import funding_rate, next_funding
from tradebot.sim.prices import Synthetic

Venue = tuple[Any, Exchange]
SYMBOL = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def venue() -> Iterator[Venue]:
    served = exchange(Synthetic(1, 3), RealClock(), spread="0.0002")
    server = uvicorn.Server(uvicorn.Config(create_app(served), port=0, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    client = ccxt.binanceusdm({"apiKey": PAPER_KEY, "secret": PAPER_SECRET})
    client.urls["api"] = {
        name: url.replace("https://fapi.binance.com", f"http://127.0.0.1:{port}") if isinstance(url, str) else url
        for name, url in client.urls["api"].items()
    }
    client.options["fetchMarkets"] = {"types": ["linear"]}
    client.has["fetchCurrencies"] = False
    yield client, served
    client.session.close()
    server.should_exit = True
    thread.join()
    served.close()


def test_markets_are_parsed_with_their_precision(venue: Venue) -> None:
    client, _ = venue
    market = client.load_markets()[SYMBOL]
    assert (market["swap"], market["linear"], market["active"]) == (True, True, True)
    assert market["precision"] == {"amount": 0.00001, "price": 0.01, "base": 1e-8, "quote": 1e-8}
    assert market["limits"]["cost"]["min"] == 5


def test_a_ticker_and_candles_are_parsed(venue: Venue) -> None:
    client, served = venue
    ticker = client.fetch_ticker(SYMBOL)
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    rows = client.fetch_ohlcv(SYMBOL, "1h", limit=200)
    assert {after[0] - before[0] for before, after in pairwise(rows)} == {3_600_000}
    known = served.prices.klines("BTCUSDT", "1h", rows[0][0], rows[-2][0], served.clock.now())
    assert [row[1:6] for row in rows[:-1]] == known.data[1:6].T.tolist()


def test_the_funding_rate_is_parsed(venue: Venue) -> None:
    client, served = venue
    told = client.fetch_funding_rate(SYMBOL)
    assert told["fundingTimestamp"] == next_funding(served.clock.now())
    assert told["fundingRate"] == float(funding_rate("BTCUSDT", told["fundingTimestamp"]))


def test_a_position_is_opened_protected_and_closed(venue: Venue) -> None:
    client, _ = venue
    assert client.fetch_balance()["USDT"]["total"] == 10_000
    client.set_leverage(10, SYMBOL)
    client.set_margin_mode("isolated", SYMBOL)
    bought = client.create_order(SYMBOL, "market", "buy", 0.01)
    assert (bought["status"], bought["filled"], bought["average"]) == ("closed", 0.01, None)
    queried = client.fetch_order(bought["id"], SYMBOL)
    (position,) = client.fetch_positions()
    assert (position["side"], position["contracts"], position["marginMode"]) == ("long", 0.01, "isolated")
    assert position["entryPrice"] == queried["average"]
    assert position["liquidationPrice"] < position["entryPrice"] * 0.92

    stop = client.create_order(SYMBOL, "market", "sell", 0.01, None, {"stopLossPrice": 20_000, "reduceOnly": True})
    assert (stop["status"], stop["triggerPrice"]) == ("open", 20_000)
    (waiting,) = client.fetch_open_orders(SYMBOL, params={"stop": True})
    assert waiting["id"] == stop["id"]
    assert client.fetch_open_orders(SYMBOL) == []
    client.cancel_order(stop["id"], SYMBOL, {"stop": True})
    assert client.fetch_open_orders(SYMBOL, params={"stop": True}) == []

    client.create_order(SYMBOL, "market", "sell", 0.01, None, {"reduceOnly": True})
    assert client.fetch_positions() == []
    trades = client.fetch_my_trades(SYMBOL)
    earned = sum(D(each["info"]["realizedPnl"]) - D(each["info"]["commission"]) for each in trades)
    assert D(client.fetch_balance()["info"]["totalWalletBalance"]) == 10_000 + earned


def test_a_limit_order_is_placed_looked_up_and_cancelled(venue: Venue) -> None:
    client, _ = venue
    placed = client.create_order(SYMBOL, "limit", "buy", 0.01, 20_000)
    assert [each["id"] for each in client.fetch_open_orders(SYMBOL)] == [placed["id"]]
    assert client.cancel_order(placed["id"], SYMBOL)["status"] == "canceled"
    assert client.fetch_order(placed["id"], SYMBOL)["status"] == "canceled"


def test_refusals_reach_ccxt_with_their_codes(venue: Venue) -> None:
    client, _ = venue
    # Which of its errors a futures code is, ccxt tells by the venue's own host name.
    for text, order in (("-2019", ("buy", 100, {})), ("-2022", ("sell", 0.01, {"reduceOnly": True}))):
        with pytest.raises(ccxt.ExchangeError, match=text):
            client.create_order(SYMBOL, "market", *order[:2], None, order[2])
    with pytest.raises(ccxt.OrderNotFound):
        client.fetch_order("12345", SYMBOL)
