from __future__ import annotations

from collections.abc import Callable

import pytest
from exchanging import Client, exchange, refusal

from tradebot.sim.app import create_app


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


async def test_the_log_is_closed_to_whom_is_not_trusted() -> None:
    venue = exchange()
    client = Client(create_app(venue, trusted=False), venue.clock)
    assert refusal(await client.get("/sim/log")) == (403, -1002)
    assert refusal(await client.http.post("/sim/log")) == (405, -5000)
