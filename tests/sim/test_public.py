from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import orjson
import pytest
from exchanging import NOW, Client, D, exchange, instrument, marked, refusal, synthetic

from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.market.bars import Klines, open_of
from tradebot.sim.coins import LISTED
from tradebot.sim.prices import Marked

Connect = Callable[..., Client]


async def test_ping_and_time(connect: Connect) -> None:
    client = connect()
    assert await client.json("/api/v3/ping") == {}
    assert await client.json("/api/v3/time") == {"serverTime": NOW}


async def test_exchange_info_tells_limits_and_rules(connect: Connect) -> None:
    info = await connect(weight_limit=1234).json("/api/v3/exchangeInfo")
    weight = next(limit for limit in info["rateLimits"] if limit["rateLimitType"] == "REQUEST_WEIGHT")
    assert weight == {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1234}
    assert (info["timezone"], info["serverTime"]) == ("UTC", NOW)
    assert [each["symbol"] for each in info["symbols"]] == ["ETHUSDT", "BTCUSDT"]
    filters = {each["filterType"]: each for each in info["symbols"][0]["filters"]}
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"] == {
        "filterType": "LOT_SIZE", "minQty": "0.00100000", "maxQty": "9000.00000000", "stepSize": "0.00100000"
    }  # fmt: skip


async def test_exchange_info_of_some_symbols(connect: Connect) -> None:
    client = connect()
    for asked in ({"symbol": "BTCUSDT"}, {"symbols": '["BTCUSDT"]'}):
        found = (await client.json("/api/v3/exchangeInfo", **asked))["symbols"]
        assert [each["symbol"] for each in found] == ["BTCUSDT"]
    assert refusal(await client.get("/api/v3/exchangeInfo", symbols='["BTCUSDT","NOSUCH"]')) == (400, -1121)


async def test_a_symbol_is_on_offer_from_its_listing_on(connect: Connect) -> None:
    client = connect(synthetic(now=LISTED - 1))
    assert (await client.json("/api/v3/exchangeInfo"))["symbols"] == []
    assert await client.json("/api/v3/ticker/24hr") == []
    assert refusal(await client.get("/api/v3/klines", symbol="BTCUSDT", interval="1h")) == (400, -1121)


async def test_klines_are_those_of_the_prices(connect: Connect) -> None:
    venue = synthetic()
    client = connect(venue)
    for interval in ("1m", "15m", "1h", "1d", "1w", "1M"):
        found = Klines.from_rows(await client.json("/api/v3/klines", symbol="ETHUSDT", interval=interval, limit=4))
        start = int(found.data[0, 0])
        assert found.data.tolist() == venue.prices.klines("ETHUSDT", interval, start, NOW, NOW).data.tolist()
        assert len(found) == 4
        assert found.data[0, -1] == open_of(interval, NOW)


async def test_klines_come_500_at_a_time_and_at_most_1000(connect: Connect) -> None:
    client = connect(synthetic())
    asked = {"symbol": "ETHUSDT", "interval": "5m"}
    assert len(await client.json("/api/v3/klines", **asked)) == 500
    assert len(await client.json("/api/v3/klines", **asked, limit=5000)) == 1000
    assert len(await client.json("/api/v3/klines", **asked, startTime=NOW - HOUR, endTime=NOW)) == 12


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"interval": "5m"}, -1102),
        ({"symbol": "ETHUSDT"}, -1102),
        ({"symbol": "NOSUCH", "interval": "5m"}, -1121),
        ({"symbol": "ETHUSDT", "interval": "7m"}, -1120),
        ({"symbol": "ETHUSDT", "interval": "5M"}, -1120),
        ({"symbol": "ETHUSDT", "interval": "5m", "limit": "many"}, -1100),
        ({"symbol": "ETHUSDT", "interval": "5m", "limit": 0}, -1130),
        ({"symbol": "ETHUSDT", "interval": "5m", "startTime": "-1"}, -1100),
        ({"symbol": "ETHUSDT", "interval": "5m", "timeZone": "8"}, -1130),
        ({"symbol": "ETHUSDT", "interval": "5m", "colour": "red"}, -1104),
    ],
)
async def test_klines_that_cannot_be_had_are_refused(connect: Connect, params: dict[str, object], code: int) -> None:
    assert refusal(await connect().get("/api/v3/klines", **params)) == (400, code)


