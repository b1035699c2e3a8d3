"""HTTP on a connection as uvicorn speaks it, with replies that go out in one piece."""

from __future__ import annotations

from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

CONNECTION = "tradebot.connection"  # in a request's scope: the transport


class Protocol(HttpToolsProtocol):
    """Each request can reach its connection; a reply that is whole goes out in one write."""

    def on_message_begin(self) -> None:
        """Put the connection into the request's scope."""
        super().on_message_begin()
        self.scope[CONNECTION] = self.transport  # type: ignore[literal-required]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, _InOnePiece(cycle, app))  # type: ignore[arg-type]


class _InOnePiece:
    """An app's replies: the head waits for the body, as ASGI has it.

    uvicorn sends it at once, in a packet of its own: the system's work, which is a third of a light request, twice.
    What comes in several pieces is left to uvicorn. All replies tell their length.
    """

    def __init__(self, cycle: RequestResponseCycle, app: ASGIApp) -> None:
        self._cycle = cycle
        self._app = app
        self._head: Message | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, self._send)

    async def _send(self, message: Message) -> None:
        head, self._head = self._head, None
        if message["type"] == "http.response.start":
            self._head = message
        elif head is not None and not message.get("more_body"):
            await self._write(head, message["body"])
        else:
            if head is not None:
                await self._cycle.send(head)  # type: ignore[arg-type]
            await self._cycle.send(message)  # type: ignore[arg-type]

    async def _write(self, head: Message, body: bytes) -> None:
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        cycle.response_started = cycle.response_complete = True
        lines = [b"%b: %b\r\n" % each for each in (*cycle.default_headers, *head["headers"])]
        end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
        parts = b"".join([STATUS_LINE[head["status"]], *lines, end]), body
        cycle.transport.writelines(parts[:1] if cycle.scope["method"] == "HEAD" else parts)
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
