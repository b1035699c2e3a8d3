from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from exchanging import NOW, Client, D, exchange, marked, refusal, synthetic

from tradebot.clock import MINUTE, RealClock, SteppedClock
from tradebot.market.venue import Instrument
from tradebot.sim.app import create_app
from tradebot.sim.engine import Exchange

Connect = Callable[..., Client]
SECRET = "s" * 64


def used(reply: Any) -> int:
    return int(reply.headers["X-MBX-USED-WEIGHT-1M"])


@pytest.mark.parametrize(
    ("path", "params", "weight"),
    [
        ("ping", {}, 1),
        ("time", {}, 1),
        ("exchangeInfo", {}, 20),
        ("klines", {"symbol": "ETHUSDT", "interval": "5m", "limit": 1000}, 2),
        ("ticker/24hr", {"symbol": "ETHUSDT"}, 2),
        ("ticker/24hr", {"symbols": '["ETHUSDT","BTCUSDT"]'}, 2),
        ("ticker/24hr", {"symbols": "[" + ",".join(['"ETHUSDT"'] * 21) + "]"}, 40),
        ("ticker/24hr", {"symbols": "[" + ",".join(['"ETHUSDT"'] * 101) + "]"}, 80),
        ("ticker/24hr", {}, 80),
        ("ticker/price", {"symbol": "ETHUSDT"}, 2),
        ("ticker/price", {}, 4),
        ("ticker/bookTicker", {"symbols": '["ETHUSDT"]'}, 4),
        ("klines", {"symbol": "NOSUCH", "interval": "5m"}, 2),
    ],
)
async def test_requests_weigh_what_the_venue_says(
    connect: Connect, path: str, params: dict[str, Any], weight: int
) -> None:
    reply = await connect(synthetic()).get(f"/api/v3/{path}", **params)
    assert used(reply) == weight
    assert reply.headers["Content-Type"].startswith("application/json")
    assert reply.headers["X-Sim-Clock"] == "stepped"


async def test_signed_requests_weigh_too_but_successful_orders_nothing(connect: Connect) -> None:
    client = connect()
    assert used(await client.buy(quantity=1)) == 0
    assert used(await client.buy(quantity=100)) == 1
    assert used(await client.signed("GET", "account")) == 21
    assert used(await client.signed("GET", "openOrders")) == 101
    assert used(await client.signed("GET", "openOrders", symbol="ETHUSDT")) == 107
    assert used(await client.signed("GET", "myTrades", symbol="ETHUSDT", orderId=1)) == 112
    assert used(await client.signed("GET", "account", timestamp=1)) == 132, "so do those with a stale timestamp"


async def test_weight_is_counted_for_each_address_and_minute_of_the_venue() -> None:
    venue = exchange()
    app = create_app(venue)
    one, other = Client(app, venue.clock), Client(app, venue.clock, "10.0.0.2")
    await one.get("/api/v3/exchangeInfo")
    assert used(await one.get("/api/v3/ping")) == 21
    assert used(await other.get("/api/v3/ping")) == 1
    assert isinstance(venue.clock, SteppedClock)
    venue.clock.advance(NOW - NOW % MINUTE + MINUTE)
    assert used(await one.get("/api/v3/ping")) == 1


async def test_who_uses_too_much_waits_and_is_not_served(connect: Connect) -> None:
    client = connect(weight_limit=21)
    await client.get("/api/v3/exchangeInfo")
    assert (await client.get("/api/v3/ping")).status_code == 200
    reply = await client.buy(quantity=1)
    assert refusal(reply) == (429, -1003)
    left = MINUTE - NOW % MINUTE
    assert left <= 1000 * int(reply.headers["Retry-After"]) < left + 1000
    client.clock.advance(NOW + left)  # type: ignore[attr-defined]
    assert (await client.signed("GET", "account")).json()["balances"][0]["free"] == "10000.00000000"


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ({"key": None}, (401, -2014)),
        ({"key": "x" * 64}, (401, -2015)),
        ({"secret": SECRET}, (400, -1022)),
        ({"timestamp": NOW - 5001}, (400, -1021)),
        ({"timestamp": NOW + 1000}, (400, -1021)),
        ({"timestamp": ""}, (400, -1102)),
        ({"recvWindow": 60_001}, (400, -1131)),
    ],
)
async def test_signed_requests_are_really_checked(
    connect: Connect, options: dict[str, Any], answer: tuple[int, int]
) -> None:
    client = connect()
    for method, path in (("GET", "account"), ("POST", "order"), ("DELETE", "order"), ("GET", "myTrades")):
        assert refusal(await client.signed(method, path, **options)) == answer