async def test_seconds_taken_for_milliseconds_find_nothing_in_the_past(connect: Connect) -> None:
    found = await connect(synthetic()).json("/api/v3/klines", symbol="ETHUSDT", interval="1h", endTime=NOW // 1000)
    assert found == []


async def test_a_day_is_told_from_its_bars(connect: Connect) -> None:
    venue = synthetic()
    (day,) = await connect(venue).json("/api/v3/ticker/24hr", symbols='["ETHUSDT"]')
    bars = venue.prices.klines("ETHUSDT", "5m", NOW - DAY + 1, NOW, NOW)
    assert float(day["openPrice"]) == bars["open"][0]
    assert (float(day["highPrice"]), float(day["lowPrice"])) == (bars["high"].max(), bars["low"].min())
    assert float(day["lastPrice"]) == bars["close"][-1] == float(venue.last("ETHUSDT"))
    assert float(day["volume"]) == pytest.approx(bars["volume"].sum())
    assert float(day["quoteVolume"]) == pytest.approx(bars["quote_volume"].sum())
    assert day["count"] == bars["trades"].sum()
    assert Decimal(day["priceChange"]) == Decimal(day["lastPrice"]) - Decimal(day["openPrice"])
    assert float(day["priceChangePercent"]) == pytest.approx(
        100 * (bars["close"][-1] / bars["open"][0] - 1), abs=0.0006
    )
    assert Decimal(day["lowPrice"]) <= Decimal(day["weightedAvgPrice"]) <= Decimal(day["highPrice"])
    assert (day["openTime"], day["closeTime"]) == (NOW - DAY, NOW)


async def test_one_symbol_is_an_object_and_several_are_an_array(connect: Connect) -> None:
    client = connect(synthetic())
    for path in ("24hr", "price", "bookTicker"):
        one = await client.json(f"/api/v3/ticker/{path}", symbol="ETHUSDT")
        several = await client.json(f"/api/v3/ticker/{path}", symbols='["ETHUSDT","BTCUSDT"]')
        everything = await client.json(f"/api/v3/ticker/{path}")
        assert several[0] == one
        assert [each["symbol"] for each in everything] == ["BTCUSDT", "ETHUSDT", "BNBUSDT"]
        assert everything[1] == one


async def test_the_small_day_leaves_out_changes_and_book(connect: Connect) -> None:
    client = connect(synthetic())
    small = await client.json("/api/v3/ticker/24hr", symbol="ETHUSDT", type="MINI")
    full = await client.json("/api/v3/ticker/24hr", symbol="ETHUSDT", type="FULL")
    assert small.items() < full.items()
    assert "bidPrice" not in small
    assert refusal(await client.get("/api/v3/ticker/24hr", type="TINY")) == (400, -1139)


async def test_a_symbol_that_did_not_trade_repeats_its_last_price(connect: Connect) -> None:
    day = await connect().json("/api/v3/ticker/24hr", symbol="ETHUSDT")
    assert day["openPrice"] == day["highPrice"] == day["lastPrice"] == "2000.00000000"
    assert (day["volume"], day["weightedAvgPrice"], day["count"]) == ("0.00000000", "0.00000000", 0)


async def test_symbols_without_a_price_are_left_out(connect: Connect) -> None:
    prices = Marked({each.symbol: each for each in (instrument(), instrument("BTC"))})
    prices.mark({"BTCUSDT": D(40_000)})
    client = connect(exchange(prices))
    for path in ("24hr", "price", "bookTicker"):
        assert [each["symbol"] for each in await client.json(f"/api/v3/ticker/{path}")] == ["BTCUSDT"]
        assert refusal(await client.get(f"/api/v3/ticker/{path}", symbol="ETHUSDT"))[0] == 400


async def test_the_book_lies_around_the_last_price(connect: Connect) -> None:
    book = await connect(exchange(spread="0.001")).json("/api/v3/ticker/bookTicker", symbol="ETHUSDT")
    assert (book["bidPrice"], book["askPrice"]) == ("1999.00000000", "2001.00000000")
    assert Decimal(book["bidQty"]) > 0


async def test_the_same_request_at_the_same_time_has_the_same_bytes(connect: Connect) -> None:
    bodies = []
    for _ in range(2):
        client = connect(synthetic())
        paths = ("exchangeInfo", "ticker/24hr", "ticker/bookTicker", "klines?symbol=ETHUSDT&interval=1h")
        bodies.append([(await client.get(f"/api/v3/{path}")).content for path in paths])
    assert bodies[0] == bodies[1]
    assert all(orjson.loads(body) for body in bodies[0])


async def test_charts_get_the_same_klines(connect: Connect) -> None:
    client, asked = connect(synthetic()), {"symbol": "ETHUSDT", "interval": "1h", "limit": 7}
    assert await client.json("/api/v3/uiKlines", **asked) == await client.json("/api/v3/klines", **asked)


@pytest.mark.parametrize(("fine", "coarse"), [("1m", "5m"), ("5m", "30m"), ("15m", "4h"), ("1h", "1d"), ("1d", "1w")])
async def test_coarser_klines_are_exact_sums_of_finer_ones(connect: Connect, fine: str, coarse: str) -> None:
    client = connect(synthetic())
    last = (await client.json("/api/v3/klines", symbol="ETHUSDT", interval=coarse, limit=2))[0]
    bounds = {"startTime": last[0], "endTime": last[6]}
    parts = await client.json("/api/v3/klines", symbol="ETHUSDT", interval=fine, **bounds, limit=1000)
    assert (last[1], last[4]) == (parts[0][1], parts[-1][4])
    assert Decimal(last[2]) == max(Decimal(part[2]) for part in parts)
    assert Decimal(last[3]) == min(Decimal(part[3]) for part in parts)
    for place in (5, 7, 9, 10):
        assert Decimal(last[place]) == sum(Decimal(part[place]) for part in parts)
    assert last[8] == sum(part[8] for part in parts)


async def test_the_book_has_as_many_levels_as_asked_for_best_first(connect: Connect) -> None:
    client = connect(synthetic())
    depth = await client.json("/api/v3/depth", symbol="ETHUSDT", limit=7)
    assert [len(depth[side]) for side in ("bids", "asks")] == [7, 7]
    whole = await client.json("/api/v3/depth", symbol="ETHUSDT")
    assert len(whole["bids"]) == 100
    assert whole["bids"][:7] == depth["bids"]
    ticker = await client.json("/api/v3/ticker/bookTicker", symbol="ETHUSDT")
    assert [ticker["bidPrice"], ticker["bidQty"]] == depth["bids"][0]
    assert [ticker["askPrice"], ticker["askQty"]] == depth["asks"][0]


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("depth", {"symbol": "ETHUSDT"}, 5), ("depth", {"symbol": "ETHUSDT", "limit": 100}, 5),
        ("depth", {"symbol": "ETHUSDT", "limit": 101}, 25), ("depth", {"symbol": "ETHUSDT", "limit": 500}, 25),
        ("depth", {"symbol": "ETHUSDT", "limit": 1000}, 50), ("depth", {"symbol": "ETHUSDT", "limit": 5000}, 250),
        ("depth", {"symbol": "ETHUSDT", "limit": 10**12}, 250),
        ("trades", {"symbol": "ETHUSDT"}, 25), ("historicalTrades", {"symbol": "ETHUSDT"}, 25),
        ("aggTrades", {"symbol": "ETHUSDT"}, 4), ("avgPrice", {"symbol": "ETHUSDT"}, 2),
        ("uiKlines", {"symbol": "ETHUSDT", "interval": "1h"}, 2), ("ticker", {"symbol": "ETHUSDT"}, 4),
        ("ticker", {"symbols": '["ETHUSDT","BTCUSDT"]'}, 8), ("ticker/tradingDay", {"symbol": "ETHUSDT"}, 4),
    ],
)  # fmt: skip
async def test_market_data_weighs_what_the_venue_says(
    connect: Connect, path: str, params: dict[str, object], weight: int
) -> None:
    reply = await connect(synthetic()).get(f"/api/v3/{path}", **params)
    assert (reply.status_code, int(reply.headers["X-MBX-USED-WEIGHT-1M"])) == (200, weight)


