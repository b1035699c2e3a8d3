"""The endpoint that tells and replaces the plan of faults."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from exchanging import Client, refusal, synthetic
from faulty import Venue, in_process

from tradebot.sim.app import create_app
from tradebot.sim.fault_kinds import Latency


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    venue = Venue()
    venue.http = in_process(venue)
    async with venue.http:
        yield venue


async def post(venue: Venue, body: bytes) -> httpx.Response:
    return await venue.http.post("/sim/faults", content=body)


async def test_a_plan_is_put_in_place_and_tells_what_it_hit(venue: Venue) -> None:
    reply = await post(venue, b'{"seed": 4, "fault": [{"kind": "latency", "ms": 1, "path": "ping"}]}')
    assert reply.json() == {
        "seed": 4, "requests": 0, "hits": [],
        "faults": [{"kind": "latency", "ms": 1.0, "path": "ping", "seen": 0, "struck": 0}],
    }  # fmt: skip
    await venue.get("time")
    await venue.get("ping")
    told = (await venue.http.get("/sim/faults")).json()
    assert told["requests"] == 2
    assert told["faults"][0]["struck"] == 1
    assert told["hits"] == [
        {"fault": 1, "kind": "latency", "request": 2, "time": venue.clock.now(), "method": "GET",
         "path": "/api/v3/ping", "symbol": "", "executed": True}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "line 1"),
        (b"[]", "write it as"),
        (b'{"faults": []}', "plan: unknown key 'faults'; did you mean 'fault'?"),
        (
            b'{"fault": [{"kind": "latency", "mss": 1}]}',
            "plan: fault 1 (latency): unknown key 'mss'; did you mean 'ms'?",
        ),
        (b'{"fault": [{"kind": "lateny"}]}', "plan: fault 1: unknown fault 'lateny'; did you mean 'latency'?"),
    ],
)
async def test_a_malformed_plan_is_refused_and_the_old_one_stays(venue: Venue, body: bytes, message: str) -> None:
    await venue.under(Latency(ms=1))
    reply = await post(venue, body)
    assert refusal(reply) == (400, -1100)
    assert message in reply.json()["msg"]
    assert venue.plan.faults == (Latency(ms=1),)


async def test_an_exchange_without_a_plan_has_no_such_endpoint() -> None:
    venue = synthetic()
    client = Client(create_app(venue), venue.clock)
    assert refusal(await client.get("/sim/faults")) == (404, -5000)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_plan_is_told_and_replaced_and_nothing_else(venue: Venue, method: str) -> None:
    assert refusal(await venue.http.request(method, "/sim/faults")) == (405, -5000)