async def test_other_credentials_take_the_place_of_the_paper_pair(connect: Connect) -> None:
    key = "k" * 64
    client = connect(credentials={key: SECRET})
    assert (await client.signed("GET", "account", key=key, secret=SECRET)).status_code == 200
    assert refusal(await client.signed("GET", "account")) == (401, -2015)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/api/v1/klines", 404), ("GET", "/api/v3/nosuch", 404), ("POST", "/api/v3/klines", 405),
     ("PUT", "/api/v3/order", 405), ("DELETE", "/sim/clock", 405)],
)  # fmt: skip
async def test_paths_and_methods_that_are_not_there_are_json_errors(
    connect: Connect, method: str, path: str, status: int
) -> None:
    reply = await connect().http.request(method, path)
    assert refusal(reply) == (status, -5000)
    assert f"Path {path}, Method {method} is invalid" in reply.json()["msg"]


async def test_parameters_are_read_before_anything_is_done(connect: Connect) -> None:
    reply = await connect().http.get("/api/v3/klines?symbol=A&symbol=B")
    assert refusal(reply) == (400, -1101)
    assert reply.headers["X-MBX-USED-WEIGHT-1M"] == reply.headers["X-MBX-USED-WEIGHT"] == "1"


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("klines", {"symbol": "ETHUSDT", "interval": "1M", "startTime": "9" * 20}),
        ("klines", {"symbol": "ETHUSDT", "interval": "1h", "endTime": "9" * 19}),
        ("depth", {"symbol": "ETHUSDT", "limit": "9" * 5000}),
        ("aggTrades", {"symbol": "ETHUSDT", "fromId": "9" * 20}),
    ],
)
async def test_numbers_beyond_all_bounds_are_answered_in_json(
    connect: Connect, path: str, params: dict[str, str]
) -> None:
    reply = await connect().get(f"/api/v3/{path}", **params)
    assert reply.status_code in (200, 400)
    assert reply.headers["X-MBX-USED-WEIGHT-1M"]
    assert reply.status_code == 200 or reply.json()["code"] in (-1100, -1102, -1108)


async def test_a_bug_of_ours_is_an_error_of_the_server_and_in_the_log(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Exchange):
        """An exchange with a bug."""

        def instrument(self, symbol: str) -> Instrument:
            raise ZeroDivisionError(symbol)

    venue = Broken(synthetic().prices, SteppedClock(NOW), None, fee=D(0), spread=D(0), start=None)
    reply = await connect(venue).get("/api/v3/klines", symbol="ETHUSDT", interval="5m")
    assert refusal(reply) == (500, -1000)
    assert "ZeroDivisionError" in caplog.text


async def test_books_that_cannot_be_written_are_an_error_of_the_server(connect: Connect) -> None:
    venue = exchange()
    client = connect(venue)
    venue._books._db.execute("DROP TABLE trades")
    reply = await client.buy(quantity=1)
    assert refusal(reply) == (500, -1000)
    assert "no such table: trades" in reply.json()["msg"]
    assert venue.balances()["USDT"].free == D(10_000), "the order was rolled back"


async def test_latency_is_real_time(connect: Connect) -> None:
    client = connect(latency_ms=40)
    begin = time.perf_counter()
    await client.get("/api/v3/ping")
    assert time.perf_counter() - begin >= 0.039


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
