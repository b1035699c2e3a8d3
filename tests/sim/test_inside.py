from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from tradebot.clock import monotonic_ms
from tradebot.market.request import Carrier, Request
from tradebot.sim.inside import Inside

TIMES = {"read": 5.0}
ASKED = Request("POST", "/api/a%20b?c=d%2Be", TIMES, (("X-Key", "k"),), b"body")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it was asked, in two pieces."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    line = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} {dict(scope['headers'])[b'x-key']!r} "
    await send({"type": "http.response.start", "status": 418, "headers": [(b"x-sim", b"yes")]})
    await send({"type": "http.response.body", "body": line.encode(), "more_body": True})
    await send({"type": "http.response.body", "body": body})


async def insatiable(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the kinds of what it receives."""
    kinds = " ".join([(await receive())["type"] for _ in range(3)])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": kinds.encode()})


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError


def request() -> httpx.Request:
    return httpx.Request("POST", "http://sim/api/a%20b?c=d%2Be", headers={"X-Key": "k"}, content=b"body")


async def test_hands_over_the_whole_request_and_brings_the_whole_answer() -> None:
    response = await Inside(echo).handle_async_request(request())
    assert (response.status_code, response.headers["x-sim"]) == (418, "yes")
    assert await response.aread() == b"POST /api/a b c=d%2Be b'k' body"


async def test_carries_a_request_as_httpx_would() -> None:
    inside = Inside(echo)
    assert isinstance(inside, Carrier)
    answer = await inside.send(ASKED, lambda: None)
    theirs = await httpx.ASGITransport(echo).handle_async_request(request())
    assert (answer.status, answer.headers["x-sim"]) == (418, "yes")
    assert answer.body == await theirs.aread()


async def test_headers_are_read_and_written_byte_by_byte_as_on_the_network() -> None:
    async def mirror(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": scope["headers"]})
        await send({"type": "http.response.body", "body": dict(scope["headers"])[b"x-key"]})

    answer = await Inside(mirror).send(ASKED._replace(headers=(("X-Key", "\xe9"),)), lambda: None)
    assert (answer.headers["x-key"], answer.body) == ("\xe9", b"\xe9")


async def test_says_that_a_good_answer_is_whole_and_nothing_of_a_refusal() -> None:
    whole = list[str]()
    await Inside(insatiable).send(ASKED, lambda: whole.append("good"))
    await Inside(echo).send(ASKED, lambda: whole.append("refused"))
    assert whole == ["good"]


async def test_does_not_wait_for_an_answer_for_longer_than_it_is_told() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await Inside(silent).send(ASKED._replace(times={"read": 0.001}), lambda: None)


async def test_answers_as_httpx_does_in_process() -> None:
    ours = await Inside(echo).handle_async_request(request())
    theirs = await httpx.ASGITransport(echo).handle_async_request(request())
    assert (ours.status_code, await ours.aread()) == (theirs.status_code, await theirs.aread())


async def test_nothing_comes_after_the_request() -> None:
    response = await Inside(insatiable).handle_async_request(request())
    assert await response.aread() == b"http.request http.disconnect http.disconnect"


async def test_lets_a_bug_of_the_app_through() -> None:
    with pytest.raises(ZeroDivisionError):
        await Inside(broken).handle_async_request(request())


async def test_half_of_the_latency_is_the_way_there() -> None:
    clock = asyncio.get_running_loop().time
    begun, arrived = clock(), list[float]()

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        arrived.append(clock())
        await echo(scope, receive, send)

    transport = Inside(noting, latency_ms=20)
    await asyncio.gather(*(transport.handle_async_request(request()) for _ in range(3)))
    assert len(arrived) == 3
    assert min(arrived) - begun >= 0.009, "not before all three were sent"
    assert clock() - begun >= 0.019


async def test_an_answer_is_never_early() -> None:
    transport, took = Inside(echo, latency_ms=3.4), list[float]()
    for _ in range(20):
        begun = monotonic_ms()
        await transport.handle_async_request(request())
        took.append(monotonic_ms() - begun)
    assert min(took) >= 3.4


async def test_what_is_sent_in_one_pass_of_the_loop_comes_back_in_one_pass() -> None:
    transport, passes, back = Inside(echo, latency_ms=3), 0, list[int]()

    async def asking() -> None:
        await transport.handle_async_request(request())
        back.append(passes)

    asked = asyncio.gather(*(asking() for _ in range(5)))
    while not asked.done():
        passes += 1
        await asyncio.sleep(0)
    assert len(back) == 5
    assert len(set(back)) == 1
