from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from exchanging import Client, synthetic

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
