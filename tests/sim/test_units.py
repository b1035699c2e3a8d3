from __future__ import annotations

from collections.abc import Callable
from typing import Any

from exchanging import NOW, Client, refusal, synthetic

from tradebot.sim.units import asked, in_microseconds

Connect = Callable[..., Client]
MICRO = {"X-MBX-TIME-UNIT": "MICROSECOND"}


def test_only_who_asks_for_microseconds_gets_them() -> None:
    assert asked([(b"host", b"sim"), (b"x-mbx-time-unit", b"microsecond")])
    assert not asked([(b"x-mbx-time-unit", b"MILLISECOND")])
    assert not asked([])


async def test_other_units_are_refused(connect: Connect) -> None:
    reply = await connect().http.get("/api/v3/time", headers={"X-MBX-TIME-UNIT": "SECOND"})
    assert refusal(reply) == (400, -1194)


def test_times_are_told_by_name_and_everything_else_stays() -> None:
    told = in_microseconds({"serverTime": 5, "orderId": 7, "fills": [{"time": 3, "tradeId": 1}], "updateTime": -1})
    assert told == {"serverTime": 5000, "orderId": 7, "fills": [{"time": 3000, "tradeId": 1}], "updateTime": -1}


async def test_every_kind_of_market_data_has_its_times_in_microseconds(connect: Connect) -> None:
    client = connect(synthetic())

    async def both(path: str) -> tuple[Any, ...]:
        return tuple([(await client.http.get(f"/api/v3/{path}", headers=each)).json() for each in ({}, MICRO)])

    _, micro = await both("time")
    assert micro == {"serverTime": NOW * 1000}
    plain, micro = await both("klines?symbol=ETHUSDT&interval=5m&limit=2")
    assert [[row[0] * 1000, *row[1:6], row[6] * 1000 + 999, *row[7:]] for row in plain] == micro
    plain, micro = await both("aggTrades?symbol=ETHUSDT&limit=2")
    assert [each | {"T": each["T"] * 1000} for each in plain] == micro
    plain, micro = await both("ticker/24hr?symbol=ETHUSDT")
    assert micro["closeTime"] == plain["closeTime"] * 1000
    assert micro["count"] == plain["count"]
