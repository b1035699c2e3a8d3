"""A way to the exchange without a network: what a client sends, over an ASGI app in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

import httpx
from starlette.types import ASGIApp, Message

from tradebot.clock import monotonic_ms
from tradebot.market.request import Answer, Over, Request
from tradebot.sim.way import Way

CLIENT = "127.0.0.1", 123


class Inside(httpx.AsyncBaseTransport):
    """Hands requests to `app`; what it raises comes out here.

    A carrier, and httpx's one method for what is put around it: requests and responses of httpx take longer
    to make than all else on this way. Half of the latency is the way there: who has more to send does so before
    the first is worked on.
    """

    def __init__(self, app: ASGIApp, latency_ms: float = 0.0) -> None:
        self._app = app
        self._there_s = latency_ms / 2_000
        self._way = Way(latency_ms)

    async def send(self, request: Request, over: Over) -> Answer:
        """The answer, once it is whole and has come all the way; `TimeoutError` if the time to `read` passes before."""
        path, _, query = request.target.partition("?")
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
        scope = _scope(request.method, path.encode(), query.encode(), headers)
        async with asyncio.timeout(request.times["read"]):
            status, told, body = await self._delayed(scope, request.body)
        heads = {name.decode("latin-1"): value.decode("latin-1") for name, value in told}
        answer = Answer(status, heads, body, monotonic_ms())
        if answer.good:
            over()
        return answer

    def begin(self, request: Request, over: Over) -> None:
        """Never: it is worked on before there is an answer."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The same, over httpx."""
        path, _, query = request.url.raw_path.partition(b"?")
        headers = [(name.lower(), value) for name, value in request.headers.raw]
        scope = _scope(request.method, path, query, headers)
        status, told, body = await self._delayed(scope, await request.aread())
        return httpx.Response(status, headers=told, content=body, request=request)

    async def _delayed(self, scope: dict[str, Any], body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if not self._there_s:
            return await self._answer(scope, body)
        came = await self._way.left()  # what goes out in one pass of the loop does so together, as over a network
        await asyncio.sleep(self._there_s)
        answer = await self._answer(scope, body)
        await self._way.over(came)
        return answer

    async def _answer(self, scope: dict[str, Any], body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers and body; httpx's own ASGITransport looks for another kind of event loop each time."""
        incoming, told = _messages(body), list[Message]()

        async def receive() -> Message:
            return next(incoming)

        async def send(message: Message) -> None:
            told.append(message)

        await self._app(scope, receive, send)
        start, *parts = told
        return start["status"], start["headers"], b"".join(part.get("body", b"") for part in parts)


def _messages(body: bytes) -> Iterator[Message]:
    yield {"type": "http.request", "body": body, "more_body": False}
    while True:
        yield {"type": "http.disconnect"}


def _scope(method: str, path: bytes, query: bytes, headers: Iterable[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "headers": headers, "scheme": "http", "path": unquote(path.decode()), "raw_path": path, "query_string": query,
        "client": CLIENT, "root_path": "",
    }  # fmt: skip
