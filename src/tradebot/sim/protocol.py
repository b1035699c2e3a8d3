"""HTTP on a connection as uvicorn speaks it, with replies that go out in one piece."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.types import Message
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tradebot.clock import monotonic_ms
from tradebot.sim.way import CAME, Leave

CONNECTION = "tradebot.connection"  # in a request's scope: the transport


class Protocol(HttpToolsProtocol):
    """Each request tells when it came and can reach its connection; a reply that is whole goes out in one write."""

    def on_message_begin(self) -> None:
        """Put the connection into the request's scope."""
        super().on_message_begin()
        self.scope[CONNECTION] = self.transport  # type: ignore[literal-required]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle.scope[CAME] = monotonic_ms()  # type: ignore[literal-required]
        send = _InOnePiece(cycle)
        super()._start_asgi_task(cycle, lambda scope, receive, _: app(scope, receive, send))


class _InOnePiece:
    """An app's replies: the head waits for the body, as ASGI has it.

    uvicorn sends it at once, in a packet of its own: the system's work, which is a third of a light request, twice.
    What comes in several pieces is left to uvicorn. All replies tell their length.
    """

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._head: Message | None = None

    async def __call__(self, message: Message) -> None:
        head, self._head = self._head, None
        if message["type"] == "http.response.start":
            self._head = message
        elif head is not None and not message.get("more_body"):
            leave = self.whole(head, message)
            while not leave():
                await self._cycle.flow.drain()
        else:
            if head is not None:
                await self._cycle.send(head)  # type: ignore[arg-type]
            await self._cycle.send(message)  # type: ignore[arg-type]

    def whole(self, head: Message, body: Message) -> Leave:
        """What sends a reply at once, in a write; it tells False while the client reads too slowly."""
        cycle = self._cycle
        lines = [b"%b: %b\r\n" % each for each in (*cycle.default_headers, *head["headers"])]
        given = b"" if cycle.scope["method"] == "HEAD" else body["body"]
        return partial(self._leave, b"".join([STATUS_LINE[head["status"]], *lines, b"\r\n", given]))

    def _leave(self, reply: bytes) -> bool:
        cycle = self._cycle
        if cycle.disconnected or cycle.response_complete:
            return True
        if cycle.flow.write_paused:
            return False
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            reply = reply.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
        cycle.transport.write(reply)
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
        return True