async def test_the_average_is_that_of_five_minutes(connect: Connect) -> None:
    venue = synthetic()
    told = await connect(venue).json("/api/v3/avgPrice", symbol="ETHUSDT")
    bars = venue.prices.klines("ETHUSDT", "1m", NOW - 5 * MINUTE + 1, NOW, NOW)
    assert float(told["price"]) == pytest.approx(bars["quote_volume"].sum() / bars["volume"].sum())
    assert (told["mins"], told["closeTime"]) == (5, NOW)
    assert (await connect().json("/api/v3/avgPrice", symbol="ETHUSDT"))["price"] == "2000.00000000"


async def test_the_trading_day_began_at_midnight(connect: Connect) -> None:
    told = await connect(synthetic()).json("/api/v3/ticker/tradingDay", symbols='["ETHUSDT","BTCUSDT"]')
    assert [each["openTime"] for each in told] == [NOW - NOW % DAY] * 2


async def test_a_window_begins_on_a_whole_minute(connect: Connect) -> None:
    client = connect(synthetic())
    for size, length in (("1m", MINUTE), ("59m", 59 * MINUTE), ("23h", 23 * HOUR), ("7d", 7 * DAY)):
        told = await client.json("/api/v3/ticker", symbol="ETHUSDT", windowSize=size)
        assert told["openTime"] == NOW - NOW % MINUTE - length
    assert await client.json("/api/v3/ticker", symbol="ETHUSDT") == await client.json(
        "/api/v3/ticker", symbol="ETHUSDT", windowSize="1d"
    )


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("ticker", {}, -1102), ("ticker", {"symbol": "ETHUSDT", "windowSize": "60m"}, -1100),
        ("ticker", {"symbol": "ETHUSDT", "windowSize": "8d"}, -1100),
        ("ticker", {"symbol": "ETHUSDT", "windowSize": "1w"}, -1100), ("ticker", {"symbol": "NOSUCH"}, -1121),
        ("ticker", {"symbols": "[" + ",".join(f'"C{number}"' for number in range(101)) + "]"}, -1130),
        ("ticker/price", {"symbols": '["ETHUSDT","ETHUSDT"]'}, -1151),
        ("ticker/tradingDay", {"symbol": "ETHUSDT", "timeZone": "8"}, -1130),
        ("depth", {}, -1102), ("depth", {"symbol": "NOSUCH"}, -1121),
        ("depth", {"symbol": "ETHUSDT", "limit": "x"}, -1100),
        ("avgPrice", {"symbol": "NOSUCH"}, -1121),
        ("exchangeInfo", {"symbol": "ETHUSDT", "permissions": "SPOT"}, -1128),
        ("exchangeInfo", {"symbol": "ETHUSDT", "symbolStatus": "TRADING"}, -1128),
        ("exchangeInfo", {"symbolStatus": "ASLEEP"}, -1122), ("exchangeInfo", {"permissions": "[]"}, -1100),
        ("exchangeInfo", {"permissions": '["a b"]'}, -1100),
    ],
)  # fmt: skip
async def test_market_data_that_cannot_be_had_is_refused(
    connect: Connect, path: str, params: dict[str, object], code: int
) -> None:
    assert refusal(await connect(synthetic()).get(f"/api/v3/{path}", **params)) == (400, code)


