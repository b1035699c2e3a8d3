"""The account of a futures venue over a real socket: what a session does with it, on paper and at the venue."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.conftest import MakeSettings, served
from tradebot import holding
from tradebot.clock import HOUR, parse_time
from tradebot.config import Settings
from tradebot.documents import Document
from tradebot.errors import OrderRejected, OrderUnknown
from tradebot.market.futures import FuturesClient
from tradebot.market.signing import Credentials
from tradebot.market.venue import Order, OrderPair, OrderType, Side
from tradebot.session import open_session
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET

D = Decimal
KEY = Credentials(PAPER_KEY, PAPER_SECRET)
EAGER = {"strategy.min_score": 0.05, "model.threshold": 0.0, "universe.top": 3}


def contracts(make_settings: MakeSettings, url: str, **changes: object) -> Settings:
    return make_settings(
        **{"venue.name": "binance-usdm", "venue.base_url": url, "venue.retries": 0, **EAGER, **changes}
    )


@pytest.mark.parametrize("mode", ["paper", "testnet"])
async def test_cycles_enter_both_ways_and_guard_what_they_hold(make_settings: MakeSettings, mode: str) -> None:
    async with served(make_settings()) as url:
        settings = contracts(make_settings, url, **{"trading.mode": mode})
        key = KEY if mode == "testnet" else None
        documents: list[Document] = []
        await holding.run(settings, 1, documents.append, key)
        (first,) = documents
        assert first["positions"], first["skipped"]
        async with open_session(settings, trading=True, credentials=key) as session:
            assert isinstance(session.broker, FuturesClient)
            balances = await session.broker.balances()
            waiting = await session.broker.open_orders()
        for position in first["positions"]:
            sign = 1 if position["side"] == "BUY" else -1
            assert balances[position["symbol"]].total == sign * D(position["quantity"])
            kinds = {each.type for each in waiting if each.symbol == position["symbol"]}
            assert kinds == {"STOP_MARKET", "TAKE_PROFIT_MARKET"}
        await holding.run(settings, 1, documents.append, key)
        assert [each["symbol"] for each in documents[1]["positions"]] == [p["symbol"] for p in first["positions"]]
        assert [each["warnings"] + each["external"] for each in documents] == [[], []]
        assert not [each for each in documents[1]["orders"] if each["intent"] == "enter"]


async def test_a_short_on_paper_is_closed_by_hand(make_settings: MakeSettings) -> None:
    async with served(make_settings()) as url:
        settings = contracts(make_settings, url)
        async with open_session(settings, trading=True) as session:
            assert isinstance(session.broker, FuturesClient)
            client = session.broker
            report = await client.submit(Order("BTCUSDT", Side.SELL, "in", quantity=D("0.01")))
            assert (report.status, report.executed) == ("FILLED", D("0.01"))
            assert report.quote_executed > 0
            assert (await client.balances())["BTCUSDT"].total == D("-0.01")
            assert [fill.quantity for fill in await client.trades("BTCUSDT", parse_time("2025-06-02T15:00:00Z"))]
            stop = Order(
                "BTCUSDT", Side.BUY, "stop", OrderType.STOP_LOSS, D("0.01"), stop_price=D(10**6), reduce_only=True
            )
            placed = await client.submit(stop)
            assert (placed.status, placed.order_id < 0) == ("NEW", True)
            found = await client.order("BTCUSDT", "stop")
            assert found is not None
            assert found.status == "NEW"
            assert (await client.cancel("BTCUSDT", "stop")).status == "CANCELED"
            assert (await client.cancel("BTCUSDT", "stop")).status == "CANCELED", "as it was"
            assert await client.order("BTCUSDT", "never") is None
            with pytest.raises(OrderRejected):
                await client.cancel("BTCUSDT", "never")
            with pytest.raises(OrderRejected, match="-2022"):
                await client.submit(Order("BTCUSDT", Side.SELL, "wrong", quantity=D("0.01"), reduce_only=True))
            with pytest.raises(OrderRejected, match="pairs"):
                await client.submit_pair(OrderPair("pair", stop, stop))
            with pytest.raises(OrderUnknown, match="-4116"):
                await client.submit(Order("BTCUSDT", Side.SELL, "in", quantity=D("0.01")))
            assert (await client.holder()).tradable
            assert await client.key_rights() is None


async def test_a_paper_position_is_there_after_a_sleep_and_its_funding_too(make_settings: MakeSettings) -> None:
    async with served(make_settings()) as url:
        settings = contracts(make_settings, url)
        async with open_session(settings, trading=True) as session:
            assert isinstance(session.broker, FuturesClient)
            await session.broker.submit(Order("BTCUSDT", Side.SELL, "in", quantity=D("0.01")))
            now = session.clock.now()
            await session.feed.sim_advance(now + 9 * HOUR)  # type: ignore[attr-defined]
        async with open_session(settings, trading=True) as session:
            assert isinstance(session.broker, FuturesClient)
            assert (await session.broker.balances())["BTCUSDT"].total == D("-0.01")
            paid = await session.broker.funding(now)
            assert [each.time - now for each in paid] == [HOUR, 9 * HOUR]
            assert {(each.symbol, each.coin) for each in paid} == {("BTCUSDT", "USDT")}


async def test_what_others_hold_is_told_and_not_entered(make_settings: MakeSettings) -> None:
    async with served(make_settings()) as url:
        settings = contracts(make_settings, url, **{"trading.mode": "testnet", "trading.reconcile_s": 10})
        async with open_session(settings, trading=True, credentials=KEY) as session:
            assert isinstance(session.broker, FuturesClient)
            for symbol in ("BTCUSDT", "ETHUSDT", "BNBUSDT"):
                await session.broker.submit(Order(symbol, Side.SELL, f"theirs-{symbol}", quantity=D("0.02")))
        documents: list[Document] = []
        await holding.run(settings, 1, documents.append, KEY)
        async with open_session(settings, trading=True, credentials=KEY) as session:
            assert isinstance(session.broker, FuturesClient)
            held = await session.broker.balances()
    (document,) = documents
    told = {each["symbol"] for each in document["external"]}
    assert told <= {symbol for symbol, each in held.items() if each.total == D("-0.02")}
    assert told
    assert not told & {each["symbol"] for each in document["positions"]}
