from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from exchanging import NOW, Client, refusal, synthetic

from tradebot.clock import HOUR, MINUTE

Connect = Callable[..., Client]


async def test_trades_are_the_newest_oldest_first(connect: Connect) -> None:
    client = connect(synthetic())
    found = await client.json("/api/v3/trades", symbol="ETHUSDT", limit=40)
    assert len(found) == 40
    assert set(found[0]) == {"id", "price", "qty", "quoteQty", "time", "isBuyerMaker", "isBestMatch"}
    assert [each["id"] for each in found] == sorted(each["id"] for each in found)
    assert NOW - MINUTE < found[0]["time"] <= found[-1]["time"] <= NOW
    for each in found:
        assert Decimal(each["quoteQty"]) == Decimal(each["price"]) * Decimal(each["qty"])
    assert len(await client.json("/api/v3/trades", symbol="ETHUSDT")) == 500
    assert len(await client.json("/api/v3/trades", symbol="ETHUSDT", limit=5000)) == 1000


async def test_older_trades_are_had_by_their_number(connect: Connect) -> None:
    client = connect(synthetic())
    newest = await client.json("/api/v3/historicalTrades", symbol="ETHUSDT", limit=9)
    assert newest == await client.json("/api/v3/trades", symbol="ETHUSDT", limit=9)
    asked = {"symbol": "ETHUSDT", "fromId": newest[3]["id"]}
    assert await client.json("/api/v3/historicalTrades", **asked, limit=2) == newest[3:5]


async def test_aggregates_have_the_bounds_that_were_asked_for(connect: Connect) -> None:
    client, path = connect(synthetic()), "/api/v3/aggTrades"
    start, end = NOW - HOUR, NOW - HOUR + 2 * MINUTE
    whole = await client.json(path, symbol="ETHUSDT", startTime=start, endTime=end, limit=1000)
    assert all(start <= each["T"] <= end for each in whole)
    assert set(whole[0]) == {"a", "p", "q", "f", "l", "T", "m", "M"}
    assert await client.json(path, symbol="ETHUSDT", startTime=start, limit=5) == whole[:5], "the oldest from there"
    assert await client.json(path, symbol="ETHUSDT", endTime=end, limit=5) == whole[-5:], "the newest up to there"
    assert await client.json(path, symbol="ETHUSDT", fromId=whole[7]["a"], limit=3) == whole[7:10]
    exact = {"startTime": whole[4]["T"], "endTime": whole[4]["T"]}
    assert whole[4] in await client.json(path, symbol="ETHUSDT", **exact)
    newest = await client.json(path, symbol="ETHUSDT", limit=5)
    assert NOW - MINUTE < newest[0]["T"] <= newest[-1]["T"] <= NOW


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, -1102),
        ({"symbol": "NOSUCH"}, -1121),
        ({"symbol": "ETHUSDT", "limit": 0}, -1130),
        ({"symbol": "ETHUSDT", "fromId": "x"}, -1100),
        ({"symbol": "ETHUSDT", "fromId": 1, "startTime": 1}, -1128),
        ({"symbol": "ETHUSDT", "colour": 1}, -1104),
    ],
)
async def test_what_cannot_be_had_is_refused(connect: Connect, params: dict[str, Any], code: int) -> None:
    assert refusal(await connect(synthetic()).get("/api/v3/aggTrades", **params)) == (400, code)
