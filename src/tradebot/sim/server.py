"""The exchange on a socket."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tradebot.errors import UsageError
from tradebot.sim.protocol import Protocol
from tradebot.sim.sockets import Door, FaultApp

_BACKLOG = 2048
_GRACE_S = 2
_IDLE_S = 75  # who polls every few seconds must not meet a connection that is just being closed


class _Server(uvicorn.Server):
    """Tells when it listens, and keeps the signal that ended it instead of raising it once more."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None], door: Door | None) -> None:
        super().__init__(config)
        self.ended_by = 0
        self._listening = listening
        self._door = door

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            if self._door is not None:
                self._door.attach(self)
            self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._door is not None:
            await self._door.detach()
        for connection in list(self.server_state.connections):
            if isinstance(connection, HttpToolsProtocol) and _half_sent(connection):
                connection.transport.close()  # nothing of it was done, and its rest may never come
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.ended_by = number
        self.handle_exit(number, frame)


def _half_sent(connection: HttpToolsProtocol) -> bool:
    cycle = connection.cycle
    return cycle is not None and cycle.more_body and not cycle.response_complete


def _whoever_leaves(app: ASGIApp) -> ASGIApp:
    """The app, for which a client that leaves before all of its request has come is no error: nothing is done."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(ClientDisconnect):
            await app(scope, receive, send)

    return call


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket; `UsageError` if that cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, OverflowError) as error:
        raise UsageError(f"cannot listen on {host}: {error}; choose another with --host") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot listen on {host}:{port}: {reason}; choose another with --port (0: any)") from None
    return bound


def make_server(app: ASGIApp, door: Door | None, listening: Callable[[], None]) -> _Server:
    """A server for a bound socket; with a `door` the door's plan of faults stands in front of the app."""
    config = uvicorn.Config(
        _whoever_leaves(app if door is None else FaultApp(app, door)),
        http=Protocol, loop="uvloop", ws="none",
        lifespan="off", log_config=None, access_log=False, server_header=False,
        timeout_graceful_shutdown=_GRACE_S, timeout_keep_alive=_IDLE_S,
    )  # fmt: skip
    return _Server(config, listening, door)


def serve(app: ASGIApp, host: str, port: int, ready: Callable[[str], None], door: Door | None = None) -> int:
    """Serve until SIGINT or SIGTERM and return that signal's number.

    `ready` is called with the address as soon as it listens; port 0 takes any free one.
    """
    bound = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{bound.getsockname()[1]}"
    server = make_server(app, door, lambda: ready(url))
    with bound:
        server.run(sockets=[bound])
    return server.ended_by
