from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from exchanging import NOW, Client, D, exchange, refusal, synthetic

from tradebot.clock import MINUTE, SteppedClock
from tradebot.market.venue import Instrument
from tradebot.sim.app import create_app
from tradebot.sim.engine import Exchange

Connect = Callable[..., Client]
SECRET = "s" * 64


def used(reply: Any) -> int:
    return int(reply.headers["X-MBX-USED-WEIGHT-1M"])


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
    assert (await client.signed("GET", "account")).json()["balances"][-1]["free"] == "10000.00000000"


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


async def test_the_answer_is_made_while_the_latency_passes() -> None:
    venue = exchange()
    client = Client(create_app(venue, latency_ms=3_600_000), venue.clock)
    order = asyncio.create_task(client.buy(quantity=1))
    while not venue.executed():
        await asyncio.sleep(0)
    assert not order.done(), "its reply is still on the way"
    order.cancel()
    await asyncio.wait([order])


async def test_a_body_of_any_size_is_not_taken_in(connect: Connect) -> None:
    client, taken = connect(), 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"a=1&" * 1024

    assert refusal(await client.http.post("/api/v3/order", content=endless())) == (413, -1101)
    assert taken < 100
