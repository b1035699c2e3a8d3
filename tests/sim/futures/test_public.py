from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from exchanging import NOW, D, Marked, exchange, instrument, refusal, synthetic

from futures.trading import Trader
from tradebot.clock import DAY, HOUR
from tradebot.sim.futures.funding import PERIOD, funding_rate, next_funding

Connect = Callable[..., Trader]


async def test_ping_and_time(connect: Connect) -> None:
    trader = connect()
    assert await trader.told("v1/ping") == {}
    assert await trader.told("v1/time") == {"serverTime": NOW}


async def test_exchange_info_tells_limits_and_every_contract(connect: Connect) -> None:
    told = await connect().told("v1/exchangeInfo")
    assert [(each["rateLimitType"], each["limit"]) for each in told["rateLimits"]] == [
        ("REQUEST_WEIGHT", 2400), ("ORDERS", 300), ("ORDERS", 1200),
    ]  # fmt: skip
    assert [each["symbol"] for each in told["symbols"]] == ["ETHUSDT", "BTCUSDT"]
    assert told["symbols"][0]["contractType"] == "PERPETUAL"
    assert told["symbols"][0]["marginAsset"] == "USDT"


async def test_klines_are_those_of_spot_up_to_1500(connect: Connect) -> None:
    trader = connect(synthetic())
    asked = {"symbol": "BTCUSDT", "interval": "1h", "startTime": NOW - 600 * HOUR, "limit": 700}
    rows = await trader.told("v1/klines", **asked)
    assert rows == await trader.json("/api/v3/klines", **asked)
    assert len(rows) == 600
    assert len(await trader.told("v1/klines", symbol="BTCUSDT", interval="1h", limit=2000)) == 1500
    assert len(await trader.told("v1/klines", symbol="BTCUSDT", interval="1h")) == 500


@pytest.mark.parametrize(("limit", "weight"), [(99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10)])
async def test_klines_weigh_by_their_limit(connect: Connect, limit: int, weight: int) -> None:
    reply = await connect(synthetic()).get("/fapi/v1/klines", symbol="BTCUSDT", interval="1d", limit=limit)
    assert reply.headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


async def test_contracts_have_no_seconds_and_no_unknown_intervals(connect: Connect) -> None:
    trader = connect()
    for interval in ("1s", "7m"):
        assert refusal(await trader.get("/fapi/v1/klines", symbol="ETHUSDT", interval=interval)) == (400, -1120)
    assert refusal(await trader.get("/fapi/v1/klines", symbol="NONE", interval="1m")) == (400, -1121)


async def test_last_prices_of_one_and_of_all(connect: Connect) -> None:
    trader = connect()
    one = {"symbol": "ETHUSDT", "price": "2000.00000000", "time": NOW}
    for version in ("v1", "v2"):
        assert await trader.told(f"{version}/ticker/price", symbol="ETHUSDT") == one
        assert (await trader.told(f"{version}/ticker/price"))[0] == one


async def test_a_day_of_a_contract_has_no_book_in_it(connect: Connect) -> None:
    trader = connect(synthetic())
    one = await trader.told("v1/ticker/24hr", symbol="BTCUSDT")
    assert one["closeTime"] - one["openTime"] == DAY
    assert Decimal(one["lowPrice"]) <= Decimal(one["lastPrice"]) <= Decimal(one["highPrice"])
    assert "bidPrice" not in one
    assert (await trader.told("v1/ticker/24hr"))[0] == one


async def test_best_prices_carry_their_time(connect: Connect) -> None:
    trader = connect(exchange(spread="0.001"))
    one = await trader.told("v1/ticker/bookTicker", symbol="ETHUSDT")
    assert (one["bidPrice"], one["askPrice"], one["time"]) == ("1999.00000000", "2001.00000000", NOW)
    assert [each["symbol"] for each in await trader.told("v1/ticker/bookTicker")] == ["ETHUSDT", "BTCUSDT"]


async def test_the_order_book_comes_in_a_few_sizes(connect: Connect) -> None:
    trader = connect(exchange(spread="0.001"))
    book = await trader.told("v1/depth", symbol="ETHUSDT", limit=5)
    assert (len(book["bids"]), len(book["asks"]), book["T"]) == (5, 5, NOW)
    assert (book["bids"][0][0], book["asks"][0][0]) == ("1999.00000000", "2001.00000000")
    prices = [D(price) for price, _ in book["asks"]]
    assert prices == sorted(prices)
    assert refusal(await trader.get("/fapi/v1/depth", symbol="ETHUSDT", limit=7)) == (400, -4021)


async def test_premium_tells_mark_index_and_the_rate_that_will_be_paid(connect: Connect) -> None:
    trader = connect()
    one = await trader.told("v1/premiumIndex", symbol="ETHUSDT")
    assert one["markPrice"] == "2000.00000000"
    assert one["nextFundingTime"] == next_funding(NOW)
    assert D(one["lastFundingRate"]) == funding_rate("ETHUSDT", next_funding(NOW))
    assert abs(D(one["indexPrice"]) - 2000) < 1
    assert (await trader.told("v1/premiumIndex"))[0] == one


async def test_past_funding_rates_are_told_oldest_first(connect: Connect) -> None:
    trader = connect(synthetic())
    rows = await trader.told("v1/fundingRate", symbol="BTCUSDT", limit=3)
    last = next_funding(NOW) - PERIOD
    assert [row["fundingTime"] for row in rows] == [last - 2 * PERIOD, last - PERIOD, last]
    first = await trader.told("v1/fundingRate", symbol="BTCUSDT", startTime=last - 2 * PERIOD + 1, limit=1)
    assert first == rows[1:2]


async def test_a_contract_without_a_price_is_left_out_and_refused_by_name(connect: Connect) -> None:
    silent = connect(exchange(Marked({"ETHUSDT": instrument()})))
    assert await silent.told("v1/premiumIndex") == []
    assert refusal(await silent.get("/fapi/v1/premiumIndex", symbol="ETHUSDT")) == (400, -1121)


async def test_futures_weights_are_counted_apart_from_spot(connect: Connect) -> None:
    trader = connect()
    await trader.get("/api/v3/exchangeInfo")
    reply = await trader.get("/fapi/v1/ticker/24hr")
    assert reply.headers["X-MBX-USED-WEIGHT-1M"] == "40"


async def test_more_than_2400_a_minute_is_too_much(connect: Connect) -> None:
    trader = connect()
    for _ in range(60):
        assert (await trader.get("/fapi/v1/ticker/24hr")).status_code == 200
    reply = await trader.get("/fapi/v1/ping")
    assert refusal(reply) == (429, -1003)
    assert reply.headers["Retry-After"] == "37"
