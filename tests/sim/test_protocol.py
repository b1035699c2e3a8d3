"""What goes over a connection, in how many pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from tradebot.clock import monotonic_ms
from tradebot.sim.protocol import CONNECTION, Protocol
from tradebot.sim.way import CAME

GET = b"GET / HTTP/1.1\r\nHost: sim\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\nHost: sim\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: sim\r\n\r\n"
START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}


class Wire(asyncio.Transport):
    """A connection that notes what is written; a write of several buffers is one."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data:
            self.written.append(bytes(data))

    def writelines(self, list_of_data: object) -> None:
        self.write(b"".join(list_of_data))  # type: ignore[arg-type]

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def whole(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": b"done"})


async def in_pieces(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    for piece in (b"", b"do", b"ne"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def made_before(scope: Scope, receive: Receive, send: Send) -> None:
    """Its reply is made at once and leaves, again and again, while its task waits for more of the request."""
    leave = send.whole(START, {"type": "http.response.body", "body": b"done"})  # type: ignore[attr-defined]
    asyncio.get_running_loop().call_soon(leave)
    while (await receive())["type"] != "http.disconnect":
        pass
    assert leave() is True


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    raise ValueError("before the body")


Meet = Callable[[ASGIApp], tuple[Protocol, Wire]]


@pytest.fixture
async def meet() -> Meet:
    def connected(app: ASGIApp) -> tuple[Protocol, Wire]:
        config = uvicorn.Config(app, log_config=None, lifespan="off", proxy_headers=False, timeout_keep_alive=1000)
        config.load()
        protocol, wire = Protocol(config, ServerState(), {}), Wire()
        protocol.connection_made(wire)
        return protocol, wire

    return connected


async def asked(protocol: Protocol, request: bytes) -> None:
    protocol.data_received(request)
    while protocol.tasks:
        await asyncio.sleep(0)
    protocol.connection_lost(None)


async def test_a_whole_reply_is_one_write(meet: Meet) -> None:
    protocol, wire = meet(whole)
    await asked(protocol, GET)
    assert wire.written == [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"]


async def test_in_a_reply_of_several_pieces_nothing_waits_for_the_next_one(meet: Meet) -> None:
    protocol, wire = meet(in_pieces)
    await asked(protocol, GET)
    assert wire.written == [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", b"do", b"ne"]


async def test_who_asks_for_the_head_gets_no_body(meet: Meet) -> None:
    protocol, wire = meet(whole)
    await asked(protocol, HEAD)
    assert wire.written == [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"]


async def test_requests_that_come_in_one_piece_are_answered_one_after_another(meet: Meet) -> None:
    protocol, wire = meet(whole)
    await asked(protocol, GET * 3)
    assert [reply[-4:] for reply in wire.written] == [b"done"] * 3
    assert protocol.server_state.total_requests == 3


@pytest.mark.parametrize("request_", [OLD, GET.replace(b"Host", b"Connection: close\r\nHost")])
async def test_a_connection_that_is_not_kept_is_closed_after_the_reply(meet: Meet, request_: bytes) -> None:
    protocol, wire = meet(whole)
    protocol.data_received(request_)
    await asyncio.gather(*protocol.tasks)
    assert wire.written == [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndone"]
    assert wire.closed


async def test_a_client_that_reads_slowly_is_waited_for(meet: Meet) -> None:
    protocol, wire = meet(whole)
    protocol.pause_writing()
    protocol.data_received(GET)
    for _ in range(5):
        await asyncio.sleep(0)
    assert wire.written == []
    protocol.resume_writing()
    await asyncio.gather(*protocol.tasks)
    assert len(wire.written) == 1


async def test_nothing_is_written_to_a_client_that_has_left(meet: Meet) -> None:
    protocol, wire = meet(whole)
    protocol.data_received(GET)
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)
    assert wire.written == []


async def test_a_reply_that_was_made_before_leaves_outside_of_its_task_and_once(meet: Meet) -> None:
    protocol, wire = meet(made_before)
    await asked(protocol, GET * 2)
    assert wire.written == [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone"] * 2


async def test_a_reply_that_was_made_before_the_server_is_to_end_closes_its_connection(meet: Meet) -> None:
    protocol, wire = meet(made_before)
    protocol.data_received(GET)
    await asyncio.sleep(0)
    protocol.shutdown()
    await asyncio.gather(*protocol.tasks)
    assert wire.written == [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndone"]
    assert wire.closed


async def test_a_reply_that_was_made_before_its_client_left_goes_nowhere(meet: Meet) -> None:
    protocol, wire = meet(made_before)
    protocol.data_received(GET)
    await asyncio.sleep(0)
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)
    assert wire.written == []


async def test_an_error_before_the_body_is_a_reply_of_its_own(meet: Meet) -> None:
    protocol, wire = meet(failing)
    await asked(protocol, GET)
    assert wire.written[0].startswith(b"HTTP/1.1 500 ")


async def test_a_request_tells_when_it_came_and_one_behind_another_when_its_turn_began(meet: Meet) -> None:
    came: list[float] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        came.append(scope[CAME])
        came.append(monotonic_ms())
        await whole(scope, receive, send)

    protocol, _ = meet(app)
    before = monotonic_ms()
    await asked(protocol, GET * 2)
    assert [before, *came] == sorted([before, *came])


async def test_a_request_reaches_its_connection(meet: Meet) -> None:
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope[CONNECTION])
        await whole(scope, receive, send)

    protocol, wire = meet(app)
    await asked(protocol, GET)
    assert seen == [wire]