async def test_exchange_info_by_permission_and_status(connect: Connect) -> None:
    client = connect(synthetic())

    async def found(**asked: str) -> list[str]:
        return [each["symbol"] for each in (await client.json("/api/v3/exchangeInfo", **asked))["symbols"]]

    everything = await found()
    assert await found(permissions="SPOT") == await found(permissions='["MARGIN","SPOT"]') == everything
    assert await found(permissions="MARGIN") == []
    assert (await found(symbolStatus="TRADING"), await found(symbolStatus="HALT")) == (everything, [])
    bare = await client.json("/api/v3/exchangeInfo", symbol="ETHUSDT", showPermissionSets="false")
    assert bare["symbols"][0]["permissionSets"] == []


async def test_a_long_page_leaves_others_their_turn(connect: Connect) -> None:
    client = connect(synthetic())
    order = []

    async def ask(name: str, path: str, **params: object) -> None:
        await client.json(path, **params)
        order.append(name)

    long = ask("weeks", "/api/v3/klines", symbol="ETHUSDT", interval="1w", limit=1000)
    await asyncio.gather(long, *(ask("time", "/api/v3/time") for _ in range(5)))
    assert order == ["time"] * 5 + ["weeks"]


@pytest.mark.parametrize("path", ["ticker/price", "ticker/24hr", "ticker/bookTicker", "avgPrice"])
async def test_a_symbol_without_a_price_is_not_said_to_be_missing(connect: Connect, path: str) -> None:
    client = connect(exchange(Marked({"ETHUSDT": instrument()}), start={"USDT": D(1)}))
    assert refusal(await client.get(f"/api/v3/{path}", symbol="ETHUSDT")) == (400, -1121)


async def test_what_the_account_took_is_missing_from_the_book_that_is_shown(connect: Connect) -> None:
    client = connect(
        exchange(marked(max_market_quantity=D(0), min_notional=D("0.2")), spread="0.001", start={"USDT": D(10**6)})
    )
    before = await client.json("/api/v3/depth", symbol="ETHUSDT")
    told = (await client.buy(quantity=3)).json()
    after = await client.json("/api/v3/depth", symbol="ETHUSDT")
    ticker = await client.json("/api/v3/ticker/bookTicker", symbol="ETHUSDT")
    assert after["bids"] == before["bids"]
    assert D(after["asks"][0][0]) >= D(told["fills"][-1]["price"]) > D(before["asks"][0][0])
    assert [ticker["askPrice"], ticker["askQty"]] == after["asks"][0]
    assert ticker in await client.json("/api/v3/ticker/bookTicker")
    await client.buy(quantity=100)
    empty = await client.json("/api/v3/ticker/bookTicker", symbol="ETHUSDT")
    assert (empty["askPrice"], empty["askQty"]) == ("0.00000000", "0.00000000")
    assert (await client.json("/api/v3/depth", symbol="ETHUSDT"))["asks"] == []
