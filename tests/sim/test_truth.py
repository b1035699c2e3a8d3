from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from exchanging import NOW, Client, marked, refusal

from tradebot.clock import SteppedClock
from tradebot.config import load
from tradebot.sim import paper_exchange
from tradebot.sim.app import create_app
from tradebot.sim.fault_plan import Plan


async def test_the_log_tells_what_was_really_executed_and_weighs_nothing(connect: Callable[..., Client]) -> None:
    client = connect()
    assert await client.json("/sim/log") == []
    await client.buy(quantity=1, newClientOrderId="a")
    await client.buy(quantity=100, newClientOrderId="b")
    await client.buy(type="LIMIT", timeInForce="GTC", quantity=1, price=1900, newClientOrderId="c")
    await client.signed("DELETE", "order", symbol="ETHUSDT", origClientOrderId="c")
    reply = await client.get("/sim/log")
    assert [(each["clientOrderId"], each["event"], each["status"]) for each in reply.json()] == [
        ("a", "NEW", "NEW"), ("a", "TRADE", "FILLED"), ("c", "NEW", "NEW"), ("c", "CANCELED", "CANCELED"),
    ]  # fmt: skip
    (trade,) = (await client.signed("GET", "myTrades", symbol="ETHUSDT")).json()
    assert reply.json()[1]["trade"] == trade
    assert "x-mbx-used-weight-1m" not in reply.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_the_log_is_only_read(connect: Callable[..., Client], method: str) -> None:
    assert refusal(await connect().http.request(method, "/sim/log")) == (405, -5000)


OWN = [("GET", "/sim/log"), ("GET", "/sim/log/usdm"), ("POST", "/sim/clock"), ("POST", "/sim/faults")]


async def asked(method: str, path: str, address: str) -> httpx.Response:
    venue = paper_exchange(load(), marked(), SteppedClock(NOW), None, Plan())
    client = Client(create_app(venue), venue.clock, address)
    content = b'{"advance": 1}' if path.endswith("clock") else b"{}"
    reply = await client.http.request(method, path, content=content if method == "POST" else None)
    assert venue.clock.now() == NOW + (reply.status_code == 200 and path.endswith("clock") and method == "POST")
    return reply


@pytest.mark.parametrize(("method", "path"), OWN)
@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
async def test_loopback_may_do_everything(method: str, path: str, address: str) -> None:
    assert (await asked(method, path, address)).status_code == 200


@pytest.mark.parametrize(("method", "path"), OWN)
@pytest.mark.parametrize("address", ["10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "localhost.example.org", ""])
async def test_others_can_neither_move_the_clock_nor_set_faults_nor_read_the_log(
    method: str, path: str, address: str
) -> None:
    reply = await asked(method, path, address)
    assert refusal(reply) == (403, -1002)
    assert reply.json()["msg"] == f"{method} {path} takes a request from the machine that serves it."


@pytest.mark.parametrize("path", ["/sim/clock", "/sim/faults"])
async def test_anybody_may_look_at_the_clock_and_the_plan(path: str) -> None:
    assert (await asked("GET", path, "10.0.0.1")).status_code == 200
    assert refusal(await asked("DELETE", path, "10.0.0.1")) == (405, -5000)
