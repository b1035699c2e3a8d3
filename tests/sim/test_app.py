from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from exchanging import NOW, Client, exchange, marked, refusal

from tradebot.clock import RealClock

Connect = Callable[..., Client]
SECRET = "s" * 64


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/api/v1/klines", 404), ("GET", "/fapi/v3/nosuch", 404),
     ("GET", "/api/v3/time/", 404), ("GET", "/api/v3/nosuch", 404), ("POST", "/api/v3/klines", 405),
     ("PUT", "/api/v3/order", 405), ("DELETE", "/sim/clock", 405)],
)  # fmt: skip
async def test_paths_and_methods_that_are_not_there_are_json_errors(
    connect: Connect, method: str, path: str, status: int
) -> None:
    reply = await connect().http.request(method, path)
    assert refusal(reply) == (status, -5000)
    assert f"Path {path}, Method {method} is invalid" in reply.json()["msg"]
    if not path.startswith("/sim/"):
        assert reply.headers["X-MBX-USED-WEIGHT-1M"] == "1"


async def test_a_stepped_clock_is_moved_from_outside(connect: Connect) -> None:
    client = connect()
    assert await client.json("/sim/clock") == {"mode": "stepped", "now": NOW, "speed": 0.0}
    moved = await client.http.post("/sim/clock", json={"advance": 60_000})
    assert moved.json()["now"] == NOW + 60_000
    await client.http.post("/sim/clock", json={"now": NOW + 90_000})
    assert await client.json("/api/v3/time") == {"serverTime": NOW + 90_000}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"now":"soon"}',
        b'{"now":1.5}',
        b'{"advance":true}',
        b'{"now":1,"advance":1}',
        b'{"speed":2}',
    ],
)
async def test_other_moves_are_refused(connect: Connect, body: bytes) -> None:
    client = connect()
    assert refusal(await client.http.post("/sim/clock", content=body)) == (400, -1100)
    assert (await client.json("/sim/clock"))["now"] == NOW


async def test_the_clock_never_goes_back(connect: Connect) -> None:
    client = connect()
    assert refusal(await client.http.post("/sim/clock", json={"now": NOW - 1})) == (400, -1130)
    assert refusal(await client.http.post("/sim/clock", json={"advance": -1})) == (400, -1130)


@pytest.mark.parametrize(("speed", "mode"), [(1.0, "real"), (60.0, "scaled")])
async def test_clocks_that_run_cannot_be_moved(connect: Connect, speed: float, mode: str) -> None:
    client = connect(exchange(marked(), RealClock(start=NOW, speed=speed)))
    reply = await client.get("/sim/clock")
    assert (reply.json()["mode"], reply.json()["speed"]) == (mode, speed)
    assert reply.headers["X-Sim-Clock"] == mode
    assert refusal(await client.http.post("/sim/clock", json={"advance": 1})) == (409, -1020)
    assert (await client.json("/api/v3/time"))["serverTime"] >= NOW


async def test_the_same_orders_give_the_same_bytes_also_after_a_restart(connect: Connect, tmp_path: Path) -> None:
    async def session(client: Client, names: str) -> list[bytes]:
        replies = [await client.buy(quantity="0.5", newClientOrderId=name) for name in names]
        replies += [await client.signed("GET", path, symbol="ETHUSDT") for path in ("allOrders", "myTrades")]
        return [reply.content for reply in replies]

    straight = await session(connect(), "abcd")
    first = await session(connect(exchange(account=tmp_path / "a.db")), "ab")
    second = await session(connect(exchange(account=tmp_path / "a.db")), "cd")
    assert straight == first[:2] + second
