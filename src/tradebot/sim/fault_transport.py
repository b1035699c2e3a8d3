"""Faults in process: a transport around another one, which fails as httpx's own transport would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx

from tradebot.clock import Clock
from tradebot.sim.fault_plan import Plan
from tradebot.sim.faults import CONTROL, Call, Outcome, Reply, Wire, call_of

_FAILURES: dict[Wire, Callable[[httpx.Request], httpx.TransportError]] = {
    Wire.REFUSED: lambda request: httpx.ConnectError("All connection attempts failed", request=request),
    Wire.CLOSED: lambda request: httpx.RemoteProtocolError(
        "Server disconnected without sending a response.", request=request
    ),
    Wire.RESET: lambda request: httpx.ReadError("", request=request),
}


class FaultTransport(httpx.AsyncBaseTransport):
    """Enacts a plan on the requests to `inner`; `clock` is the exchange's, by which faults have their times.

    Raises httpx's errors before or after the request was really handed on, as the plan says. A
    request whose reply takes longer than its read time-out fails with `ReadTimeout`.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, plan: Plan, clock: Clock) -> None:
        self._inner = inner
        self._plan = plan
        self._clock = clock
        self._belated: set[asyncio.Task[Reply]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response, or what became of it."""
        path = request.url.path
        if not self._plan.faults or path.startswith(CONTROL):
            return await self._inner.handle_async_request(request)
        body = b"" if request.method == "GET" else await request.aread()
        call = call_of(request.method, path, request.url.query, body)
        outcome = self._plan.meet(call, self._clock.now())
        if outcome is None:
            return await self._inner.handle_async_request(request)
        return await self._enact(outcome, call, request)

    async def aclose(self) -> None:
        """Wait for what is still carried out, and close."""
        await asyncio.gather(*self._belated)
        await self._inner.aclose()

    async def _enact(self, outcome: Outcome, call: Call, request: httpx.Request) -> httpx.Response:
        if outcome.later_ms:
            belated = asyncio.create_task(self._execute_later(outcome.later_ms, request))
            self._belated.add(belated)
            belated.add_done_callback(self._belated.discard)
            raise _FAILURES[outcome.wire](request)
        reply = await outcome.answer(call, lambda: self._execute(request))
        await _wait(outcome.delay_ms, request)
        if reply is None:
            raise _FAILURES[outcome.wire](request)
        headers = [*reply.headers, ("content-length", str(_told_length(outcome, reply)))]
        return httpx.Response(reply.status, headers=headers, stream=_Body(outcome, reply, request))

    async def _execute(self, request: httpx.Request) -> Reply:
        response = await self._inner.handle_async_request(request)
        body = await response.aread()
        headers = [(name, value) for name, value in response.headers.items() if name != "content-length"]
        return Reply(response.status_code, tuple(headers), body)

    async def _execute_later(self, delay_ms: float, request: httpx.Request) -> Reply:
        await asyncio.sleep(delay_ms / 1000)
        return await self._execute(request)


class _Body(httpx.AsyncByteStream):
    """A body as it comes over the wire."""

    def __init__(self, outcome: Outcome, reply: Reply, request: httpx.Request) -> None:
        self._outcome = outcome
        self._reply = reply
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        for piece in self._outcome.sent(self._reply.body):
            await _wait(self._outcome.pause_ms, self._request)
            received += len(piece)
            yield piece
        if self._outcome.wire is Wire.CUT:
            raise httpx.RemoteProtocolError(
                "peer closed connection without sending complete message body "
                f"(received {received} bytes, expected {len(self._reply.body)})",
                request=self._request,
            )


def _told_length(outcome: Outcome, reply: Reply) -> int:
    """The length that the headers tell: of a body that is cut off, the whole one's."""
    return len(reply.body) if outcome.wire is Wire.CUT else sum(map(len, outcome.sent(reply.body)))


async def _wait(ms: float, request: httpx.Request) -> None:
    """Wait, but no longer than the request's read time-out."""
    patience = request.extensions.get("timeout", {}).get("read")
    if patience is not None and ms / 1000 > patience:
        await asyncio.sleep(patience)
        raise httpx.ReadTimeout("", request=request)
    if ms:
        await asyncio.sleep(ms / 1000)
