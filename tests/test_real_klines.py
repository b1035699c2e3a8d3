"""Real prices of 2018, played back over HTTP and traded on paper."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import pytest

from tradebot import fetching, holding
from tradebot.clock import MINUTE
from tradebot.config import Settings
from tradebot.documents import Document
from tradebot.market.bars import interval_ms
from tradebot.session import open_session

from .conftest import MakeSettings, served

PAIRS = ("ADABTC", "DASHBTC", "ETCBTC", "ETHBTC", "LTCBTC", "TRXBTC", "XMRBTC")
AT = "2018-01-20T00:00:00Z"
Row = tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal]


def file_rows(folder: Path, symbol: str) -> list[Row]:
    with (folder / f"{symbol}-5m.csv").open() as lines:
        rows = list(csv.reader(lines))[1:]
    return [(int(t), *map(Decimal, (o, h, l, c, v))) for t, o, h, l, c, v in rows]  # noqa: E741


def aggregated(rows: Iterable[Row], interval: str) -> dict[int, Row]:
    step, bars = interval_ms(interval), dict[int, Row]()
    for time, o, high, low, close, volume in rows:
        start = time - time % step
        if start in bars:
            _, first, top, bottom, _, total = bars[start]
            bars[start] = (start, first, max(top, high), min(bottom, low), close, total + volume)
        else:
            bars[start] = (start, o, high, low, close, volume)
    return bars


@pytest.fixture
def playback(make_settings: MakeSettings, real_klines: Path) -> Settings:
    return make_settings(sim__klines=str(real_klines), sim__at=AT)


@pytest.mark.parametrize("interval", ["5m", "15m", "1h"])
async def test_the_store_equals_the_files_to_the_last_digit(
    playback: Settings, make_settings: MakeSettings, real_klines: Path, interval: str
) -> None:
    async with served(playback) as url:
        settings = make_settings(venue__name="binance", venue__base_url=url)
        await fetching.fetch(settings)
        async with open_session(settings) as session:
            stored = {symbol: session.store.read(symbol, interval) for symbol in PAIRS}
    for symbol, klines in stored.items():
        truth = aggregated(file_rows(real_klines, symbol), interval)
        times = klines.open_time.tolist()
        assert times == [time for time in sorted(truth) if times[0] <= time <= times[-1]]
        assert len(times) > 190, "a few hours of these days are missing"
        for column in klines.data[:6].T:
            assert tuple(column) == tuple(map(float, truth[int(column[0])]))


async def test_the_seven_pairs_are_traded_in_their_own_quote_coin(
    playback: Settings, make_settings: MakeSettings
) -> None:
    documents: list[Document] = []
    async with served(playback) as url:
        settings = make_settings(
            venue__name="binance", venue__base_url=url, run__step=True, strategy__min_score=0.05, model__threshold=0.0
        )
        await holding.run(settings, 6, documents.append)
        async with open_session(settings, trading=True) as session:
            assert session.broker is not None
            balances = await session.broker.balances()
    assert [each["symbols"] for each in documents] == [7] * 6
    assert documents[5]["started"] - documents[0]["started"] == 5 * MINUTE
    bought = [order for each in documents for order in each["orders"] if order["side"] == "BUY"]
    assert bought
    assert {order["status"] for order in bought} == {"FILLED"}
    assert Decimal(0) < balances["BTC"].total < 1
    held = {position["symbol"].removesuffix("BTC"): position for position in documents[5]["positions"]}
    assert all(balances[coin].total == Decimal(position["quantity"]) for coin, position in held.items())
