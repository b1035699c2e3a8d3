"""A client that many people read markets with, and that knows nothing of us: it reads what the exchange holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import ccxt.async_support as ccxt

from tests.conftest import AT, MakeSettings, served
from tradebot.clock import DAY, MINUTE, parse_time
from tradebot.config import Settings
from tradebot.market.venue import Instrument
from tradebot.sim import open_prices
from tradebot.sim.exact import Exact
from tradebot.sim.prices import Prices

NOW = parse_time(AT)
SYMBOL, COIN = "ETH/USDT", "ETHUSDT"
STEP = 5 * MINUTE


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Any]:
    """The client with its markets; nothing is changed but its address and what keeps it from other hosts."""
    async with served(settings) as address:
        client = ccxt.binance({"options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}})
        api = client.urls["api"]
        api |= {name: url.replace("https://api.binance.com", address) for name, url in api.items() if type(url) is str}
        # The exchange's clock stands still: nothing says when requests may go on.
        client.enableRateLimit = False
        try:
            await client.load_markets()
            yield client
        finally:
            await client.close()


def bars(found: Exact) -> list[list[float]]:
    """As the client has them: time, open, high, low, close, volume."""
    rows: list[list[float]] = found.klines().data[:6].T.tolist()
    return rows


def rules(market: dict[str, Any]) -> dict[str, Any]:
    """What the client made of a symbol's filters."""
    limits = market["limits"]
    return {
        "tick": market["precision"]["price"], "step": market["precision"]["amount"],
        "min_quantity": limits["amount"]["min"], "max_quantity": limits["amount"]["max"],
        "max_market_quantity": limits["market"]["max"], "min_notional": limits["cost"]["min"],
    }  # fmt: skip


def own(instrument: Instrument) -> dict[str, float]:
    names = ("tick", "step", "min_quantity", "max_quantity", "max_market_quantity", "min_notional")
    return {name: float(getattr(instrument, name)) for name in names}


async def test_markets_have_the_precision_and_the_limits_of_the_instruments(make_settings: MakeSettings) -> None:
    settings = make_settings(sim__symbols=60)
    known = open_prices(settings).instruments()
    async with reading(settings) as client:
        assert {market["id"] for market in client.markets.values()} == set(known)
        for market in client.markets.values():
            instrument = known[market["id"]]
            assert rules(market) == own(instrument)
            assert (market["base"], market["quote"], market["active"]) == (instrument.base, instrument.quote, True)
        assert client.price_to_precision(SYMBOL, 2500.126) == "2500.13"
        assert client.amount_to_precision(SYMBOL, 1.23456) == "1.2345"


async def test_tickers_are_those_of_the_prices(make_settings: MakeSettings) -> None:
    settings = make_settings()
    prices: Prices = open_prices(settings)
    async with reading(settings) as client:
        tickers = await client.fetch_tickers()
        assert {each["info"]["symbol"] for each in tickers.values()} == set(prices.instruments())
        for ticker in tickers.values():
            day = prices.day(ticker["info"]["symbol"], NOW)
            assert (ticker["open"], ticker["high"], ticker["low"], ticker["last"]) == tuple(
                float(value) for value in (day.open, day.high, day.low, day.last)
            )
            assert (ticker["baseVolume"], ticker["quoteVolume"]) == (float(day.volume), float(day.quote_volume))
            assert ticker["bid"] < ticker["last"] < ticker["ask"]
            assert ticker["timestamp"] == NOW
        # ccxt cuts its own average to the tick for one symbol, and not for all of them.
        assert await client.fetch_ticker(SYMBOL) | {"average": 0} == tickers[SYMBOL] | {"average": 0}


async def test_a_book_has_both_sides_in_order_around_the_ticker(make_settings: MakeSettings) -> None:
    async with reading(make_settings()) as client:
        book = await client.fetch_order_book(SYMBOL, 50)
        bids, asks = ([price for price, _ in book[side]] for side in ("bids", "asks"))
        assert (bids, asks) == (sorted(bids, reverse=True), sorted(asks))
        assert len(bids) == len(asks) == 50
        ticker = await client.fetch_ticker(SYMBOL)
        assert [book["bids"][0], book["asks"][0]] == [
            [ticker["bid"], ticker["bidVolume"]],
            [ticker["ask"], ticker["askVolume"]],
        ]


async def test_trades_lie_within_the_bars_in_which_they_were_made(make_settings: MakeSettings) -> None:
    async with reading(make_settings()) as client:
        since = NOW - 10 * MINUTE
        trades = await client.fetch_trades(SYMBOL, since, 1000)
        assert len(trades) > 100
        assert all(since <= trade["timestamp"] <= NOW for trade in trades)
        minutes = {bar[0]: bar for bar in await client.fetch_ohlcv(SYMBOL, "1m", since - MINUTE, 20)}
        for trade in trades:
            _, _, high, low, _, _ = minutes[trade["timestamp"] // MINUTE * MINUTE]
            assert low <= trade["price"] <= high
        assert {trade["side"] for trade in trades} == {"buy", "sell"}
        assert abs(NOW - (await client.fetch_trades(SYMBOL))[-1]["timestamp"]) < MINUTE


async def test_ten_thousand_bars_page_by_page_are_the_exchanges_own(make_settings: MakeSettings) -> None:
    settings = make_settings()
    start = NOW - 10_500 * STEP
    wanted = bars(open_prices(settings).exact(COIN, "5m", start, NOW, NOW))
    assert len(wanted) == 10_501
    async with reading(settings) as client:
        found: list[list[float]] = []
        while page := await client.fetch_ohlcv(SYMBOL, "5m", int(found[-1][0]) + STEP if found else start, 1000):
            found += page
        assert found == wanted


async def test_the_clients_own_paging_reads_them_all_too(make_settings: MakeSettings) -> None:
    # It counts back from the machine's time, so that has to be the exchange's.
    settings = make_settings(sim__clock="real", sim__at="")
    async with reading(settings) as client:
        end = await client.fetch_time() // STEP * STEP
        start = end - 10_500 * STEP
        found = await client.fetch_ohlcv(SYMBOL, "5m", start, None, {"paginate": True, "paginationCalls": 12})
        closed = [bar for bar in found if bar[0] < end]
        assert len(closed) == 10_500
        assert closed == bars(open_prices(settings).exact(COIN, "5m", start, end - 1, end))


async def test_every_timeframe_of_the_client_has_bars(make_settings: MakeSettings) -> None:
    settings = make_settings()
    prices = open_prices(settings)
    async with reading(settings) as client:
        for interval in set(client.timeframes) - {"1s"}:
            newest = await client.fetch_ohlcv(SYMBOL, interval, None, 3)
            assert newest == bars(prices.exact(COIN, interval, int(newest[0][0]), NOW, NOW))
            assert len(newest) == 3
        assert await client.fetch_ohlcv(SYMBOL, "1s", NOW - DAY, 3) == []


async def test_the_clients_time_is_the_exchanges(make_settings: MakeSettings) -> None:
    async with reading(make_settings()) as client:
        assert await client.fetch_time() == NOW
        price = await client.fetch_last_prices([SYMBOL])
        assert Decimal(str(price[SYMBOL]["price"])) == open_prices(make_settings()).price(COIN, NOW)
