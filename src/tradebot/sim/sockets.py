"""Faults on real sockets: connections that are refused, reset, closed, cut off in the body or slow."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tradebot.clock import Clock
from tradebot.sim.fault_plan import Plan
from tradebot.sim.faults import CONTROL, Call, Outcome, Reply, Wire, call_of
from tradebot.sim.gate import whole_body
from tradebot.sim.protocol import CONNECTION, Protocol

_LOOK_S = 0.01
_TRIES = 1_000
_RESET = struct.pack("ii", 1, 0)  # lingering for 0 s: an abort then sends RST instead of FIN


class Door:
    """The listening socket of a server, which is closed while the plan says that nobody listens.

    Meanwhile a socket that does not listen keeps the port: connecting is refused, and nobody else
    can take it.
    """

    def __init__(self, plan: Plan, clock: Clock) -> None:
        self.plan = plan
        self.clock = clock
        self._server: uvicorn.Server | None = None
        self._kept: socket.socket | None = None
        self._watch: asyncio.Task[None] | None = None
        self._moving = asyncio.Lock()

    def attach(self, server: uvicorn.Server) -> None:
        """Mind the door of a server that has started, in whose event loop plans are replaced."""
        self._server = server
        self.plan.changed.append(self._mind)
        self._mind()

    async def detach(self) -> None:
        """Leave it as it is."""
        self.plan.changed.remove(self._mind)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._kept is not None:
            self._kept.close()

    async def look(self) -> None:
        """Open or close the door, as the plan has it now."""
        if self._server is None:
            return
        async with self._moving:  # many requests look at once, and it takes a while
            shut = self.plan.shut(self.clock.now())
            if shut and self._kept is None:
                self._kept = await self._close(self._server)
            elif not shut and self._kept is not None:
                kept, self._kept = self._kept, None
                await self._open(self._server, kept)

    def _mind(self) -> None:
        """Look again and again as long as there are faults; without any nothing wakes an idle server."""
        if self.plan.faults and (self._watch is None or self._watch.done()):
            self._watch = asyncio.get_running_loop().create_task(self._look_until_there_are_no_faults())

    async def _look_until_there_are_no_faults(self) -> None:
        while self.plan.faults or self._kept is not None:
            await self.look()
            await asyncio.sleep(_LOOK_S)

    async def _close(self, server: uvicorn.Server) -> socket.socket:
        (listening,) = server.servers
        family, address = listening.sockets[0].family, listening.sockets[0].getsockname()
        listening.close()
        kept = socket.socket(family, socket.SOCK_STREAM)
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for left in reversed(range(_TRIES)):
            await asyncio.sleep(0)  # uvloop closes the socket only now, or a little later
            try:
                kept.bind(address)
                break
            except OSError:
                if not left:
                    raise
        for connection in list(server.server_state.connections):
            connection.shutdown()  # those that are idle now, the others after their reply
        return kept

    async def _open(self, server: uvicorn.Server, kept: socket.socket) -> None:
        config = server.config

        def protocol() -> asyncio.Protocol:
            return Protocol(config, server.server_state, server.lifespan.state)

        loop = asyncio.get_running_loop()
        server.servers = [await loop.create_server(protocol, sock=kept, backlog=config.backlog)]


class FaultApp:
    """An ASGI app with the plan of a `Door` in front of it; it needs the connections of `Protocol`."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door
        self._plan = door.plan
        self._clock = door.clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(CONTROL):
            await self._app(scope, receive, self._after_a_look(send))
            return
        if not self._plan.faults:
            await self._app(scope, receive, send)
            return
        body = b"" if scope["method"] == "GET" else await whole_body(receive)
        call = call_of(scope["method"], scope["path"], scope["query_string"], body)
        outcome = self._plan.meet(call, self._clock.now())
        if outcome is None:
            await self._app(scope, _given(body), send)
        else:
            await self._enact(outcome, call, body, (scope, receive, send))

    def _after_a_look(self, send: Send) -> Send:
        """The clock or the plan may have been changed: the door follows before anybody is told."""

        async def looked(message: Message) -> None:
            await self._door.look()
            await send(message)

        return looked

    async def _enact(self, outcome: Outcome, call: Call, body: bytes, asgi: tuple[Scope, Receive, Send]) -> None:
        scope, receive, send = asgi

        def execute() -> Any:
            return _carried_out(self._app, scope, body)

        if outcome.later_ms:
            await _lose(outcome.wire, scope, receive)
            await asyncio.sleep(outcome.later_ms / 1000)
            await execute()
            return
        reply = await outcome.answer(call, execute)
        await asyncio.sleep(outcome.delay_ms / 1000)
        if reply is None:
            await self._door.look()
            await _lose(outcome.wire, scope, receive)
            return
        await _send(outcome, reply, send)
        if outcome.wire is Wire.CUT:
            await _lose(outcome.wire, scope, receive)


def _given(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _carried_out(app: ASGIApp, scope: Scope, body: bytes) -> Reply:
    """What the app answers to a request whose body has been read."""
    start: Message = {}
    parts: list[bytes] = []

    async def collect(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    await app(scope, _given(body), collect)
    headers = [(name.decode(), value.decode()) for name, value in start["headers"] if name != b"content-length"]
    return Reply(start["status"], tuple(headers), b"".join(parts))


async def _send(outcome: Outcome, reply: Reply, send: Send) -> None:
    pieces = outcome.sent(reply.body)
    cut = outcome.wire is Wire.CUT
    length = len(reply.body) if cut else sum(map(len, pieces))
    headers = [(name.encode(), value.encode()) for name, value in (*reply.headers, ("content-length", str(length)))]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": True})  # the head waits for no pause
    for piece in pieces:
        await asyncio.sleep(outcome.pause_ms / 1000)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if not cut:
        await send({"type": "http.response.body", "body": b""})


async def _lose(wire: Wire, scope: Scope, receive: Receive) -> None:
    """End the connection in an orderly way or by a reset, and wait until it has gone."""
    connection: asyncio.Transport = scope[CONNECTION]
    if connection.is_closing():  # the client was faster, and its socket may be no more
        pass
    elif wire in (Wire.REFUSED, Wire.RESET):
        connection.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        connection.abort()
    else:
        connection.close()
    while (await receive())["type"] != "http.disconnect":
        pass
