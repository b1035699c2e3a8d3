"""The network: connections of our own, which know whether a request was sent, and take the next one without a pause.

A client that trades must not guess the first: an order may go out again only where nothing of it was written.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from typing import Any, TypeAlias, cast

import httpx

from tradebot.clock import SECOND, monotonic_ms, wall_ms
from tradebot.market.reply import Reply
from tradebot.market.request import GOOD, Answer, Gate, Over, Place, Request, as_it_is, nobody_waits

Address: TypeAlias = tuple[int, tuple[Any, ...]]  # the family and what its sockets connect to
Waiting: TypeAlias = asyncio.Future[Reply]
Free: TypeAlias = Callable[[Reply], None]
RESERVE = 8  # connections that bulk reads leave to orders
KEEPALIVE_MS = 60 * SECOND  # by the wall clock, which also counts how long a machine slept
RESOLVED_S = 10.0  # for which the addresses of a name are taken as known
FAREWELL = 100  # passes of the loop in which what was closed may go; a few are enough
WITH_BODY = ("POST", "PUT")
# What may be written before a body.
METHOD, TARGET = re.compile("[A-Z]+"), re.compile("/[!-~]*")
FIELD = re.compile(r"[\w!#$%&'*+.^`|~-]+: [\t -~\xa0-\xff]*", re.ASCII)


class Connection(asyncio.Protocol):
    """Idle, or busy with one reply, or closed: whatever is not in order closes it.

    It stands in `living` as long as anything is left of it. `idle_since` is when it last `answered`, or was opened.
    """

    def __init__(self, living: set[Connection], hand: Callable[[Waiting, Reply], None], address: Address) -> None:
        self.address = address
        self.closed = False
        self.answered = False
        self.idle_since = wall_ms()
        self._living = living
        self._hand = hand
        self._reply = Reply("")
        self._answer: Waiting | None = None  # while busy
        self._over: Free
        self._timer: asyncio.TimerHandle

    def ask(self, method: str, request: bytes, read_s: float, over: Free) -> Waiting:
        """Write, once; the whole reply, up to `read_s`, or an error of httpx. When it is there `over` comes first.

        `ConnectError` at once where nothing was written.
        """
        if self.closed:
            raise httpx.ConnectError("closed before anything was sent")
        loop = asyncio.get_running_loop()
        answer = self._answer = loop.create_future()
        self._reply, self._over = Reply(method), over
        self._timer = loop.call_later(read_s, self._overdue)
        self._transport.write(request)
        return answer

    def leave(self, answer: Waiting) -> None:
        """Nobody waits for this reply any more, which may still be in the air."""
        if self._answer is answer:
            self._freed()
            self.close()

    def usable(self) -> bool:
        """Whether another request may be written: nothing came meanwhile, also no end that nobody has seen yet."""
        return not self.closed and not self._poll.poll(0)

    def close(self) -> None:
        """Close at once, without farewell."""
        self.closed = True
        self._transport.abort()

    # --- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected, and encrypted where it is to be."""
        self._living.add(self)
        self._transport = cast("asyncio.Transport", transport)
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """A part of the reply; what comes unasked ends the connection."""
        if self._answer is None:
            self.close()
            return
        try:
            self._reply.feed(data)
        except httpx.RemoteProtocolError as error:
            self._fail(error)
            return
        if self._reply.whole:
            self._finish()

    def eof_received(self) -> None:
        """The other side has said all."""
        if self._answer is not None:
            self._reply.end()
            if self._reply.whole:
                self._finish()
        self._fail(httpx.ReadError("connection cut off"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by either side, or torn."""
        self._fail(httpx.ReadError("connection cut off"))
        self._living.discard(self)

    def _finish(self) -> None:
        """Free for another request, which goes out first; then the reply is handed on."""
        reply, answer = self._reply, self._freed()
        self.answered, self.idle_since, reply.came = True, wall_ms(), monotonic_ms()
        wanted = answer is not None and not answer.done()
        if reply.last or not wanted:
            self.close()
        if answer is not None and wanted:
            self._hand(answer, reply)  # in a later pass of the loop
            self._over(reply)

    def _overdue(self) -> None:
        self._fail(httpx.ReadTimeout("no answer in time"))

    def _fail(self, error: httpx.TransportError) -> None:
        """Close, and tell who waits."""
        answer = self._freed()
        self.close()
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _freed(self) -> Waiting | None:
        """Busy no more; what was waited for, if anything was."""
        answer, self._answer = self._answer, None
        if answer is not None:
            self._timer.cancel()
        return answer


@dataclass(slots=True)
class Sent:
    """A `Flight` on a connection, with its place among all; what was waited for in vain is told to `silent`."""

    connection: Connection
    waiting: Waiting
    place: Place
    silent: Callable[[Connection, httpx.TransportError, int], None]
    began: float = field(default_factory=monotonic_ms)
    since: int = field(default_factory=wall_ms)

    async def answer(self) -> Answer:
        """Raises httpx's transport errors."""
        try:
            return answered(await self.waiting)
        except asyncio.CancelledError:
            self.connection.leave(self.waiting)
            raise
        except httpx.TransportError as error:
            self.silent(self.connection, error, self.since)
            raise
        finally:
            self.place.leave()

    def leave(self) -> None:
        """Close the connection, unless the reply is there."""
        self.connection.leave(self.waiting)
        self.waiting.cancel()
        self.place.leave()


class NetworkTransport:
    """A `Carrier` over all connections to one venue: `connections`, and some more for orders.

    `tls` is instead of the usual certificates. httpx's own pool costs O(n²) at 50 concurrent requests, and its
    requests and responses half the time of ours. Nothing is sent twice. Raises httpx's errors only, those of
    connecting (`PoolTimeout`, `ConnectTimeout`, `ConnectError`) only where nothing was written. Of a request's
    time-outs `read` is for the whole reply.
    """

    def __init__(self, origin: httpx.URL, *, connections: int, tls: ssl.SSLContext | None = None) -> None:
        self._prefix = origin.raw_path.decode().rstrip("/")
        self._named = f"Host: {origin.netloc.decode()}"
        self._host = origin.raw_host.decode()
        self._port = (443 if origin.scheme == "https" else 80) if origin.port is None else origin.port
        self._tls = (tls or certificates()) if origin.scheme == "https" else None
        self._connections = connections
        self._slots = Gate(connections + RESERVE)
        self._living = set[Connection]()
        self._idle: list[Connection] = []  # the one used last at the end
        self._whole = deque[tuple[Waiting, Reply]]()
        self._closed = False
        self._resolving = asyncio.Lock()
        self._addresses: list[Address] = []
        self._resolved = -RESOLVED_S

    async def send(self, request: Request, over: Over = nobody_waits) -> Answer:
        """Send and read; target, headers and body go out as they are."""
        raw = self._written(request)
        with await self._place(request.times["pool"]) as place:
            connection = self._kept() or await self._fresh(request.times["connect"])
            return await self._sent(connection, request, raw, place, over).answer()

    def begin(self, request: Request, over: Over) -> Sent | None:
        """On a connection that is idle, if there is one."""
        if self._slots.full or not self._idle:
            return None
        try:
            raw, connection = self._written(request), self._kept()
            if connection is not None:
                return self._sent(connection, request, raw, self._slots.now(), over)
        except httpx.TransportError:
            pass  # `send` tells why
        return None

    def _sent(self, connection: Connection, request: Request, raw: bytes, place: Place, over: Over) -> Sent:
        def free(reply: Reply) -> None:
            if not connection.closed:
                self._idle.append(connection)
            place.leave()
            if reply.status in GOOD:
                over()

        waiting = connection.ask(request.method, raw, request.times["read"], free)
        return Sent(connection, waiting, place, self._silent)

    def _written(self, request: Request) -> bytes:
        """The bytes of a request; `httpx.LocalProtocolError` where they would be none, or more than one."""
        method, target, _, headers, body = request
        told = len(body) if body or method in WITH_BODY else None
        if not TARGET.fullmatch(self._prefix + target):
            raise httpx.LocalProtocolError("a request that HTTP does not know")
        return f"{method} {self._prefix}{target}{_fields(method, self._named, headers, told)}".encode("latin-1") + body

    async def connect(self, requests: int, connect_s: float) -> None:
        """Have connections idle for so many requests at once, as far as there may be; none that is old by then.

        What cannot be opened in time is left to the requests, which tell why.
        """
        fresh = wall_ms() - KEEPALIVE_MS // 2
        for connection in (kept := self._idle):
            if connection.idle_since < fresh:
                connection.close()
        self._idle = [connection for connection in kept if connection.usable()]
        lacking = min(requests, self._connections) - len(self._idle)
        await asyncio.gather(*(self._spare(connect_s) for _ in range(lacking)))

    async def _spare(self, connect_s: float) -> None:
        """One more idle connection."""
        with await self._slots.taken(as_it_is), contextlib.suppress(httpx.TransportError):
            self._idle.append(await self._fresh(connect_s))

    async def aclose(self) -> None:
        """Close all connections; what waits for a reply ends with an error."""
        self._closed = True
        for connection in tuple(self._living):
            connection.close()
        for _ in range(FAREWELL):
            if self._living:
                await asyncio.sleep(0)

    async def _place(self, pool_s: float) -> Place:
        """One of the connections that there may be."""
        if not self._slots.full:  # the usual case: that takes no time, so no timer is needed
            return self._slots.now()
        try:
            async with asyncio.timeout(pool_s):
                return await self._slots.taken(as_it_is)
        except TimeoutError:
            raise httpx.PoolTimeout("no connection free in time") from None

    def _hand(self, answer: Waiting, reply: Reply) -> None:
        """Hand on a reply; one in each pass of the loop, so that none is read before all that waits has gone out."""
        self._whole.append((answer, reply))
        if len(self._whole) == 1:
            asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        answer, reply = self._whole.popleft()
        if self._whole:
            asyncio.get_running_loop().call_soon(self._hand_out)
        if not answer.done():
            answer.set_result(reply)

    def _silent(self, connection: Connection, error: httpx.TransportError, since: int) -> None:
        """No reply came: nothing that has been silent as long is used any more."""
        if not connection.answered:
            self._put_last(connection.address)
        if isinstance(error, httpx.ReadTimeout):  # the way there may be gone, as after a change of networks
            for idle in self._idle:
                if idle.idle_since < since:
                    idle.close()

    def _put_last(self, address: Address | None) -> None:
        """The next connection begins with another address than this, whose sockets connect, but bring nothing."""
        self._addresses = sorted(self._addresses, key=lambda each: each == address)

    def _kept(self) -> Connection | None:
        """The idle connection that was used last; those that may not be used any more are closed."""
        expired = wall_ms() - KEEPALIVE_MS
        while self._idle and self._idle[0].idle_since < expired:
            self._idle.pop(0).close()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.close()
        return None

    async def _fresh(self, connect_s: float | None) -> Connection:
        """A new connection; to no other failure than these belongs that nothing was sent."""
        loop = asyncio.get_running_loop()
        address: Address | None = None
        try:
            async with asyncio.timeout(connect_s) as limit:
                address, reached = await self._reached(limit.when())
                made, name = partial(Connection, self._living, self._hand, address), self._host if self._tls else None
                _, connection = await loop.create_connection(made, sock=reached, ssl=self._tls, server_hostname=name)
        except TimeoutError:
            self._put_last(address)
            raise httpx.ConnectTimeout("no connection in time") from None
        except (OSError, UnicodeError) as error:  # the second from names that no resolver knows how to ask for
            self._put_last(address)
            raise httpx.ConnectError("no connection") from error
        if self._closed:
            connection.close()
        return connection

    async def _reached(self, until: float | None) -> tuple[Address, socket.socket]:
        """One of the venue's addresses, each of which gets its share of the time, and a socket connected with it."""
        loop, fault = asyncio.get_running_loop(), OSError("no address")
        addresses = await self._resolve()
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            try:
                async with asyncio.timeout(None if until is None else (until - loop.time()) / left):
                    reached = await _connected(*address)
            except OSError as error:  # TimeoutError is one
                fault = error
                continue
            # The next connection begins with the address that answered.
            self._addresses = [address, *(other for other in self._addresses if other != address)]
            return address, reached
        raise fault

    async def _resolve(self) -> list[Address]:
        """The venue's addresses, asked for by one task for all."""
        loop = asyncio.get_running_loop()
        async with self._resolving:
            if loop.time() - self._resolved > RESOLVED_S:
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                best = self._addresses[:1]
                self._addresses = sorted(((info[0], info[4]) for info in found), key=lambda each: each not in best)
                self._resolved = loop.time()
            return self._addresses


@cache
def certificates() -> ssl.SSLContext:
    """Those that are usually trusted, for all clients: reading them takes 20 ms, which plain HTTP has no use for."""
    return httpx.create_ssl_context(trust_env=False)


@lru_cache(maxsize=64)  # requests differ by their targets, hardly by this
def _fields(method: str, host: str, headers: tuple[tuple[str, str], ...], length: int | None) -> str:
    """What goes out between the target of a request and its body of such a length, if that is told."""
    fields = [host, *(f"{name}: {value}" for name, value in headers)]
    if length is not None:
        fields.append(f"Content-Length: {length}")
    if not METHOD.fullmatch(method) or not all(map(FIELD.fullmatch, fields)):
        raise httpx.LocalProtocolError("a request that HTTP does not know")
    return "\r\n".join((" HTTP/1.1", *fields, "", ""))


async def _connected(family: int, address: tuple[Any, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


def answered(reply: Reply) -> Answer:
    """A reply with its body unpacked; `httpx.DecodingError` where that is not possible."""
    headers = {_lower(name): value.decode("latin-1") for name, value in reply.headers}
    body = reply.body
    if "content-encoding" in headers:
        body = httpx.Response(reply.status, headers=reply.headers, content=body).content
    return Answer(reply.status, headers, body, reply.came)


@lru_cache(maxsize=256)  # the same in each reply
def _lower(name: bytes) -> str:
    return name.decode("latin-1").lower()
